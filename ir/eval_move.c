/* eval_move.c - what operators mean that compute nothing: sources, data movement, data-dependent addresses.
 *
 * Elements are copied as bytes, whatever their type.  Dims and strides may be expressions of symbols, which the run evaluates
 * (need_dim); everything that they or the data could break is checked before it is used as an address.
 */
#include "bytes.h"
#include "eval.h"

#include <string.h>

/* ---- sources ---------------------------------------------------------------------------------------------------- */

static const char *need_dim(EvalNode *e, const Dim *d, int64_t *value)
{
	if (!eval_dim(e->syms, d, value))
		return eval_fail(e, "%s cannot be evaluated", dim_text(e->m, d));
	return NULL;
}

static void store_int(Tensor *t, int64_t at, int64_t v)
{
	put_scalar((char *)t->data + at * dtypes[t->dtype].bytes, scalar_of_int(t->dtype, v));
}

const char *eval_iota(EvalNode *e)
{
	int64_t start, step, n = tensor_numel(e->out);
	TRY(need_dim(e, attr_dim(e->m, e->n, Attr_start), &start));
	TRY(need_dim(e, attr_dim(e->m, e->n, Attr_step), &step));
	for (int64_t i = 0; i < n; i++)
		store_int(e->out, i, add_int(start, mul_int(i, step)));
	return NULL;
}

const char *eval_dims(EvalNode *e)
{
	const Dim *const *values;
	int n = attr_dims(e->n, Attr_values, &values);
	TRY(need_agree(e, n == tensor_numel(e->out)));
	for (int i = 0; i < n; i++) {
		int64_t v;
		TRY(need_dim(e, values[i], &v));
		store_int(e->out, i, v);
	}
	return NULL;
}

/* ---- data movement ---------------------------------------------------------------------------------------------- */

static void copy_row(char *to, const char *from, int64_t n, int64_t stride, int bytes)
{
	if (stride == 1) {
		memcpy(to, from, n * bytes);
		return;
	}
	switch (bytes) {
#define COPY_ROW(T)                                                                                                    \
	for (int64_t i = 0; i < n; i++)                                                                                \
		((T *)to)[i] = ((const T *)from)[i * stride];                                                          \
	break;
	case 1: COPY_ROW(uint8_t)
	case 2: COPY_ROW(uint16_t)
	case 4: COPY_ROW(uint32_t)
	case 8: COPY_ROW(uint64_t)
#undef COPY_ROW
	default: bug("element of %d bytes", bytes);
	}
}

/* to[i][j] = from[j * step + i]: in strips of columns of `from`, so that its cache lines are used whole. */
static void copy_transposed(char *to, const char *from, int64_t rows, int64_t cols, int64_t step, int bytes)
{
	enum { Strip = 16 };
	for (int64_t first = 0; first < rows; first += Strip) {
		int64_t end = first + Strip < rows ? first + Strip : rows;
		for (int64_t part = 0; part < cols; part += Strip) {
			int64_t n = part + Strip < cols ? Strip : cols - part;
			for (int64_t i = first; i < end; i++)
				copy_row(to + (i * cols + part) * bytes, from + (part * step + i) * bytes, n, step,
				         bytes);
		}
	}
}

/* out[i] = x[base + sum of i[d] * strides[d]]; all within x, as the caller has checked. */
static void copy_strided(EvalNode *e, int64_t base, const int64_t *strides)
{
	Walk w;
	int bytes = dtypes[e->out->dtype].bytes;
	char *to = e->out->data;
	walk_over(&w, e->out);
	w.nstream = 1;
	w.off[0] = base;
	memcpy(w.stride[0], strides, e->out->rank * sizeof *strides);
	if (!walk_start(&w))
		return;
	int64_t len = w.dims[w.rank - 1], step = w.stride[0][w.rank - 1], rows = 1;
	if (w.rank > 1 && step != 1 && w.stride[0][w.rank - 2] == 1)
		rows = w.dims[--w.rank - 1]; /* the last two axes are a transposed matrix: walk around it */
	do {
		const char *from = (const char *)e->in[0]->data + w.off[0] * bytes;
		if (rows > 1)
			copy_transposed(to, from, rows, len, step, bytes);
		else
			copy_row(to, from, len, step, bytes);
		to += rows * len * bytes;
	} while (walk_next(&w));
}

static void contiguous_strides(const Tensor *t, int64_t *strides)
{
	int64_t stride = 1;
	for (int d = t->rank - 1; d >= 0; d--) {
		strides[d] = stride;
		stride *= t->dims[d];
	}
}

const char *eval_reshape(EvalNode *e)
{
	int64_t n = tensor_numel(e->out), own = tensor_numel(e->in[0]);
	if (n != own)
		return eval_fail(e, "%lld elements cannot take a shape of %lld", (long long)own, (long long)n);
	if (n)
		memcpy(e->out->data, e->in[0]->data, n * dtypes[e->out->dtype].bytes);
	return NULL;
}

const char *eval_expand(EvalNode *e)
{
	Walk w;
	walk_over(&w, e->out);
	TRY(need_agree(e, walk_add(&w, e->in[0])));
	copy_strided(e, 0, w.stride[0]);
	return NULL;
}

const char *eval_transpose(EvalNode *e)
{
	int64_t from[MaxRank], strides[MaxRank];
	const int64_t *perm;
	attr_ints(e->n, Attr_perm, &perm);
	contiguous_strides(e->in[0], from);
	for (int d = 0; d < e->out->rank; d++) {
		strides[d] = from[perm[d]];
		TRY(need_agree(e, e->out->dims[d] == e->in[0]->dims[perm[d]]));
	}
	copy_strided(e, 0, strides);
	return NULL;
}

const char *eval_slice(EvalNode *e)
{
	const Tensor *x = e->in[0];
	const Dim *const *starts;
	const int64_t *steps;
	int64_t strides[MaxRank], base = 0;
	int nsteps = attr_ints(e->n, Attr_steps, &steps);
	attr_dims(e->n, Attr_starts, &starts);
	contiguous_strides(x, strides);
	if (tensor_numel(e->out) == 0)
		return NULL;
	for (int d = 0; d < x->rank; d++) {
		int64_t first, last, step = nsteps ? steps[d] : 1;
		TRY(need_dim(e, starts[d], &first));
		if (__builtin_mul_overflow(e->out->dims[d] - 1, step, &last)
		    || __builtin_add_overflow(last, first, &last) || first < 0 || first >= x->dims[d] || last < 0
		    || last >= x->dims[d])
			return eval_fail(e, "axis %d: %lld elements from %lld by %lld leave an extent of %lld", d,
			                 (long long)e->out->dims[d], (long long)first, (long long)step,
			                 (long long)x->dims[d]);
		base += first * strides[d];
		strides[d] *= step;
	}
	copy_strided(e, base, strides);
	return NULL;
}

const char *eval_view(EvalNode *e)
{
	const Dim *const *dims;
	int64_t strides[MaxRank], base, lo, hi, n = tensor_numel(e->in[0]);
	attr_dims(e->n, Attr_strides_dim, &dims);
	TRY(need_dim(e, attr_dim(e->m, e->n, Attr_base), &base));
	lo = hi = base;
	for (int d = 0; d < e->out->rank; d++) {
		int64_t reach, *end;
		TRY(need_dim(e, dims[d], &strides[d]));
		if (__builtin_mul_overflow(e->out->dims[d] - 1, strides[d], &reach))
			return eval_fail(e, "stride %lld overflows", (long long)strides[d]);
		end = reach < 0 ? &lo : &hi;
		if (__builtin_add_overflow(*end, reach, end))
			return eval_fail(e, "stride %lld overflows", (long long)strides[d]);
	}
	if (tensor_numel(e->out) == 0)
		return NULL;
	if (lo < 0 || hi >= n)
		return eval_fail(e, "reads elements %lld to %lld of %lld", (long long)lo, (long long)hi, (long long)n);
	copy_strided(e, base, strides);
	return NULL;
}

const char *eval_concat(EvalNode *e)
{
	int axis = (int)attr_int(e->n, Attr_axis), bytes = dtypes[e->out->dtype].bytes;
	int64_t outer = count_dims(e->out, 0, axis), row = count_dims(e->out, axis, e->out->rank) * bytes, done = 0;
	for (int i = 0; i < e->n->nin; i++) {
		const Tensor *x = e->in[i];
		int64_t chunk = count_dims(x, axis, x->rank) * bytes;
		TRY(need_agree(e, count_dims(x, 0, axis) == outer && done + chunk <= row));
		for (int64_t o = 0; o < outer && chunk; o++)
			memcpy((char *)e->out->data + o * row + done, (const char *)x->data + o * chunk, chunk);
		done += chunk;
	}
	return need_agree(e, done == row || outer == 0);
}

enum { ModeZero, ModeEdge, ModeReflect }; /* words of the attribute `mode` */

#define MaxPad (INT64_C(1) << 47)

/* Index that padding reads for index i of an axis of n elements; -1: the padding value. */
static int64_t padded_index(int64_t i, int64_t n, int64_t mode)
{
	if (i >= 0 && i < n)
		return i;
	if (mode == ModeZero)
		return -1;
	if (mode == ModeEdge)
		return i < 0 ? 0 : n - 1;
	if (n == 1)
		return 0;
	int64_t period = 2 * (n - 1), r = floor_mod(i, period);
	return r < n ? r : period - r;
}

static const char *fill_pad_map(EvalNode *e, int d, const Dim *pad, int64_t *map)
{
	int64_t before, n = e->in[0]->dims[d], mode = attr_int(e->n, Attr_mode);
	TRY(need_dim(e, pad, &before));
	if (before < -MaxPad || before > MaxPad)
		return eval_fail(e, "padding %lld is out of range", (long long)before);
	if (mode != ModeZero && n == 0 && e->out->dims[d] > 0)
		return eval_fail(e, "axis %d is empty: nothing to pad with", d);
	for (int64_t i = 0; i < e->out->dims[d]; i++)
		map[i] = padded_index(i - before, n, mode);
	return NULL;
}

const char *eval_pad(EvalNode *e)
{
	const Tensor *x = e->in[0];
	const Dim *const *pads;
	int64_t *map[MaxRank], strides[MaxRank], at[MaxRank] = {0}, n = tensor_numel(e->out);
	int rank = x->rank, bytes = dtypes[x->dtype].bytes;
	Scalar fill = attr_scalar(e->n, Attr_value);
	attr_dims(e->n, Attr_pads_dim, &pads);
	contiguous_strides(x, strides);
	for (int d = 0; d < rank; d++) {
		map[d] = alloc_temp(e, e->out->dims[d], sizeof *map[d]);
		if (!map[d])
			return OUT_OF_MEMORY(e);
		TRY(fill_pad_map(e, d, pads[d], map[d]));
	}
	for (int64_t i = 0; i < n; i++) {
		int64_t from = 0;
		bool inside = true;
		for (int d = 0; d < rank; d++) {
			inside = inside && map[d][at[d]] >= 0;
			from += map[d][at[d]] * strides[d];
		}
		if (inside)
			memcpy((char *)e->out->data + i * bytes, (const char *)x->data + from * bytes, bytes);
		else
			put_scalar((char *)e->out->data + i * bytes, fill);
		for (int d = rank - 1; d >= 0 && ++at[d] == e->out->dims[d]; d--)
			at[d] = 0;
	}
	return NULL;
}

/* Columns first .. first+n of row k of w into y; columns from `end` on stay zero. */
static void pack_columns(const EvalNode *e, char *y, int64_t k, int64_t first, int64_t end, int64_t n)
{
	const Tensor *w = e->in[0];
	int bytes = dtypes[w->dtype].bytes;
	int64_t count = end - first < n ? end - first : n;
	if (count > 0)
		memcpy(y, (const char *)w->data + (k * w->dims[w->rank - 1] + first) * bytes, count * bytes);
}

/* A row of a panel, of integers of at most 4 bits that may have a sign, as halves of bytes. */
static void pack_halves(uint8_t *y, const uint8_t *row, DType t)
{
	const uint8_t least = (uint8_t)lowest_scalar(t).i;
	for (int i = 0; i < HalfWidth; i++)
		y[i] = (uint8_t)((uint8_t)(row[i] - least) | (uint8_t)(row[i + HalfWidth] - least) << 4);
}

const char *eval_pack(EvalNode *e)
{
	const Tensor *w = e->in[0];
	const int parts = (int)attr_int(e->n, Attr_parts), chunk = part_width(parts), panels = unit_panels(parts);
	const int64_t *from = w->dims + w->rank - 2, *to = e->out->dims + e->out->rank - 3; /* of a matrix, and of its panels */
	int64_t depth = from[0], cols = from[1] / parts, matrices = count_dims(w, 0, w->rank - 2);
	int bytes = dtypes[w->dtype].bytes;
	const bool halves = e->out->dtype != w->dtype;
	char *y = e->out->data, row[PanelWidth];
	TRY(need_agree(e, to[0] == (cols + chunk - 1) / chunk * panels && to[1] == depth && to[2] == (halves ? HalfWidth : PanelWidth)
	                      && from[1] % parts == 0 && count_dims(e->out, 0, e->out->rank - 3) == matrices));
	for (int64_t i = 0; i < matrices * to[0]; i++)
		for (int64_t k = 0; k < depth; k++) {
			char *line = halves ? memset(row, 0, sizeof row) : y;
			for (int at = 0; at < PanelWidth; at += chunk) {
				int64_t p = i % to[0], part = (p % panels * PanelWidth + at) / chunk;
				pack_columns(e, line + at * bytes, i / to[0] * depth + k, part * cols + p / panels * chunk, (part + 1) * cols, chunk);
			}
			if (halves)
				pack_halves((uint8_t *)y, (const uint8_t *)row, w->dtype);
			y += (halves ? HalfWidth : PanelWidth) * bytes;
		}
	return NULL;
}

const char *eval_unpack(EvalNode *e)
{
	const Tensor *x = e->in[0];
	const int64_t n = tensor_numel(x) * (8 / dtypes[e->out->dtype].bits);
	TRY(need_agree(e, tensor_numel(e->out) == n));
	unpack_elements(e->out->dtype, x->data, n, e->out->data);
	return NULL;
}

/* An i32 of little-endian bytes is four of them in memory. */
const char *eval_pack_bytes(EvalNode *e)
{
	const Tensor *w = e->in[0];
	const int64_t depth = w->dims[0], cols = w->dims[1], groups = byte_groups(depth);
	const int8_t *from = w->data;
	int8_t *y = e->out->data;
	TRY(need_agree(e, e->out->dims[0] == (cols + PanelWidth - 1) / PanelWidth && e->out->dims[1] == groups && e->out->dims[2] == PanelWidth));
	for (int64_t p = 0; p < e->out->dims[0]; p++)
		for (int64_t g = 0; g < groups; g++)
			for (int64_t n = p * PanelWidth; n < (p + 1) * PanelWidth; n++)
				for (int i = 0; i < BytesOfGroup; i++) {
					int64_t k = byte_step(depth, g, i);
					*y++ = n < cols && k >= 0 ? from[k * cols + n] : 0;
				}
	return NULL;
}

/* ---- data-dependent addresses ----------------------------------------------------------------------------------- */

const char *resolve_index(EvalNode *e, int64_t *i, int64_t extent)
{
	if (*i < -extent || *i >= extent)
		return eval_fail(e, "index %lld is out of range for an extent of %lld", (long long)*i,
		                 (long long)extent);
	*i += *i < 0 ? extent : 0;
	return NULL;
}

const char *eval_gather(EvalNode *e)
{
	const Tensor *x = e->in[0];
	int axis = (int)attr_int(e->n, Attr_axis);
	int64_t outer = count_dims(x, 0, axis), extent = x->dims[axis], n = tensor_numel(e->in[1]);
	int64_t block = count_dims(x, axis + 1, x->rank) * dtypes[x->dtype].bytes;
	const int64_t *idx = as_ints(e, e->in[1]);
	char *y = e->out->data;
	if (!idx)
		return OUT_OF_MEMORY(e);
	TRY(need_agree(e, outer * n * block == tensor_numel(e->out) * dtypes[x->dtype].bytes));
	for (int64_t o = 0; o < outer; o++) {
		for (int64_t j = 0; j < n; j++, y += block) {
			int64_t i = idx[j];
			TRY(resolve_index(e, &i, extent));
			if (block)
				memcpy(y, (const char *)x->data + (o * extent + i) * block, block);
		}
	}
	return NULL;
}

const char *eval_gather_elements(EvalNode *e)
{
	const Tensor *x = e->in[0], *t = e->in[1];
	int axis = (int)attr_int(e->n, Attr_axis), bytes = dtypes[x->dtype].bytes;
	int64_t strides[MaxRank], at[MaxRank] = {0}, n = tensor_numel(e->out);
	const int64_t *idx = as_ints(e, t);
	if (!idx)
		return OUT_OF_MEMORY(e);
	contiguous_strides(x, strides);
	for (int d = 0; d < x->rank; d++)
		TRY(need_agree(e, t->dims[d] == e->out->dims[d] && (d == axis || t->dims[d] <= x->dims[d])));
	for (int64_t i = 0; i < n; i++) {
		int64_t from = 0;
		for (int d = 0; d < x->rank; d++) {
			int64_t own = d == axis ? idx[i] : at[d];
			TRY(resolve_index(e, &own, x->dims[d]));
			from += own * strides[d];
		}
		memcpy((char *)e->out->data + i * bytes, (const char *)x->data + from * bytes, bytes);
		for (int d = x->rank - 1; d >= 0 && ++at[d] == t->dims[d]; d--)
			at[d] = 0;
	}
	return NULL;
}

const char *eval_gather_nd(EvalNode *e)
{
	const Tensor *x = e->in[0], *t = e->in[1];
	int batch = (int)attr_int(e->n, Attr_batch_dims), len = (int)t->dims[t->rank - 1];
	int64_t batches = count_dims(x, 0, batch), per_batch = count_dims(t, batch, t->rank - 1);
	int64_t block = count_dims(x, batch + len, x->rank) * dtypes[x->dtype].bytes;
	int64_t step = count_dims(x, batch, x->rank) * dtypes[x->dtype].bytes;
	const int64_t *idx = as_ints(e, t);
	char *y = e->out->data;
	if (!idx)
		return OUT_OF_MEMORY(e);
	TRY(need_agree(e, count_dims(t, 0, batch) == batches
	                      && batches * per_batch * block == tensor_numel(e->out) * dtypes[x->dtype].bytes));
	for (int64_t row = 0; row < batches * per_batch; row++, y += block) {
		int64_t at = 0;
		for (int d = 0; d < len; d++) {
			int64_t i = idx[row * len + d];
			TRY(resolve_index(e, &i, x->dims[batch + d]));
			at = at * x->dims[batch + d] + i;
		}
		if (block)
			memcpy(y, (const char *)x->data + row / per_batch * step + at * block, block);
	}
	return NULL;
}

/* The result and the updates of a scatter.  One that reduces computes as the operators do: what is only stored becomes f32, in which
 * all updates of an element meet, and then every element is rounded. */
typedef struct Scatter {
	EvalNode *e;
	int64_t reduction;
	Tensor y, upd;
} Scatter;

/* t in f32; data NULL: out of memory. */
static Tensor widened(EvalNode *e, const Tensor *t)
{
	int64_t n = tensor_numel(t);
	Tensor wide = *t;
	wide.dtype = F32;
	const double *x = as_reals(e, t);
	wide.data = x ? alloc_temp(e, n, sizeof(float)) : NULL;
	if (wide.data)
		store_reals(&wide, 0, x, n);
	return wide;
}

static const char *open_scatter(EvalNode *e, Scatter *s)
{
	TRY(eval_reshape(e)); /* copies x */
	*s = (Scatter){.e = e, .reduction = attr_int(e->n, Attr_reduction), .y = *e->out, .upd = *e->in[2]};
	if (s->reduction == ReduceNone || !is_narrow(e->out->dtype))
		return NULL;
	s->y = widened(e, e->out);
	s->upd = widened(e, e->in[2]);
	return s->y.data && s->upd.data ? NULL : OUT_OF_MEMORY(e);
}

static const char *close_scatter(Scatter *s)
{
	if (s->y.data == s->e->out->data)
		return NULL;
	const double *y = as_reals(s->e, &s->y);
	if (!y)
		return OUT_OF_MEMORY(s->e);
	store_reals(s->e->out, 0, y, tensor_numel(&s->y));
	return NULL;
}

/* One element of the result, and the update that it takes. */
static void combine_ints(Scatter *s, int64_t to, int64_t from)
{
	int64_t v, u;
	load_ints(&v, &s->y, to, 1, 1);
	load_ints(&u, &s->upd, from, 1, 1);
	switch (s->reduction) {
	case ReduceAdd: v = add_int(v, u); break;
	case ReduceMul: v = mul_int(v, u); break;
	case ReduceLeast: v = less_int(s->y.dtype, u, v) ? u : v; break;
	default: v = less_int(s->y.dtype, v, u) ? u : v; break;
	}
	store_ints(&s->y, to, &v, 1);
}

/* NaN stays.  Sums and products of two numbers, rounded twice, are as if rounded once. */
static void combine_reals(Scatter *s, int64_t to, int64_t from)
{
	double v, u;
	load_reals(&v, &s->y, to, 1, 1);
	load_reals(&u, &s->upd, from, 1, 1);
	switch (s->reduction) {
	case ReduceAdd: v += u; break;
	case ReduceMul: v *= u; break;
	case ReduceLeast: v = v != v || v < u ? v : u; break;
	default: v = v != v || v > u ? v : u; break;
	}
	store_reals(&s->y, to, &v, 1);
}

static void combine(Scatter *s, int64_t to, int64_t from, int64_t n)
{
	int bytes = dtypes[s->y.dtype].bytes;
	if (s->reduction == ReduceNone) {
		if (n)
			memcpy((char *)s->y.data + to * bytes, (const char *)s->upd.data + from * bytes, n * bytes);
		return;
	}
	for (int64_t i = 0; i < n; i++)
		if (is_real(&s->y))
			combine_reals(s, to + i, from + i);
		else
			combine_ints(s, to + i, from + i);
}

const char *eval_scatter_elements(EvalNode *e)
{
	const Tensor *x = e->in[0], *t = e->in[1];
	int axis = (int)attr_int(e->n, Attr_axis);
	int64_t strides[MaxRank], at[MaxRank] = {0}, n = tensor_numel(t);
	const int64_t *idx = as_ints(e, t);
	Scatter s;
	if (!idx)
		return OUT_OF_MEMORY(e);
	contiguous_strides(x, strides);
	for (int d = 0; d < x->rank; d++)
		TRY(need_agree(e, t->dims[d] == e->in[2]->dims[d] && (d == axis || t->dims[d] <= x->dims[d])));
	TRY(open_scatter(e, &s));
	for (int64_t i = 0; i < n; i++) {
		int64_t to = 0;
		for (int d = 0; d < x->rank; d++) {
			int64_t own = d == axis ? idx[i] : at[d];
			TRY(resolve_index(e, &own, x->dims[d]));
			to += own * strides[d];
		}
		combine(&s, to, i, 1);
		for (int d = x->rank - 1; d >= 0 && ++at[d] == t->dims[d]; d--)
			at[d] = 0;
	}
	return close_scatter(&s);
}

const char *eval_scatter_nd(EvalNode *e)
{
	const Tensor *x = e->in[0], *t = e->in[1];
	int len = (int)t->dims[t->rank - 1];
	int64_t rows = count_dims(t, 0, t->rank - 1), block = count_dims(x, len, x->rank);
	const int64_t *idx = as_ints(e, t);
	Scatter s;
	if (!idx)
		return OUT_OF_MEMORY(e);
	TRY(need_agree(e, rows * block == tensor_numel(e->in[2])));
	TRY(open_scatter(e, &s));
	for (int64_t row = 0; row < rows; row++) {
		int64_t at = 0;
		for (int d = 0; d < len; d++) {
			int64_t i = idx[row * len + d];
			TRY(resolve_index(e, &i, x->dims[d]));
			at = at * x->dims[d] + i;
		}
		combine(&s, at * block, row * block, block);
	}
	return close_scatter(&s);
}
