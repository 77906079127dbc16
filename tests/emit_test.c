/* emit_test.c - machine code of every statement and expression against the interpreter (machine.h); then what surrounds
 * kernels in an object: the model, its weights, its header.  seconds: 6 */
#include "machine.h"

#include <elf.h>

/* ---- kernels --------------------------------------------------------------------------------------------------- */

/* c[mr, 16*nv] = a[mr, k] * b[k, 16*nv], k in blocks that reload the accumulator: the GEMM schedule in small. */
static Case *gemm_case(int mr, int nv, int k, const char *target)
{
	LB b = new_kernel(lm, text("gemm%s", "", "", 0), target);
	LBuf *x = lparam_buf(&b, "a", F32, false), *w = lparam_buf(&b, "b", F32, false), *y = lparam_buf(&b, "c", F32, true);
	LExpr *ldx = lparam(&b, "lda"), *nk = lparam(&b, "k");
	LTile *t = lnew_tile(&b, "acc", vf32, mr, nv);
	LExpr *i = lfor(&b, ForUnroll, li(&b, 0), li(&b, mr), NULL), *j = lfor(&b, ForUnroll, li(&b, 0), li(&b, nv), NULL);
	lset_tile(&b, t, i, j, lconst(&b, vf32, 0));
	lend(&b);
	lend(&b);
	LExpr *kk = lfor(&b, ForSerial, li(&b, 0), nk, NULL);
	LExpr *v[8];
	for (int c = 0; c < nv; c++)
		v[c] = llet(&b, lload(&b, w, Lanes, ladd(&b, lmul(&b, kk, li(&b, nv * Lanes)), li(&b, c * Lanes)), NULL, NULL));
	i = lfor(&b, ForUnroll, li(&b, 0), li(&b, mr), NULL);
	LExpr *s = llet(&b, lcast(&b, LSplat, vf32, lload(&b, x, 1, ladd(&b, lmul(&b, i, ldx), kk), NULL, NULL)));
	for (int c = 0; c < nv; c++)
		lset_tile(&b, t, i, li(&b, c), lfma(&b, s, v[c], lelem(&b, t, i, li(&b, c))));
	lend(&b);
	lend(&b);
	i = lfor(&b, ForUnroll, li(&b, 0), li(&b, mr), NULL);
	j = lfor(&b, ForUnroll, li(&b, 0), li(&b, nv), NULL);
	LExpr *at = ladd(&b, lmul(&b, i, li(&b, nv * Lanes)), lmul(&b, j, li(&b, Lanes)));
	lstore(&b, y, at, NULL, NULL, lelem(&b, t, i, j));
	lend(&b);
	lend(&b);
	Case *c = add_case(&b);
	c->fill = Plain;
	c->nscalar = 2;
	c->scalars[0] = k + 3;
	c->scalars[1] = k;
	return c;
}

/* z[i] = op(x[i], y[i], x[i + 1]) over 64 elements, by lanes or one at a time. */
static void op_case(LOp op, int nargs, DType t, int lanes)
{
	LB b = new_kernel(lm, text("op.%s.%s%d", dtypes[t].text, "", (int)op * 100 + lanes), NULL);
	LBuf *x = lparam_buf(&b, "x", t, false), *y = lparam_buf(&b, "y", t, false);
	bool mask = op == LEq || op == LNe || op == LLt || op == LLe;
	LBuf *z = lparam_buf(&b, "z", mask ? Bool : t, true);
	LExpr *i = lfor(&b, ForSerial, li(&b, 0), li(&b, 512), li(&b, lanes));
	LExpr *p = lload(&b, x, lanes, i, NULL, NULL), *q = lload(&b, y, lanes, i, NULL, NULL);
	LExpr *r = lload(&b, x, lanes, ladd(&b, i, li(&b, 1)), NULL, NULL);
	lstore(&b, z, i, NULL, NULL, lop(&b, op, p, nargs > 1 ? q : NULL, nargs > 2 ? r : NULL));
	lend(&b);
	add_case(&b);
}

static void op_cases(void)
{
	static const struct {
		LOp op;
		int nargs;
		const char *on; /* f: floats, i: integers, b: bool, 4: i32 */
	} table[] = {
		{LAdd, 2, "fi"}, {LSub, 2, "fi"}, {LMul, 2, "fi"}, {LDiv, 2, "f"}, {LFloorDiv, 2, "i"}, {LMod, 2, "i"},
		{LFma, 3, "f"}, {LMin, 2, "fi"}, {LMax, 2, "fi"}, {LPMin, 2, "fi"}, {LPMax, 2, "fi"}, {LNeg, 1, "fi"},
		{LAbs, 1, "fi"}, {LSqrt, 1, "f"}, {LFloor, 1, "f"}, {LCeil, 1, "f"}, {LRound, 1, "f"}, {LEq, 2, "fi"},
		{LNe, 2, "fi"}, {LLt, 2, "fi"}, {LLe, 2, "fi"}, {LAnd, 2, "ib"}, {LOr, 2, "ib"}, {LXor, 2, "ib"},
		{LNot, 1, "ib"}, {LShl, 2, "i"}, {LShr, 2, "i"}, {LZipLo, 2, "fi"}, {LZipHi, 2, "fi"},
		{LDot4, 3, "4"}, {LDotEven, 3, "4"}, {LDotOdd, 3, "4"},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		for (int t = 0; t < NDTypes; t++) {
			char cls = dtypes[t].cls == ClassFloat ? 'f' : t == Bool ? 'b' : 'i';
			if (!(strchr(table[i].on, cls) || (t == I32 && strchr(table[i].on, '4'))) || is_stored(t))
				continue;
			op_case(table[i].op, table[i].nargs, (DType)t, Lanes);
			if (!takes_wide(table[i].op))
				op_case(table[i].op, table[i].nargs, (DType)t, 1);
		}
	}
}

static void division_case(DType t, int by, int lanes)
{
	LB b = new_kernel(lm, text("div.%s%s.%d", dtypes[t].text, by < 0 ? ".m" : "", by * 100 + lanes), NULL);
	LBuf *x = lparam_buf(&b, "x", t, false), *y = lparam_buf(&b, "y", t, true), *z = lparam_buf(&b, "z", t, true);
	LType type = {t, lanes};
	LExpr *i = lfor(&b, ForSerial, li(&b, 0), li(&b, 256), li(&b, lanes));
	LExpr *p = llet(&b, lload(&b, x, lanes, i, NULL, NULL)), *c = lconst(&b, type, by);
	lstore(&b, y, i, NULL, NULL, lop(&b, LFloorDiv, p, c, NULL));
	lstore(&b, z, i, NULL, NULL, lop(&b, LMod, p, c, NULL));
	lend(&b);
	add_case(&b);
}

static void convert_case(DType from, DType to, int lanes, LOp op)
{
	LB b = new_kernel(lm, text("convert.%s.%s.%d", dtypes[from].text, dtypes[to].text, lanes * 100 + (int)op), NULL);
	LBuf *x = lparam_buf(&b, "x", from, false), *y = lparam_buf(&b, "y", to, true);
	LExpr *i = lfor(&b, ForSerial, li(&b, 0), li(&b, 512), li(&b, lanes));
	lstore(&b, y, i, NULL, NULL, lcast(&b, op, (LType){to, lanes}, lload(&b, x, lanes, i, NULL, NULL)));
	lend(&b);
	add_case(&b);
}

/* Prefix masks of every length, with and without stride; then a mask from data. */
static void access_case(DType t, int stride, bool runtime_stride)
{
	LB b = new_kernel(lm, text("access.%s.%s%d", dtypes[t].text, runtime_stride ? "r" : "", stride), NULL);
	LBuf *x = lparam_buf(&b, "x", t, false), *y = lparam_buf(&b, "y", t, true), *z = lparam_buf(&b, "z", t, true);
	LExpr *s = runtime_stride ? lparam(&b, "stride") : li(&b, stride);
	LExpr *n = lfor(&b, ForSerial, li(&b, -2), li(&b, 19), NULL);
	LType index = {I64, Lanes};
	LExpr *mask = llet(&b, llt(&b, lcast(&b, LIota, index, NULL), lcast(&b, LSplat, index, n)));
	LExpr *at = ladd(&b, lmul(&b, n, li(&b, 17)), li(&b, 80));
	LExpr *v = llet(&b, lload(&b, x, Lanes, at, s, mask));
	lstore(&b, y, at, NULL, mask, v);
	lstore(&b, z, at, s, mask, lload(&b, x, Lanes, at, NULL, NULL));
	lstore(&b, z, ladd(&b, at, li(&b, 800)), s, NULL, lload(&b, x, Lanes, at, s, NULL));
	LType compared = {wide_type(t), Lanes};
	LExpr *other = lload(&b, x, Lanes, ladd(&b, at, li(&b, 3)), NULL, NULL);
	LExpr *odd = lop(&b, LNe, lcast(&b, LConvert, compared, v), lcast(&b, LConvert, compared, other), NULL);
	lstore(&b, y, ladd(&b, at, li(&b, 900)), NULL, odd, v);
	lend(&b);
	Case *c = add_case(&b);
	c->nscalar = runtime_stride;
	c->scalars[0] = stride;
}

static void reduce_case(DType t)
{
	LB b = new_kernel(lm, text("reduce.%s%s%d", dtypes[t].text, "", 0), NULL);
	LBuf *x = lparam_buf(&b, "x", t, false), *y = lparam_buf(&b, "y", t, true);
	LExpr *i = lfor(&b, ForSerial, li(&b, 0), li(&b, 64), NULL);
	LExpr *v = llet(&b, lload(&b, x, Lanes, lmul(&b, i, li(&b, Lanes)), NULL, NULL));
	LExpr *at = lmul(&b, i, li(&b, 3));
	lstore(&b, y, at, NULL, NULL, lop(&b, LHAdd, v, NULL, NULL));
	lstore(&b, y, ladd(&b, at, li(&b, 1)), NULL, NULL, lop(&b, LHMax, v, NULL, NULL));
	lstore(&b, y, ladd(&b, at, li(&b, 2)), NULL, NULL, lop(&b, LHMin, v, NULL, NULL));
	lend(&b);
	add_case(&b);
}

/* y[i] += worker's mark, so that a wrong split shows; loop from lo by step. */
static void parallel_case(int lo, int hi, int step, int workers)
{
	LB b = new_kernel(lm, "parallel", NULL);
	LBuf *y = lparam_buf(&b, "y", F32, true);
	LExpr *l = lparam(&b, "lo"), *h = lparam(&b, "hi"), *s = lparam(&b, "step");
	LExpr *i = lfor(&b, ForParallel, l, h, s);
	LExpr *v = lload(&b, y, 1, i, NULL, NULL), *w = lcast(&b, LConvert, (LType){F32, 1}, i);
	lstore(&b, y, i, NULL, NULL, ladd(&b, v, w));
	lend(&b);
	i = lfor(&b, ForParallel, l, h, NULL);
	v = lload(&b, y, 1, ladd(&b, i, li(&b, 1000)), NULL, NULL);
	lstore(&b, y, ladd(&b, i, li(&b, 1000)), NULL, NULL, ladd(&b, v, lconst(&b, (LType){F32, 1}, 1)));
	lend(&b);
	Case *c = add_case(&b);
	c->workers = workers;
	c->nscalar = 3;
	c->fill = Plain;
	c->scalars[0] = lo;
	c->scalars[1] = hi;
	c->scalars[2] = step;
}

/* Branches, a local, a call, let over mask and bool values, select, iota, min over index arithmetic. */
static void control_case(int64_t n)
{
	LB c = new_kernel(lm, "callee", NULL);
	LBuf *p = lparam_buf(&c, "p", F32, true);
	LExpr *k = lparam(&c, "k");
	LExpr *old = lload(&c, p, 1, k, NULL, NULL);
	lstore(&c, p, k, NULL, NULL, ladd(&c, old, lconst(&c, (LType){F32, 1}, 0.5)));
	LFunc *callee = finish_kernel(&c);
	callee->leaf_noinline = true;

	LB b = new_kernel(lm, "control", NULL);
	LBuf *x = lparam_buf(&b, "x", F32, false), *y = lparam_buf(&b, "y", F32, true);
	LExpr *len = lparam(&b, "n");
	LExpr *i = lfor(&b, ForSerial, li(&b, 0), len, NULL);
	LBuf *tmp = llocal(&b, "tmp", F32, 64);
	LExpr *j = lfor(&b, ForUnroll, li(&b, 0), li(&b, 4), NULL);
	LExpr *v = llet(&b, lload(&b, x, Lanes, ladd(&b, i, lmul(&b, j, li(&b, Lanes))), NULL, NULL));
	LExpr *big = llet(&b, llt(&b, lconst(&b, vf32, 0), v));
	lif(&b, llt(&b, j, li(&b, 2)));
	lstore(&b, tmp, lmul(&b, j, li(&b, Lanes)), NULL, NULL, lop(&b, LSelect, big, v, lcast(&b, LIota, vf32, NULL)));
	lelse(&b);
	lstore(&b, tmp, lmul(&b, j, li(&b, Lanes)), NULL, NULL, lop(&b, LNeg, v, NULL, NULL));
	lend(&b);
	lend(&b);
	lif(&b, lop(&b, LEq, lop(&b, LMod, i, li(&b, 3), NULL), li(&b, 1), NULL));
	LArg args[] = {arg_buf(tmp, F32, lop(&b, LFloorDiv, i, li(&b, 4), NULL), NULL), arg_e(lmin(&b, i, li(&b, 7)))};
	lcall(&b, callee, 2, args);
	lend(&b);
	lprefetch(&b, x, ladd(&b, i, li(&b, 4096)));
	j = lfor(&b, ForSerial, i, lmin(&b, li(&b, 64), lmul(&b, i, li(&b, 2))), li(&b, 5));
	lstore(&b, y, ladd(&b, lmul(&b, i, li(&b, 64)), j), NULL, NULL, lload(&b, tmp, 1, j, NULL, NULL));
	lend(&b);
	lend(&b);
	Case *k2 = add_case(&b);
	k2->nscalar = 1;
	k2->scalars[0] = n;
}

/* Records the first index out of 0 .. limit. */
static void fail_case(int64_t limit)
{
	int other = lmessage(lm, "never {}"), message = lmessage(lm, "index {} is out of range");
	(void)other;
	LB b = new_kernel(lm, "fail", NULL);
	LBuf *x = lparam_buf(&b, "x", I32, false);
	LExpr *hi = lparam(&b, "limit");
	LExpr *i = lfor(&b, ForSerial, li(&b, 0), li(&b, 64), NULL);
	LExpr *v = llet(&b, lcast(&b, LConvert, (LType){I64, 1}, lload(&b, x, 1, i, NULL, NULL)));
	lif(&b, llt(&b, hi, v));
	lfail(&b, 0, message, v);
	lend(&b);
	lend(&b);
	Case *c = add_case(&b);
	c->nscalar = 1;
	c->scalars[0] = limit;
}

static bool is_small(DType t)
{
	return is_tiny(t) || is_packed(t);
}

static void add_cases(void)
{
	for (int k = 0; k <= 33; k += 11) {
		gemm_case(14, 2, k, "avx512");
		gemm_case(6, 1, k, "avx2");
		gemm_case(3, 2, k, NULL);
	}
	op_cases();
	for (int t = 0; t < NDTypes; t++) {
		for (int to = 0; to < NDTypes; to++) {
			if ((is_small(t) || is_small(to)) && t != F32 && to != F32 && (t + to) % 4) /* all of these go through wide_type() */
				continue;
			convert_case((DType)t, (DType)to, Lanes, LConvert);
			convert_case((DType)t, (DType)to, 1, LConvert);
		}
		access_case((DType)t, 1, false);
		for (int stride = 2; loads_by_shuffles(stride); stride++)
			access_case((DType)t, stride, false);
		access_case((DType)t, -1, false);
		access_case((DType)t, -2, true);
		if (t != Bool && !is_stored(t))
			reduce_case((DType)t);
	}
	static const DType ints[] = {I8, I16, I32, I64, U8, U16, U32, U64};
	for (int t = 0; t < 8; t++)
		for (int by = -7; by <= 12; by++)
			if (by > 0 || dtypes[ints[t]].cls == ClassSigned)
				division_case(ints[t], by, by % 2 ? Lanes : 1);
	convert_case(F32, I32, Lanes, LBitcast);
	convert_case(I32, F32, Lanes, LBitcast);
	convert_case(F64, I64, Lanes, LBitcast);
	convert_case(F32, U32, Lanes, LBitcast);
	convert_case(F16, I16, Lanes, LBitcast);
	convert_case(U64, F64, Lanes, LBitcast);
	convert_case(I8, U8, 1, LBitcast);
	convert_case(U4, I4, Lanes, LBitcast);
	convert_case(I4, F4E2M1, Lanes, LBitcast);
	convert_case(I2, U2, 1, LBitcast);
	for (int workers = 1; workers <= 5; workers += 2) {
		parallel_case(0, 100, 1, workers);
		parallel_case(3, 64, 7, workers);
		parallel_case(5, 2, 3, workers);
		parallel_case(0, 3, 1, workers);
	}
	control_case(40);
	control_case(0);
	fail_case(1000);
	fail_case(INT32_MAX);
}

/* ---- a whole model: y = concat(x, last row), and what surrounds it --------------------------------------------- */

enum { Cols = 4, WeightBytes = 128 };

static LFunc *copy_kernel(LModule *l)
{
	LB b = new_kernel(l, "copy", NULL);
	LBuf *x = lparam_buf(&b, "x", F32, false), *y = lparam_buf(&b, "y", F32, true);
	LExpr *i = lfor(&b, ForParallel, li(&b, 0), lparam(&b, "n"), NULL);
	lstore(&b, y, i, NULL, NULL, lload(&b, x, 1, i, NULL, NULL));
	lend(&b);
	return finish_kernel(&b);
}

static void mini_program(LModule *l, LFunc *copy, const Target *t)
{
	LB b = new_kernel(l, "main", t->name);
	b.fn->program = true;
	LBuf *x = lparam_buf(&b, "in0", F32, false), *y = lparam_buf(&b, "out0", F32, true);
	LBuf *w = lparam_buf(&b, "weights", U8, false);
	LExpr *n = llet(&b, lmul(&b, lparam(&b, "n"), li(&b, Cols)));
	LArg rows[] = {arg_buf(x, F32, NULL, n), arg_buf(y, F32, NULL, n), arg_e(n)};
	static const Loc nodes[] = {{.node = "/Concat"}, {.op = "Nameless"}, {.node = "/Other"}};
	static const Loc *const locs[] = {&nodes[0], &nodes[1], &nodes[2]};
	lstep(&b);
	lstep_cost(&b, li(&b, 0), lmul(&b, ldim(&b, dim_sym(l->m, "n")), li(&b, 8 * Cols)), 3, locs);
	lcall(&b, copy, 3, rows);
	lend(&b);
	LArg last[] = {arg_buf(w, F32, li(&b, 16), li(&b, Cols)), arg_buf(y, F32, n, li(&b, Cols)), arg_e(li(&b, Cols))};
	lstep(&b);
	lcall(&b, copy, 3, last);
	lend(&b);
	PUSH(l->m->arena, l->programs, l->nprog, l->capprog, b.fn);
}

static LModule *mini_model(void)
{
	static const float row[Cols] = {1, 2, 3, 4};
	Module *mod = new_module("mini", "test");
	const Dim *n = dim_sym(mod, "n"), *cols = dim_const(mod, Cols), *one = dim_const(mod, 1);
	Value *x = new_param(mod, "x.1", (Type){F32, 2, {n, cols}});
	Const *last = new_const(mod, "last", (Type){F32, 2, {one, cols}}, row, sizeof row);
	Value *y = build(mod, &mod->main->body, NULL, OpConcat, NULL, 2, (Value *[]){x, last->value}, 0, NULL, NULL);
	add_yield(mod, &mod->main->body, y);
	mod->main->results = arena_alloc(mod->arena, sizeof *mod->main->results);
	mod->main->results[0] = "int";
	LModule *l = new_lmodule(mod);
	mod->loops = l;
	LB b = builder_at(l, NULL, &l->checks);
	LExpr *sym = ldim(&b, n);
	l->bind[0] = lop(&b, LInDim, li(&b, 0), li(&b, 0), NULL);
	lcheck(&b, llt(&b, sym, li(&b, 100)), DCC_ERROR_RANGE, "n is {}, not below {}", sym, li(&b, 100), NULL);
	l->outdims[0] = ldim(&b, dim_add(mod, n, one));
	l->outdims[1] = li(&b, Cols);
	l->workspace = lmul(&b, sym, li(&b, 64));
	Value *weights[] = {const_i64(mod, 3, (int64_t[]){7, 8, 9})->value, last->value};
	l->weights = arena_alloc(mod->arena, sizeof weights);
	memcpy(l->weights, weights, sizeof weights);
	l->weight_off = arena_alloc(mod->arena, 2 * sizeof *l->weight_off);
	l->weight_off[1] = 64;
	l->nweight = 2;
	l->weight_bytes = WeightBytes;
	LFunc *copy = copy_kernel(l);
	for (int i = 0; i < ntargets; i++)
		mini_program(l, copy, &targets[i]);
	return l;
}

/* Two steps a target: the first says what it costs, for two named nodes; the second says nothing. */
static void check_mini_steps(const dcc_model *model)
{
	const int64_t syms[] = {3, 2};
	for (int t = 0; t < model->ntargets; t++) {
		const dcc_step *s = model->steps[t];
		double flop = -1, bytes = -1;
		CHECK_STR(s[0].kernel, text("copy.%s", model->targets[t].name, "", 0));
		CHECK_STR(s[1].kernel, s[0].kernel);
		CHECK_EQ(s[0].nnodes, 2);
		CHECK_STR(s[0].nodes[0], "/Concat");
		CHECK_STR(s[0].nodes[1], "/Other");
		CHECK_EQ(s[1].nnodes, 0);
		CHECK(s[0].cost == model->steps[0][0].cost && s[0].cost != s[1].cost);
		model->step_cost(syms, s[0].cost, &flop, &bytes);
		CHECK(flop == 0 && bytes == 3 * 8 * Cols);
		model->step_cost(syms, s[1].cost, &flop, &bytes);
		CHECK(flop == 0 && bytes == 0);
	}
}

static void check_mini_run(const dcc_model *model, const void *weights)
{
	float x[3 * Cols], y[4 * Cols] = {0};
	int64_t syms[] = {3, 2}, status[2] = {0};
	dcc_tensor in = {.data = x, .rank = 2, .dims = {3, Cols}}, out = {.data = y, .rank = 2, .dims = {4, Cols}};
	dcc_frame frame = {.in = &in, .out = &out, .weights = weights, .syms = syms, .status = status};
	for (int i = 0; i < 3 * Cols; i++)
		x[i] = (float)(i + 10);
	for (int t = 0; t < model->ntargets; t++) {
		if (!has_cpu(find_target(model->targets[t].name)))
			continue;
		memset(y, 0, sizeof y);
		model->targets[t].program(&frame, 0, 2, 0, 1); /* worker 0 alone: the first half of the rows */
		CHECK(y[5] == 15 && y[6] == 0 && y[12] == 0);
		model->targets[t].program(&frame, 1, 2, 0, model->nsteps);
		model->targets[t].program(&frame, 0, 2, 1, model->nsteps);
		CHECK(!memcmp(x, y, sizeof x) && y[12] == 1 && y[15] == 4);
	}
}

static void check_mini(const dcc_model *model, uint64_t (*workspace_size)(const int64_t *))
{
	dcc_tensor in = {.rank = 2, .dims = {101, Cols}}, out = {.rank = 2, .dims = {102, Cols}};
	int64_t syms[2] = {0, 3}, dims[DCC_MAX_RANK];
	model->bind(&in, syms);
	CHECK_EQ(syms[0], 101);
	CHECK_EQ(syms[1], 3);
	CHECK_EQ(model->check(&in, &out, syms, NULL), DCC_ERROR_RANGE);
	CHECK_EQ(reported_values[0], 101);
	CHECK_EQ(reported_values[1], 100);
	CHECK_STR(reported_text, "n is {}, not below {}");
	syms[0] = 99;
	CHECK_EQ(model->check(&in, &out, syms, NULL), DCC_OK);
	model->output_dims(syms, dims);
	CHECK_EQ(dims[0], 100);
	CHECK_EQ(dims[1], Cols);
	CHECK_EQ(dims[2], 0);
	CHECK_EQ((int64_t)model->workspace_size(syms), 99 * 64);
	CHECK_EQ((int64_t)workspace_size((int64_t[]){10, 0}), 640);
	check_mini_steps(model);
	CHECK(!memcmp(model->magic, "dcc\0mod", 8));
	CHECK_EQ(model->size, sizeof *model);
	CHECK_EQ(model->nsymbols, 1);
	CHECK_STR(model->symbols[0].name, "n");
	CHECK_STR(model->inputs[0].name, "x.1");
	CHECK_STR(model->outputs[0].name, "int");
	CHECK_EQ(model->outputs[0].dims[0], -1);
	CHECK_EQ(model->outputs[0].dims[1], Cols);
	CHECK_EQ(model->nsteps, 2);
	CHECK_EQ((int64_t)model->weights_size, WeightBytes);
}

static char *read_file(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	static char bytes[1 << 20];
	CHECK(f != NULL);
	if (!f)
		return NULL;
	*size = fread(bytes, 1, sizeof bytes - 1, f);
	bytes[*size] = 0;
	fclose(f);
	return bytes;
}

static void must_not_write(LModule *l, const EmitOptions *opt, const char *path)
{
	jmp_buf recover;
	volatile bool failed = false;
	if (!setjmp(recover)) {
		diag_recover = &recover;
		emit_object(l, opt, path);
	} else {
		failed = true;
	}
	diag_recover = NULL;
	CHECK(failed);
}

/* An object asks for nothing but the runtime's two functions. */
static void check_undefined(const char *obj)
{
	const Elf64_Ehdr *h = (const void *)obj;
	const Elf64_Shdr *s = (const void *)(obj + h->e_shoff);
	int n = 0;
	for (int i = 0; i < h->e_shnum; i++) {
		if (s[i].sh_type != SHT_SYMTAB)
			continue;
		const Elf64_Sym *sym = (const void *)(obj + s[i].sh_offset);
		const char *names = obj + s[s[i].sh_link].sh_offset;
		for (uint64_t k = 1; k < s[i].sh_size / sizeof *sym; k++) {
			const char *name = names + sym[k].st_name;
			if (sym[k].st_shndx != SHN_UNDEF)
				continue;
			n++;
			CHECK(!strcmp(name, "dcc_run") || !strcmp(name, "dcc_report"));
		}
	}
	CHECK(n >= 1);
}

static void check_texts(LModule *l, const EmitOptions *opt, const char *path)
{
	size_t size;
	emit_llvm(l, opt, path);
	char *text = read_file(path, &size);
	CHECK(strstr(text, "define internal void @mini.main.avx2(") && strstr(text, "\"target-cpu\"=\"x86-64-v3\""));
	CHECK(!strstr(text, " fast ") && !strstr(text, " contract ") && !strstr(text, " reassoc "));
	emit_assembly(l, opt, path);
	text = read_file(path, &size);
	CHECK(strstr(text, "mini.main.avx512:") && strstr(text, "mini_model:"));
}

/* The same module gives the same bytes. */
static void check_repeated(LModule *l, const EmitOptions *opt)
{
	void *first, *second;
	size_t size, other;
	emit_object_memory(l, opt, &first, &size);
	emit_object_memory(l, opt, &second, &other);
	CHECK(size == other && !memcmp(first, second, size));
	free(first);
	free(second);
}

static void check_embedded(LModule *l, EmitOptions opt, const char *object, const char *weights)
{
	size_t size;
	LLVMOrcLLJITRef jit;
	LLVMOrcExecutorAddress ws;
	emit_object(l, &opt, object);
	char *bytes = read_file(object, &size);
	const dcc_model *model = load(&jit, bytes, size, "mini");
	must(LLVMOrcLLJITLookup(jit, &ws, "mini_workspace_size"));
	CHECK(model->weights && !memcmp(model->weights, weights, WeightBytes));
	CHECK(!memcmp(&model->weights_hash, weights + WeightBytes, 8));
	check_mini(model, (uint64_t(*)(const int64_t *))(uintptr_t)ws);
	check_mini_run(model, model->weights);
	check_undefined(bytes);
	must(LLVMOrcDisposeLLJIT(jit));
}

static void check_side_file(LModule *l, EmitOptions opt, const char *object, const char *side, const char *weights)
{
	size_t size;
	LLVMOrcLLJITRef jit;
	opt.weights_path = side;
	emit_object(l, &opt, object);
	char *bytes = read_file(object, &size);
	const dcc_model *model = load(&jit, bytes, size, "mini");
	CHECK(!model->weights && !memcmp(&model->weights_hash, weights + WeightBytes, 8));
	bytes = read_file(side, &size);
	CHECK(size == WeightBytes + 16 && !memcmp(bytes, weights, size));
	check_mini_run(model, bytes);
	must(LLVMOrcDisposeLLJIT(jit));
}

static void check_header(LModule *l, EmitOptions opt, const char *path)
{
	size_t size;
	opt.weights_path = "side";
	emit_header(l, &opt, path);
	const char *text_of = read_file(path, &size);
	CHECK(strstr(text_of, "typedef struct mini_dims {\n\tint64_t n;"));
	CHECK(strstr(text_of, "const float *x_1,\n\tfloat *t_int,\n\tconst void *weights"));
}

/* Nothing is left behind when the disk is full or the folder is not there. */
static void check_failures(LModule *l, EmitOptions opt, const char *object)
{
	FILE *null = fopen("/dev/null", "w");
	diag_stream = null;
	remove(object);
	must_not_write(l, &opt, "/dev/full");
	must_not_write(l, &opt, "/dev/null/mini.o");
	opt.weights_path = "/dev/full";
	must_not_write(l, &opt, object);
	CHECK(!fopen(object, "rb"));
	diag_stream = NULL;
	fclose(null);
}

/* Options for an object of all targets. */
static EmitOptions for_all_targets(void)
{
	static const Target *all[8];
	if (ntargets > (int)(sizeof all / sizeof *all))
		bug("%d targets", ntargets);
	for (int i = 0; i < ntargets; i++)
		all[i] = &targets[i];
	return (EmitOptions){.ntarget = ntargets, .target = all};
}

static void check_model(void)
{
	char folder[] = "/tmp/dcc-emit-XXXXXX", object[64], side[64], other[64];
	EmitOptions opt = for_all_targets();
	LModule *l = mini_model();
	size_t size;
	void *weights;
	if (!mkdtemp(folder))
		bug("mkdtemp");
	snprintf(object, sizeof object, "%s/mini.o", folder);
	snprintf(side, sizeof side, "%s/mini.bin", folder);
	snprintf(other, sizeof other, "%s/mini.h", folder);
	emit_weights_memory(l, &weights, &size);
	CHECK_EQ((int64_t)size, WeightBytes + 16);
	check_repeated(l, &opt);
	check_embedded(l, opt, object, weights);
	check_side_file(l, opt, object, side, weights);
	check_texts(l, &opt, other);
	check_header(l, opt, other);
	check_failures(l, opt, object);
	remove(side);
	remove(other);
	CHECK_EQ(remove(folder), 0);
	free(weights);
	free_module(l->m);
}

/* All cases, as code. */
static void check_cases(const EmitOptions *opt)
{
	void *bytes;
	size_t size;
	LLVMOrcLLJITRef jit;
	emit_object_memory(lm, opt, &bytes, &size);
	check_undefined(bytes);
	const dcc_model *model = load(&jit, bytes, size, "t");
	CHECK_EQ(model->nsteps, ncase);
	CHECK_EQ(model->ntargets, ntargets);
	CHECK(!model->weights);
	for (int i = 0; i < ntargets; i++)
		if (has_cpu(&targets[i]))
			check_target(model, &targets[i]);
	must(LLVMOrcDisposeLLJIT(jit));
	free(bytes);
}

int main(int argc, char **argv)
{
	EmitOptions opt = for_all_targets();
	m = new_module("t", "test");
	lm = new_lmodule(m);
	add_cases();
	for (int i = 0; i < ntargets; i++)
		add_program(&targets[i]);
	if (argc > 1) {
		emit_assembly(lm, &opt, argv[1]);
		return 0;
	}
	for (int i = 0; i < ntargets; i++)
		if (!has_cpu(&targets[i]))
			printf("emit: this CPU cannot run %s; skipped\n", targets[i].name);
	check_cases(&opt);
	opt.quick = true;
	check_cases(&opt);
	for (int i = 0; i < ntargets; i++)
		CHECK(find_target(targets[i].name) == &targets[i] && find_target(targets[i].march) == &targets[i]);
	CHECK(find_target("avx2") == find_target("x86-64-v3") && find_target("avx2") != NULL);
	CHECK(!find_target("avx") && !find_target(""));
	check_model();
	free_module(m);
	return test_end("emit");
}
