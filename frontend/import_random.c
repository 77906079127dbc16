/* import_random.c - random numbers: RandomNormal, RandomUniform, their Like forms, Bernoulli and Multinomial.
 *
 * A number is a function of where it stands: element i of a node is a hash of key + i * Step, the generator SplitMix64 entered at i.  So
 * it does not matter who computes it, when, or how often.  The key is the attribute `seed`, the number of the node where it has none,
 * and, with --random-seed, an input that the application changes from run to run; without it all runs draw the same numbers.
 */
#include "build.h"
#include "import.h"

#include <math.h>
#include <string.h>

#define Step 0x9e3779b97f4a7c15u

static const struct { int shift; uint64_t factor; } rounds[] = {{30, 0xbf58476d1ce4e5b9u}, {27, 0x94d049bb133111ebu}};
enum { NRounds = sizeof rounds / sizeof *rounds, LastShift = 31 };

static uint64_t mix(uint64_t z)
{
	for (int i = 0; i < NRounds; i++)
		z = (z ^ (z >> rounds[i].shift)) * rounds[i].factor;
	return z ^ (z >> LastShift);
}

static Value *word(Call *c, uint64_t v)
{
	return const_scalar(c->m, scalar_of_int(U64, (int64_t)v))->value;
}

static Value *emit_mix(Call *c, Value *z)
{
	for (int i = 0; i < NRounds; i++)
		z = emit2(c, OpMul, emit2(c, OpXor, z, emit2(c, OpShr, z, word(c, rounds[i].shift))), word(c, rounds[i].factor));
	return emit2(c, OpXor, z, emit2(c, OpShr, z, word(c, LastShift)));
}

/* Where the node's numbers begin.  Nodes of one seed draw the same ones, iterations of a loop others each. */
static Value *emit_key(Call *c)
{
	Import *im = c->im;
	float seed = (float)onnx_float(c, "seed", 0);
	uint32_t bits;
	memcpy(&bits, &seed, sizeof bits);
	im->nrandom++;
	uint64_t key = has_attr(c, "seed") ? bits | (uint64_t)1 << 32 : (uint64_t)im->nrandom;
	Value *v = word(c, mix(key * Step));
	if (im->random_seed)
		v = emit_mix(c, emit2(c, OpAdd, emit_mix(c, emit_cast(c, im->random_seed, U64)), v));
	for (const Block *b = im->block; b->owner; b = b->owner->block)
		if (b->owner->op == OpLoop) {
			const Dim *iteration = dim_sym(c->m, attr_text(b->owner, Attr_counter));
			Value *at = emit_cast(c, emit_dims(c, 0, 1, &iteration), U64);
			v = emit_mix(c, emit2(c, OpAdd, v, emit2(c, OpMul, at, word(c, Step))));
		}
	return v;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

typedef struct Draw {
	Call *c;
	Value *key;
	DType dtype; /* f32 or f64: of the numbers */
	const Dim *count; /* how many: they are drawn along one axis */
} Draw;

static Draw begin_draw(Call *c, DType dtype, int rank, const Dim *const *dims)
{
	return (Draw){.c = c, .key = emit_key(c), .dtype = dtype == F64 ? F64 : F32, .count = product(c->m, dims, rank)};
}

static int digits_of(const Draw *d)
{
	return d->dtype == F64 ? 53 : 24;
}

/* Numbers which, which + of, which + 2 of, ... of the stream: multiples of 2^-digits in [0, 1). */
static Value *draw(const Draw *d, int which, int of)
{
	Call *c = d->c;
	Value *at = emit_cast(c, emit_iota(c, I64, d->count, num(c, which), num(c, of)), U64);
	Value *z = emit_mix(c, emit2(c, OpAdd, emit2(c, OpMul, at, word(c, Step)), d->key));
	Value *top = emit_cast(c, emit2(c, OpShr, z, word(c, 64 - digits_of(d))), I64); /* which is faster to convert than u64 */
	return emit2(c, OpMul, emit_cast(c, top, d->dtype), emit_const(c, d->dtype, ldexp(1, -digits_of(d))));
}

static Value *scaled(Call *c, Value *v, double factor, double term)
{
	DType dtype = v->type.dtype;
	v = factor == 1 ? v : emit2(c, OpMul, v, emit_const(c, dtype, factor));
	return term == 0 ? v : emit2(c, OpAdd, v, emit_const(c, dtype, term));
}

static Value *uniform(const Draw *d)
{
	return draw(d, 0, 1);
}

/* Box and Muller: the radius of a number in (0, 1], the angle of another one. */
static Value *normal(const Draw *d)
{
	Call *c = d->c;
	Value *part = scaled(c, draw(d, 0, 2), 1, ldexp(1, -digits_of(d))), *turn = draw(d, 1, 2);
	Value *radius = emit1(c, OpSqrt, scaled(c, emit1(c, OpLog, part), -2, 0));
	return emit2(c, OpMul, radius, emit1(c, OpCos, scaled(c, turn, 6.283185307179586, 0)));
}

/* ---- operators --------------------------------------------------------------------------------------------------- */

static DType stated_type(Call *c, DType dflt)
{
	if (has_attr(c, "dtype") && !onnx_dtype(onnx_int(c, "dtype", 0), &dflt))
		refuse_at(c->loc, "element type %s is not supported", onnx_dtype_text(onnx_int(c, "dtype", 0)));
	return dflt;
}

static void random_normal(Call *c, DType dtype, int rank, const Dim *const *dims)
{
	Draw d = begin_draw(c, dtype, rank, dims);
	Value *v = scaled(c, normal(&d), onnx_float(c, "scale", 1), onnx_float(c, "mean", 0));
	c->out[0] = emit_reshape(c, emit_cast(c, v, dtype), rank, dims);
}

static void random_uniform(Call *c, DType dtype, int rank, const Dim *const *dims)
{
	double low = onnx_float(c, "low", 0), high = onnx_float(c, "high", 1);
	Draw d = begin_draw(c, dtype, rank, dims);
	Value *v = scaled(c, uniform(&d), high - low, low);
	c->out[0] = emit_reshape(c, emit_cast(c, v, dtype), rank, dims);
}

static DType real_type(Call *c, DType dflt)
{
	DType dtype = stated_type(c, dflt);
	if (!is_among(dtype, TypesFlt) || is_tiny(dtype))
		fatal_at(c->loc, "random numbers of element type %s", dtypes[dtype].text);
	return dtype;
}

typedef void Fill(Call *, DType, int rank, const Dim *const *dims);

static void fill_shape(Call *c, Fill *fill)
{
	const int64_t *shape;
	const Dim *dims[MaxRank];
	int rank = onnx_ints(c, "shape", &shape);
	if (rank < 0 || rank > MaxRank)
		fatal_at(c->loc, "the attribute shape is missing, or has more than %d dims", MaxRank);
	for (int i = 0; i < rank; i++) {
		if (shape[i] < 0 || shape[i] > DimMax)
			fatal_at(c->loc, "shape has the extent %lld", (long long)shape[i]);
		dims[i] = num(c, shape[i]);
	}
	fill(c, real_type(c, F32), rank, dims);
}

static void fill_like(Call *c, Fill *fill)
{
	const Type *t = &c->in[0]->type;
	fill(c, real_type(c, t->dtype), t->rank, t->dims);
}

void import_random_normal(Call *c)
{
	fill_shape(c, random_normal);
}

void import_random_uniform(Call *c)
{
	fill_shape(c, random_uniform);
}

void import_random_normal_like(Call *c)
{
	fill_like(c, random_normal);
}

void import_random_uniform_like(Call *c)
{
	fill_like(c, random_uniform);
}

/* The operand in a type that numbers are drawn in. */
static Value *probabilities(Call *c)
{
	DType dtype = c->in[0]->type.dtype;
	if (!is_among(dtype, TypesFlt))
		fatal_at(c->loc, "probabilities of element type %s", dtypes[dtype].text);
	return emit_cast(c, c->in[0], dtype == F64 ? F64 : F32);
}

void import_bernoulli(Call *c)
{
	Value *p = probabilities(c);
	Draw d = begin_draw(c, p->type.dtype, p->type.rank, p->type.dims);
	Value *u = emit_reshape(c, uniform(&d), p->type.rank, p->type.dims);
	c->out[0] = emit_cast(c, emit2(c, OpLt, u, p), stated_type(c, c->in[0]->type.dtype));
}

/* The class whose part of the sum of all probabilities a number falls into. */
void import_multinomial(Call *c)
{
	Value *x = probabilities(c);
	DType to = stated_type(c, I32);
	int64_t samples = onnx_int(c, "sample_size", 1);
	if (x->type.rank != 2 || samples < 1 || samples > DimMax || (to != I32 && to != I64))
		fatal_at(c->loc, "logarithms of rank %d, sample_size %lld, samples of element type %s", x->type.rank, (long long)samples,
		         dtypes[to].text);
	const Dim *batch = x->type.dims[0], *classes = x->type.dims[1], *last = dim_sub(c->m, classes, num(c, 1));
	require_at_least(c, classes, 1);
	Attr axis = mk_int(Attr_axis, 1);
	Value *upto = emit(c, OpCumSum, 1, (Value *[]){emit(c, OpSoftmax, 1, &x, 1, &axis, NULL)}, 1, &axis, NULL);
	Value *all = emit_reshape(c, emit_range(c, upto, 1, last, num(c, 1), 1), 3, (const Dim *[]){batch, num(c, 1), num(c, 1)});
	Draw d = begin_draw(c, x->type.dtype, 2, (const Dim *[]){batch, num(c, samples)});
	Value *u = emit_reshape(c, uniform(&d), 3, (const Dim *[]){batch, num(c, samples), num(c, 1)}), *at = emit2(c, OpMul, u, all);
	Value *behind = emit2(c, OpLe, emit_reshape(c, upto, 3, (const Dim *[]){batch, num(c, 1), classes}), at);
	Value *which = emit_reduce(c, OpSum, emit_cast(c, behind, I64), 1, (int64_t[]){2}, false);
	c->out[0] = emit_cast(c, emit2(c, OpMin, which, emit_dims(c, 0, 1, &last)), to);
}
