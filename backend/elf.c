/* elf.c - see elf.h.
 *
 * A place is a section and an offset in it.  A pointer of the descriptor is a relocation at its place: to a symbol in
 * an object, to an address of the file in a shared object.  Every count and offset is checked against the bytes there.
 */
#include "elf.h"

#include <string.h>

#include "../runtime/dcc.h"

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static bool in_file(const Elf *e, uint64_t offset, uint64_t bytes)
{
	return offset <= e->size && bytes <= e->size - offset;
}

bool is_elf(const void *bytes, size_t size)
{
	return size >= SELFMAG && !memcmp(bytes, ELFMAG, SELFMAG);
}

static bool read_header(Elf *e)
{
	const Elf64_Ehdr *h = (const void *)e->bytes;
	if (e->size < sizeof *h || !is_elf(h, e->size) || h->e_ident[EI_CLASS] != ELFCLASS64)
		return false;
	if (h->e_machine != EM_X86_64 || h->e_shentsize != sizeof(Elf64_Shdr) || h->e_shoff % 8)
		return false;
	if (!in_file(e, h->e_shoff, (uint64_t)h->e_shnum * sizeof(Elf64_Shdr)))
		return false;
	e->sections = (const void *)(e->bytes + h->e_shoff);
	e->nsection = h->e_shnum;
	e->shared = h->e_type == ET_DYN;
	return true;
}

void open_elf(Elf *e, const void *bytes, size_t size, const Loc *loc)
{
	*e = (Elf){.bytes = bytes, .size = size};
	if (!read_header(e))
		fatal_at(loc, "not a 64-bit ELF file for x86-64");
}

/* The items of a table, NULL if it does not lie in the file. */
static const void *table_of(const Elf *e, const Elf64_Shdr *s, size_t item, size_t *n)
{
	*n = s->sh_size / item;
	return s->sh_type != SHT_NOBITS && s->sh_offset % 8 == 0 && in_file(e, s->sh_offset, s->sh_size)
		       ? e->bytes + s->sh_offset
		       : NULL;
}

/* The text at `offset` of a string table; NULL if it does not end there. */
static const char *text_at(const Elf *e, const Elf64_Shdr *strings, uint32_t offset)
{
	if (!in_file(e, strings->sh_offset, strings->sh_size) || offset >= strings->sh_size)
		return NULL;
	const char *s = (const char *)e->bytes + strings->sh_offset + offset;
	return strnlen(s, strings->sh_size - offset) < strings->sh_size - offset ? s : NULL;
}

int find_section(const Elf *e, const char *name)
{
	const Elf64_Ehdr *h = (const void *)e->bytes;
	for (int i = 1; i < e->nsection && h->e_shstrndx < e->nsection; i++) {
		const char *text = text_at(e, &e->sections[h->e_shstrndx], e->sections[i].sh_name);
		if (text && !strcmp(text, name))
			return i;
	}
	return 0;
}

void each_undefined(const Elf *e, void (*see)(void *ctx, const char *name), void *ctx)
{
	for (int i = 0; i < e->nsection; i++) {
		const Elf64_Shdr *table = &e->sections[i];
		size_t n;
		const Elf64_Sym *syms = table_of(e, table, sizeof *syms, &n);
		if (table->sh_type != SHT_SYMTAB || table->sh_link >= (uint32_t)e->nsection)
			continue;
		for (size_t s = 0; syms && s < n; s++) {
			const char *name = text_at(e, &e->sections[table->sh_link], syms[s].st_name);
			if (syms[s].st_shndx == SHN_UNDEF && name && *name)
				see(ctx, name);
		}
	}
}

/* ---- the descriptor's symbol --------------------------------------------------------------------------------------- */

/* The name at `offset` of a string table if it ends in _model. */
static const char *model_name(const Elf *e, const Elf64_Shdr *strings, uint32_t offset)
{
	const char *s = text_at(e, strings, offset);
	size_t n = s ? strlen(s) : 0;
	return n > 6 && !strcmp(s + n - 6, "_model") ? s : NULL;
}

static bool is_global_data(const Elf64_Sym *s)
{
	return ELF64_ST_TYPE(s->st_info) == STT_OBJECT && ELF64_ST_BIND(s->st_info) == STB_GLOBAL &&
	       s->st_shndx != SHN_UNDEF;
}

static const Elf64_Sym *find_model(const Elf *e, const Loc *loc, const char **found)
{
	const Elf64_Sym *model = NULL;
	*found = NULL;
	for (int i = 0; i < e->nsection; i++) {
		const Elf64_Shdr *table = &e->sections[i];
		size_t n;
		const Elf64_Sym *syms = table_of(e, table, sizeof *syms, &n);
		if (table->sh_type != (e->shared ? SHT_DYNSYM : SHT_SYMTAB) || table->sh_link >= (uint32_t)e->nsection)
			continue;
		for (size_t s = 0; syms && s < n; s++) {
			const Elf64_Shdr *strings = &e->sections[table->sh_link];
			const char *name = is_global_data(&syms[s]) ? model_name(e, strings, syms[s].st_name) : NULL;
			if (!name)
				continue;
			if (*found && strcmp(name, *found))
				fatal_at(loc, "holds several models: %s and %s", *found, name);
			*found = name;
			model = &syms[s];
		}
	}
	if (!model)
		fatal_at(loc, "holds no model that dcc compiled (no data symbol ends in _model)");
	return model;
}

const char *find_model_name(const Elf *e, const Loc *loc)
{
	const char *name;
	find_model(e, loc, &name);
	return name;
}

/* ---- places -------------------------------------------------------------------------------------------------------- */

typedef struct Place {
	int section; /* 0: nowhere, a null pointer */
	uint64_t offset;
} Place;

static Place place_of(const Elf *e, int section, uint64_t value)
{
	if (!e->shared)
		return (Place){section > 0 && section < e->nsection ? section : 0, value};
	for (int i = 1; i < e->nsection; i++) {
		const Elf64_Shdr *s = &e->sections[i];
		if ((s->sh_flags & SHF_ALLOC) && value >= s->sh_addr && value - s->sh_addr < s->sh_size)
			return (Place){i, value - s->sh_addr};
	}
	return (Place){0, 0};
}

/* The bytes from a place on and how many there are; NULL if they are not in the file. */
static const void *bytes_at(const Elf *e, Place p, uint64_t *left)
{
	const Elf64_Shdr *s = &e->sections[p.section];
	if (!p.section || s->sh_type == SHT_NOBITS || !in_file(e, s->sh_offset, s->sh_size) || p.offset > s->sh_size)
		return NULL;
	*left = s->sh_size - p.offset;
	return e->bytes + s->sh_offset + p.offset;
}

/* Where relocation r points. */
static Place target_of(const Elf *e, const Elf64_Shdr *table, const Elf64_Rela *r)
{
	const Place nowhere = {0, 0};
	uint64_t s = ELF64_R_SYM(r->r_info), type = ELF64_R_TYPE(r->r_info);
	size_t n;
	if (type == R_X86_64_RELATIVE)
		return place_of(e, 0, (uint64_t)r->r_addend);
	if (type != R_X86_64_64 || table->sh_link >= (uint32_t)e->nsection)
		return nowhere;
	const Elf64_Sym *syms = table_of(e, &e->sections[table->sh_link], sizeof *syms, &n);
	return syms && s < n ? place_of(e, syms[s].st_shndx, syms[s].st_value + (uint64_t)r->r_addend) : nowhere;
}

/* Where the pointer at a place points. */
static Place follow(const Elf *e, Place p)
{
	uint64_t address = p.offset + (e->shared ? e->sections[p.section].sh_addr : 0), left, raw = 0;
	for (int i = 1; i < e->nsection; i++) {
		const Elf64_Shdr *table = &e->sections[i];
		size_t n;
		const Elf64_Rela *r = table_of(e, table, sizeof *r, &n);
		if (table->sh_type != SHT_RELA || (!e->shared && table->sh_info != (uint32_t)p.section))
			continue;
		for (size_t k = 0; r && k < n; k++)
			if (r[k].r_offset == address)
				return target_of(e, table, &r[k]);
	}
	const void *bytes = bytes_at(e, p, &left); /* packed relative relocations leave the address in place */
	if (e->shared && bytes && left >= sizeof raw)
		memcpy(&raw, bytes, sizeof raw);
	return raw ? place_of(e, 0, raw) : (Place){0, 0};
}

/* ---- the descriptor ------------------------------------------------------------------------------------------------ */

typedef struct Reader {
	const Elf *e;
	const Loc *loc;
	FILE *f;
} Reader;

static _Noreturn void damaged(const Reader *r)
{
	fatal_at(r->loc, "the description of the model is damaged");
}

static void read_bytes(const Reader *r, Place p, void *to, size_t bytes)
{
	uint64_t left;
	const void *from = bytes_at(r->e, p, &left);
	if (!from || left < bytes)
		damaged(r);
	memcpy(to, from, bytes);
}

static Place field(const Reader *r, Place base, size_t offset)
{
	base.offset += offset;
	return follow(r->e, base);
}

static Place item(Place base, size_t i, size_t bytes)
{
	base.offset += i * bytes;
	return base;
}

/* Names come from untrusted files. */
static void print_string(const Reader *r, Place p)
{
	uint64_t left;
	const char *s = bytes_at(r->e, p, &left);
	if (!s || strnlen(s, left) == left)
		damaged(r);
	print_safe(r->f, s);
}

static void print_port(const Reader *r, const char *kind, Place p)
{
	dcc_port port;
	const char *type = "?";
	read_bytes(r, p, &port, sizeof port);
	if (port.rank < 0 || port.rank > DCC_MAX_RANK)
		damaged(r);
	for (int i = 0; i < NDTypes; i++)
		if (dtypes[i].onnx == port.dtype)
			type = dtypes[i].text;
	fprintf(r->f, "%-7s ", kind);
	print_string(r, field(r, p, offsetof(dcc_port, name)));
	fprintf(r->f, ": %s", type);
	for (int d = 0; d < port.rank; d++) {
		fputs(d ? ", " : "[", r->f);
		print_string(r, field(r, p, offsetof(dcc_port, dim_text) + (size_t)d * sizeof(char *)));
	}
	fputs(port.rank ? "]" : "[]", r->f);
	if (port.state)
		fprintf(r->f, ", state with room for %lld along axis %d", (long long)port.capacity, port.state_axis);
	fputc('\n', r->f);
}

static void print_symbol(const Reader *r, Place p)
{
	dcc_symbol sym;
	read_bytes(r, p, &sym, sizeof sym);
	fputs("symbol  ", r->f);
	print_string(r, field(r, p, offsetof(dcc_symbol, name)));
	fprintf(r->f, " in %lld..%lld%s\n", (long long)sym.lo, (long long)sym.hi,
	        sym.source == DCC_SYMBOL_DERIVED ? ": follows from others" : sym.source == DCC_SYMBOL_DATA ? ": the run gives it" : "");
}

static void print_targets(const Reader *r, Place table, int n)
{
	fputs("targets", r->f);
	for (int i = 0; i < n; i++) {
		dcc_target t;
		Place p = item(table, (size_t)i, sizeof t);
		read_bytes(r, p, &t, sizeof t);
		fputc(' ', r->f);
		print_string(r, field(r, p, offsetof(dcc_target, name)));
	}
	fputc('\n', r->f);
}

void inspect_object(const Elf *e, const Loc *loc, FILE *f)
{
	const Reader r = {e, loc, f};
	const char *name;
	const Elf64_Sym *sym = find_model(e, loc, &name);
	Place at = place_of(e, sym->st_shndx, sym->st_value);
	dcc_model m;
	read_bytes(&r, at, &m, offsetof(dcc_model, name));
	if (memcmp(m.magic, "dcc\0mod", sizeof m.magic))
		fatal_at(loc, "its _model symbol is not a model that dcc compiled");
	if (m.abi < DCC_ABI_OLDEST || m.abi > DCC_ABI)
		fatal_at(loc, "compiled for ABI %u, this dcc knows %d to %d", m.abi, DCC_ABI_OLDEST, DCC_ABI);
	read_bytes(&r, at, &m, sizeof m);
	fputs("model   ", f);
	print_string(&r, field(&r, at, offsetof(dcc_model, name)));
	fputs("\ndcc     ", f);
	print_string(&r, field(&r, at, offsetof(dcc_model, version)));
	fprintf(f, ", ABI %u, of a model with hash %016llx\n", m.abi, (unsigned long long)m.model_hash);
	print_targets(&r, field(&r, at, offsetof(dcc_model, targets)), m.ntargets);
	if (m.tuning_hash)
		fprintf(f, "tuning  of a file with hash %016llx\n", (unsigned long long)m.tuning_hash);
	bool inside = field(&r, at, offsetof(dcc_model, weights)).section != 0;
	fprintf(f, "weights %llu bytes%s\n", (unsigned long long)m.weights_size,
	        !m.weights_size ? "" : inside ? ", in the object" : ", in a side file");
	for (int i = 0; i < m.nsymbols; i++)
		print_symbol(&r, item(field(&r, at, offsetof(dcc_model, symbols)), (size_t)i, sizeof(dcc_symbol)));
	for (int i = 0; i < m.ninputs; i++)
		print_port(&r, "input", item(field(&r, at, offsetof(dcc_model, inputs)), (size_t)i, sizeof(dcc_port)));
	for (int i = 0; i < m.noutputs; i++)
		print_port(&r, "output", item(field(&r, at, offsetof(dcc_model, outputs)), (size_t)i, sizeof(dcc_port)));
}
