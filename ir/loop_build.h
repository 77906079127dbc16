/* loop_build.h - what the builders of loop IR share: loop.c, loop_expr.c, loop_stmt.c.  Types that do not fit are a schedule's: bug(). */
#ifndef DCC_LOOP_BUILD_H
#define DCC_LOOP_BUILD_H

#include "lex.h"

/* ---- loop.c ------------------------------------------------------------------------------------------------------- */

LVar *new_lvar(Arena *, const char *name, LType);
LBuf *new_buf(LB *, const char *name, DType elem, int64_t count, bool written); /* count: of elements */
const char *fresh_name(LB *, const char *prefix); /* prefix and a number: none of the function's parameters and symbols */

/* ---- loop_expr.c -------------------------------------------------------------------------------------------------- */

LExpr *ref_var(LB *, LVar *);
bool is_int_const(const LExpr *, int64_t *value);
const char *fn_name(const LB *); /* of the function being built, for messages */
void check_type(LB *, const char *what, const LExpr *, LType want);
/* Of a load or store; stride 1 and an all-true mask become NULL. */
void check_access(LB *, const LBuf *, int lanes, LExpr *idx, LExpr **stride, LExpr **mask);
LExpr *splat_expr(LB *, LExpr *); /* to all lanes, if it is not one of all */

#endif
