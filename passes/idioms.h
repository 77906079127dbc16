/* idioms.h - patterns that rules.def cannot say, because they are recognised on views instead of on operator chains. */
#ifndef DCC_IDIOMS_H
#define DCC_IDIOMS_H

#include "pass.h"

bool fuse_winconv(Module *, Node *); /* n ends a window contraction: replaced by winconv */
bool fuse_attention(Module *, Node *); /* n is the product of probabilities and values */
/* log_sum.c: p is exp(s - l), where l is the logarithm of the sum of exp(s) along the last axis, and nothing else needs what lies between:
 * returns l, which other nodes may read, NULL otherwise. */
Value *log_sum_of(const Value *p);
bool is_log_sum_ready(const Value *l, const Value *p, const Node *end); /* do only nodes behind `end` read l, p aside */
bool see_blocks(Module *, Node *); /* n is an attention whose keys are blocks that a constant names */
bool see_chunks(Module *, Node *); /* n is an attention of chunks to chunks beside them */
bool fuse_dft(Module *, Node *); /* n is a Fourier transform */
bool fuse_glu(Module *, Node *); /* n multiplies two halves of one value */
bool fuse_reparam(Module *, Node *, Table *weights); /* n sums convolutions of one value.  weights: what is known of their weights, {0} at first */
bool fuse_conv(Module *, Node *); /* n is a convolution that linear can do */
/* n multiplies by a constant matrix that is one number but for a band.  bands: what is known of such matrices, {0} at first. */
bool fuse_band(Module *, Node *, Table *bands);
bool fuse_experts(Module *, Node *); /* n multiplies by matrices that an index takes out of a constant, or adds their bias */
bool fuse_matrices(Module *, Node *); /* n multiplies each batch by a constant matrix of its own */

#endif
