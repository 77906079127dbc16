/* strassen.h - one level of Strassen's algorithm ("Gaussian Elimination is not Optimal", 1969): of a product whose operands are cut into two by
 * two blocks each, seven products of sums of blocks instead of eight of blocks.
 *
 * The operands of `strassen` are cut like this, so that a result depends on two rows of x alone, and pieces are read as they lie:
 *   x [rows, k]       even and odd rows; the halves of k
 *   w [k, n] panels   the halves of k; even and odd panels
 *   y [rows, n]       even and odd rows; even and odd panels
 */
#ifndef DCC_STRASSEN_H
#define DCC_STRASSEN_H

enum {
	StrassenProducts = 7,
	StrassenBlocks = 4, /* of a matrix: number 2 * row + column */
	StrassenDepth = 32 /* k is a multiple of it: the halves are whole vectors */
};

typedef struct StrassenProduct { /* factors, 1, 0 or -1: of the blocks that are added up; of the product in each block of the result */
	signed char left[StrassenBlocks], right[StrassenBlocks], to[StrassenBlocks];
} StrassenProduct;
extern const StrassenProduct strassen[StrassenProducts]; /* each sum of left blocks, and each block of the result, has a factor of 1 to begin with */

#endif
