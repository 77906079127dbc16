/* onnx.c - reads the protobuf of an ONNX file without copying its weights.
 *
 * protobuf-c copies every bytes field.  So the wire format is walked first (compact_message): what it finds is
 * copied to a buffer, except that each TensorProto.raw_data becomes 16 bytes, its offset and length in the mapped
 * file.  Lengths of the enclosing messages are written as five-byte varints, so that one pass is enough.  The same
 * walk bounds the nesting of graphs and types, which protobuf-c does not.  Memory is at most a constant times the file's
 * size.
 *
 * Nothing in the file is trusted: lengths, dims and offsets are checked before they are used, and external data
 * must lie below the folder of the model.
 */
#include "onnx.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "typed_data.h"

enum {
	MaxNesting = 100, /* graphs inside attributes inside graphs, in messages: what protobuf itself reads */
	CopyBelow = 1024, /* bytes: smaller tensors are copied, and so aligned and printed inline */
};

/* ---- the wire format ------------------------------------------------------------------------------------------- */

typedef enum Message {
	MsgOpaque,
	MsgModel,
	MsgGraph,
	MsgNode,
	MsgAttr,
	MsgFunction,
	MsgTensor,
	MsgValueInfo,
	MsgType,
	MsgTypeOf, /* sequence, optional */
} Message;

/* The fields that lead to tensors, and to types within types.  Other length-delimited fields are copied as they are. */
static const struct {
	Message in;
	int field;
	Message of;
} paths[] = {
	{MsgModel, 7, MsgGraph}, {MsgModel, 25, MsgFunction}, {MsgGraph, 1, MsgNode},   {MsgGraph, 5, MsgTensor},
	{MsgNode, 5, MsgAttr},   {MsgAttr, 5, MsgTensor},     {MsgAttr, 6, MsgGraph},   {MsgFunction, 7, MsgNode},
	{MsgFunction, 11, MsgAttr}, {MsgGraph, 11, MsgValueInfo}, {MsgGraph, 12, MsgValueInfo}, {MsgGraph, 13, MsgValueInfo},
	{MsgValueInfo, 2, MsgType}, {MsgType, 4, MsgTypeOf},  {MsgType, 9, MsgTypeOf},  {MsgTypeOf, 1, MsgType},
};
enum { FieldRawData = 9, FieldSparse = 15 };

typedef struct Skim {
	Arena *arena;
	const Loc *loc;
	const uint8_t *bytes; /* of the file */
	size_t size;
	uint8_t *out;
	size_t nout, cap;
	bool sparse;
} Skim;

/* What stands under the name of a model by mistake, and how it begins. */
static const struct {
	size_t at;
	const char *begins, *what;
} strangers[] = {
	{0, "version https://git-lfs", "a Git LFS pointer: 'git lfs pull' fetches what it stands for"},
	{0, "PK\x03\x04", "a zip archive: torch.save writes such files, torch.onnx.export models"},
	{0, "\x1f\x8b", "compressed by gzip"},
	{0, "\x89HDF", "an HDF5 file, as Keras writes"},
	{0, "<!DOCTYPE", "a page of the web"},
	{0, "<html", "a page of the web"},
	{4, "TFL3", "a model of TensorFlow Lite"},
	{4, "ORTM", "in the ORT format of onnxruntime: compile the .onnx that it was made of"},
};

/* A model begins with the tag of its first field, which is a control character of no text. */
static bool is_text(const Skim *s)
{
	size_t n = s->size < 512 ? s->size : 512;
	for (size_t i = 0; i < n; i++)
		if ((s->bytes[i] < ' ' && !memchr("\t\n\f\r", s->bytes[i], 4)) || s->bytes[i] == 0x7f)
			return false;
	return true;
}

static _Noreturn void malformed(const Skim *s, size_t at)
{
	for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
		size_t n = strlen(strangers[i].begins), from = strangers[i].at;
		if (from + n <= s->size && !memcmp(s->bytes + from, strangers[i].begins, n))
			fatal_at(s->loc, "not an ONNX file, but %s", strangers[i].what);
	}
	if (is_text(s))
		fatal_at(s->loc, "not an ONNX file, but text: ONNX is a binary format");
	fatal_at(s->loc, "not a valid ONNX file: malformed protobuf at byte %zu", at);
}

static void put(Skim *s, const void *bytes, size_t n)
{
	if (n > s->cap - s->nout) {
		size_t cap = 2 * s->cap + n;
		uint8_t *grown = arena_alloc(s->arena, cap);
		if (s->nout)
			memcpy(grown, s->out, s->nout);
		s->out = grown;
		s->cap = cap;
	}
	if (n)
		memcpy(s->out + s->nout, bytes, n);
	s->nout += n;
}

static uint64_t read_varint(const Skim *s, size_t *at, size_t end)
{
	uint64_t v = 0;
	for (int shift = 0; shift < 64; shift += 7) {
		if (*at >= end)
			malformed(s, *at);
		uint8_t b = s->bytes[(*at)++];
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
	malformed(s, *at);
}

static Message message_of(Message in, uint64_t field)
{
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		if (paths[i].in == in && (uint64_t)paths[i].field == field)
			return paths[i].of;
	return MsgOpaque;
}

static void put_raw_data(Skim *s, size_t offset, size_t length)
{
	uint64_t place[2] = {offset, length};
	uint8_t n = sizeof place;
	put(s, &n, 1);
	put(s, place, sizeof place);
}

/* Fills the five bytes at `hole` with the length of what follows them. */
static void patch_length(Skim *s, size_t hole)
{
	size_t n = s->nout - hole - 5;
	if (n > INT32_MAX)
		fatal_at(s->loc, "a protobuf message is larger than 2 GB");
	for (int i = 0; i < 5; i++)
		s->out[hole + i] = (n >> (7 * i) & 0x7f) | (i < 4 ? 0x80 : 0);
}

static void compact_message(Skim *s, Message kind, size_t at, size_t end, int depth)
{
	if (depth > MaxNesting)
		fatal_at(s->loc, "graphs or types are nested too deeply");
	while (at < end) {
		size_t start = at;
		uint64_t tag = read_varint(s, &at, end), field = tag >> 3, n = 0;
		switch (tag & 7) {
		case 0:
			read_varint(s, &at, end);
			break;
		case 1:
			n = 8;
			break;
		case 5:
			n = 4;
			break;
		case 2:
			n = read_varint(s, &at, end);
			break;
		default:
			malformed(s, start);
		}
		if (n > end - at || field == 0 || field > INT32_MAX >> 3)
			malformed(s, start);
		Message child = (tag & 7) == 2 ? message_of(kind, field) : MsgOpaque;
		s->sparse |= kind == MsgGraph && field == FieldSparse;
		if (child != MsgOpaque) {
			uint8_t key = tag; /* all these tags but functions' take one byte */
			uint8_t key2[2] = {(tag & 0x7f) | 0x80, tag >> 7};
			put(s, tag < 0x80 ? &key : key2, tag < 0x80 ? 1 : 2);
			size_t hole = s->nout;
			put(s, "\0\0\0\0", 5);
			compact_message(s, child, at, at + n, depth + 1);
			patch_length(s, hole);
		} else if (kind == MsgTensor && field == FieldRawData && (tag & 7) == 2) {
			uint8_t key = tag;
			put(s, &key, 1);
			put_raw_data(s, at, n);
		} else {
			put(s, s->bytes + start, at + n - start);
		}
		at += n;
	}
}

/* ---- messages -------------------------------------------------------------------------------------------------- */

/* An empty message takes two bytes of the file and some 300 of memory.  Repeats of a field that stands once are merged
 * by copying, which nothing but this budget ends. */
enum { MemoryPerByte = 256, MemoryForAll = 1 << 20 };

typedef struct Budget {
	Arena *arena;
	size_t left;
	bool exceeded;
} Budget;

static void *alloc_message(void *budget, size_t n)
{
	Budget *b = budget;
	b->exceeded |= n > b->left;
	if (b->exceeded)
		return NULL;
	b->left -= n;
	return arena_alloc(b->arena, n);
}

static void free_message(void *budget, void *p)
{
	(void)budget, (void)p; /* freed with the arena */
}

static OnnxModel *unpack(const Skim *s)
{
	Budget budget = {s->arena, MemoryForAll + MemoryPerByte * s->nout, false};
	ProtobufCAllocator allocator = {alloc_message, free_message, &budget};
	OnnxModel *model = onnx__model_proto__unpack(&allocator, s->nout, s->out);
	if (budget.exceeded)
		fatal_at(s->loc, "not a valid ONNX file: its messages take more than %d times its size", MemoryPerByte);
	if (!model)
		fatal_at(s->loc, "not a valid ONNX file: a protobuf message is malformed");
	return model;
}

OnnxFile *read_onnx(Arena *arena, const char *path, const void *bytes, size_t size)
{
	Loc *loc = arena_alloc(arena, sizeof *loc);
	loc->file = path;
	Skim s = {.arena = arena, .loc = loc, .bytes = bytes, .size = size};
	if (!size)
		fatal_at(loc, "the file is empty");
	compact_message(&s, MsgModel, 0, size, 0);
	OnnxFile *f = arena_alloc(arena, sizeof *f);
	*f = (OnnxFile){.arena = arena, .path = path, .base = base_name(path), .bytes = bytes, .size = size};
	f->model = unpack(&s);
	f->sparse = s.sparse;
	return f;
}

/* ---- element types --------------------------------------------------------------------------------------------- */

static const char *const onnx_dtypes[] = {
	"UNDEFINED", "FLOAT",	   "UINT8",	 "INT8",	   "UINT16",	 "INT16",	   "INT32",  "INT64",
	"STRING",    "BOOL",	   "FLOAT16",	 "DOUBLE",	   "UINT32",	 "UINT64",	   "COMPLEX64",
	"COMPLEX128", "BFLOAT16",  "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "UINT4", "INT4",
	"FLOAT4E2M1", "FLOAT8E8M0", "UINT2",	 "INT2",	   "FLOAT6E2M3", "FLOAT6E3M2",
};

bool onnx_dtype(int onnx, DType *dtype)
{
	for (int d = 0; d < NDTypes; d++)
		if (dtypes[d].onnx == onnx)
			return *dtype = d, true;
	return false;
}

int onnx_dtype_named(const char *name)
{
	for (size_t i = 0; i < sizeof onnx_dtypes / sizeof *onnx_dtypes; i++)
		if (!strcmp(onnx_dtypes[i], name))
			return i;
	return 0;
}

const char *onnx_dtype_text(int onnx)
{
	static _Thread_local char text[32];
	if (onnx >= 0 && onnx < (int)(sizeof onnx_dtypes / sizeof *onnx_dtypes))
		return onnx_dtypes[onnx];
	snprintf(text, sizeof text, "%d", onnx);
	return text;
}

/* ---- external data --------------------------------------------------------------------------------------------- */

struct External {
	const char *location;
	const uint8_t *bytes;
	size_t size;
	External *next;
};

static bool parse_u64(const char *text, uint64_t *v)
{
	char *end;
	errno = 0;
	*v = strtoull(text, &end, 10);
	return isdigit((unsigned char)*text) && !*end && !errno;
}

/* No absolute path and no "..", before any link is followed. */
static bool is_plain_relative(const char *location)
{
	if (!*location || *location == '/' || strchr(location, '\\'))
		return false;
	for (const char *p = location; p; p = strchr(p, '/')) {
		p += *p == '/';
		if (!strncmp(p, "..", 2) && (!p[2] || p[2] == '/'))
			return false;
	}
	return true;
}

/* Does `path` lie below `dir` once links are followed?  False if one of them does not exist. */
static bool lies_below(const char *path, const char *dir)
{
	char *p = realpath(path, NULL), *d = realpath(dir, NULL);
	size_t n = d ? strlen(d) : 0;
	if (n == 1)
		n = 0; /* the root */
	bool below = p && d && !strncmp(p, d, n) && p[n] == '/';
	free(p);
	free(d);
	return below;
}

static const External *map_external(Module *m, OnnxFile *f, const char *location, const Loc *loc)
{
	for (External *e = f->external; e; e = e->next)
		if (!strcmp(e->location, location))
			return e;
	if (!is_plain_relative(location))
		fatal_at(loc, "external data '%s' is not a path below the folder of the model", location);
	int ndir = f->base - f->path;
	const char *dir = ndir ? arena_printf(f->arena, "%.*s", ndir, f->path) : ".";
	const char *path = arena_printf(f->arena, "%s/%s", dir, location);
	char *real = realpath(path, NULL);
	if (!real)
		fatal_at(loc, "external data '%s': %s", location, strerror(errno));
	free(real);
	if (!lies_below(path, dir))
		fatal_at(loc, "external data '%s' leads out of the folder of the model", location);
	External *e = arena_alloc(f->arena, sizeof *e);
	e->location = arena_strdup(m->arena, location);
	e->bytes = map_file(m->arena, path, &e->size);
	if (!e->bytes)
		fatal_at(loc, "external data '%s': %s", location, strerror(errno));
	e->next = f->external;
	return f->external = e;
}

/* ---- tensors --------------------------------------------------------------------------------------------------- */

typedef struct Payload {
	const uint8_t *data;
	size_t bytes;
	const char *file; /* NULL: decoded, only in memory */
	uint64_t offset;
} Payload;

static const char *name_of(const OnnxTensor *t)
{
	return t->name ? t->name : "";
}

static Payload external_payload(Module *m, OnnxFile *f, const OnnxTensor *t, size_t want, const Loc *loc)
{
	const char *location = NULL;
	uint64_t offset = 0, length = want;
	for (size_t i = 0; i < t->n_external_data; i++) {
		const char *key = t->external_data[i]->key, *value = t->external_data[i]->value;
		if (!key || !value)
			continue;
		if (!strcmp(key, "location"))
			location = value;
		uint64_t *number = !strcmp(key, "offset") ? &offset : !strcmp(key, "length") ? &length : NULL;
		if (number && !parse_u64(value, number))
			fatal_at(loc, "tensor '%s': %s '%s' of the external data is no number", name_of(t), key, value);
	}
	if (!location)
		fatal_at(loc, "tensor '%s': external data without a location", name_of(t));
	const External *e = map_external(m, f, location, loc);
	if (offset > e->size || length > e->size - offset)
		fatal_at(loc, "tensor '%s': expected %llu bytes at offset %llu of external data '%s', got %zu in all", name_of(t),
		         (unsigned long long)length, (unsigned long long)offset, location, e->size);
	return (Payload){e->bytes + offset, length, e->location, offset};
}

static Payload raw_payload(Module *m, OnnxFile *f, const OnnxTensor *t)
{
	uint64_t place[2] = {0, 0};
	if (t->raw_data.len == sizeof place)
		memcpy(place, t->raw_data.data, sizeof place);
	return (Payload){f->bytes + place[0], place[1], arena_strdup(m->arena, f->base), place[0]};
}

/* Elements of the typed fields, narrowed to the dtype. */
static Payload typed_payload(Module *m, const OnnxTensor *t, DType dtype, int64_t numel, const Loc *loc)
{
	size_t bytes = packed_bytes(dtype, numel);
	size_t have = count_typed(t, dtype), want = is_packed(dtype) ? bytes : (size_t)numel;
	if (have != want)
		fatal_at(loc, "tensor '%s': expected %zu elements of data for its dims, got %zu", name_of(t), want, have);
	uint8_t *data = arena_alloc(m->arena, bytes);
	read_typed(t, dtype, data);
	return (Payload){data, bytes, NULL, 0};
}

static Type tensor_type(Module *m, const OnnxTensor *t, int64_t *numel, const Loc *loc)
{
	Type type = {0};
	if (!onnx_dtype(t->data_type, &type.dtype))
		refuse_at(loc, "tensor '%s': element type %s is not supported", name_of(t), onnx_dtype_text(t->data_type));
	if (t->n_dims > MaxRank)
		refuse_at(loc, "tensor '%s': expected a rank of at most %d, got %zu", name_of(t), MaxRank, t->n_dims);
	type.rank = t->n_dims;
	*numel = 1;
	for (int i = 0; i < type.rank; i++) {
		if (t->dims[i] < 0 || t->dims[i] > DimMax)
			fatal_at(loc, "tensor '%s': dim %d: expected 0..%d, got %lld", name_of(t), i, DimMax,
			         (long long)t->dims[i]);
		if (__builtin_mul_overflow(*numel, t->dims[i], numel) || *numel > (int64_t)1 << 47)
			refuse_at(loc, "tensor '%s': more than 2^47 elements", name_of(t));
		type.dims[i] = dim_const(m, t->dims[i]);
	}
	return type;
}

static void check_bools(const OnnxTensor *t, const Payload *p, const Loc *loc)
{
	for (size_t i = 0; i < p->bytes; i++)
		if (p->data[i] > 1)
			fatal_at(loc, "tensor '%s': expected bools, got the byte %d", name_of(t), p->data[i]);
}

static Payload unpacked(Module *m, const Payload *p, DType dtype, int64_t numel)
{
	uint8_t *data = arena_alloc(m->arena, (size_t)numel);
	unpack_elements(dtype, p->data, numel, data);
	return (Payload){data, (size_t)numel, NULL, 0};
}

Const *tensor_const(Module *m, OnnxFile *f, const OnnxTensor *t, const char *name, const Loc *loc)
{
	int64_t numel;
	Type type = tensor_type(m, t, &numel, loc);
	size_t want = packed_bytes(type.dtype, numel);
	Payload p;
	if (t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
		p = external_payload(m, f, t, want, loc);
	else if (t->has_raw_data)
		p = raw_payload(m, f, t);
	else
		p = typed_payload(m, t, type.dtype, numel, loc);
	if (p.bytes != want)
		fatal_at(loc, "tensor '%s': expected %zu bytes of data for %s, got %zu", name_of(t), want, type_text(m, &type), p.bytes);
	if (type.dtype == Bool)
		check_bools(t, &p, loc);
	if (is_packed(type.dtype))
		p = unpacked(m, &p, type.dtype, numel);
	if (p.file && p.bytes <= CopyBelow) {
		void *copy = arena_alloc(m->arena, p.bytes ? p.bytes : 1);
		if (p.bytes)
			memcpy(copy, p.data, p.bytes);
		p.data = copy;
		p.file = NULL;
	}
	Const *c = new_const(m, name, type, p.data, p.bytes);
	c->file = p.file;
	c->offset = p.offset;
	return c;
}
