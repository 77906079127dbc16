/* attention.h - what the two schedules of attention share: tiles of queries (lower_attention.c), and single ones (lower_attention_rows.c). */
#ifndef DCC_ATTENTION_H
#define DCC_ATTENTION_H

#include "lower.h"

typedef struct Att {
	Kernel *k;
	Node *n;
	Access q, mask, out;
	bool masked, bool_mask, zero_masked, zero_nan;
	double fill; /* the score of what a mask of bools hides */
	int64_t left, right; /* the window; -1: no bound */
	LBuf *keys, *values, *scratch, *acc, *sums, *mosts; /* sums and mosts: of the rows of a tile, in a vector */
	const Dim *T, *S, *R, *V, *panels, *vpanels;
	LExpr *seen, *first_panel, *seen_panels; /* a tile looks at keys before `seen`, which are panels first_panel .. seen_panels - 1 */
	LBuf *runs; /* NULL, or it looks at those that the list at `runs_at` names too: open_runs() */
	LExpr *runs_at;
	LBuf *again; /* one cell, 1: the tile looks at all keys, whatever the list says; NULL: it never does */
	LExpr *first_key; /* a row looks at keys first_key .. seen - 1 */
	LExpr *count, *from, *to, *qs, *scores; /* of the tile; the last two are offsets into scratch */
	Chunks chunks;
	const Dim *part; /* keys of a batch: a query sees chunks.parts such, one behind the other */
	LExpr *mask_base, *kv_head, *kv[MaxShifts]; /* kv: of each part, the number of the (batch, kv head) pair */
	LExpr *value_at[MaxShifts]; /* where the panel of values in work has the row of key 0, as far as each part is concerned */
} Att;

static const LType F32x16 = {F32, Lanes};

void attend_rows(Lower *, Node *, Value *home, const Dim *runs); /* few queries */

/* ---- attention.c ------------------------------------------------------------------------------------------------------- */

/* Shapes, operands, masks. */
void open_attention(Att *, Kernel *, Node *, Value *home);
Access head_matrix(const Access *, int row_axis, int col_axis); /* [batch, head, rows, columns] */
LExpr *by_part(Att *, LExpr *key, LExpr *const *of); /* that of the part which has the key */
Access mask_access(Kernel *, Node *); /* [batch or 1, head or 1, query or 1, key or 1] */
void find_head(Att *, LExpr *bh, LExpr **batch, LExpr **head); /* of a (batch, query head) pair's number; sets a->kv */
bool hides_keys(const Att *); /* from some queries */
LExpr *mask_shows(LB *, LExpr *mask); /* of what is loaded of a mask: is the key seen?  Lanes or one. */
LExpr *score_at(Att *, LExpr *panel, LExpr *i, LExpr *j); /* where the score vector of row i of the tile, keys panel*32 + j .., lies in scratch */
void prefetch_mask(Att *, LExpr *query, LExpr *key); /* that of the same keys and place in the next tile: it may come from memory */
/* The scores s of keys key .. key + 15 (`inside`: those that exist, NULL: all) and row `query`, masked.  -inf hides a key, whatever its score. */
LExpr *masked_scores(Att *, LExpr *s, LExpr *query, LExpr *key, LExpr *inside);
/* `run` is the largest of the scores so far, s among them.  A NaN need not show but in the logarithm of the sum. */
void keep_largest(Att *, LTile *run, LExpr *s);
/* What is subtracted from every score of the row.  Where all are -inf that would make NaN of them. */
LExpr *largest_score(Att *, LTile *run);
/* The sum of the exponentials of row i, keys first .. end - 1 (NULL: of the tile); if it is NaN, the probabilities are, which may have
 * to be 0. */
LExpr *sum_of_row(Att *, LTile *run, LExpr *i, LExpr *first, LExpr *end);
/* 1 at least, as the largest score counts 1, but 0 for a row of zeros, where the product with the values is 0; NaN stays. */
LExpr *score_divisor(LB *, LExpr *sum);
/* What lse asks for, of a row or a vector of them: l = log(sum) + most, or a `most` that is not finite.  *divisor becomes what rows are divided
 * by in place of the sum: exp(l - most), since probabilities are exp(s - l) then: beside a large `most` the logarithm is rounded away. */
LExpr *log_sum(LB *, LExpr *most, LExpr *sum, LExpr **divisor);
/* The keys that lie in the window of `query`: from *first to *end - 1, where there are any. */
void keys_of_row(Att *, LExpr *query, LExpr **first, LExpr **end);
LExpr *plain_zero(Att *, LExpr *y); /* a sum of -0 depends on how many zeros it has */

typedef struct Column { /* 16 channels of the values, and the probabilities of row i */
	const Access *x; /* NULL: from column `from` on of the panel in work */
	LExpr *from, *mask, *i;
} Column;

LExpr *load_value(Att *, const Column *, LExpr *key);
/* A one-lane Bool: is a lane of y not finite?  0 times such a value of a hidden key is NaN, so the sum is made again. */
LExpr *is_spoilt(LB *, LExpr *y);
/* Adds keys first .. end - 1, but those that the mask hides from the query and that have no part in the sum of probabilities. */
void add_seen_keys(Att *, const Column *, LTile *sum, LExpr *query, LExpr *first, LExpr *end);

/* ---- key_runs.c -------------------------------------------------------------------------------------------------------- */

Slot *listed_keys(Lower *, Node *); /* the lists of the node's mask, made now or before; NULL: there is none */
void find_list(Att *, LExpr *batch, LExpr *head, LExpr *tile, const Dim *tiles); /* sets a->runs_at */
LExpr *is_again(Att *);
/* What follows is done for each run of the list, cut to the window: first_panel, seen_panels, seen.  Returns what close_runs() takes. */
Att open_runs(Att *);
void close_runs(Att *, const Att *window);

#endif
