/* random_graph.h - makes valid tensor IR modules by chance, for the fuzzer.
 *
 * A graph grows by steps; a step takes values that are there (or new inputs and constants), and emits one operator (random_steps.h,
 * random_products.h, random_moves.h, random_control.h) or a whole idiom (random_idioms.h) with random variations.  Steps that turn
 * out too large, or that the shape functions refuse, are undone.
 *
 * Three steps of four are wishes: a pair of operator and element type, each of those that ops.def permits as likely as any other, and
 * tried again until it is there and depends on the inputs.  So what is rare by itself comes as often as the rest, and a graph depends
 * on nothing but its seed.
 */
#ifndef DCC_RANDOM_GRAPH_H
#define DCC_RANDOM_GRAPH_H

#include "random_control.h"
#include "random_experts.h"
#include "random_idioms.h"
#include "random_moves.h"

/* ---- steps by operator ------------------------------------------------------------------------------------------ */

typedef Val Step(Gen *);

/* What makes an operator, and how often beside the others if nothing is wished. */
typedef struct Maker {
	Op op;
	Step *step;
	int weight;
} Maker;

static const Maker makers[] = {
	{OpIota, step_iota, 4}, {OpDims, step_dims, 4},
	{OpIdentity, step_unary, 1}, {OpNeg, step_unary, 2}, {OpAbs, step_unary, 2}, {OpExp, step_unary, 2},
	{OpTanh, step_unary, 2}, {OpErf, step_unary, 1}, {OpSin, step_unary, 1}, {OpCos, step_unary, 1}, {OpAtan, step_unary, 1},
	{OpFloor, step_exact_unary, 1}, {OpCeil, step_exact_unary, 1}, {OpRound, step_exact_unary, 1}, {OpRelu, step_unary, 2},
	{OpSigmoid, step_unary, 2}, {OpSilu, step_unary, 1}, {OpGelu, step_unary, 1}, {OpGeluTanh, step_unary, 1},
	{OpNot, step_unary, 2}, {OpIsNaN, step_exact_unary, 1},
	{OpRecip, step_tame_unary, 1}, {OpSqrt, step_tame_unary, 1}, {OpLog, step_tame_unary, 1},
	{OpClip, step_clip, 4}, {OpCast, step_cast, 6}, {OpBitCast, step_bitcast, 1}, {OpUnpack, step_unpack, 1},
	{OpAdd, step_binary, 8}, {OpSub, step_binary, 4}, {OpMul, step_binary, 8}, {OpMin, step_binary, 2}, {OpMax, step_binary, 2},
	{OpIDiv, step_binary, 2}, {OpIMod, step_binary, 2}, {OpAnd, step_binary, 2}, {OpOr, step_binary, 2}, {OpXor, step_binary, 2},
	{OpShl, step_binary, 1}, {OpShr, step_binary, 1}, {OpDiv, step_divide, 3}, {OpFMod, step_fmod, 1}, {OpPow, step_pow, 3},
	{OpEq, step_compare, 2}, {OpLt, step_compare, 2}, {OpLe, step_compare, 2}, {OpWhere, step_where, 4},
	{OpSum, step_reduce, 2}, {OpMean, step_reduce, 1}, {OpReduceMax, step_reduce, 1}, {OpReduceMin, step_reduce, 1},
	{OpCumSum, step_cumsum, 4}, {OpSoftmax, step_softmax, 4}, {OpNorm, step_norm, 2}, {OpRmsNorm, step_norm, 2},
	{OpLinear, step_linear, 4}, {OpMatMul, step_matmul, 4}, {OpLinearPacked, step_packed, 1}, {OpPack, step_packed, 1},
	{OpLinearBytes, step_bytes, 2}, {OpPackBytes, step_bytes, 1},
	{OpStrassen, step_packed, 2}, {OpStrassenWeights, step_packed, 1},
	{OpSparse, step_sparse, 2}, {OpSparseWeights, step_sparse, 1}, {OpSparseIndex, step_sparse, 1},
	{OpExperts, step_experts, 2}, {OpExpertsPacked, step_experts, 1},
	{OpLinearScaled, step_scaled, 2},
	{OpConv, step_conv, 4}, {OpGroupConv, step_conv, 2}, {OpWinConv, step_winconv, 4}, {OpWinograd, step_winograd, 3}, {OpWinogradWeights, step_winograd, 1}, {OpPool, step_pool, 2},
	{OpDft, step_dft, 3},
	{OpGlu, step_glu, 4}, {OpAttention, step_attention, 4},
	{OpReshape, step_reshape, 8}, {OpTranspose, step_transpose, 8}, {OpSlice, step_slice, 8}, {OpExpand, step_expand, 4},
	{OpConcat, step_concat, 4}, {OpPad, step_pad, 4}, {OpView, step_view, 4},
	{OpGather, step_gather, 4}, {OpGather, step_unfold, 4}, {OpGatherElem, step_gather_elements, 4},
	{OpGatherND, step_gather_nd, 4}, {OpTopK, step_top_k, 4}, {OpNms, step_nms, 1},
	{OpScatterElem, step_scatter_elements, 2}, {OpScatterND, step_scatter_nd, 2}, {OpCustom, step_custom, 1},
	{OpIf, step_if, 8}, {OpLoop, step_loop, 12}, {OpGroup, step_group, 2}, {OpMeasure, step_measure, 2},
};
enum { NMakers = sizeof makers / sizeof *makers };

static Step *const idioms[] = {step_linear, step_conv, idiom_gelu, idiom_norm, idiom_glu, idiom_gates, idiom_attention, idiom_attention,
                               idiom_attention, idiom_taps, idiom_places, idiom_block, idiom_there_and_back, idiom_fourier, step_loop, step_loop,
                               idiom_sigmoid, idiom_feed, idiom_feed, idiom_convs, idiom_pruned, idiom_experts, idiom_band};
enum { NIdioms = sizeof idioms / sizeof *idioms };

static Step *pick_idiom(Gen *g)
{
	g->op = OpConv; /* if it is step_conv */
	g->type = once(g, 5) ? F64 : F32;
	return idioms[pick(g, NIdioms)];
}

static Step *pick_maker(Gen *g)
{
	int all = 0, at;
	for (int i = 0; i < NMakers; i++)
		all += makers[i].weight;
	at = pick(g, all);
	const Maker *m = makers;
	while (at >= m->weight)
		at -= m++->weight;
	g->op = m->op;
	g->type = once(g, 2) ? (DType)pick(g, NDTypes) : F32;
	while (!is_permitted(g->op, g->type))
		g->type = (DType)pick(g, NDTypes);
	return m->step;
}

/* Any permitted pair of something that is made, one as likely as the other. */
static Step *pick_wish(Gen *g)
{
	const Maker *m;
	do {
		m = &makers[pick(g, NMakers)];
		g->op = m->op;
		g->type = (DType)pick(g, NDTypes);
	} while (!is_permitted(g->op, g->type));
	return m->step;
}

/* ---- graphs ----------------------------------------------------------------------------------------------------- */

static bool block_holds(const Gen *g, const Block *b, int from)
{
	for (int i = from; i < b->ncheck; i++)
		for (int r = 0; r < NRuns; r++) {
			int64_t x, y;
			if (!dim_eval(b->checks[i].a, g->syms[r], &x) || !dim_eval(b->checks[i].b, g->syms[r], &y) || x != y)
				return false;
		}
	return true;
}

/* Those of bodies too, whether they run or not. */
static bool checks_hold(const Gen *g, const Node *last, int from)
{
	for (const Node *n = last ? next_node(last) : first_node(g->m); n; n = next_node(n))
		if (n->op != OpGroup && n->body && (!block_holds(g, n->body, 0) || (n->other && !block_holds(g, n->other, 0))))
			return false;
	return block_holds(g, &g->m->main->body, from);
}

static void undo(Gen *g, Node *last, int npool, int ncheck)
{
	Block *b = g->block = &g->m->main->body;
	g->counter = NULL;
	g->depth = 0;
	while (b->last != last)
		erase_node(b->last);
	g->npool = npool;
	b->ncheck = ncheck;
}

/* False: it came to nothing, and is undone. */
static bool try_step(Gen *g, Step *step)
{
	Node *last = g->m->main->body.last;
	int npool = g->npool, ncheck = g->m->main->body.ncheck, errors = error_count();
	FILE *said = fmemopen(g->said, sizeof g->said, "w");
	volatile bool ok = false;
	g->apart = false;
	*g->said = 0;
	diag_recover = &g->step;
	diag_stream = said;
	if (!setjmp(g->step)) {
		Val y = step(g);
		if (checks_hold(g, last, ncheck) && !(g->wished && is_const(y.v))) {
			keep(g, y);
			g->nstep++;
			ok = true;
		}
	}
	diag_recover = NULL;
	diag_stream = NULL;
	fclose(said);
	g->nrefused += error_count() > errors;
	if (!ok)
		undo(g, last, npool, ncheck);
	return ok;
}

static void make_step(Gen *g)
{
	enum { Patience = 12 };
	g->wished = !g->idioms_only && !once(g, 4);
	Step *step = g->wished ? pick_wish(g) : g->idioms_only || once(g, 2) ? pick_idiom(g) : pick_maker(g);
	for (int tries = g->wished ? Patience : 1; tries > 0 && !try_step(g, step); tries--)
		if (g->wished && *g->said)
			snprintf(refusals[g->op][g->type], sizeof refusals[g->op][g->type], "%s", g->said);
}

static void add_symbols(Gen *g)
{
	static const char *const names[] = {"batch", "seq"};
	int n = once(g, 5) ? 0 : 1 + pick(g, 2);
	for (int i = 0; i < n; i++) {
		Sym *s = dim_as_sym(dim_sym(g->m, names[i]));
		s->lo = pick(g, 4);
		s->hi = once(g, 3) ? 64 : DimMax;
		for (int r = 0; r < NRuns; r++)
			g->syms[r][i] = s->lo + pick(g, once(g, 4) ? 30 : 6);
	}
	for (int i = 0; i < MaxMenu; i++) {
		static const int64_t some[] = {1, 2, 3, 4, 6, 8, 8, 16, 17, 32, 33};
		const Dim *d = num(g, some[pick(g, sizeof some / sizeof *some)]);
		if (n && i < 2)
			d = dim_sym(g->m, names[i % n]);
		else if (n && once(g, 4))
			d = once(g, 2) ? dim_add(g->m, dim_sym(g->m, names[0]), num(g, 1 + pick(g, 3)))
			               : dim_mul(g->m, dim_sym(g->m, names[n - 1]), num(g, 2));
		g->menu[i] = d;
	}
}

/* Every symbol must be the dim of some input. */
static void bind_symbols(Gen *g)
{
	for (int i = 0; i < g->m->nsym; i++) {
		Type t = {.dtype = F32, .rank = 1, .dims = {dim_sym(g->m, g->m->syms[i]->name)}};
		keep(g, new_input(g, t, FillAny, 0));
	}
}

static void add_outputs(Gen *g)
{
	Func *f = g->m->main;
	f->results = arena_alloc(g->m->arena, MaxPool * sizeof *f->results);
	for (int i = g->npool - 1; i >= 0; i--) {
		Value *v = g->pool[i].v;
		bool end = !v->nuse && v->def;
		if ((end && f->body.nyield < MaxResults) || (!f->body.nyield && !i)) {
			g->exact[f->body.nyield] = g->pool[i].exact;
			f->results[f->body.nyield] = arena_printf(g->m->arena, "out%d", f->body.nyield);
			add_yield(g->m, &f->body, v);
		}
	}
}

/* A module of about `size` steps from a seed; the caller frees g->m. */
static void random_graph(Gen *g, uint64_t seed, int size)
{
	static int64_t syms[NRuns][MaxSyms];
	*g = (Gen){.state = seed * 0x2545f4914f6cdd1du + 1, .m = new_module("fuzz", NULL), .idioms_only = seed % 4 == 3};
	for (int r = 0; r < NRuns; r++)
		g->syms[r] = memset(syms[r], 0, sizeof syms[r]);
	g->block = &g->m->main->body;
	add_symbols(g);
	if (!setjmp(g->step))
		bind_symbols(g);
	for (int tries = 0; g->nstep < size && tries < 8 * size; tries++)
		make_step(g);
	add_outputs(g);
	diag_reset();
}

/* Inputs of run r; free_tensor() frees their data. */
static void random_inputs(Gen *g, int r, Tensor *in)
{
	uint64_t state = g->state + 77 * (uint64_t)r;
	for (int i = 0; i < g->m->main->nparam; i++) {
		const Type *type = &g->m->main->params[i]->type;
		Tensor *t = &in[i];
		*t = (Tensor){.dtype = type->dtype, .rank = type->rank};
		for (int d = 0; d < t->rank; d++)
			if (!dim_eval(type->dims[d], g->syms[r], &t->dims[d]))
				bug("an input has no size");
		int64_t n = tensor_numel(t), row = t->rank ? t->dims[t->rank - 1] : 1;
		t->data = malloc((size_t)n * (size_t)dtypes[t->dtype].bytes + 1);
		for (int64_t k = 0; k < n; k++) {
			Scalar s = random_scalar(&state, t->dtype, 2);
			if (g->params[i].fill == FillSpecial)
				s = special_scalar(&state, t->dtype);
			if (g->params[i].fill == FillIndex)
				s = scalar_of_int(t->dtype, (int64_t)(next_unit(&state) * (double)g->params[i].below));
			if (g->params[i].fill == FillMask && t->dtype == Bool && k % row == 0)
				s = scalar_of_int(Bool, 1);
			put_scalar((char *)t->data + k * dtypes[t->dtype].bytes, s);
		}
	}
}

#endif
