/* strassen.c - the products of strassen.h, and what strassen and strassen_weights mean: in double, so all but exactly what linear means. */
#include "strassen.h"
#include "eval.h"

const StrassenProduct strassen[StrassenProducts] = {
	{{1, 0, 0, 1}, {1, 0, 0, 1}, {1, 0, 0, 1}},
	{{0, 0, 1, 1}, {1, 0, 0, 0}, {0, 0, 1, -1}},
	{{1, 0, 0, 0}, {0, 1, 0, -1}, {0, 1, 0, 1}},
	{{0, 0, 0, 1}, {-1, 0, 1, 0}, {1, 0, 1, 0}},
	{{1, 1, 0, 0}, {0, 0, 0, 1}, {-1, 1, 0, 0}},
	{{-1, 0, 1, 0}, {1, 1, 0, 0}, {0, 0, 0, 1}},
	{{0, 1, 0, -1}, {0, 0, 1, 1}, {1, 0, 0, 0}},
};

typedef struct Panels {
	int64_t width, count; /* columns of a part; panels */
	int chunk; /* columns of a part in a panel */
} Panels;

static Panels panels_of(int64_t cols, int parts)
{
	Panels p = {.width = cols / parts, .chunk = part_width(parts)};
	p.count = (p.width + p.chunk - 1) / p.chunk;
	return p;
}

/* Adds factor times columns of row k of w to those of the panel that hold them. */
static void add_columns(const Panels *p, double *to, const double *row, int64_t panel, double factor)
{
	for (int at = 0; at < PanelWidth; at++) {
		int64_t column = panel * p->chunk + at % p->chunk;
		if (column < p->width)
			to[at] += factor * row[at / p->chunk * p->width + column];
	}
}

/* The reverse: what a panel holds of a row. */
static void add_sums(const Panels *p, double *row, const double *from, int64_t panel)
{
	for (int at = 0; at < PanelWidth; at++) {
		int64_t column = panel * p->chunk + at % p->chunk;
		if (column < p->width)
			row[at / p->chunk * p->width + column] += from[at];
	}
}

/* w [k, n] -> [pairs of panels, products * k / 2, PanelWidth] */
const char *eval_strassen_weights(EvalNode *e)
{
	const Tensor *w = e->in[0];
	const int64_t half = w->dims[0] / 2, cols = w->dims[1], pairs = e->out->dims[0];
	const Panels p = panels_of(cols, (int)attr_int(e->n, Attr_parts));
	double *rows = alloc_temp(e, 2 * cols, sizeof *rows); /* k and half + k */

	if (!rows)
		return OUT_OF_MEMORY(e);
	TRY(need_agree(e, pairs == (p.count + 1) / 2 && e->out->dims[1] == StrassenProducts * half));
	for (int64_t k = 0; k < half; k++) {
		load_reals(rows, w, k * cols, 1, cols);
		load_reals(rows + cols, w, (half + k) * cols, 1, cols);
		for (int64_t at = 0; at < pairs * StrassenProducts; at++) {
			const signed char *factor = strassen[at % StrassenProducts].right;
			double sum[PanelWidth] = {0};
			for (int block = 0; block < StrassenBlocks; block++)
				if (factor[block])
					add_columns(&p, sum, rows + block / 2 * cols, at / StrassenProducts * 2 + block % 2, factor[block]);
			store_reals(e->out, (at * half + k) * PanelWidth, sum, PanelWidth);
		}
	}
	return NULL;
}

/* Adds the product of two sums of blocks, of rows x[0] and x[1] and the panels at w, to the columns of both rows in both panels. */
static void add_product(const StrassenProduct *s, const double *const *x, const double *w, int64_t half, double (*to)[PanelWidth])
{
	double sum[PanelWidth] = {0};

	for (int64_t k = 0; k < half; k++) {
		double left = 0;
		for (int block = 0; block < StrassenBlocks; block++)
			if (s->left[block])
				left += s->left[block] * x[block / 2][block % 2 * half + k];
		for (int at = 0; at < PanelWidth; at++)
			sum[at] += left * w[k * PanelWidth + at];
	}
	for (int block = 0; block < StrassenBlocks; block++)
		for (int at = 0; at < PanelWidth && s->to[block]; at++)
			to[block][at] += s->to[block] * sum[at];
}

/* As linear, on the panels that eval_strassen_weights makes. */
const char *eval_strassen(EvalNode *e)
{
	const Tensor *x = e->in[0], *w = e->in[1], *b = operand(e, 2);
	const int64_t depth = x->dims[x->rank - 1], cols = e->out->dims[x->rank - 1], rows = count_dims(x, 0, x->rank - 1), half = depth / 2;
	const Panels p = panels_of(cols, (int)attr_int(e->n, Attr_parts));
	const double *xs = as_reals(e, x), *ws = as_reals(e, w), *bs = b ? as_reals(e, b) : NULL;
	double *y = alloc_temp(e, 2 * cols, sizeof *y);

	if (!xs || !ws || !y || (b && !bs))
		return OUT_OF_MEMORY(e);
	TRY(need_agree(e, w->dims[0] == (p.count + 1) / 2 && w->dims[1] == StrassenProducts * half && w->dims[2] == PanelWidth && (!b || b->dims[0] == cols)));
	for (int64_t row = 0; row < rows; row += 2) {
		const int64_t count = rows - row < 2 ? 1 : 2;
		const double *two[] = {xs + row * depth, xs + (row + count - 1) * depth};
		for (int64_t i = 0; i < 2 * cols; i++)
			y[i] = bs ? bs[i % cols] : 0;
		for (int64_t pair = 0; pair < w->dims[0]; pair++) {
			double sums[StrassenBlocks][PanelWidth] = {{0}};
			for (int i = 0; i < StrassenProducts; i++)
				add_product(&strassen[i], two, ws + (pair * StrassenProducts + i) * half * PanelWidth, half, sums);
			for (int block = 0; block < StrassenBlocks; block++)
				add_sums(&p, y + block / 2 * cols, sums[block], 2 * pair + block % 2);
		}
		store_reals(e->out, row * cols, y, count * cols);
	}
	return NULL;
}
