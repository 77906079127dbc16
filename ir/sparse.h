/* sparse.h - matrices most of whose elements are 0, as what is left of them.
 *
 * Their columns lie in panels as those of `pack`, in groups of SparseWidth side by side.  Of each group those rows stay, called entries,
 * that are not 0 throughout, in their order:
 *   sparse_weights  [entries, SparseWidth]    their elements
 *   sparse_index    [groups + 1 + entries]    the first entry of each group, and behind the last; the row of each entry
 * Or (attribute `apart`) each column keeps its own elements that are not 0; an entry has the next of each, of rows that differ:
 *   sparse_index    [groups + 1 + SparseWidth * entries]    the row of each element of an entry, 0 and of row 0 where a column has no more
 */
#ifndef DCC_SPARSE_H
#define DCC_SPARSE_H

#include "ir.h"

enum { SparseWidth = 16 };

/* Columns of a group: `count` of them (those that the matrix does not have are left out) from `first` on. */
typedef struct SparseColumns {
	int64_t first, count;
} SparseColumns;

int64_t sparse_groups(int64_t cols, int parts);
SparseColumns sparse_columns(int64_t cols, int parts, int64_t group);
static inline int sparse_places(bool apart) { return apart ? SparseWidth : 1; } /* rows of an entry */
const Dim *sparse_index_length(Module *, const Dim *cols, int parts, bool apart, const Dim *entries);
int64_t sparse_entries(Arena *, const Tensor *w, int parts, bool apart); /* of w [k, n] */
/* Does an index with so many rows of entries lead to entries and rows that are there? */
bool sparse_index_holds(const int64_t *index, int64_t groups, int64_t entries, int64_t places, int64_t depth);

#endif
