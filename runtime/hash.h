/* hash.h - the hash of weights that the compiler writes and dcc_check_weights computes again.
 *
 * The sum of a mix (the finaliser of splitmix64: Steele, Lea, Flood 2014) of each word and its place.  Zero words add nothing, so
 * that parts between which there are only zeros are hashed one by one, in any order.
 */
#ifndef DCC_HASH_H
#define DCC_HASH_H

#include <stdint.h>
#include <string.h>

static inline uint64_t mix_word(uint64_t word, uint64_t at)
{
	uint64_t z = word + (at + 1) * UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return word ? z ^ z >> 31 : 0;
}

/* Of the bytes at offset `at`, a multiple of 8, of the weights. */
static inline uint64_t hash_weight_bytes(const void *bytes, uint64_t n, uint64_t at)
{
	const char *p = bytes;
	uint64_t hash = 0, word, i = 0;
	for (; i + sizeof word <= n; i += sizeof word) {
		memcpy(&word, p + i, sizeof word);
		hash += mix_word(word, at + i);
	}
	word = 0;
	memcpy(&word, p + i, n - i);
	return hash + mix_word(word, at + i);
}

#endif
