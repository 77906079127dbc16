/* import_product.c - matrix products: MatMul, Gemm, Einsum. */
#include "build.h"
#include "import.h"

#include <ctype.h>
#include <string.h>

/* ---- matrix products ------------------------------------------------------------------------------------------- */

/* torch's TorchScript exporter drops as_strided().copy_() and leaves the zeros that were to be written to: a stack of
 * matrices that multiply the activations from the left.  A single matrix, or zeros on the right, are weights that start
 * there, as LoRA's do; zeros that constant weights multiply are activations that do, as queries of DETR's decoders. */
static void refuse_lost_write(Call *c, const Value *v, const Value *right)
{
	double fill;
	if (v->type.rank > 2 && !is_const(right) && constant_fill(v, &fill) && fill == 0)
		fatal_at(c->loc, "a constant operand of the product is all zeros: the exporter has dropped an in-place "
		                 "write to it, so the model computes something else than its source");
}

/* Vectors become matrices first: a row on the left, a column on the right. */
void import_matmul(Call *c)
{
	Value *a = c->in[0], *b = c->in[1];
	bool row = a->type.rank == 1, column = b->type.rank == 1;
	const Dim *one = dim_const(c->m, 1), *dims[MaxRank];
	refuse_lost_write(c, a, b);
	if (row)
		a = emit_reshape(c, a, 2, (const Dim *[]){one, a->type.dims[0]});
	if (column)
		b = emit_reshape(c, b, 2, (const Dim *[]){b->type.dims[0], one});
	Value *v = emit_product(c, a, b);
	int rank = 0, r = v->type.rank;
	for (int i = 0; i < r; i++)
		if (!(row && i == r - 2) && !(column && i == r - 1))
			dims[rank++] = v->type.dims[i];
	c->out[0] = emit_reshape(c, v, rank, dims);
}

static Value *scaled(Call *c, Value *v, double by)
{
	return by == 1 ? v : emit2(c, OpMul, v, emit_const(c, v->type.dtype, by));
}

/* alpha * a' b' + beta * c; a transposed weight is a constant that folds. */
void import_gemm(Call *c)
{
	Value *a = c->in[0], *b = c->in[1];
	if (a->type.rank != 2 || b->type.rank != 2)
		fatal_at(c->loc, "operands have ranks %d and %d, expected 2", a->type.rank, b->type.rank);
	if (onnx_int(c, "transA", 0))
		a = emit_swap(c, a);
	if (onnx_int(c, "transB", 0))
		b = emit_swap(c, b);
	Value *v = scaled(c, emit_product(c, a, b), onnx_float(c, "alpha", 1));
	if (c->nin > 2 && c->in[2]) {
		if (c->in[2]->type.rank > 2)
			fatal_at(c->loc, "input 2 has rank %d, expected at most 2", c->in[2]->type.rank);
		v = emit2(c, OpAdd, v, scaled(c, c->in[2], onnx_float(c, "beta", 1)));
	}
	c->out[0] = v;
}

/* ---- einsum ---------------------------------------------------------------------------------------------------- */

enum { MaxTerms = 16 };

/* A tensor whose axes carry labels, one letter each. */
typedef struct Labelled {
	Value *v;
	char axes[MaxRank + 1];
} Labelled;

static bool has_label(const char *axes, char label)
{
	return strchr(axes, label) != NULL;
}

/* At most MaxRank labels together: the caller has counted. */
static void join_labels(char *out, const char *a, const char *b, const char *rest)
{
	const char *const parts[] = {a, b, rest};
	int n = 0;
	for (int i = 0; i < 3; i++)
		for (const char *p = parts[i]; *p && n < MaxRank; p++)
			out[n++] = *p;
	out[n] = 0;
}

/* A label that stands for several axes means their diagonal: one axis whose stride is the sum of theirs. */
static void take_diagonals(Call *c, Labelled *x)
{
	Module *m = c->m;
	Type t = {.dtype = x->v->type.dtype};
	const Dim *strides[MaxRank], *stride = num(c, 1);
	char axes[MaxRank + 1];
	int rank = x->v->type.rank, n = 0;
	for (int i = 0; i < rank; i++) {
		bool known = memchr(axes, x->axes[i], n) != NULL;
		if (known)
			continue;
		axes[n] = x->axes[i];
		t.dims[n] = x->v->type.dims[i];
		strides[n++] = num(c, 0);
	}
	axes[n] = 0;
	if (n == rank)
		return;
	for (int i = rank - 1; i >= 0; i--) {
		int at = strchr(axes, x->axes[i]) - axes;
		require_equal(c, x->v->type.dims[i], t.dims[at], "axes of one label");
		strides[at] = dim_add(m, strides[at], stride);
		stride = dim_mul(m, stride, x->v->type.dims[i]);
	}
	t.rank = n;
	Attr attr = mk_dims(m, Attr_strides_dim, n, strides);
	x->v = emit(c, OpView, 1, &x->v, 1, &attr, &t);
	strcpy(x->axes, axes);
}

/* The axes in the order that `to` lists them. */
static Value *reorder(Call *c, const Labelled *x, const char *to)
{
	int perm[MaxRank];
	for (int i = 0; to[i]; i++)
		perm[i] = strchr(x->axes, to[i]) - x->axes;
	return emit_transpose(c, x->v, perm);
}

/* Sums over the axes that `needed` does not list. */
static void drop_axes(Call *c, Labelled *x, const char *needed)
{
	int64_t axes[MaxRank];
	int n = 0, kept = 0;
	for (int i = 0; x->axes[i]; i++) {
		if (has_label(needed, x->axes[i]))
			x->axes[kept++] = x->axes[i];
		else
			axes[n++] = i;
	}
	x->axes[kept] = 0;
	x->v = emit_reduce(c, OpSum, x->v, n, axes, false);
}

static void pick_labels(char *out, const char *from, const char *other, bool in_other, const char *needed,
                        bool in_needed)
{
	for (; *from; from++)
		if (has_label(other, *from) == in_other && has_label(needed, *from) == in_needed)
			*out++ = *from;
	*out = 0;
}

/* The axes as [batch.., joined, joined]: a matrix product with whatever is in the groups. */
static Value *as_matrix(Call *c, const Labelled *x, const char *batch, const char *rows, const char *cols)
{
	char order[MaxRank + 1];
	const Dim *dims[MaxRank];
	join_labels(order, batch, rows, cols);
	Value *v = reorder(c, x, order);
	int nb = strlen(batch), nr = strlen(rows), nc = strlen(cols);
	memcpy(dims, v->type.dims, nb * sizeof *dims);
	if (nb + 2 > MaxRank)
		refuse_at(c->loc, "not supported: %d batch axes", nb);
	dims[nb] = product(c->m, v->type.dims + nb, nr);
	dims[nb + 1] = product(c->m, v->type.dims + nb + nr, nc);
	return emit_reshape(c, v, nb + 2, dims);
}

/* Labels of both operands that are still needed are batch axes; shared ones that are not are summed over. */
static Labelled contract(Call *c, Labelled *a, Labelled *b, const char *needed)
{
	char batch[MaxRank + 1], inner[MaxRank + 1], rows[MaxRank + 1], cols[MaxRank + 1];
	drop_axes(c, a, arena_printf(c->im->scratch, "%s%s", needed, b->axes));
	drop_axes(c, b, arena_printf(c->im->scratch, "%s%s", needed, a->axes));
	pick_labels(batch, a->axes, b->axes, true, needed, true);
	pick_labels(inner, a->axes, b->axes, true, needed, false);
	pick_labels(rows, a->axes, b->axes, false, needed, true);
	pick_labels(cols, b->axes, a->axes, false, needed, true);
	if (strlen(batch) + strlen(rows) + strlen(cols) > MaxRank)
		refuse_at(c->loc, "not supported: an intermediate result of rank above %d", MaxRank);
	Value *left = as_matrix(c, a, batch, rows, inner), *right = as_matrix(c, b, batch, inner, cols);
	Labelled out = {emit2(c, OpMatMul, left, right), ""};
	const Dim *dims[MaxRank];
	int n = 0;
	for (int i = 0; batch[i]; i++, n++)
		dims[n] = out.v->type.dims[n];
	for (int i = 0; rows[i]; i++)
		dims[n++] = a->v->type.dims[strchr(a->axes, rows[i]) - a->axes];
	for (int i = 0; cols[i]; i++)
		dims[n++] = b->v->type.dims[strchr(b->axes, cols[i]) - b->axes];
	out.v = emit_reshape(c, out.v, n, dims);
	join_labels(out.axes, batch, rows, cols);
	return out;
}

/* How many axes "..." stands for in the operand at p. */
static int count_unlabelled(const char *p, int rank)
{
	bool dots = false;
	for (; *p && *p != ',' && *p != '-'; p++) {
		rank -= isalpha((unsigned char)*p) != 0;
		dots |= *p == '.';
	}
	return dots ? rank : 0;
}

/* The labels of the `wide` axes of "..." are digits, 0 for the last one: operands broadcast from there. */
static int label_dots(char *axes, int n, int wide)
{
	while (wide-- > 0)
		axes[n++] = '0' + wide;
	return n;
}

/* A label may stand in a term more than once, in the output it may not. */
static const char *take_labels(Call *c, const char *p, int wide, bool once, char *axes)
{
	int n = 0;
	for (; *p && *p != ',' && *p != '-'; p++) {
		bool dots = !strncmp(p, "...", 3);
		if (*p == ' ')
			continue;
		if (!(dots || isalpha((unsigned char)*p)) || n + (dots ? wide : 1) > MaxRank || ((once || dots) && memchr(axes, dots ? '0' : *p, n)))
			refuse_at(c->loc, "not supported: equation '%s'", onnx_text(c, "equation"));
		if (dots)
			n = label_dots(axes, n, wide);
		else
			axes[n++] = *p;
		p += dots ? 2 : 0;
	}
	axes[n] = 0;
	return p;
}

/* What "ij,jk" means when no output is given: the axes of "...", then the labels that occur once, sorted. */
static void implicit_output(const char *equation, int wide, char *out)
{
	int n = label_dots(out, 0, wide);
	for (int label = 'A'; label <= 'z'; label++) {
		const char *first = isalpha(label) ? strchr(equation, label) : NULL;
		if (first && !strchr(first + 1, label) && n < MaxRank)
			out[n++] = label;
	}
	out[n] = 0;
}

void import_einsum(Call *c)
{
	const char *equation = onnx_text(c, "equation"), *p = equation;
	Labelled *in = arena_alloc(c->im->scratch, (c->nin + 1) * sizeof *in);
	char out[MaxRank + 1];
	int wide = 0;
	if (!equation)
		fatal_at(c->loc, "attribute 'equation' is missing");
	if (c->nin > MaxTerms)
		refuse_at(c->loc, "not supported: %d operands", c->nin);
	for (int i = 0; i < c->nin; i++) {
		if (!c->in[i])
			fatal_at(c->loc, "input %d is missing", i);
		int own = count_unlabelled(p, c->in[i]->type.rank);
		p = take_labels(c, p, own, false, in[i].axes);
		in[i].v = c->in[i];
		wide = own > wide ? own : wide;
		if ((int)strlen(in[i].axes) != c->in[i]->type.rank || (*p == ',') != (i < c->nin - 1))
			fatal_at(c->loc, "equation '%s' does not fit the operands", equation);
		take_diagonals(c, &in[i]);
		p += *p == ',';
	}
	if (!strncmp(p, "->", 2)) {
		if (*take_labels(c, p + 2, wide, true, out) || (wide && !has_label(out, '0')))
			refuse_at(c->loc, "not supported: equation '%s'", equation);
	} else {
		implicit_output(equation, wide, out);
	}
	Labelled all = in[0];
	for (int i = 1; i < c->nin; i++) {
		char *needed = arena_strdup(c->im->scratch, out);
		for (int k = i + 1; k < c->nin; k++)
			needed = arena_printf(c->im->scratch, "%s%s", needed, in[k].axes);
		all = contract(c, &all, &in[i], needed);
	}
	drop_axes(c, &all, out);
	if (strlen(all.axes) != strlen(out))
		fatal_at(c->loc, "equation '%s': an output label is in no operand", equation);
	c->out[0] = reorder(c, &all, out);
}
