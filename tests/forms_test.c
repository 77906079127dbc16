/* forms_test.c - scalar expressions through LLVM's passes, which must not change a bit of what the loop IR says.
 *
 * LLVM's folds of comparisons look through absolute values, negations and selects, and some have been wrong.  So each
 * form is applied to the result of each other, and random expressions are built of several, on all pairs of special
 * values; machine.h compares with the interpreter.  usage: forms_test [SEED COUNT]: COUNT random kernels instead
 */
#include "machine.h"

enum { Data = Specials * Specials, Outputs = 8 };

static LType vec; /* of the kernel that is built */

static bool is_float(void)
{
	return dtypes[vec.elem].cls == ClassFloat;
}

static LExpr *number(LB *b, double v)
{
	return lconst(b, vec, v);
}

static LExpr *bits(LB *b, LOp op, LExpr *x, uint64_t f32, uint64_t f64)
{
	LType type = {vec.elem == F64 ? I64 : I32, vec.lanes};
	LExpr *mask = lcast(b, LConvert, (LType){type.elem, 1}, li(b, (int64_t)(vec.elem == F64 ? f64 : f32)));
	if (vec.lanes > 1)
		mask = lcast(b, LSplat, type, mask);
	return lcast(b, LBitcast, vec, lop(b, op, lcast(b, LBitcast, type, x), mask, NULL));
}

static LExpr *through(LB *b, DType t, LExpr *x)
{
	return lcast(b, LConvert, vec, lcast(b, LConvert, (LType){t, vec.lanes}, x));
}

/* ---- forms ----------------------------------------------------------------------------------------------------- */

typedef enum Second { None, Y, X, Zero, MinusZero, One, Inf, Most, Least } Second; /* Most, Least: normal f32; see second_of */

typedef enum Shape {
	Apply,   /* op(x, second) */
	Swapped, /* op(second, x) */
	Pick,    /* select(op(x, second), x, y) */
	Negate,  /* select(op(x, second), x, -x) */
	Flip,    /* select(op(x, second), 0 - x, x) */
	Not,     /* select(not op(x, second), x, 0) */
	Count,   /* the mask as a number */
	SetSign,
	ClearSign,
	Through, /* I32 */
	Narrow,  /* through I8 */
} Shape;

typedef struct Form {
	Shape shape;
	LOp op;
	Second second;
} Form;

static const Form forms[] = {
	{Apply, LNeg, None}, {Apply, LAbs, None}, {Apply, LSqrt, None}, {Apply, LFloor, None}, {Apply, LCeil, None},
	{Apply, LRound, None}, {Apply, LAdd, One}, {Apply, LAdd, MinusZero}, {Apply, LAdd, X}, {Apply, LSub, Y}, {Apply, LSub, X},
	{Swapped, LSub, Zero}, {Apply, LMul, X}, {Apply, LMul, Y}, {Apply, LMul, Zero}, {Swapped, LDiv, One}, {Apply, LDiv, Y},
	{Apply, LMax, Zero}, {Swapped, LMax, Zero}, {Apply, LMax, MinusZero}, {Apply, LMax, Y}, {Apply, LMax, Inf},
	{Apply, LMin, Zero}, {Swapped, LMin, Zero}, {Apply, LMin, Most}, {Swapped, LMin, Y}, {Apply, LMin, Inf},
	{Apply, LPMax, Zero}, {Swapped, LPMax, Zero}, {Apply, LPMax, Y}, {Apply, LPMin, MinusZero}, {Swapped, LPMin, Inf},
	{Apply, LPMin, X}, {Pick, LEq, Zero}, {Pick, LNe, X}, {Pick, LLt, Zero}, {Pick, LLe, Inf}, {Pick, LEq, Inf},
	{Pick, LLt, Least}, {Pick, LLe, Y}, {Negate, LLt, Zero}, {Negate, LLe, Zero}, {Negate, LEq, X}, {Flip, LLe, Zero},
	{Flip, LLt, Zero}, {Not, LLt, Zero}, {Not, LLe, Zero}, {Not, LEq, Inf}, {Not, LNe, Zero}, {Count, LLt, Y},
	{Count, LEq, Zero}, {Count, LNe, X}, {SetSign, 0, None}, {ClearSign, 0, None}, {Through, 0, None}, {Narrow, 0, None},
};
enum { NForms = sizeof forms / sizeof *forms };

static const Form int_forms[] = {
	{Apply, LNeg, None}, {Apply, LAbs, None}, {Apply, LNot, None}, {Apply, LAdd, Y}, {Apply, LAdd, One}, {Apply, LSub, Y},
	{Swapped, LSub, Zero}, {Apply, LMul, Y}, {Apply, LMul, X}, {Apply, LMul, Inf}, {Apply, LFloorDiv, Y}, {Apply, LFloorDiv, Most},
	{Apply, LFloorDiv, Least}, {Swapped, LFloorDiv, Inf}, {Apply, LFloorDiv, MinusZero}, {Apply, LMod, Y}, {Apply, LMod, Most},
	{Apply, LMod, Inf}, {Apply, LMod, MinusZero}, {Apply, LMin, Y}, {Apply, LMin, Zero}, {Swapped, LMin, Inf}, {Apply, LMax, Y},
	{Apply, LMax, Zero}, {Swapped, LMax, MinusZero}, {Apply, LPMin, Most}, {Apply, LPMax, Y}, {Apply, LAnd, Y},
	{Apply, LAnd, Inf}, {Apply, LOr, Y}, {Apply, LXor, MinusZero}, {Apply, LShl, Y}, {Apply, LShl, One}, {Apply, LShl, Most},
	{Swapped, LShl, One}, {Apply, LShr, Y}, {Apply, LShr, Most}, {Apply, LShr, MinusZero}, {Pick, LLt, Zero}, {Pick, LLe, Y},
	{Pick, LEq, One}, {Negate, LLt, Zero}, {Negate, LLe, Most}, {Flip, LLt, Zero}, {Not, LNe, MinusZero}, {Not, LLe, Y},
	{Count, LLt, Y}, {Count, LEq, Zero}, {Through, 0, None}, {Narrow, 0, None},
};
enum { NIntForms = sizeof int_forms / sizeof *int_forms };

static LExpr *second_of(LB *b, Second s, LExpr *x, LExpr *y)
{
	static const double floats[] = {
		[Zero] = 0.0, [MinusZero] = -0.0, [One] = 1, [Inf] = INFINITY, [Most] = 0x1.fffffep127, [Least] = 0x1p-126,
	};
	static const double ints[] = {[Zero] = 0, [MinusZero] = -1, [One] = 1, [Inf] = 7, [Most] = 16, [Least] = 3};
	return s == None ? NULL : s == X ? x : s == Y ? y : number(b, (is_float() ? floats : ints)[s]);
}

static LExpr *apply(LB *b, const Form *f, LExpr *x, LExpr *y)
{
	LExpr *other = second_of(b, f->second, x, y);
	switch (f->shape) {
	case Apply: return lop(b, f->op, x, other, NULL);
	case Swapped: return lop(b, f->op, other, x, NULL);
	case SetSign: return bits(b, LOr, x, 0x80000000, 1ull << 63);
	case ClearSign: return bits(b, LAnd, x, 0x7fffffff, ~(1ull << 63));
	case Through: return through(b, I32, x);
	case Narrow: return through(b, I8, x);
	default: break;
	}
	LExpr *mask = lop(b, f->op, x, other, NULL);
	switch (f->shape) {
	case Pick: return lop(b, LSelect, mask, x, y);
	case Negate: return lop(b, LSelect, mask, x, lop(b, LNeg, x, NULL, NULL));
	case Flip: return lop(b, LSelect, mask, lsub(b, number(b, 0), x), x);
	case Not: return lop(b, LSelect, lop(b, LNot, mask, NULL, NULL), x, number(b, 0));
	default: return lcast(b, LConvert, vec, mask);
	}
}

/* ---- kernels --------------------------------------------------------------------------------------------------- */

typedef LExpr *Grow(LB *, int which, LExpr *x, LExpr *y);

/* z[which, i] = grow(which)(x[i], y[i]) */
static void add_kernel(LType t, int first, int end, Grow *grow)
{
	LB b = new_kernel(lm, text("forms.%s%s.%d", dtypes[t.elem].text, t.lanes > 1 ? "" : ".scalar", first), NULL);
	LBuf *bx = lparam_buf(&b, "x", t.elem, false), *by = lparam_buf(&b, "y", t.elem, false);
	LBuf *z = lparam_buf(&b, "z", t.elem, true);
	vec = t;
	LExpr *i = lfor(&b, ForSerial, li(&b, 0), li(&b, Data), li(&b, t.lanes));
	LExpr *x = llet(&b, lload(&b, bx, t.lanes, i, NULL, NULL)), *y = llet(&b, lload(&b, by, t.lanes, i, NULL, NULL));
	for (int k = first; k < end; k++)
		lstore(&b, z, ladd(&b, i, li(&b, (k - first) * Data)), NULL, NULL, grow(&b, k, x, y));
	lend(&b);
	add_case(&b)->fill = is_float() ? Pairs : Wild;
}

static void add_kernels(LType t, int n, Grow *grow)
{
	for (int k = 0; k < n; k += Outputs)
		add_kernel(t, k, k + Outputs < n ? k + Outputs : n, grow);
}

static LExpr *grow_pair(LB *b, int which, LExpr *x, LExpr *y)
{
	LExpr *inner = llet(b, apply(b, &forms[which / NForms], x, y));
	return apply(b, &forms[which % NForms], inner, y);
}

static int pick(int n)
{
	return (int)((next_random() >> 20) % (uint64_t)n);
}

static LExpr *random_mask(LB *b, LExpr *const *pool, int n)
{
	static const LOp compares[] = {LEq, LNe, LLt, LLe}, joins[] = {LAnd, LOr, LXor};
	LExpr *mask = NULL;
	for (int i = 0; i <= pick(3); i++) {
		LExpr *x = pool[pick(n)];
		LExpr *c = lop(b, compares[pick(4)], x, second_of(b, (Second)(Y + pick(Least)), x, pool[pick(n)]), NULL);
		mask = mask ? lop(b, joins[pick(3)], mask, c, NULL) : c;
	}
	return llet(b, mask);
}

static LExpr *grow_random(LB *b, int which, LExpr *x, LExpr *y)
{
	enum { Steps = 7 };
	LExpr *pool[Steps + 2] = {x, y};
	(void)which;
	for (int n = 2; n < Steps + 2; n++) {
		LExpr *u = pool[pick(4) ? n - 1 : pick(n)], *v = pool[pick(n)];
		if (pick(4))
			pool[n] = llet(b, apply(b, is_float() ? &forms[pick(NForms)] : &int_forms[pick(NIntForms)], u, v));
		else
			pool[n] = llet(b, lop(b, LSelect, random_mask(b, pool, n), u, pick(2) ? v : number(b, 0)));
	}
	return pool[Steps + 1];
}

/* Kernels of every type, of vectors and of scalars. */
static void add_random(int count)
{
	for (int i = 0; i < count; i++) {
		DType t = (DType)(i % NDTypes);
		if (t != Bool && !is_stored(t))
			add_kernels((LType){t, i / NDTypes % 2 ? 1 : Lanes}, Outputs, grow_random);
	}
}

static void check_all(const Target *t)
{
	EmitOptions opt = {.ntarget = 1, .target = &t};
	LLVMOrcLLJITRef jit;
	void *bytes;
	size_t size;
	emit_object_memory(lm, &opt, &bytes, &size);
	check_target(load(&jit, bytes, size, "t"), t);
	must(LLVMOrcDisposeLLJIT(jit));
	free(bytes);
}

int main(int argc, char **argv)
{
	m = new_module("t", "test");
	lm = new_lmodule(m);
	if (argc > 2) {
		seed = strtoull(argv[1], NULL, 10);
		add_random(atoi(argv[2]));
	} else {
		add_kernels(vf32, NForms * NForms, grow_pair);
		add_random(64);
	}
	for (int i = 0; i < ntargets; i++)
		add_program(&targets[i]);
	for (int i = 0; i < ntargets; i++) {
		if (has_cpu(&targets[i]))
			check_all(&targets[i]);
		else
			printf("forms: this CPU cannot run %s; skipped\n", targets[i].name);
	}
	free_module(m);
	return test_end("forms");
}
