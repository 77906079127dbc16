/* vmath.h - the math functions that schedules build: polynomials over f32 and f64 vectors (any lanes) as loop IR; vmath.c and
 * vmath_f64.c state their bounds. */
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
LExpr *vm_pow(LB *, LExpr *, LExpr *); /* of integers too */
LExpr *vm_fmod(LB *, LExpr *, LExpr *);
LExpr *vm_sigmoid(LB *, LExpr *);

/* vmath_f64.c: what vmath.c's functions are for f64. */
LExpr *vm_exp_f64(LB *, LExpr *);
LExpr *vm_log_f64(LB *, LExpr *);
LExpr *vm_tanh_f64(LB *, LExpr *);
LExpr *vm_erf_f64(LB *, LExpr *);
LExpr *vm_sin_f64(LB *, LExpr *);
LExpr *vm_cos_f64(LB *, LExpr *);
LExpr *vm_atan_f64(LB *, LExpr *);
LExpr *vm_power_f64(LB *, LExpr *a, LExpr *y); /* of a >= 0 */
void vm_split_f64(LB *, LExpr *x, LExpr **m, LExpr **e); /* x = 2^e m, for normal x */

#endif
