/* idioms.c - the pass idioms: tries every recogniser at every node. */
#include "idioms.h"

bool pass_idioms(Module *m)
{
	bool changed = false;
	Table bands = {0}, weights = {0}; /* what is known of constants */

	FOR_ALL_NODES(n, m) /* glu looks at halves of their results */
		if (n->nout == 1 && n->out[0]->nuse)
			changed |= fuse_experts(m, n);
	FOR_ALL_NODES(n, m)
		if (n->nout == 1 && n->out[0]->nuse)
			changed |= fuse_reparam(m, n, &weights);
	changed |= remove_dead(m); /* what was joined uses x no more */
	FOR_ALL_NODES(n, m)
		if (n->nout == 1 && n->out[0]->nuse)
			changed |= fuse_dft(m, n) || fuse_glu(m, n) || fuse_winconv(m, n) || fuse_attention(m, n);
	FOR_ALL_NODES(n, m)
		changed |= see_blocks(m, n) || see_chunks(m, n);
	FOR_ALL_NODES(n, m) /* glu, winconv and attention look at whole convolutions and products */
		if (n->nout == 1 && n->out[0]->nuse)
			changed |= fuse_conv(m, n) || fuse_matrices(m, n) || fuse_band(m, n, &bands);
	changed |= remove_dead(m);
	return changed;
}
