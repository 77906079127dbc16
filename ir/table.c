/* table.c - a hash table, and the hashes: keyed ones for what a file gives, constant ones for what is written to files. */
#include "ir.h"

#include <string.h>
#include <sys/auxv.h>

/* ---- hash table ------------------------------------------------------------------------------------------------- */

static TableSlot *empty_slot(const Table *t, uint64_t hash)
{
	uint64_t i = hash;
	while (t->slots[i & (t->cap - 1)].item)
		i++;
	return &t->slots[i & (t->cap - 1)];
}

void *table_find(const Table *t, uint64_t hash, bool (*same)(const void *item, const void *key), const void *key)
{
	if (!t->cap)
		return NULL;
	for (uint64_t i = hash;; i++) {
		const TableSlot *s = &t->slots[i & (t->cap - 1)];
		if (!s->item || (s->hash == hash && same(s->item, key)))
			return s->item;
	}
}

void table_add(Arena *a, Table *t, uint64_t hash, void *item)
{
	if (4 * (t->count + 1) > 3 * t->cap) {
		Table big = {NULL, t->count, t->cap ? 2 * t->cap : 16};
		big.slots = arena_alloc(a, big.cap * sizeof *big.slots);
		for (uint64_t i = 0; i < t->cap; i++)
			if (t->slots[i].item)
				*empty_slot(&big, t->slots[i].hash) = t->slots[i];
		*t = big;
	}
	*empty_slot(t, hash) = (TableSlot){hash, item};
	t->count++;
}

static uint64_t mix(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15u; /* 2^64 / golden ratio */
	return h ^ (h >> 29) ^ (h << 31);
}

uint64_t hash_bytes(const void *data, size_t bytes, uint64_t seed)
{
	const char *p = data;
	uint64_t h = mix(seed + 0x5851f42d4c957f2du, bytes), word;
	size_t left = bytes;
	for (; left >= sizeof word; p += sizeof word, left -= sizeof word) {
		memcpy(&word, p, sizeof word);
		h = mix(h, word);
	}
	if (left) {
		word = 0;
		memcpy(&word, p, left);
		h = mix(h, word);
	}
	h = mix(h, h >> 32);
	return h ^ (h >> 32);
}

/* ---- keyed hashing ---------------------------------------------------------------------------------------------- */

/* The kernel draws these bytes for every process: who writes a model cannot choose names that collide. */
static uint64_t table_key[2];

__attribute__((constructor)) static void draw_table_key(void)
{
	const void *random = (const void *)getauxval(AT_RANDOM);
	if (random)
		memcpy(table_key, random, sizeof table_key);
}

static uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32) + v[3];
	v[2] += v[1];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
}

/* SipHash-1-3 (Aumasson and Bernstein, 2012); the seed is part of the key. */
uint64_t table_hash(const void *data, size_t bytes, uint64_t seed)
{
	uint64_t k0 = table_key[0] ^ seed, k1 = table_key[1], word;
	uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u};
	const char *p = data;
	size_t left = bytes;
	for (; left >= sizeof word; p += sizeof word, left -= sizeof word) {
		memcpy(&word, p, sizeof word);
		sip_word(v, word);
	}
	word = (uint64_t)bytes << 56;
	if (left) /* little-endian */
		memcpy(&word, p, left);
	sip_word(v, word);
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* Both halves of a product with a secret factor. */
uint64_t table_join(uint64_t hash, uint64_t word)
{
	unsigned __int128 product = (unsigned __int128)(hash ^ table_key[0]) * (table_key[1] | 1);
	product = (unsigned __int128)((uint64_t)product ^ (uint64_t)(product >> 64) ^ word) * 0x9e3779b97f4a7c15u;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}
