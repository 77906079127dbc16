/* arena.c - memory that is freed whole, mapped files that belong to it, and hashing.
 *
 * An arena is a list of zeroed chunks, filled from the head; a large object gets a chunk of its own behind the head, so
 * that the rest of the head stays in use.  An arena inside of another is freed with it, if not before.
 */
#include "ir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { Align = 16, FirstChunk = 1 << 16, FirstInner = 1 << 13, LastChunk = 1 << 20 }; /* bytes */
#define MaxFileBytes ((uint64_t)1 << 40)

typedef struct Chunk {
	struct Chunk *next;
	size_t used, bytes; /* of data */
	_Alignas(Align) char data[];
} Chunk;

typedef struct Mapping {
	struct Mapping *next; /* of the arena */
	struct Mapping *older; /* of all mappings of the thread */
	char *base;
	size_t bytes;
	dev_t device; /* of the file */
	ino_t inode;
	const char *path;
} Mapping;

struct Arena {
	Chunk *head;
	size_t next_bytes;
	Mapping *mappings;
	Arena *outer, *inner, *prev, *next; /* prev, next: inside of the same one */
};

static _Thread_local Mapping *newest; /* whose older ones are all that there are */

static Chunk *new_chunk(size_t bytes)
{
	Chunk *c = bytes > SIZE_MAX / 2 ? NULL : calloc(1, sizeof *c + bytes);
	if (!c)
		refuse_at(NULL, "out of memory: %zu bytes needed", bytes);
	c->bytes = bytes;
	return c;
}

Arena *new_arena(void)
{
	Arena *a = calloc(1, sizeof *a);
	if (!a)
		refuse_at(NULL, "out of memory");
	a->next_bytes = FirstChunk;
	return a;
}

Arena *new_inner_arena(Arena *outer)
{
	Arena *a = new_arena();
	a->next_bytes = FirstInner;
	a->outer = outer;
	a->next = outer->inner;
	if (a->next)
		a->next->prev = a;
	return outer->inner = a;
}

static void leave_outer(Arena *a)
{
	if (a->next)
		a->next->prev = a->prev;
	if (a->prev)
		a->prev->next = a->next;
	else
		a->outer->inner = a->next;
}

static void unmap(Mapping *m)
{
	Mapping **at = &newest;
	while (*at && *at != m)
		at = &(*at)->older;
	if (*at)
		*at = m->older;
	munmap(m->base, m->bytes);
}

const char *mapped_file_at(const void *p)
{
	for (const Mapping *m = newest; m; m = m->older)
		if ((const char *)p >= m->base && (const char *)p < m->base + m->bytes)
			return m->path;
	return NULL;
}

void free_arena(Arena *a)
{
	if (!a)
		return;
	if (a->outer)
		leave_outer(a);
	while (a->inner)
		free_arena(a->inner);
	for (Mapping *m = a->mappings; m; m = m->next)
		unmap(m);
	for (Chunk *c = a->head, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	free(a);
}

static void *alloc_large(Arena *a, size_t bytes)
{
	Chunk *c = new_chunk(bytes);
	c->used = bytes;
	if (a->head) {
		c->next = a->head->next;
		a->head->next = c;
	} else {
		a->head = c;
	}
	return c->data;
}

void *arena_alloc(Arena *a, size_t bytes)
{
	if (bytes > SIZE_MAX / 2)
		refuse_at(NULL, "out of memory: %zu bytes needed", bytes);
	bytes = (bytes + Align - 1) & ~(size_t)(Align - 1);
	if (bytes > a->next_bytes / 4)
		return alloc_large(a, bytes);
	if (!a->head || a->head->bytes - a->head->used < bytes) {
		Chunk *c = new_chunk(a->next_bytes);
		c->next = a->head;
		a->head = c;
		if (a->next_bytes < LastChunk)
			a->next_bytes *= 2;
	}
	void *p = a->head->data + a->head->used;
	a->head->used += bytes;
	return p;
}

char *arena_strdup(Arena *a, const char *text)
{
	size_t bytes = strlen(text) + 1;
	return memcpy(arena_alloc(a, bytes), text, bytes);
}

char *arena_printf(Arena *a, const char *fmt, ...)
{
	va_list args, again;
	if (!fmt)
		bug("no format");
	va_start(args, fmt);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0)
		refuse_at(NULL, "text is too long");
	char *text = arena_alloc(a, (size_t)n + 1);
	vsnprintf(text, (size_t)n + 1, fmt, again);
	va_end(again);
	return text;
}

void *arena_grow(Arena *a, void *items, int count, int *cap, size_t item_bytes)
{
	if (count < *cap)
		return items;
	int want = *cap ? *cap : 4;
	size_t bytes;
	if (__builtin_mul_overflow(want, 2, &want) || __builtin_mul_overflow((size_t)want, item_bytes, &bytes))
		refuse_at(NULL, "out of memory: a list is too long");
	void *bigger = arena_alloc(a, bytes);
	if (count)
		memcpy(bigger, items, (size_t)count * item_bytes);
	*cap = want;
	return bigger;
}

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

/* ---- files ------------------------------------------------------------------------------------------------------ */

/* Reserves zero pages for the bytes and at least one more, then lays the file over them: the NUL is in a zero page, or
 * in the zeroed rest of the file's last page. */
static void *map_descriptor(Arena *a, int fd, const char *path, const struct stat *st)
{
	size_t bytes = (size_t)st->st_size, page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes / page + 1) * page;
	char *base = mmap(NULL, whole, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return NULL;
	if (bytes && mmap(base, bytes, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) == MAP_FAILED) {
		int why = errno;
		munmap(base, whole);
		errno = why;
		return NULL;
	}
	Mapping *m = arena_alloc(a, sizeof *m);
	*m = (Mapping){a->mappings, newest, base, whole, st->st_dev, st->st_ino, arena_strdup(a, path)};
	a->mappings = newest = m;
	return base;
}

static int check_file(int fd, struct stat *st)
{
	if (fstat(fd, st))
		return errno;
	if (S_ISDIR(st->st_mode))
		return EISDIR;
	if (!S_ISREG(st->st_mode))
		return EINVAL;
	return (uint64_t)st->st_size > MaxFileBytes ? EFBIG : 0;
}

/* Standard input as a file, which a pipe becomes by a copy in memory; the caller closes it. */
static int open_input(void)
{
	static int copy = -1;
	char bytes[1 << 16];
	struct stat st;
	if (!fstat(STDIN_FILENO, &st) && S_ISREG(st.st_mode))
		return dup(STDIN_FILENO);
	if (copy < 0) {
		int fd = memfd_create("stdin", MFD_CLOEXEC);
		for (ssize_t n; (n = read(STDIN_FILENO, bytes, sizeof bytes));)
			if (n < 0 || write(fd, bytes, (size_t)n) != n)
				return close(fd), -1;
		copy = fd;
	}
	return dup(copy);
}

const void *map_file(Arena *a, const char *path, size_t *bytes)
{
	struct stat st;
	int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : open_input();
	if (fd < 0)
		return NULL;
	int why = check_file(fd, &st);
	void *data = NULL;
	if (!why) {
		data = map_descriptor(a, fd, path, &st);
		why = errno;
		*bytes = (size_t)st.st_size;
	}
	close(fd);
	errno = data ? 0 : why;
	return data;
}

bool arena_maps(const Arena *a, const char *path)
{
	struct stat st;
	if (stat(path, &st))
		return false;
	for (const Mapping *m = a->mappings; m; m = m->next)
		if (m->device == st.st_dev && m->inode == st.st_ino)
			return true;
	return false;
}

const char *arena_mapped(const Arena *a, int i)
{
	for (const Mapping *m = a->mappings; m; m = m->next) {
		const Mapping *again = m->next;
		while (again && strcmp(again->path, m->path))
			again = again->next;
		if (!again && !i--)
			return m->path;
	}
	return NULL;
}
