/* vmath.h - the math functions that schedules build: polynomials over f32 vectors (any lanes) as loop IR; vmath.c states their bounds. */
#ifndef DCC_VMATH_H
#define DCC_VMATH_H

#include "../ir/loop.h"

LExpr *vm_exp(LB *, LExpr *);
LExpr *vm_log(LB *, LExpr *);
LExpr *vm_tanh(LB *, LExpr *);
LExpr *vm_erf(LB *, LExpr *);
LExpr *vm_sin(LB *, LExpr *);
LExpr *vm_cos(LB *, LExpr *);
LExpr *vm_atan(LB *, LExpr *);
LExpr *vm_pow(LB *, LExpr *, LExpr *);
LExpr *vm_sigmoid(LB *, LExpr *);

#endif
