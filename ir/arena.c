/* arena.c - memory that is freed whole, and mapped files that belong to it.
 *
 * An arena is a list of zeroed chunks, filled from the head; a large object gets a chunk of its own behind the head, so
 * that the rest of the head stays in use.  An arena inside of another is freed with it, if not before.
 */
#include "ir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
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
