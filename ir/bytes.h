/* bytes.h - products of bytes: how linear_bytes and pack_bytes group the steps of k by four.
 *
 * An i32 holds four bytes of a column of the weights, or of a row of x.  Steps of k come in blocks of 64: number i of a whole block's
 * sixteen groups has steps i, 16 + i, 32 + i and 48 + i, so that vectors of 16 neighbours make 16 groups; what is left at the end is a block
 * of as few groups as hold it.  Sums of i32 wrap, so their order does not matter.
 */
#ifndef DCC_BYTES_H
#define DCC_BYTES_H

#include <stdint.h>

enum { BytesOfGroup = 4, GroupsOfBlock = 16, BytesOfBlock = BytesOfGroup * GroupsOfBlock };

static inline int64_t byte_groups(int64_t depth)
{
	return depth / BytesOfGroup + (depth % BytesOfGroup != 0);
}

/* The step of k that byte `byte` of the group stands for; -1: none, it is 0. */
static inline int64_t byte_step(int64_t depth, int64_t group, int byte)
{
	int64_t begin = group / GroupsOfBlock * BytesOfBlock, left = depth - begin;
	int64_t groups = left < BytesOfBlock ? byte_groups(left) : GroupsOfBlock, at = byte * groups + group % GroupsOfBlock;
	return at < left ? begin + at : -1;
}

#endif
