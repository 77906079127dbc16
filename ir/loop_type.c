/* loop_type.c - the types of loop IR's expressions, and whether their arguments fit. */
#include "lex.h"

char *ltype_text(Arena *arena, LType t)
{
	const char *elem = t.elem < NDTypes ? dtypes[t.elem].text : "?";
	return t.lanes == 1 ? arena_strdup(arena, elem) : arena_printf(arena, "%s<%d>", elem, t.lanes);
}

LType lop_type(const LExpr *e)
{
	switch (lops[e->op].result) {
	case ResultMask: return (LType){Bool, e->a[0]->type.lanes};
	case ResultScalar: return (LType){e->a[0]->type.elem, 1};
	case ResultArg1: return e->a[1]->type;
	case ResultSame: case ResultWide: return e->a[0]->type;
	case ResultGiven: break;
	}
	return asks_port(e->op) ? IndexType : e->type;
}

#define SAY(...) return arena_printf(arena, __VA_ARGS__)

const char *expect_ltype(Arena *arena, const char *what, const LExpr *e, LType want)
{
	if (!e)
		SAY("%s is missing", what);
	if (!same_ltype(e->type, want))
		SAY("%s is %s, expected %s", what, ltype_text(arena, e->type), ltype_text(arena, want));
	return NULL;
}

const char *place_error(Arena *arena, int lanes, const LExpr *idx, const LExpr *stride, const LExpr *mask)
{
	const char *why = expect_ltype(arena, "the index", idx, IndexType);
	if (!why && lanes == 1 && (stride || mask))
		SAY("an access to one lane has no stride and no mask");
	if (!why && stride)
		why = expect_ltype(arena, "the stride", stride, IndexType);
	if (!why && mask)
		why = expect_ltype(arena, "the mask", mask, MaskType);
	return why;
}

static const char *const_error(Arena *arena, const LExpr *e)
{
	Scalar s = e->value;
	if (s.dtype != e->type.elem || (!is_float(e->type) && wrap_int(s.dtype, s.i) != s.i))
		SAY("the constant %lld does not fit %s", (long long)s.i, dtypes[e->type.elem].text);
	return NULL;
}

static const char *cast_error(Arena *arena, const LExpr *e)
{
	LType to = e->type, from = e->op == LIota ? to : e->a[0]->type;
	bool same_lanes = to.lanes == from.lanes;
	if (e->op == LIota && (to.lanes != Lanes || to.elem == Bool || is_stored(to.elem)))
		SAY("iota of %s", ltype_text(arena, to));
	if (e->op == LSplat && (from.lanes != 1 || to.lanes != Lanes || to.elem != from.elem))
		SAY("splat of %s to %s", ltype_text(arena, from), ltype_text(arena, to));
	if (e->op == LConvert && !same_lanes)
		SAY("convert from %s to %s changes the lanes", ltype_text(arena, from), ltype_text(arena, to));
	bool bits = to.elem != Bool && from.elem != Bool && dtypes[to.elem].bits == dtypes[from.elem].bits;
	if (e->op == LBitcast && (!same_lanes || !bits))
		SAY("bitcast from %s to %s", ltype_text(arena, from), ltype_text(arena, to));
	return NULL;
}

static const char *operator_error(Arena *arena, const LExpr *e)
{
	const LOpInfo *info = &lops[e->op];
	int first = e->op == LSelect;
	LType want = e->a[first]->type;
	for (int i = 0; i < info->nargs; i++) {
		LType w = i < first ? (LType){Bool, want.lanes} : want;
		if (!same_ltype(e->a[i]->type, w))
			SAY("argument %d of %s is %s, expected %s", i + 1, info->text, ltype_text(arena, e->a[i]->type),
			    ltype_text(arena, w));
	}
	if (!loop_takes(e->op, want.elem))
		SAY("%s does not take %s", info->text, ltype_text(arena, want));
	if (takes_wide(e->op) && want.lanes != Lanes)
		SAY("%s takes 16 lanes, got %s", info->text, ltype_text(arena, want));
	if (asks_port(e->op))
		for (int i = 0; i < 2; i++)
			if (!same_ltype(want, IndexType) || e->a[i]->op != LConst)
				SAY("%s takes two constants%s", info->text, e->op == LInScaled ? " and an index" : "");
	return NULL;
}

const char *lexpr_error(Arena *arena, const LExpr *e)
{
	const char *why = NULL;
	if ((unsigned)e->op >= NLOps || (unsigned)e->type.elem >= NDTypes ||
	    (e->type.lanes != 1 && e->type.lanes != Lanes))
		SAY("a malformed expression");
	for (int i = 0; i < lops[e->op].nargs; i++)
		if (!e->a[i])
			SAY("%s takes %d arguments", lops[e->op].text, lops[e->op].nargs);
	switch (e->op) {
	case LConst: why = const_error(arena, e); break;
	case LRef: why = expect_ltype(arena, "the variable", e, e->var->type); break;
	case LLoad:
		why = expect_ltype(arena, "the load", e, (LType){e->buf->elem, e->type.lanes});
		if (!why)
			why = place_error(arena, e->type.lanes, e->a[0], e->stride, e->mask);
		break;
	case LElem:
		why = expect_ltype(arena, "the element", e, e->tile->type);
		for (int i = 0; i < 2 && !why; i++)
			why = expect_ltype(arena, i ? "the column" : "the row", e->a[i], IndexType);
		break;
	case LConvert: case LBitcast: case LSplat: case LIota: why = cast_error(arena, e); break;
	case LFailed: why = expect_ltype(arena, "failed", e, (LType){Bool, 1}); break;
	case LWorker: why = expect_ltype(arena, "worker", e, IndexType); break;
	default: why = operator_error(arena, e); break;
	}
	if (!why && !same_ltype(e->type, lop_type(e)))
		SAY("%s gives %s, the node says %s", lops[e->op].text, ltype_text(arena, lop_type(e)),
		    ltype_text(arena, e->type));
	return why;
}
