/* winograd.h - convolutions of 3 by 3 taps with fewer products: Winograd, "Arithmetic Complexity of Computations" (1980); Lavin and Gray,
 * "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016).
 *
 * A tile of `tile` x `tile` outputs comes from `size` x `size` inputs, size = tile + 2: along each axis y = A'[(G w) * (B' x)], where the
 * transforms evaluate polynomials at the points 0, +p, -p for each of `pairs` points, and infinity, in this order.
 */
#ifndef DCC_WINOGRAD_H
#define DCC_WINOGRAD_H

#include "ir.h"

enum { WinogradTaps = 3, MaxWinogradPairs = 2, MaxWinogradTile = 2 * MaxWinogradPairs, MaxWinogradSize = MaxWinogradTile + 2 };

typedef struct Winograd {
	int64_t tile;
	int pairs, size;
	double point[MaxWinogradPairs];
	/* product of all (x^2 - point^2): coefficients of x^0, x^2, ...; and without that of one pair */
	double all[MaxWinogradPairs + 1], without[MaxWinogradPairs][MaxWinogradPairs];
} Winograd;

bool winograd_of(int64_t tile, Winograd *); /* false: there is none of that tile */
/* size values, `step` apart: of the inputs; of the weights (3 to size); of products (size to tile).  `from` and `to` differ. */
void winograd_inputs(const Winograd *, const double *from, double *to, int64_t step);
void winograd_weights(const Winograd *, const double *from, double *to, int64_t step);
void winograd_outputs(const Winograd *, const double *from, double *to, int64_t step);

#endif
