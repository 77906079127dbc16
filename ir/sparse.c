/* sparse.c - what is left of sparse weights (sparse.h), and what `sparse` means: in double, so exactly what linear does but for products
 * by 0. */
#include "sparse.h"
#include "eval.h"

int64_t sparse_groups(int64_t cols, int parts)
{
	const int64_t width = cols / parts, chunk = part_width(parts);
	return (width + chunk - 1) / chunk * unit_panels(parts) * (PanelWidth / SparseWidth);
}

SparseColumns sparse_columns(int64_t cols, int parts, int64_t group)
{
	const int64_t width = cols / parts, chunk = part_width(parts), of_unit = unit_panels(parts) * PanelWidth / SparseWidth;
	const int64_t at = group % of_unit * SparseWidth; /* in the unit's columns */
	const int64_t c = group / of_unit * chunk + at % chunk, left = width - c;
	return (SparseColumns){at / chunk * width + c, left < 0 ? 0 : left < SparseWidth ? left : SparseWidth};
}

/* Loads what a group has of row k, zeros behind it; is there anything but zeros? */
static bool load_entry(double *to, const Tensor *w, int64_t k, SparseColumns c)
{
	bool live = false;

	for (int64_t i = c.count; i < SparseWidth; i++)
		to[i] = 0;
	load_reals(to, w, k * w->dims[1] + c.first, 1, c.count);
	for (int64_t i = 0; i < c.count; i++)
		live |= to[i] != 0;
	return live;
}

/* counts[SparseWidth * group + column], zeroed: elements that are not 0; of columns that share rows the first has the rows that stay. */
static void count_entries(const Tensor *w, int parts, bool apart, int64_t *counts)
{
	const int64_t groups = sparse_groups(w->dims[1], parts);
	double entry[SparseWidth];

	for (int64_t k = 0; k < w->dims[0]; k++)
		for (int64_t g = 0; g < groups; g++) {
			const bool live = load_entry(entry, w, k, sparse_columns(w->dims[1], parts, g));
			counts[g * SparseWidth] += !apart && live;
			for (int i = 0; i < SparseWidth && apart && live; i++)
				counts[g * SparseWidth + i] += entry[i] != 0;
		}
}

/* The largest of a group's. */
static int64_t group_entries(const int64_t *counts, int64_t group)
{
	int64_t most = 0;
	for (int i = 0; i < SparseWidth; i++)
		if (counts[group * SparseWidth + i] > most)
			most = counts[group * SparseWidth + i];
	return most;
}

int64_t sparse_entries(Arena *arena, const Tensor *w, int parts, bool apart)
{
	const int64_t groups = sparse_groups(w->dims[1], parts);
	int64_t *counts = arena_alloc(arena, (size_t)groups * SparseWidth * sizeof *counts), all = 0;

	count_entries(w, parts, apart, counts);
	for (int64_t g = 0; g < groups; g++)
		all += group_entries(counts, g);
	return all;
}

bool sparse_index_holds(const int64_t *index, int64_t groups, int64_t entries, int64_t places, int64_t depth)
{
	for (int64_t g = 0; g < groups; g++)
		if (index[g] > index[g + 1])
			return false;
	for (int64_t i = 0; i < places; i++)
		if (index[groups + 1 + i] < 0 || index[groups + 1 + i] >= depth)
			return false;
	return index[0] >= 0 && index[groups] <= entries;
}

/* The first entry of each group, and the end of the last: of e's weights or index. */
static const char *find_begins(EvalNode *e, int64_t stated, int64_t **begins)
{
	const Tensor *w = e->in[0];
	const int parts = (int)attr_int(e->n, Attr_parts);
	const int64_t groups = sparse_groups(w->dims[1], parts);
	int64_t *begin = *begins = alloc_temp(e, groups + 1, sizeof *begin), *counts = alloc_temp(e, groups * SparseWidth, sizeof *counts);

	if (!begin || !counts)
		return OUT_OF_MEMORY(e);
	count_entries(w, parts, attr_int(e->n, Attr_apart), counts);
	for (int64_t g = 0; g < groups; g++)
		begin[g + 1] = begin[g] + group_entries(counts, g);
	if (begin[groups] != stated)
		return eval_fail(e, "w has %lld entries, not %lld", (long long)begin[groups], (long long)stated);
	return NULL;
}

/* Writes what stays, in the order of rows: elements, or the rows from out[from] on. */
static const char *fill_entries(EvalNode *e, const int64_t *begin, bool rows, int64_t from)
{
	const Tensor *w = e->in[0];
	const int parts = (int)attr_int(e->n, Attr_parts);
	const bool apart = attr_int(e->n, Attr_apart);
	const int64_t groups = sparse_groups(w->dims[1], parts), places = sparse_places(apart), width = SparseWidth / places;
	int64_t *used = alloc_temp(e, groups * SparseWidth, sizeof *used);
	double entry[SparseWidth];

	if (!used)
		return OUT_OF_MEMORY(e);
	for (int64_t k = 0; k < w->dims[0]; k++)
		for (int64_t g = 0; g < groups; g++) {
			if (!load_entry(entry, w, k, sparse_columns(w->dims[1], parts, g)))
				continue;
			for (int64_t i = 0; i < places; i++) {
				if (apart && entry[i] == 0)
					continue;
				const int64_t at = (begin[g] + used[g * SparseWidth + i]++) * places + i;
				if (rows)
					store_ints(e->out, from + at, &k, 1);
				else
					store_reals(e->out, at * width, entry + i, width);
			}
		}
	return NULL;
}

/* w [k, n] -> [entries, SparseWidth] */
const char *eval_sparse_weights(EvalNode *e)
{
	int64_t *begin;
	TRY(find_begins(e, e->out->dims[0], &begin));
	return fill_entries(e, begin, false, 0);
}

/* w [k, n] -> [groups + 1 + rows] */
const char *eval_sparse_index(EvalNode *e)
{
	const int64_t begins = sparse_groups(e->in[0]->dims[1], (int)attr_int(e->n, Attr_parts)) + 1;
	const int64_t rows = e->out->dims[0] - begins, places = sparse_places(attr_int(e->n, Attr_apart));
	int64_t *begin;
	TRY(need_agree(e, rows % places == 0));
	TRY(find_begins(e, rows / places, &begin));
	store_ints(e->out, 0, begin, begins);
	return fill_entries(e, begin, true, begins);
}

/* As linear, on what those two make of its weights. */
const char *eval_sparse(EvalNode *e)
{
	const Tensor *x = e->in[0], *w = e->in[1], *b = operand(e, 2);
	const int parts = (int)attr_int(e->n, Attr_parts), outer = x->rank - (int)attr_int(e->n, Attr_inner);
	const int64_t rows = count_dims(x, 0, outer), depth = count_dims(x, outer, x->rank), cols = e->out->dims[outer];
	const int64_t groups = sparse_groups(cols, parts), entries = w->dims[0], places = sparse_places(attr_int(e->n, Attr_apart));
	const double *xs = as_reals(e, x), *ws = as_reals(e, w), *bs = b ? as_reals(e, b) : NULL;
	const int64_t *index = as_ints(e, e->in[3]);
	double *y = alloc_temp(e, cols, sizeof *y);

	if (!xs || !ws || !index || !y || (b && !bs))
		return OUT_OF_MEMORY(e);
	TRY(need_agree(e, e->in[3]->dims[0] == groups + 1 + entries * places && (!b || b->dims[0] == cols)));
	if (!sparse_index_holds(index, groups, entries, entries * places, depth))
		return eval_fail(e, "the index leads to rows or entries that are not there");
	for (int64_t row = 0; row < rows; row++) {
		for (int64_t i = 0; i < cols; i++)
			y[i] = bs ? bs[i] : 0;
		for (int64_t g = 0; g < groups; g++) {
			const SparseColumns c = sparse_columns(cols, parts, g);
			for (int64_t at = index[g]; at < index[g + 1]; at++)
				for (int64_t i = 0; i < c.count; i++)
					y[c.first + i] += xs[row * depth + index[groups + 1 + at * places + i % places]] * ws[at * SparseWidth + i];
		}
		store_reals(e->out, row * cols, y, cols);
	}
	return NULL;
}
