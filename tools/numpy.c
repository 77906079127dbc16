/* numpy.c - see numpy.h.
 *
 * A .npy (versions 1 to 3) is a magic, the length of a header, the header (a Python dictionary with descr, fortran_order and shape)
 * and the elements.  An .npz is a ZIP file of them, whose directory stands at its end (PKWARE's APPNOTE, 4.3.12, 4.3.16, 4.5.3).
 */
#include "numpy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- .npy -------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *descr; /* behind the byte order */
	DType dtype;
} npy_types[] = {
	{"f4", F32}, {"f8", F64}, {"i1", I8}, {"i2", I16}, {"i4", I32}, {"i8", I64}, {"u1", U8},
	{"f2", F16}, {"u2", U16}, {"u4", U32}, {"u8", U64}, {"b1", Bool},
};

/* What follows 'key': in the header's dictionary. */
static const char *npy_value(const char *header, const char *key, const Loc *loc)
{
	const char *p = strstr(header, key);
	if (!p)
		fatal_at(loc, "the header of the .npy has no %s", key);
	p += strlen(key);
	return p + strspn(p, " :");
}

static void read_npy_shape(Tensor *t, const char *p, const Loc *loc)
{
	if (*p++ != '(')
		fatal_at(loc, "the header of the .npy has a strange shape");
	for (p += strspn(p, " ,"); *p != ')'; p += strspn(p, " ,")) {
		char *end;
		errno = 0;
		long long n = strtoll(p, &end, 10);
		if (end == p || errno || n < 0)
			fatal_at(loc, "the header of the .npy has a strange shape");
		if (t->rank == MaxRank)
			fatal_at(loc, "more than %d dims", MaxRank);
		t->dims[t->rank++] = n;
		p = end;
	}
}

/* "'<f4'": byte order, kind and bytes. */
static DType npy_dtype(const char *descr, bool *swapped, const Loc *loc)
{
	bool known = descr[0] == '\'' && descr[1] && strchr("<>|=", descr[1]);
	*swapped = known && descr[1] == '>';
	for (size_t i = 0; known && i < sizeof npy_types / sizeof *npy_types; i++)
		if (!strncmp(descr + 2, npy_types[i].descr, 2) && descr[4] == '\'')
			return npy_types[i].dtype;
	fatal_at(loc, "its element type is none of float16 to float64, int8 to int64, uint8 to uint64 and bool");
}

static void copy_element(uint8_t *to, const uint8_t *from, size_t size, bool swapped)
{
	for (size_t i = 0; i < size; i++)
		to[i] = from[swapped ? size - 1 - i : i];
}

/* `data` has the first axis innermost; t is row-major. */
static void copy_fortran(Tensor *t, const uint8_t *data, bool swapped)
{
	size_t size = dtypes[t->dtype].bytes;
	int64_t at[MaxRank] = {0}, steps[MaxRank], step = 1, from = 0;
	for (int d = 0; d < t->rank; d++) {
		steps[d] = step;
		step *= t->dims[d];
	}
	for (int64_t i = 0, n = tensor_numel(t); i < n; i++) {
		copy_element((uint8_t *)t->data + (size_t)i * size, data + (size_t)from * size, size, swapped);
		for (int d = t->rank - 1; d >= 0; d--) {
			from += steps[d];
			if (++at[d] < t->dims[d])
				break;
			from -= at[d] * steps[d];
			at[d] = 0;
		}
	}
}

static void copy_rows(Tensor *t, const uint8_t *data, bool swapped)
{
	size_t size = dtypes[t->dtype].bytes, n = (size_t)tensor_numel(t);
	if (!swapped)
		memcpy(t->data, data, n * size);
	for (size_t i = 0; swapped && i < n; i++)
		copy_element((uint8_t *)t->data + i * size, data + i * size, size, true);
}

void read_npy(Arena *arena, const uint8_t *bytes, size_t size, NamedTensor *out, const Loc *loc)
{
	size_t start = size > 6 && bytes[6] >= 2 ? 12 : 10;
	bool swapped;
	if (size < start || memcmp(bytes, "\x93NUMPY", 6) || bytes[6] < 1 || bytes[6] > 3)
		fatal_at(loc, "not a .npy file");
	size_t length = bytes[8] | (size_t)bytes[9] << 8;
	if (start == 12)
		length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
	if (length > size - start)
		fatal_at(loc, "the header of the .npy is cut off");
	const char *header = arena_printf(arena, "%.*s", (int)(length < 65536 ? length : 65536), (const char *)bytes + start);
	Tensor *t = &out->t;
	t->dtype = npy_dtype(npy_value(header, "'descr'", loc), &swapped, loc);
	bool fortran = !strncmp(npy_value(header, "'fortran_order'", loc), "True", 4);
	read_npy_shape(t, npy_value(header, "'shape'", loc), loc);
	int64_t n = count_elements(t);
	size_t have = size - start - length;
	if (n < 0 || (size_t)n * dtypes[t->dtype].bytes != have)
		fatal_at(loc, "%zu bytes of data do not fit the shape", have);
	alloc_tensor(t, loc);
	(fortran ? copy_fortran : copy_rows)(t, bytes + start + length, swapped);
	out->name = "";
}

/* ---- .npz -------------------------------------------------------------------------------------------------------- */

enum { EndSize = 22, End64Locator = 20, End64Size = 56, EntrySize = 46, LocalSize = 30, MaxComment = 65535, Stored = 0 };

typedef struct Zip {
	const uint8_t *bytes;
	uint64_t size;
	const Loc *loc;
} Zip;

/* A little-endian number of n bytes at an offset. */
static uint64_t zip_number(const Zip *z, uint64_t at, unsigned n)
{
	uint64_t v = 0;
	if (at > z->size || z->size - at < n)
		fatal_at(z->loc, "the .npz is cut off");
	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)z->bytes[at + i] << 8 * i;
	return v;
}

static bool zip_is(const Zip *z, uint64_t at, const char *magic)
{
	return at <= z->size && z->size - at >= 4 && !memcmp(z->bytes + at, magic, 4);
}

/* Where the directory begins, and how many entries it has. */
static uint64_t find_directory(const Zip *z, uint64_t *entries)
{
	uint64_t end = z->size < EndSize ? 0 : z->size - EndSize, last = end > MaxComment ? end - MaxComment : 0;
	while (end > last && !zip_is(z, end, "PK\5\6"))
		end--;
	if (!zip_is(z, end, "PK\5\6"))
		fatal_at(z->loc, "not an .npz file");
	*entries = zip_number(z, end + 10, 2);
	if (end < End64Locator || !zip_is(z, end - End64Locator, "PK\6\7"))
		return zip_number(z, end + 16, 4);
	uint64_t end64 = zip_number(z, end - End64Locator + 8, 8);
	if (!zip_is(z, end64, "PK\6\6"))
		fatal_at(z->loc, "the .npz is damaged");
	*entries = zip_number(z, end64 + 32, 8);
	return zip_number(z, end64 + 48, 8);
}

typedef struct Entry {
	uint64_t method, packed, bytes, local; /* sizes, offset of the local header */
	const char *name;
	uint64_t next;
} Entry;

/* Sizes and offsets that do not fit 32 bits stand in the extra field 1, in this order. */
static void widen(const Zip *z, Entry *e, uint64_t extra, uint64_t end)
{
	uint64_t *fields[] = {&e->bytes, &e->packed, &e->local};
	for (uint64_t n; extra + 4 <= end; extra += 4 + n) {
		n = zip_number(z, extra + 2, 2);
		uint64_t at = extra + 4;
		for (int i = 0; zip_number(z, extra, 2) == 1 && i < 3; i++)
			if (*fields[i] == UINT32_MAX) {
				*fields[i] = zip_number(z, at, 8);
				at += 8;
			}
	}
}

static Entry read_entry(Arena *arena, const Zip *z, uint64_t at)
{
	if (!zip_is(z, at, "PK\1\2"))
		fatal_at(z->loc, "the .npz is damaged");
	uint64_t name = zip_number(z, at + 28, 2), extra = zip_number(z, at + 30, 2), comment = zip_number(z, at + 32, 2);
	Entry e = {.method = zip_number(z, at + 10, 2), .packed = zip_number(z, at + 20, 4), .bytes = zip_number(z, at + 24, 4),
	           .local = zip_number(z, at + 42, 4), .next = at + EntrySize + name + extra + comment};
	if (e.next > z->size)
		fatal_at(z->loc, "the .npz is cut off");
	e.name = arena_printf(arena, "%.*s", (int)name, (const char *)z->bytes + at + EntrySize);
	widen(z, &e, at + EntrySize + name, at + EntrySize + name + extra);
	return e;
}

/* The array x stands in the entry x.npy. */
static const char *array_name(Arena *arena, const char *name)
{
	size_t n = strlen(name);
	bool ends = n > 4 && !strcmp(name + n - 4, ".npy");
	return arena_printf(arena, "%.*s", (int)(ends ? n - 4 : n), name);
}

void read_npz(Arena *arena, const uint8_t *bytes, size_t size, TensorList *list, const Loc *loc)
{
	const Zip z = {bytes, size, loc};
	uint64_t entries, at = find_directory(&z, &entries), total = 0;
	for (uint64_t i = 0; i < entries; i++) {
		Entry e = read_entry(arena, &z, at);
		const char *name = array_name(arena, e.name);
		if (e.method != Stored || e.packed != e.bytes)
			fatal_at(loc, "the array '%s' is compressed: numpy.savez writes what can be read here", name);
		if (!zip_is(&z, e.local, "PK\3\4"))
			fatal_at(loc, "the .npz is damaged");
		uint64_t start = e.local + LocalSize + zip_number(&z, e.local + 26, 2) + zip_number(&z, e.local + 28, 2);
		if (start > size || e.bytes > size - start || e.bytes > size - total) /* entries that share bytes could be many */
			fatal_at(loc, "the .npz is cut off");
		total += e.bytes;
		NamedTensor one = {.path = loc->file};
		read_npy(arena, bytes + start, e.bytes, &one, loc);
		one.name = name;
		PUSH(arena, list->items, list->n, list->cap, one);
		at = e.next;
	}
}
