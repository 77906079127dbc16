/* loop_test.c - builders (folding, sharing of kernels) and the interpreter (lanes, masks, bounds, workers). */
#include "../ir/loop.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>

static Module *m;
static LModule *lm;

static const LType V32 = {F32, Lanes}, F1 = {F32, 1}, I16x = {I32, Lanes}, B16 = {Bool, Lanes};

static bool is_li(const LExpr *e, int64_t v)
{
	return e->op == LConst && e->type.elem == I64 && e->type.lanes == 1 && e->value.i == v;
}

static void test_folding(void)
{
	LB b = new_kernel(lm, "fold", NULL);
	LExpr *x = lparam(&b, "x"), *one = li(&b, 1), *zero = li(&b, 0);
	CHECK(is_li(ladd(&b, li(&b, 2), li(&b, 3)), 5));
	CHECK(is_li(lop(&b, LFloorDiv, li(&b, -7), li(&b, 2), NULL), -4));
	CHECK(is_li(lop(&b, LMod, li(&b, -7), li(&b, 2), NULL), 1));
	CHECK(is_li(lop(&b, LMod, li(&b, -7), zero, NULL), 0));
	CHECK(is_li(lop(&b, LFloorDiv, li(&b, INT64_MIN), li(&b, -1), NULL), INT64_MIN));
	CHECK(is_li(lmin(&b, li(&b, 4), li(&b, -3)), -3));
	CHECK(is_li(ladd(&b, li(&b, INT64_MAX), one), INT64_MIN));
	CHECK(ladd(&b, x, zero) == x && ladd(&b, zero, x) == x && lsub(&b, x, zero) == x);
	CHECK(lmul(&b, x, one) == x && lmul(&b, one, x) == x && is_li(lmul(&b, zero, x), 0));
	CHECK(lop(&b, LFloorDiv, x, one, NULL) == x && is_li(lop(&b, LMod, x, one, NULL), 0));
	LExpr *e = lsub(&b, ladd(&b, ladd(&b, x, li(&b, 5)), li(&b, 7)), li(&b, 2));
	CHECK(e->op == LAdd && e->a[0] == x && is_li(e->a[1], 10));
	e = lmul(&b, li(&b, 4), lmul(&b, x, li(&b, 3)));
	CHECK(e->op == LMul && e->a[0] == x && is_li(e->a[1], 12));
	CHECK(ladd(&b, ladd(&b, x, li(&b, 5)), li(&b, -5)) == x);

	e = llt(&b, li(&b, 1), li(&b, 2));
	CHECK(e->op == LConst && e->type.elem == Bool && e->value.i == 1);
	CHECK(lop(&b, LSelect, e, x, zero) == x);
	CHECK(llet(&b, x) == x && llet(&b, one) == one && !b.fn->body.first);

	LExpr *v = llet(&b, lcast(&b, LConvert, V32, x)), *f = lconst(&b, F1, 2);
	CHECK(v->op == LRef && v->type.lanes == Lanes && b.fn->body.first->kind == SLet);
	e = lmul(&b, v, f);
	CHECK(e->type.lanes == Lanes && e->a[1]->op == LConst && e->a[1]->type.lanes == Lanes && e->a[1]->value.f == 2);
	CHECK(lmul(&b, lconst(&b, F1, 1), v) == v);
	CHECK(ladd(&b, v, lconst(&b, F1, 0))->op == LAdd); /* -0 + 0 is 0 */
	CHECK(lop(&b, LHAdd, v, NULL, NULL)->type.lanes == 1);
	CHECK(llt(&b, v, v)->type.elem == Bool && llt(&b, v, v)->type.lanes == Lanes);
	CHECK(lconst(&b, F1, 0.1)->value.f == (double)0.1f);
	CHECK(lconst(&b, (LType){U8, 1}, 300)->value.i == 44);
}

/* y[0..n] = c * x[0..n], in place of any real schedule. */
static LFunc *scale_kernel(const char *name, double c, const char *target)
{
	LB b = new_kernel(lm, name, target);
	LBuf *x = lparam_buf(&b, "x", F32, false), *y = lparam_buf(&b, "y", F32, true);
	LExpr *n = lparam(&b, "n"), *i = lfor(&b, ForSerial, li(&b, 0), n, li(&b, Lanes));
	LExpr *left = lsub(&b, n, i);
	LExpr *mask = llt(&b, lcast(&b, LIota, I16x, NULL), lcast(&b, LConvert, (LType){I32, 1}, left));
	mask = llet(&b, mask);
	lstore(&b, y, i, NULL, mask, lmul(&b, lload(&b, x, Lanes, i, NULL, mask), lconst(&b, F1, c)));
	lend(&b);
	return finish_kernel(&b);
}

static void test_sharing(void)
{
	int before = lm->nfunc;
	LFunc *a = scale_kernel("scale", 2, "avx2"), *again = scale_kernel("other", 2, "avx2");
	LFunc *three = scale_kernel("scale", 3, "avx2"), *wide = scale_kernel("scale", 2, "avx512");
	CHECK(a == again && a != three && a != wide);
	CHECK_EQ(lm->nfunc, before + 3);
	CHECK_STR(a->name, "scale.avx2");
	CHECK_STR(three->name, "scale.2.avx2");
	CHECK_STR(wide->name, "scale.avx512");
	CHECK(find_kernel(lm, "scale.2.avx2") == three && !find_kernel(lm, "other.avx2"));
	CHECK_EQ(lmessage(lm, "bad index {}"), lmessage(lm, "bad index {}"));
}

static void test_masks_and_tails(void)
{
	float x[40], y[41];
	for (int n = 0; n <= 40; n++) {
		for (int i = 0; i < 40; i++)
			x[i] = (float)i + 1;
		for (int i = 0; i < 41; i++)
			y[i] = -1;
		LMem mems[2] = {{x, F32, n}, {y, F32, n}};
		int64_t scalars[1] = {n};
		const char *wrong = interp_kernel(lm, scale_kernel("tail", 0.5, NULL), mems, scalars, 0, 1, NULL);
		CHECK(!wrong);
		for (int i = 0; i < 41; i++)
			CHECK(y[i] == (i < n ? x[i] * 0.5f : -1));
	}
}

static void test_bounds(void)
{
	float x[40] = {0}, y[40];
	LMem mems[2] = {{x, F32, 40}, {y, F32, 33}};
	int64_t scalars[1] = {40};
	const char *wrong = interp_kernel(lm, scale_kernel("tail", 0.5, NULL), mems, scalars, 0, 1, NULL);
	CHECK_STR(wrong, "kernel tail, worker 0: store to %y[33] (lane 1) is out of bounds, it has 33 elements");
	mems[0].count = 20;
	wrong = interp_kernel(lm, scale_kernel("tail", 0.5, NULL), mems, scalars, 0, 1, NULL);
	CHECK_STR(wrong, "kernel tail, worker 0: load of %x[20] (lane 4) is out of bounds, it has 20 elements");
	mems[0].elem = F64;
	CHECK(interp_kernel(lm, scale_kernel("tail", 0.5, NULL), mems, scalars, 0, 1, NULL) != NULL);
}

/* y[i] = x[7 + 3*i], the last lanes masked off; stored with stride -2 from 40. */
static void test_strides(void)
{
	LB b = new_kernel(lm, "strided", NULL);
	LBuf *x = lparam_buf(&b, "x", F32, false), *y = lparam_buf(&b, "y", F32, true);
	LExpr *mask = llet(&b, llt(&b, lcast(&b, LIota, I16x, NULL), lconst(&b, (LType){I32, 1}, 10)));
	LExpr *v = lload(&b, x, Lanes, li(&b, 7), li(&b, 3), mask);
	lstore(&b, y, li(&b, 40), li(&b, -2), NULL, v);
	LFunc *fn = finish_kernel(&b);
	float xs[35], ys[41];
	for (int i = 0; i < 35; i++)
		xs[i] = (float)i;
	for (int i = 0; i < 41; i++)
		ys[i] = -1;
	LMem mems[2] = {{xs, F32, 35}, {ys, F32, 41}};
	const char *wrong = interp_kernel(lm, fn, mems, NULL, 0, 1, NULL);
	CHECK(!wrong);
	for (int i = 0; i < 41; i++)
		CHECK(ys[i] == (i < 10 || i % 2 ? -1 : (40 - i) / 2 < 10 ? (float)(7 + 3 * (40 - i) / 2) : 0));
	mems[0].count = 34;
	CHECK(interp_kernel(lm, fn, mems, NULL, 0, 1, NULL) != NULL);
}

/* A 3 x 32 register tile over k, as a GEMM keeps it; also local buffers and what they hold at first. */
static void test_tiles(void)
{
	enum { R = 3, K = 5, N = 32 };
	LB b = new_kernel(lm, "tile", NULL);
	LBuf *a = lparam_buf(&b, "a", F32, false), *w = lparam_buf(&b, "w", F32, false);
	LBuf *y = lparam_buf(&b, "y", F32, true);
	LTile *t = lnew_tile(&b, "acc", V32, R, 2);
	LExpr *i, *j, *k;
	i = lfor(&b, ForUnroll, li(&b, 0), li(&b, R), NULL);
	j = lfor(&b, ForUnroll, li(&b, 0), li(&b, 2), NULL);
	lset_tile(&b, t, i, j, lconst(&b, F1, 0));
	lend(&b);
	lend(&b);
	k = lfor(&b, ForSerial, li(&b, 0), li(&b, K), NULL);
	i = lfor(&b, ForUnroll, li(&b, 0), li(&b, R), NULL);
	j = lfor(&b, ForUnroll, li(&b, 0), li(&b, 2), NULL);
	LExpr *av = lload(&b, a, 1, ladd(&b, lmul(&b, i, li(&b, K)), k), NULL, NULL);
	LExpr *at = ladd(&b, lmul(&b, k, li(&b, N)), lmul(&b, j, li(&b, Lanes)));
	lset_tile(&b, t, i, j, lfma(&b, av, lload(&b, w, Lanes, at, NULL, NULL), lelem(&b, t, i, j)));
	lend(&b);
	lend(&b);
	lend(&b);
	LBuf *row = llocal(&b, "row", F32, N);
	i = lfor(&b, ForUnroll, li(&b, 0), li(&b, R), NULL);
	j = lfor(&b, ForUnroll, li(&b, 0), li(&b, 2), NULL);
	LExpr *to = llet(&b, lmul(&b, j, li(&b, Lanes)));
	lstore(&b, row, to, NULL, NULL, lelem(&b, t, i, j));
	lstore(&b, y, ladd(&b, lmul(&b, i, li(&b, N)), to), NULL, NULL, lload(&b, row, Lanes, to, NULL, NULL));
	lend(&b);
	lend(&b);
	LFunc *fn = finish_kernel(&b);
	CHECK(find_kernel(lm, "tile") == fn);

	float as[R * K], ws[K * N], ys[R * N];
	for (int n = 0; n < R * K; n++)
		as[n] = (float)sin(n);
	for (int n = 0; n < K * N; n++)
		ws[n] = (float)cos(n);
	LMem mems[3] = {{as, F32, R * K}, {ws, F32, K * N}, {ys, F32, R * N}};
	const char *wrong = interp_kernel(lm, fn, mems, NULL, 0, 1, NULL);
	CHECK(!wrong);
	for (int r = 0; r < R; r++) {
		for (int c = 0; c < N; c++) {
			float sum = 0;
			for (int n = 0; n < K; n++)
				sum = fmaf(as[r * K + n], ws[n * N + c], sum);
			CHECK(ys[r * N + c] == sum);
		}
	}
}

static void test_poison(void)
{
	LB b = new_kernel(lm, "poison", NULL);
	LBuf *y = lparam_buf(&b, "y", F32, true), *l = llocal(&b, "l", F32, 4);
	LTile *t = lnew_tile(&b, "t", F1, 1, 1);
	lstore(&b, y, li(&b, 0), NULL, NULL, lload(&b, l, 1, li(&b, 3), NULL, NULL));
	lstore(&b, y, li(&b, 1), NULL, NULL, lelem(&b, t, li(&b, 0), li(&b, 0)));
	float ys[2] = {0};
	LMem mems[1] = {{ys, F32, 2}};
	const char *wrong = interp_kernel(lm, finish_kernel(&b), mems, NULL, 0, 1, NULL);
	CHECK(!wrong && isnan(ys[0]) && isnan(ys[1]));
}

/* count[i] += 1 over a parallel loop from 3 step 2: each worker has the iterations [n*t/w, n*(t+1)/w). */
static void test_parallel(void)
{
	LB b = new_kernel(lm, "parallel", NULL);
	LBuf *y = lparam_buf(&b, "y", I64, true);
	LExpr *n = lparam(&b, "n"), *tag = lparam(&b, "tag");
	LExpr *i = lfor(&b, ForParallel, li(&b, 3), ladd(&b, li(&b, 3), lmul(&b, n, li(&b, 2))), li(&b, 2));
	LExpr *at = llet(&b, lop(&b, LFloorDiv, lsub(&b, i, li(&b, 3)), li(&b, 2), NULL));
	lstore(&b, y, at, NULL, NULL, ladd(&b, lload(&b, y, 1, at, NULL, NULL), tag));
	lend(&b);
	LFunc *fn = finish_kernel(&b);
	for (int64_t count = 0; count < 20; count++) {
		for (int64_t workers = 1; workers < 8; workers++) {
			int64_t ys[20] = {0};
			LMem mems[1] = {{ys, I64, count}};
			for (int64_t t = 0; t < workers; t++) {
				int64_t scalars[2] = {count, t + 1};
				const char *wrong = interp_kernel(lm, fn, mems, scalars, t, workers, NULL);
				CHECK(!wrong);
			}
			for (int64_t t = 0; t < workers; t++)
				for (int64_t k = count * t / workers; k < count * (t + 1) / workers; k++)
					CHECK_EQ(ys[k], t + 1);
		}
	}
}

/* A value of type `type` computed by op from a (and bb), stored lane by lane into y. */
static void run_op(LOp op, LType in, LType out, const void *a, const void *bb, void *y)
{
	LB b = new_kernel(lm, "op", NULL);
	LBuf *pa = lparam_buf(&b, "a", in.elem, false), *pb = lparam_buf(&b, "b", in.elem, false);
	LBuf *py = lparam_buf(&b, "y", out.elem, true);
	LExpr *x = lload(&b, pa, in.lanes, li(&b, 0), NULL, NULL);
	bool cast = op == LConvert || op == LBitcast;
	LExpr *x2 = bb ? lload(&b, pb, in.lanes, li(&b, 0), NULL, NULL) : NULL;
	LExpr *e = cast ? lcast(&b, op, out, x) : lop(&b, op, x, x2, NULL);
	lstore(&b, py, li(&b, 0), NULL, NULL, e);
	LMem mems[3] = {{(void *)a, in.elem, in.lanes}, {(void *)bb, in.elem, bb ? in.lanes : 0},
	                {y, out.elem, out.lanes}};
	const char *wrong = interp_kernel(lm, finish_kernel(&b), mems, NULL, 0, 1, NULL);
	if (wrong)
		fprintf(stderr, "%s\n", wrong);
	CHECK(!wrong);
}

static void test_conversions(void)
{
	float x[Lanes] = {0, -0.0f, 1.9f, -1.9f, 3e9f, -3e9f, NAN, INFINITY, -INFINITY, 300, -129, 1e20f, 0x1p31f, 255,
	                  256, 0.5f};
	int32_t i32[Lanes], want32[Lanes] = {0, 0, 1, -1, INT32_MAX, INT32_MIN, 0, INT32_MAX, INT32_MIN, 300, -129,
	                                     INT32_MAX, INT32_MAX, 255, 256, 0};
	run_op(LConvert, V32, I16x, x, NULL, i32);
	CHECK(!memcmp(i32, want32, sizeof i32));
	int64_t i64[Lanes];
	run_op(LConvert, V32, (LType){I64, Lanes}, x, NULL, i64);
	CHECK(i64[4] == 3000000000 && i64[6] == 0 && i64[7] == INT64_MAX && i64[8] == INT64_MIN);
	CHECK(i64[11] == INT64_MAX);
	uint8_t u8[Lanes], flags[Lanes];
	run_op(LConvert, V32, (LType){U8, Lanes}, x, NULL, u8);
	CHECK(u8[9] == 44 && u8[10] == 127 && u8[13] == 255 && u8[14] == 0 && u8[3] == 255);
	run_op(LConvert, V32, B16, x, NULL, flags);
	CHECK(flags[0] == 0 && flags[1] == 0 && flags[2] == 1 && flags[6] == 1 && flags[15] == 1);
	run_op(LBitcast, V32, I16x, x, NULL, i32);
	CHECK(!memcmp(i32, x, sizeof i32));
	run_op(LConvert, B16, V32, flags, NULL, x);
	CHECK(x[0] == 0 && x[2] == 1);
}

static void test_arithmetic(void)
{
	float a[Lanes] = {1, NAN, 3, -0.0f}, b[Lanes] = {NAN, 2, 2, 0}, y[Lanes];
	run_op(LMax, V32, V32, a, b, y);
	CHECK(isnan(y[0]) && isnan(y[1]) && y[2] == 3);
	run_op(LPMax, V32, V32, a, b, y);
	CHECK(isnan(y[0]) && y[1] == 2 && y[2] == 3);
	run_op(LPMin, V32, V32, b, a, y);
	CHECK(y[0] == 1 && isnan(y[1]) && y[2] == 2);
	float r[Lanes] = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f};
	run_op(LRound, V32, V32, r, NULL, y);
	CHECK(y[0] == 0 && y[1] == 2 && y[2] == 2 && y[3] == 0 && signbit(y[3]) && y[4] == -2);
	uint8_t flags[Lanes];
	run_op(LNe, V32, B16, a, b, flags);
	CHECK(flags[0] && flags[1] && flags[2] && !flags[3]);
	int32_t i[Lanes] = {-7, 7, -7, 7, 5, INT32_MIN, INT32_MAX}, j[Lanes] = {2, 2, -2, -2, 0, -1, 1}, k[Lanes];
	run_op(LFloorDiv, I16x, I16x, i, j, k);
	CHECK(k[0] == -4 && k[1] == 3 && k[2] == 3 && k[3] == -4 && k[4] == 0 && k[5] == INT32_MIN);
	run_op(LMod, I16x, I16x, i, j, k);
	CHECK(k[0] == 1 && k[1] == 1 && k[2] == -1 && k[3] == -1 && k[4] == 0 && k[5] == 0);
	run_op(LAdd, I16x, I16x, i, j, k);
	CHECK(k[6] == INT32_MIN);
	float sum[1], tree[Lanes];
	for (int l = 0; l < Lanes; l++)
		tree[l] = a[l] = (float)exp2(l * 3 % 25) + 0.1f * (float)l;
	for (int n = Lanes / 2; n; n /= 2)
		for (int l = 0; l < n; l++)
			tree[l] += tree[l + n];
	run_op(LHAdd, V32, F1, a, NULL, sum);
	CHECK(sum[0] == tree[0]);
}

/* A kernel that calls another on slices, and one that fails. */
static void test_calls_and_fail(void)
{
	LFunc *scale = scale_kernel("scale", 4, NULL);
	LB b = new_kernel(lm, "caller", NULL);
	LBuf *x = lparam_buf(&b, "x", F32, false), *y = lparam_buf(&b, "y", F32, true);
	LExpr *len = lparam(&b, "len");
	LArg args[3] = {arg_buf(x, F32, li(&b, 8), len), arg_buf(y, F32, li(&b, 2), NULL), arg_e(li(&b, 6))};
	lcall(&b, scale, 3, args);
	lif(&b, llt(&b, len, li(&b, 7)));
	lfail(&b, 0, lmessage(lm, "length {} is too small"), len);
	lelse(&b);
	lstore(&b, y, li(&b, 0), NULL, NULL, lconst(&b, F1, 9));
	lend(&b);
	LFunc *fn = finish_kernel(&b);
	float xs[14], ys[8] = {0};
	for (int i = 0; i < 14; i++)
		xs[i] = (float)i;
	LMem mems[2] = {{xs, F32, 14}, {ys, F32, 8}};
	int64_t six = 6, five = 5, seven = 7, status[MaxStatus] = {0};
	const char *wrong = interp_kernel(lm, fn, mems, &six, 0, 1, status);
	CHECK(!wrong && ys[2] == 32 && ys[7] == 52 && ys[0] == 0);
	CHECK(status[0] == lmessage(lm, "length {} is too small") + 1 && status[1] == 6);
	CHECK(interp_kernel(lm, fn, mems, &five, 0, 1, status) != NULL); /* the callee may touch 5 only */
	wrong = interp_kernel(lm, fn, mems, &seven, 0, 1, status);
	CHECK(wrong && strstr(wrong, "argument 0 of scale"));
}

/* y[i] = table[index[i]] for a parallel i; an index outside of 0 .. 3 is a failure. */
static LFunc *lookup_kernel(LModule *l)
{
	LB b = new_kernel(l, "lookup", NULL);
	LBuf *index = lparam_buf(&b, "index", I64, false), *table = lparam_buf(&b, "table", F32, false);
	LBuf *y = lparam_buf(&b, "y", F32, true);
	LExpr *i = lfor(&b, ForParallel, li(&b, 0), lparam(&b, "n"), NULL);
	LExpr *at = llet(&b, lload(&b, index, 1, i, NULL, NULL));
	lif(&b, lop(&b, LAnd, lop(&b, LLe, li(&b, 0), at, NULL), llt(&b, at, li(&b, 4)), NULL));
	lstore(&b, y, i, NULL, NULL, lload(&b, table, 1, at, NULL, NULL));
	lelse(&b);
	lfail(&b, 0, lmessage(l, "index {} is not in 0..3"), at);
	lend(&b);
	lend(&b);
	return finish_kernel(&b);
}

/* out0 = 2 * table[in0], the lookup through the workspace. */
static LModule *lookup_model(int64_t ws_offset)
{
	static const float table[4] = {10, 20, 30, 40};
	Module *mod = new_module("lookup", "test");
	const Dim *n = dim_sym(mod, "n");
	new_param(mod, "x", (Type){I64, 1, {n}});
	Const *c = new_const(mod, "table", (Type){F32, 1, {dim_const(mod, 4)}}, table, sizeof table);
	Value *y = new_param(mod, "stands_for_y", (Type){F32, 1, {n}});
	mod->main->nparam = 1; /* only the type of y matters here */
	add_yield(mod, &mod->main->body, y);
	LModule *l = new_lmodule(mod);
	LB b = builder_at(l, NULL, &l->checks);
	LExpr *size = ldim(&b, n);
	l->bind[0] = lop(&b, LInDim, li(&b, 0), li(&b, 0), NULL);
	lcheck(&b, llt(&b, size, li(&b, 100)), 3, "n is {}, not below {}", size, li(&b, 100), NULL);
	l->outdims[0] = size;
	l->workspace = ladd(&b, lmul(&b, size, li(&b, 4)), li(&b, 72));
	PUSH(mod->arena, l->weights, l->nweight, l->capweight, c->value);
	PUSH(mod->arena, l->weight_off, l->nweight_off, l->capweight_off, 64);
	l->weight_bytes = 80;

	LFunc *lookup = lookup_kernel(l), *scale;
	LModule *saved = lm;
	lm = l;
	scale = scale_kernel("scale", 2, NULL);
	lm = saved;
	LB p = new_kernel(l, "main", "avx2");
	p.fn->program = true;
	LBuf *in = lparam_buf(&p, "in0", I64, false), *out = lparam_buf(&p, "out0", F32, true);
	LBuf *ws = lparam_buf(&p, "ws", U8, true), *weights = lparam_buf(&p, "weights", U8, false);
	LArg first[4] = {arg_buf(in, I64, NULL, NULL), arg_buf(weights, F32, li(&p, 16), li(&p, 4)),
	                 arg_buf(ws, F32, li(&p, ws_offset), size), arg_e(size)};
	LArg second[3] = {arg_buf(ws, F32, li(&p, ws_offset), size), arg_buf(out, F32, NULL, size), arg_e(size)};
	lstep(&p);
	lcall(&p, lookup, 4, first);
	lend(&p);
	lstep(&p);
	lcall(&p, scale, 3, second);
	lend(&p);
	PUSH(mod->arena, l->programs, l->nprog, l->capprog, p.fn);
	return l;
}

static void test_program(void)
{
	static int64_t index[101];
	LModule *l = lookup_model(16);
	Tensor in = {.dtype = I64, .rank = 1, .dims = {37}, .data = index}, out;
	for (int i = 0; i < 101; i++)
		index[i] = i * i % 4;
	for (int threads = 1; threads < 5; threads++) {
		const char *wrong = interp_program(l, "avx2", threads, &in, &out);
		CHECK_STR(wrong ? wrong : "", "");
		CHECK(out.dtype == F32 && out.rank == 1 && out.dims[0] == 37);
		for (int i = 0; !wrong && i < 37; i++)
			CHECK(((float *)out.data)[i] == 20.0f * (float)(index[i] + 1));
		free_tensor(&out);
	}
	in.dims[0] = 0;
	CHECK(!interp_program(l, "avx2", 2, &in, &out));
	free_tensor(&out);
	in.dims[0] = 101;
	CHECK_STR(interp_program(l, "avx2", 2, &in, &out), "n is 101, not below 100");
	in.dims[0] = 5;
	index[3] = -9;
	CHECK_STR(interp_program(l, "avx2", 2, &in, &out), "index -9 is not in 0..3");
	in.dtype = F32;
	CHECK(interp_program(l, "avx2", 1, &in, &out) != NULL);
	CHECK(interp_program(l, "avx512", 1, &in, &out) != NULL);
	free_module(l->m);

	in.dtype = I64;
	l = lookup_model(32);
	const char *wrong = interp_program(l, "avx2", 1, &in, &out);
	CHECK(wrong && strstr(wrong, "argument 2 of lookup"));
	free_module(l->m);
}

int main(void)
{
	m = new_module("test", "test");
	lm = new_lmodule(m);
	test_folding();
	test_sharing();
	test_masks_and_tails();
	test_bounds();
	test_strides();
	test_tiles();
	test_poison();
	test_parallel();
	test_conversions();
	test_arithmetic();
	test_calls_and_fail();
	test_program();
	free_module(m);
	return test_end("loop");
}
