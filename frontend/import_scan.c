/* import_scan.c - Scan: loops over slices of the scanned inputs. */
#include "build.h"
#include "control.h"
#include "import.h"

typedef struct ScanInputs {
	int n; /* scanned */
	int axis[MaxBodies];
	bool reverse[MaxBodies];
	Value **in;
} ScanInputs;

static int64_t entry(const int64_t *list, int n, int i, int64_t dflt)
{
	return i < n ? list[i] : dflt;
}

/* x[length - 1 - counter], x[0] from there on. */
static Value *slice_from_end(LoopImport *l, Value *x)
{
	Call *c = l->c;
	const Dim *next = dim_add(c->m, l->counter, num(c, 1));
	Value *at = emit2(c, OpSub, l->length, emit_dims(c, 0, 1, &next));
	Attr axis = mk_int(Attr_axis, 0);
	return emit(c, OpGather, 2, (Value *[]){x, emit2(c, OpMax, at, emit_const(c, I64, 0))}, 1, &axis, NULL);
}

/* Carried values, then the slice of each scanned input at the iteration's place. */
static void scan_inputs(LoopImport *l, Value *const *carried, Value **in)
{
	Call *c = l->c;
	const ScanInputs *s = l->ctx;
	for (int i = 0; i < l->ncarried; i++)
		in[i] = carried[i];
	for (int i = 0; i < s->n; i++) {
		Value *x = s->in[i];
		const Dim *last = dim_sub(c->m, l->trips, num(c, 1)), *dims[MaxRank];
		const Dim *at = s->reverse[i] ? dim_sub(c->m, last, l->counter) : l->counter;
		int rank = 0;
		for (int d = 0; d < x->type.rank; d++)
			if (d != s->axis[i])
				dims[rank++] = x->type.dims[d];
		Value *slice = s->reverse[i] && l->length ? slice_from_end(l, x) : emit_range(c, x, s->axis[i], at, num(c, 1), 1);
		in[l->ncarried + i] = emit_reshape(c, slice, rank, dims);
	}
}

static void read_scan_inputs(Call *c, ScanInputs *s, int ncarried, LoopImport *l)
{
	const int64_t *axes, *directions;
	int naxis = onnx_ints(c, "scan_input_axes", &axes), ndirection = onnx_ints(c, "scan_input_directions", &directions);
	s->in = c->in + ncarried;
	for (int i = 0; i < s->n; i++) {
		if (!s->in[i])
			fatal_at(c->loc, "input %d is missing", ncarried + i);
		s->axis[i] = norm_axis(c, entry(axes, naxis, i, 0), s->in[i]->type.rank);
		s->reverse[i] = entry(directions, ndirection, i, 0) != 0;
		const Dim *len = s->in[i]->type.dims[s->axis[i]];
		if (l->trips)
			require_equal(c, l->trips, len, "lengths of the scanned inputs");
		else
			l->trips = len;
	}
}

/* A stacked result has the iterations as its first axis, in their order. */
static Value *scan_output(Call *c, Value *v, int64_t axis, bool reverse)
{
	int perm[MaxRank], to = norm_axis(c, axis, v->type.rank);
	const Dim *len = v->type.dims[0];
	if (reverse)
		v = emit_range(c, v, 0, dim_sub(c->m, len, num(c, 1)), len, -1);
	for (int d = 0; d < v->type.rank; d++)
		perm[d] = d < to ? d + 1 : d == to ? 0 : d;
	return emit_transpose(c, v, perm);
}

void import_scan(Call *c)
{
	const int64_t *axes, *directions;
	const OnnxGraph *g = body_of(c, "body");
	ScanInputs s = {.n = onnx_int(c, "num_scan_inputs", 0)};
	LoopImport l = {.c = c, .g = g, .ncarried = c->nin - s.n, .first = c->in, .inputs = scan_inputs, .ctx = &s, .nin = c->nin};
	if (s.n < 1 || s.n > c->nin || s.n > MaxBodies || g->n_input != (size_t)c->nin)
		fatal_at(c->loc, "%d inputs, of which %d are scanned, and a body with %zu inputs", c->nin, s.n, g->n_input);
	for (int i = 0; i < l.ncarried; i++)
		if (!l.first[i])
			fatal_at(c->loc, "input %d is missing", i);
	read_scan_inputs(c, &s, l.ncarried, &l);
	Node *loop = import_iterations(&l);
	int naxis = onnx_ints(c, "scan_output_axes", &axes), ndirection = onnx_ints(c, "scan_output_directions", &directions);
	for (int i = 0; i < c->nout && i < loop->nout; i++) {
		int k = i - l.ncarried;
		c->out[i] = k < 0 ? l.results[i]
		                  : scan_output(c, l.results[i], entry(axes, naxis, k, 0), entry(directions, ndirection, k, 0) != 0);
	}
}

/* x[b], where b counts the batch. */
static Value *batch_slice(Call *c, Value *x, const Dim *b)
{
	return emit_reshape(c, emit_range(c, x, 0, b, num(c, 1), 1), x->type.rank - 1, x->type.dims + 1);
}

/* The extents of axis 0 (and, of scanned inputs, of axis 1) are the same. */
static const Dim *common_extent(Call *c, int from, int axis, const char *what)
{
	const Dim *extent = NULL;
	for (int i = from; i < c->nin; i++) {
		const Value *v = c->in[i];
		if (!v || v->type.rank <= axis)
			fatal_at(c->loc, "input %d is %s, expected a rank of at least %d", i, item_text(c->im, input_item(c, i)), axis + 1);
		if (extent)
			require_equal(c, extent, v->type.dims[axis], what);
		else
			extent = v->type.dims[axis];
	}
	return extent;
}

/* Opset 8: a scan for each of a batch, of `sequence_lens` iterations.  One loop over the batch, and in it one over the sequence, whose
 * iterations behind a length change nothing. */
void import_batched_scan(Call *c)
{
	enum { First = 1 };
	const int64_t *directions;
	int ndirection = onnx_ints(c, "directions", &directions), nin = c->nin - First;
	const OnnxGraph *g = body_of(c, "body");
	ScanInputs s = {.n = onnx_int(c, "num_scan_inputs", 0)};
	if (s.n < 1 || s.n > nin || s.n > MaxBodies || g->n_input != (size_t)nin)
		fatal_at(c->loc, "%d inputs, of which %d are scanned, and a body with %zu inputs", nin, s.n, g->n_input);
	LoopImport batch = {.c = c, .g = g, .trips = common_extent(c, First, 0, "extents of the batch")};
	LoopImport l = {.c = c, .g = g, .ncarried = nin - s.n, .inputs = scan_inputs, .ctx = &s, .nin = nin};
	l.trips = common_extent(c, c->nin - s.n, 1, "lengths of the scanned inputs");
	if (c->in[0] && (c->in[0]->type.rank != 1 || dtypes[c->in[0]->type.dtype].cls != ClassSigned))
		fatal_at(c->loc, "input 'sequence_lens' is %s", type_text(c->m, &c->in[0]->type));
	if (c->in[0])
		require_equal(c, c->in[0]->type.dims[0], batch.trips, "number of sequence_lens and extent of the batch");
	Value **slices = arena_alloc(c->im->scratch, nin * sizeof *slices);
	batch.counter = dim_sym(c->m, fresh_sym(c->m, "batch")->name);
	start_body(&batch, NULL);
	Block *outer = c->im->block;
	c->im->block = batch.n->body;
	for (int i = 0; i < nin; i++)
		slices[i] = batch_slice(c, c->in[First + i], batch.counter);
	if (c->in[0]) {
		l.length = emit_cast(c, batch_slice(c, c->in[0], batch.counter), I64);
		l.length = emit2(c, OpMin, l.length, emit_dims(c, 0, 1, &l.trips));
	}
	l.first = slices;
	s.in = slices + l.ncarried;
	for (int i = 0; i < s.n; i++)
		s.reverse[i] = entry(directions, ndirection, i, 0) != 0;
	Node *scan = import_iterations(&l);
	c->im->block = outer;
	close_loop(&batch, NULL, scan->out);
	for (int i = 0; i < c->nout && i < batch.n->nout; i++)
		c->out[i] = batch.n->out[i];
}
