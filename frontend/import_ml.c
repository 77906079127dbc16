/* import_ml.c - features of classical models: counts of n-grams, selected and scaled columns; linear models.  Only what numbers give: dcc has no strings. */
#include "build.h"
#include "import.h"

#include <math.h>
#include <string.h>

/* ---- TfIdfVectorizer ---------------------------------------------------------------------------------------------- */

typedef struct Grams {
	const int64_t *pool, *starts, *places; /* of tokens; of the n-grams of each n in it; of each n-gram in the result */
	int npool, nstart, nplace;
} Grams;

static int need_list_attr(Call *c, const char *name, const int64_t **list)
{
	int n = onnx_ints(c, name, list);
	if (n < 0)
		fatal_at(c->loc, "attribute '%s' is missing%s", name, strcmp(name, "pool_int64s") ? "" : ": strings are not supported");
	return n;
}

static Value *const_ints(Call *c, int n, const int64_t *v)
{
	return const_i64(c->m, n, v)->value;
}

/* How often each of the n-grams stands in the rows of x, with distance d between its tokens: [.., ngrams]. */
static Value *count_grams(Call *c, Value *x, const int64_t *pool, int ngrams, int n, int64_t d)
{
	Module *m = c->m;
	int axis = x->type.rank - 1;
	int64_t *tokens = arena_alloc(c->im->scratch, ngrams * sizeof *tokens), reduced = axis;
	const Dim *extent = x->type.dims[axis], *dims[MaxRank + 1];
	const Dim *len = dim_max(m, dim_sub(m, extent, num(c, (n - 1) * d)), num(c, 0)), *last = dim_sub(m, extent, len);
	Value *hits = NULL;
	for (int k = 0; k < n; k++) {
		for (int g = 0; g < ngrams; g++)
			tokens[g] = pool[g * n + k];
		Value *part = emit_range(c, x, axis, dim_min(m, num(c, k * d), last), len, 1);
		memcpy(dims, part->type.dims, (axis + 1) * sizeof *dims);
		dims[axis + 1] = num(c, 1);
		Value *is = emit2(c, OpEq, emit_reshape(c, part, axis + 2, dims), const_ints(c, ngrams, tokens));
		hits = hits ? emit2(c, OpAnd, hits, is) : is;
	}
	return emit_reduce(c, OpSum, emit_cast(c, hits, I64), 1, &reduced, false);
}

/* All distances; tokens of 1-grams have none. */
static Value *count_with_skips(Call *c, Value *x, const int64_t *pool, int ngrams, int n, int64_t skips)
{
	Value *sum = NULL;
	for (int64_t d = 1; d <= (n > 1 ? skips + 1 : 1); d++) {
		count_inlined(c->im, n, c->loc);
		Value *v = count_grams(c, x, pool, ngrams, n, d);
		sum = sum ? emit2(c, OpAdd, sum, v) : v;
	}
	return sum;
}

/* Times the weights of the n-grams from `first` on; IDF counts no n-gram twice. */
static Value *weigh(Call *c, Value *counts, int first, int n)
{
	const OnnxAttr *weights = onnx_attr(c, "weights");
	if (onnx_word(c, "mode", "IDF"))
		counts = emit2(c, OpMin, counts, emit_const(c, I64, 1));
	counts = emit_cast(c, counts, F32);
	if (!weights || onnx_word(c, "mode", "TF"))
		return counts;
	Type type = {.dtype = F32, .rank = 1, .dims = {num(c, n)}};
	float *copy = arena_alloc(c->m->arena, n * sizeof *copy);
	memcpy(copy, weights->floats + first, n * sizeof *copy);
	return emit2(c, OpMul, counts, new_const(c->m, "weights", type, copy, n * sizeof *copy)->value);
}

/* Puts column k of the counts to places[k]; `from`: which n-gram a column counts. */
static Value *place_columns(Call *c, const Grams *g, Value *counts, int ncolumn, const int *from)
{
	enum { MaxPlaces = 1 << 24 };
	int64_t size = 0, axis = counts->type.rank - 1;
	for (int i = 0; i < g->nplace; i++) {
		if (g->places[i] < 0 || g->places[i] >= MaxPlaces)
			fatal_at(c->loc, "attribute 'ngram_indexes' lists %lld", (long long)g->places[i]);
		size = g->places[i] >= size ? g->places[i] + 1 : size;
	}
	bool *taken = arena_alloc(c->im->scratch, size + 1);
	int64_t *column = arena_alloc(c->im->scratch, (size + 1) * sizeof *column);
	for (int64_t i = 0; i < size; i++)
		column[i] = ncolumn; /* of zeros */
	for (int i = 0; i < g->nplace; i++) {
		if (taken[g->places[i]])
			fatal_at(c->loc, "attribute 'ngram_indexes' lists %lld twice", (long long)g->places[i]);
		taken[g->places[i]] = true;
	}
	for (int k = 0; k < ncolumn; k++)
		column[g->places[from[k]]] = k;
	const Dim *dims[MaxRank];
	memcpy(dims, counts->type.dims, axis * sizeof *dims);
	dims[axis] = num(c, 1);
	Attr along = mk_int(Attr_axis, axis);
	Value *both[] = {counts, emit_expand(c, emit_const(c, F32, 0), axis + 1, dims)};
	return emit(c, OpGather, 2, (Value *[]){emit(c, OpConcat, 2, both, 1, &along, NULL), const_ints(c, size, column)}, 1, &along, NULL);
}

static void read_grams(Call *c, Grams *g)
{
	g->npool = need_list_attr(c, "pool_int64s", &g->pool);
	g->nstart = need_list_attr(c, "ngram_counts", &g->starts);
	g->nplace = need_list_attr(c, "ngram_indexes", &g->places);
	int64_t total = 0;
	for (int i = 0; i < g->nstart; i++) {
		int64_t end = i + 1 < g->nstart ? g->starts[i + 1] : g->npool;
		if (g->starts[i] < 0 || end > g->npool || end < g->starts[i] || (end - g->starts[i]) % (i + 1))
			fatal_at(c->loc, "attribute 'ngram_counts': %d-grams from %lld to %lld of %d", i + 1, (long long)g->starts[i],
			         (long long)end, g->npool);
		total += (end - g->starts[i]) / (i + 1);
	}
	const OnnxAttr *weights = onnx_attr(c, "weights");
	if (total != g->nplace || (weights && weights->n_floats != (size_t)total))
		fatal_at(c->loc, "%lld n-grams, %d ngram_indexes and %zu weights", (long long)total, g->nplace,
		         weights ? weights->n_floats : (size_t)total);
}

/* An n-gram is found where its tokens are equal to shifted slices of the row. */
void import_tfidf(Call *c)
{
	Grams g;
	Value *x = c->in[0], **parts;
	int64_t least = onnx_int(c, "min_gram_length", 1), most = onnx_int(c, "max_gram_length", 1), skips = onnx_int(c, "max_skip_count", 0);
	int nparts = 0, ncolumn = 0, first = 0;
	read_grams(c, &g);
	if (x->type.rank < 1 || x->type.rank > 2 || (x->type.dtype != I32 && x->type.dtype != I64) || skips < 0)
		fatal_at(c->loc, "max_skip_count is %lld, the input %s", (long long)skips, type_text(c->m, &x->type));
	parts = arena_alloc(c->im->scratch, (g.nstart + 1) * sizeof *parts);
	int *from = arena_alloc(c->im->scratch, (g.nplace + 1) * sizeof *from);
	x = emit_cast(c, x, I64);
	for (int i = 0; i < g.nstart; i++) {
		int n = i + 1, ngrams = (int)(((n < g.nstart ? g.starts[n] : g.npool) - g.starts[i]) / n);
		if (ngrams && n >= least && n <= most) {
			parts[nparts++] = weigh(c, count_with_skips(c, x, g.pool + g.starts[i], ngrams, n, skips), first, ngrams);
			for (int k = 0; k < ngrams; k++)
				from[ncolumn++] = first + k;
		}
		first += ngrams;
	}
	if (!nparts)
		fatal_at(c->loc, "no n-gram is from %lld to %lld long", (long long)least, (long long)most);
	Attr axis = mk_int(Attr_axis, x->type.rank - 1);
	Value *counts = nparts == 1 ? parts[0] : emit(c, OpConcat, nparts, parts, 1, &axis, NULL);
	c->out[0] = place_columns(c, &g, counts, ncolumn, from);
}

/* ---- ai.onnx.ml --------------------------------------------------------------------------------------------------- */

/* Columns of the last axis; of a vector as a matrix of one row. */
void import_array_feature_extractor(Call *c)
{
	Value *x = c->in[0], *at = c->in[1];
	const Dim *n = type_numel(c->m, &at->type), *row[] = {num(c, 1), x->type.rank ? x->type.dims[0] : NULL};
	if (!x->type.rank || dtypes[at->type.dtype].cls != ClassSigned)
		fatal_at(c->loc, "columns %s of %s", type_text(c->m, &at->type), type_text(c->m, &x->type));
	if (x->type.rank == 1)
		x = emit_reshape(c, x, 2, row);
	Attr axis = mk_int(Attr_axis, x->type.rank - 1);
	c->out[0] = emit(c, OpGather, 2, (Value *[]){x, emit_reshape(c, at, 1, &n)}, 1, &axis, NULL);
}

/* ---- ai.onnx.ml: linear models and what stands in front of them ------------------------------------------------------ */

/* A list of floats as a constant of that many elements; NULL: the attribute is absent or empty. */
static Value *float_list(Call *c, const char *name, int *n)
{
	const OnnxAttr *list = onnx_attr(c, name);
	if (list && list->n_floats > DimMax)
		fatal_at(c->loc, "attribute '%s' has %zu elements", name, list->n_floats);
	*n = list ? (int)list->n_floats : 0;
	if (!*n)
		return NULL;
	Type type = {.dtype = F32, .rank = 1, .dims = {num(c, *n)}};
	float *copy = arena_alloc(c->m->arena, *n * sizeof *copy);
	memcpy(copy, list->floats, *n * sizeof *copy);
	return new_const(c->m, name, type, copy, *n * sizeof *copy)->value;
}

/* The features in the type that is computed with: f64 if they are, else f32. */
static Value *features(Call *c)
{
	Value *x = c->in[0];
	if (x->type.rank < 1 || x->type.rank > 2)
		fatal_at(c->loc, "the features are %s", type_text(c->m, &x->type));
	return emit_cast(c, x, x->type.dtype == F64 ? F64 : F32);
}

/* A list for the columns of x: of one element for all, or of one for each. */
static Value *of_features(Call *c, Value *x, Value *list, int n, const char *what)
{
	if (n > 1)
		require_equal(c, x->type.dims[x->type.rank - 1], num(c, n), what);
	return emit_cast(c, list, x->type.dtype);
}

void import_scaler(Call *c)
{
	int noffset, nscale;
	Value *x = features(c), *offset = float_list(c, "offset", &noffset), *scale = float_list(c, "scale", &nscale);
	if (offset)
		x = emit2(c, OpSub, x, of_features(c, x, offset, noffset, "the number of offsets"));
	if (scale)
		x = emit2(c, OpMul, x, of_features(c, x, scale, nscale, "the number of scales"));
	c->out[0] = emit_cast(c, x, F32);
}

/* L1 is of absolute values and L2 keeps signs, as all implementations have it where the text's formulas do not say so. */
void import_normalizer(Call *c)
{
	Value *x = features(c), *by;
	int64_t axis = x->type.rank - 1;
	if (onnx_word(c, "norm", "L1"))
		by = emit_reduce(c, OpSum, emit1(c, OpAbs, x), 1, &axis, true);
	else if (onnx_word(c, "norm", "L2"))
		by = emit1(c, OpSqrt, emit_reduce(c, OpSum, emit2(c, OpMul, x, x), 1, &axis, true));
	else
		by = emit_reduce(c, OpReduceMax, x, 1, &axis, true);
	Value *none = emit2(c, OpEq, by, emit_const(c, by->type.dtype, 0));
	by = emit3(c, OpWhere, none, emit_const(c, by->type.dtype, 1), by);
	c->out[0] = emit_cast(c, emit2(c, OpDiv, x, by), F32);
}

void import_binarizer(Call *c)
{
	c->out[0] = emit_cast(c, exceeds(c, c->in[0], onnx_float(c, "threshold", 0)), c->in[0]->type.dtype);
}

void import_imputer(Call *c)
{
	Value *x = c->in[0], *missing, *list;
	DType dtype = x->type.dtype;
	const int64_t *ints;
	int n;
	if (x->type.rank < 1 || x->type.rank > 2)
		fatal_at(c->loc, "the features are %s", type_text(c->m, &x->type));
	if (is_among(dtype, TypesFlt)) {
		double replaced = onnx_float(c, "replaced_value_float", 0);
		missing = isnan(replaced) ? emit1(c, OpIsNaN, x) : emit2(c, OpEq, x, emit_const(c, dtype, replaced));
		list = float_list(c, "imputed_value_floats", &n);
	} else {
		Value *replaced = const_scalar(c->m, scalar_of_int(dtype, onnx_int(c, "replaced_value_int64", 0)))->value;
		missing = emit2(c, OpEq, x, replaced);
		n = onnx_ints(c, "imputed_value_int64s", &ints);
		list = n > 0 ? const_ints(c, n, ints) : NULL;
	}
	if (!list)
		fatal_at(c->loc, "no imputed values for elements of type %s", dtypes[dtype].text);
	c->out[0] = emit3(c, OpWhere, missing, of_features(c, x, list, n, "the number of imputed values"), x);
}

/* Scores [N, outputs]: products with rows of coefficients, and intercepts. */
static Value *linear_scores(Call *c, int64_t outputs)
{
	Value *x = features(c);
	int ncoefficient, nintercept;
	Value *w = float_list(c, "coefficients", &ncoefficient), *b = float_list(c, "intercepts", &nintercept);
	if (x->type.rank != 2 || outputs < 1 || !w || ncoefficient % outputs || (b && nintercept != outputs))
		fatal_at(c->loc, "%d coefficients and %d intercepts for %lld results of %s", ncoefficient, nintercept, (long long)outputs,
		         type_text(c->m, &x->type));
	require_equal(c, x->type.dims[1], num(c, ncoefficient / outputs), "the number of coefficients of a result");
	w = emit_swap(c, emit_reshape(c, emit_cast(c, w, x->type.dtype), 2, (const Dim *[]){num(c, outputs), num(c, ncoefficient / outputs)}));
	Value *y = emit2(c, OpMatMul, x, w);
	return b ? emit2(c, OpAdd, y, emit_cast(c, b, x->type.dtype)) : y;
}

static Value *post_transform(Call *c, Value *scores)
{
	Attr axis = mk_int(Attr_axis, 1);
	if (onnx_word(c, "post_transform", "LOGISTIC"))
		scores = emit1(c, OpSigmoid, scores);
	else if (onnx_word(c, "post_transform", "SOFTMAX"))
		scores = emit(c, OpSoftmax, 1, &scores, 1, &axis, NULL);
	return emit_cast(c, scores, F32);
}

void import_linear_regressor(Call *c)
{
	c->out[0] = post_transform(c, linear_scores(c, onnx_int(c, "targets", 1)));
}

void import_linear_classifier(Call *c)
{
	const int64_t *labels;
	int n = onnx_ints(c, "classlabels_ints", &labels);
	if (n < 2)
		refuse_at(c->loc, "not supported: %s", n < 0 ? "labels that are strings, or none" : "one label");
	Value *scores = linear_scores(c, n);
	Attr axis = mk_int(Attr_axis, 0);
	Value *at = place_of(c, OpReduceMax, scores, 1, false, false);
	c->out[0] = emit(c, OpGather, 2, (Value *[]){const_ints(c, n, labels), at}, 1, &axis, NULL);
	if (c->nout > 1)
		c->out[1] = post_transform(c, scores);
}
