/* object.c - files out of the loop IR: object, assembly, LLVM text, weights.
 *
 * generate.c makes the code.  LLVM sees a placeholder of 64 bytes for the weights, in a section of its own.  When the object is written, that
 * section's header is pointed behind LLVM's bytes, where the weights follow: one constant expression is evaluated,
 * written and freed at a time.
 *
 *   the object, patched | padding to 64 | weights
 *
 * A side file holds the same weights, then their hash and the hash of the layout (8 bytes each, runtime.c's Footer).  Files are written beside their target and
 * renamed at the end.
 */
#include "../ir/lex.h"
#include "emit.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../runtime/dcc.h"
#include "../runtime/hash.h"

#ifndef SHF_X86_64_LARGE
#define SHF_X86_64_LARGE 0x10000000
#endif

enum { WeightAlign = 64 }; /* bytes */

/* ---- output files ---------------------------------------------------------------------------------------------- */

struct Out {
	const char *path;
	const char *temp; /* NULL: path is written itself (standard output, a device) */
	FILE *f;
};

/* The diagnostics remove the temporary file. */
static _Noreturn void output_failed(Out *o, int error)
{
	Loc loc = {.file = o->path};
	if (o->f && o->f != stdout)
		fclose(o->f);
	fatal_at(&loc, "cannot write: %s", strerror(error));
}

static Out open_output(Arena *arena, const char *path)
{
	Out o = {.path = arena_strdup(arena, path)};
	struct stat st;
	if (!strcmp(path, "-")) {
		hide_progress(); /* the same terminal, perhaps */
		o.f = stdout;
		return o;
	}
	if (arena_maps(arena, path))
		fatal_at(&(Loc){.file = o.path}, "cannot write: the model's data are in this file");
	bool special = !stat(path, &st) && !S_ISREG(st.st_mode);
	int fd = special ? open(path, O_WRONLY | O_CLOEXEC) : open_temporary(arena, path, &o.temp);
	o.f = fd < 0 ? NULL : fdopen(fd, "wb");
	if (!o.f)
		output_failed(&o, errno);
	return o;
}

static void write_output(Out *o, const void *bytes, size_t n)
{
	if (n && fwrite(bytes, 1, n, o->f) != n)
		output_failed(o, errno);
}

static void flush_output(Out *o)
{
	if (fflush(o->f))
		output_failed(o, errno);
	if (o->f == stdout)
		return;
	FILE *f = o->f;
	o->f = NULL;
	if (fclose(f))
		output_failed(o, errno);
}

void publish_output(Out *o)
{
	if (!o->temp)
		return;
	if (rename(o->temp, o->path))
		output_failed(o, errno);
	diag_keep(o->temp);
}

static void close_output(Out *o)
{
	flush_output(o);
	publish_output(o);
}

/* ---- weights --------------------------------------------------------------------------------------------------- */

/* Where weights go: file, memory, or neither (only their hash). */
typedef struct Sink {
	Out *out;
	uint8_t *bytes;
	int64_t pos;
	uint64_t hash;
} Sink;

static void sink_bytes(Sink *s, const void *bytes, int64_t n)
{
	s->hash += hash_weight_bytes(bytes, (uint64_t)n, (uint64_t)s->pos);
	if (s->out)
		write_output(s->out, bytes, (size_t)n);
	if (s->bytes)
		memcpy(s->bytes + s->pos, bytes, (size_t)n);
	s->pos += n;
}

/* Zeros do not change the hash, wherever they begin. */
static void sink_zeros(Sink *s, int64_t upto)
{
	static const uint8_t zeros[4096];
	while (s->pos < upto)
		sink_bytes(s, zeros, upto - s->pos < (int64_t)sizeof zeros ? upto - s->pos : (int64_t)sizeof zeros);
}

static void sink_weight(LModule *lm, Sink *s, int i)
{
	Tensor t = {0};
	const Value *v = lm->weights[i];
	const char *wrong = eval_const(lm->m, lm->weights[i], &t);
	if (wrong)
		fatal_at(v->def ? v->def->loc : NULL, "%s", wrong);
	int64_t bytes = tensor_numel(&t) * dtypes[t.dtype].bytes;
	if (lm->weight_off[i] < s->pos || lm->weight_off[i] % WeightAlign || bytes > lm->weight_bytes - lm->weight_off[i])
		bug("weight %d has %lld bytes at %lld of %lld", i, (long long)bytes, (long long)lm->weight_off[i],
		    (long long)lm->weight_bytes);
	sink_zeros(s, lm->weight_off[i]);
	sink_bytes(s, t.data, bytes);
	free_tensor(&t);
}

static void sink_weights(LModule *lm, Sink *s)
{
	for (int i = 0; i < lm->nweight; i++)
		sink_weight(lm, s, i);
	sink_zeros(s, lm->weight_bytes);
}

static uint64_t hash_weights(LModule *lm)
{
	Sink s = {0};
	sink_weights(lm, &s);
	return s.hash;
}

/* Of all that the code takes for granted of a side file: the code itself, into which small constants went, and the type and place
 * of each weight; not of names. */
uint64_t hash_layout(LModule *lm)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	if (!f)
		refuse_at(NULL, "out of memory");
	for (int i = 0; i < lm->nfunc; i++)
		print_lfunc(f, lm->funcs[i]);
	for (int i = 0; i < lm->nprog; i++)
		print_lfunc(f, lm->programs[i]);
	for (int i = 0; i < lm->nweight; i++)
		fprintf(f, "%s at %lld\n", type_text(lm->m, &lm->weights[i]->type), (long long)lm->weight_off[i]);
	if (fclose(f))
		refuse_at(NULL, "out of memory");
	uint64_t hash = hash_bytes(text, n, (uint64_t)lm->weight_bytes);
	free(text);
	return hash ? hash : 1; /* 0: embedded */
}

void emit_weights_memory(LModule *lm, void **bytes, size_t *size)
{
	size_t n = (size_t)lm->weight_bytes + 2 * sizeof(uint64_t);
	uint8_t *p = aligned_alloc(WeightAlign, (n + WeightAlign - 1) & ~(size_t)(WeightAlign - 1));
	if (!p)
		refuse_at(NULL, "out of memory for %zu bytes of weights", n);
	Sink s = {.bytes = p};
	sink_weights(lm, &s);
	memcpy(p + lm->weight_bytes, (uint64_t[]){s.hash, hash_layout(lm)}, 2 * sizeof(uint64_t));
	*bytes = p;
	*size = n;
}

/* ---- ELF ------------------------------------------------------------------------------------------------------- */

static Elf64_Shdr *section_headers(uint8_t *obj)
{
	return (void *)(obj + ((Elf64_Ehdr *)(void *)obj)->e_shoff);
}

static Elf64_Shdr *section_of(uint8_t *obj, const char *name)
{
	const Elf64_Ehdr *h = (void *)obj;
	Elf64_Shdr *s = section_headers(obj);
	const char *names = (char *)obj + s[h->e_shstrndx].sh_offset;
	for (int i = 0; i < h->e_shnum; i++)
		if (!strcmp(names + s[i].sh_name, name))
			return &s[i];
	bug("no section %s in the object", name);
}

static Elf64_Sym *symbols(uint8_t *obj, uint64_t *n, const char **names)
{
	const Elf64_Shdr *s = section_of(obj, ".symtab");
	*n = s->sh_size / sizeof(Elf64_Sym);
	*names = (char *)obj + section_headers(obj)[s->sh_link].sh_offset;
	return (void *)(obj + s->sh_offset);
}

static void patch_hash(uint8_t *obj, Module *m, uint64_t hash)
{
	const char *names, *model = arena_printf(m->arena, "%s_model", m->name);
	uint64_t n, i = 0;
	const Elf64_Sym *sym = symbols(obj, &n, &names);
	while (i < n && strcmp(names + sym[i].st_name, model))
		i++;
	if (i == n)
		bug("no symbol %s in the object", model);
	const Elf64_Shdr *s = &section_headers(obj)[sym[i].st_shndx];
	memcpy(obj + s->sh_offset + sym[i].st_value + offsetof(dcc_model, weights_hash), &hash, sizeof hash);
}

/* Makes the weights section the `bytes` bytes at `offset` of the file. */
static void patch_weights(uint8_t *obj, uint64_t offset, uint64_t bytes)
{
	Elf64_Shdr *s = section_of(obj, DCC_WEIGHTS_SECTION);
	const char *names;
	uint64_t n;
	Elf64_Sym *sym = symbols(obj, &n, &names);
	s->sh_flags |= SHF_X86_64_LARGE;
	if (!bytes)
		return;
	s->sh_offset = offset;
	s->sh_size = bytes;
	for (uint64_t i = 0; i < n; i++)
		if (ELF64_ST_TYPE(sym[i].st_info) == STT_OBJECT && sym[i].st_shndx == s - section_headers(obj))
			sym[i].st_size = bytes;
}

static int64_t count_code(uint8_t *obj)
{
	const Elf64_Ehdr *h = (void *)obj;
	const Elf64_Shdr *s = section_headers(obj);
	int64_t bytes = 0;
	for (int i = 0; i < h->e_shnum; i++)
		bytes += s[i].sh_flags & SHF_EXECINSTR ? (int64_t)s[i].sh_size : 0;
	return bytes;
}

/* Kernels that LLVM made part of their callers have no symbol, and so no number. */
static struct Map *count_kernels(Module *m, uint8_t *obj)
{
	const char *names, *model = arena_printf(m->arena, "%s.", m->name);
	uint64_t n;
	const Elf64_Sym *sym = symbols(obj, &n, &names);
	Map *code = arena_alloc(m->arena, sizeof *code);
	code->arena = m->arena;
	for (uint64_t i = 0; i < n; i++) {
		const char *name = names + sym[i].st_name;
		if (ELF64_ST_TYPE(sym[i].st_info) == STT_FUNC && !strncmp(name, model, strlen(model)))
			add_name(code, arena_strdup(m->arena, name + strlen(model)), (void *)(intptr_t)sym[i].st_size);
	}
	return code;
}

/* ---- entry points ---------------------------------------------------------------------------------------------- */

/* A file of our own gets the hash of the weights once they are written; nothing else can be gone back in, so there they
 * are evaluated twice. */
static void write_embedded(LModule *lm, uint8_t *obj, size_t size, const char *path)
{
	static const uint8_t zeros[WeightAlign];
	uint64_t offset = (size + WeightAlign - 1) & ~(uint64_t)(WeightAlign - 1);
	Out o = open_output(lm->m->arena, path);
	Sink s = {.out = &o};
	patch_weights(obj, offset, (uint64_t)lm->weight_bytes);
	if (!o.temp)
		patch_hash(obj, lm->m, hash_weights(lm));
	write_output(&o, obj, size);
	if (lm->weight_bytes)
		write_output(&o, zeros, offset - size);
	sink_weights(lm, &s);
	if (o.temp) {
		patch_hash(obj, lm->m, s.hash);
		if (fseek(o.f, 0, SEEK_SET))
			output_failed(&o, errno);
		write_output(&o, obj, size);
	}
	close_output(&o);
}

/* Not published yet. */
static Out write_side_file(LModule *lm, const char *path, uint64_t *hash)
{
	Out side = open_output(lm->m->arena, path);
	Sink s = {.out = &side};
	sink_weights(lm, &s);
	write_output(&side, (uint64_t[]){s.hash, hash_layout(lm)}, 2 * sizeof(uint64_t));
	flush_output(&side);
	*hash = s.hash;
	return side;
}

static void write_with_side_file(LModule *lm, uint8_t *obj, size_t size, const char *path, const char *weights_path)
{
	uint64_t hash;
	Out side = write_side_file(lm, weights_path, &hash);
	patch_hash(obj, lm->m, hash);
	Out o = open_output(lm->m->arena, path);
	write_output(&o, obj, size);
	flush_output(&o);
	publish_output(&side);
	publish_output(&o);
}

void emit_object(LModule *lm, const EmitOptions *opt, const char *path)
{
	size_t size;
	uint8_t *obj = generate_object(lm, opt, 0, &size);
	lm->code_bytes = count_code(obj);
	lm->code = count_kernels(lm->m, obj);
	if (opt->weights_path)
		write_with_side_file(lm, obj, size, path, opt->weights_path);
	else
		write_embedded(lm, obj, size, path);
}

void emit_object_memory(LModule *lm, const EmitOptions *opt, void **bytes, size_t *size)
{
	EmitOptions side = *opt;
	if (!side.weights_path)
		side.weights_path = "";
	uint8_t *obj = generate_object(lm, &side, hash_weights(lm), size);
	*bytes = malloc(*size);
	if (!*bytes)
		refuse_at(NULL, "out of memory");
	memcpy(*bytes, obj, *size);
}

Out *begin_text(Module *m, const char *path)
{
	Out *o = arena_alloc(m->arena, sizeof *o);
	*o = open_output(m->arena, path);
	return o;
}

void end_text(Out *o, const void *text, size_t n)
{
	write_output(o, text, n);
	close_output(o);
}

Out *hold_text(Module *m, const char *path, const void *text, size_t n)
{
	Out *o = begin_text(m, path);
	write_output(o, text, n);
	flush_output(o);
	return o;
}

void write_text(Module *m, const char *path, const void *text, size_t n)
{
	publish_output(hold_text(m, path, text, n));
}

/* A text has no weights: they are in a side file, be it written or not. */
static void emit_text(LModule *lm, const EmitOptions *opt, TextKind kind, const char *path)
{
	size_t size;
	uint64_t hash;
	EmitOptions side = *opt;
	Out weights = {0};
	if (opt->weights_path) {
		weights = write_side_file(lm, opt->weights_path, &hash);
	} else {
		side.weights_path = "";
		hash = hash_weights(lm);
	}
	void *text = generate_text(lm, &side, kind, hash, &size);
	Out *out = hold_text(lm->m, path, text, size);
	publish_output(&weights);
	publish_output(out);
}

void emit_assembly(LModule *lm, const EmitOptions *opt, const char *path)
{
	emit_text(lm, opt, TextAssembly, path);
}

void emit_llvm(LModule *lm, const EmitOptions *opt, const char *path)
{
	emit_text(lm, opt, TextLlvm, path);
}
