/* attention.h - attention as the importers of its operators put it together. */
#ifndef DCC_ATTENTION_H
#define DCC_ATTENTION_H

#include "build.h"

typedef struct Attending {
	Value *q, *k, *v; /* [batch, tokens, heads, width], f32 where the model stores less */
	Value *mask; /* over [batch, heads, queries, keys]: bool, or added to the scores; NULL: none */
	double scale, softcap; /* of the scores; see scale_by_width(); softcap 0: none */
	int64_t left, right; /* keys seen before and behind the query's own, the last query's being the last key; -1: all */
	bool zero_masked; /* a query without keys gives 0, not NaN */
} Attending;

typedef struct Rotary {
	Value *cosines, *sines, *positions; /* tables by position; without positions, [batch, tokens, half] */
	const Dim *width; /* of what turns: the first channels */
	bool interleaved; /* pairs are neighbours, not halves apart */
} Rotary;

/* x [batch, tokens, heads, width]: pairs (a, b) turn to (a cos - b sin, a sin + b cos). */
Value *rotate_heads(Call *, Value *x, const Rotary *);
/* [batch, tokens, heads * width] as [batch, tokens, heads, width] */
Value *split_heads(Call *, Value *, int64_t heads);
/* Keys or values [batch, tokens, heads, width] behind those of earlier calls, [batch, heads, tokens, width], if there are any. */
Value *append_past(Call *, Value *, Value *past);
/* The factor 1 / sqrt(width), which is a value where the width is a symbol. */
void scale_by_width(Call *, Attending *);
Value *attend(Call *, const Attending *); /* as one operator; [batch, tokens, heads, width] */
/* Query i stands for key first + i (i64, rank 0 or [batch, 1, 1, 1]): whether a key lies in its window; NULL: all do. */
Value *keys_in_window(Call *, const Attending *, Value *first, int64_t left, int64_t right);
/* The window if queries stand behind `past` keys: of the operator, or, where it does not know such a one, as a condition; NULL: none. */
Value *see_window(Call *, Attending *, const Dim *past, int64_t left, int64_t right);
/* What the model masks (or NULL) and what `sees` (or NULL) allows. */
Value *join_masks(Call *, Value *mask, Value *sees);

#endif
