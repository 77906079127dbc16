/* join.c - relocatable objects to one: sections of a name one behind the other, one table of symbols, relocations moved along.
 *
 * The objects are LLVM's, of this process, and so trusted.  What one of them defines as hidden is for the others alone: it becomes local,
 * and calls of it within a section are resolved, as by an assembler that sees both.  DWARF needs no more than that: whatever a unit says of
 * places in other sections is a relocation.
 *
 *   header | sections | their relocations | symbols | names | section headers
 */
#include "emit.h"

#include <string.h>

typedef struct Symbol { /* of the result */
	const char *name;
	Elf64_Sym s;
	uint32_t number;
} Symbol;

typedef struct Section { /* of the result */
	const char *name;
	Elf64_Shdr h, rela; /* the headers of its bytes and of their relocations */
	Symbol *symbol; /* stands for it; NULL: none is needed */
} Section;

typedef struct Object {
	const uint8_t *bytes;
	const Elf64_Shdr *sections;
	size_t nsection;
	int *into; /* per section: that of the result; negative: none */
	uint64_t *at; /* where it begins there */
	const Elf64_Sym *symbols;
	size_t nsymbol;
	const char *names;
	Symbol **symbol_into;
} Object;

typedef struct Join {
	Arena *arena;
	int nobject, nsection, capsection, nsymbol, capsymbol;
	Object *objects;
	Section *sections;
	Symbol **symbols;
	Table globals; /* by name */
	uint8_t *bytes; /* the result */
	uint64_t size; /* so far */
} Join;

/* ---- sections ---------------------------------------------------------------------------------------------------- */

/* Those that are copied: what describes symbols and relocations is made anew. */
static bool holds_bytes(const Elf64_Shdr *s)
{
	switch (s->sh_type) {
	case SHT_NULL: case SHT_SYMTAB: case SHT_STRTAB: case SHT_RELA: return false;
	case SHT_PROGBITS: case SHT_X86_64_UNWIND: return true;
	default: bug("LLVM wrote a section of type %#x", s->sh_type);
	}
}

static int find_or_add_section(Join *j, const char *name, const Elf64_Shdr *s)
{
	for (int i = 0; i < j->nsection; i++) {
		const Elf64_Shdr *h = &j->sections[i].h;
		if (!strcmp(j->sections[i].name, name) && h->sh_type == s->sh_type && h->sh_flags == s->sh_flags &&
		    h->sh_entsize == s->sh_entsize)
			return i;
	}
	Elf64_Shdr h = {.sh_type = s->sh_type, .sh_flags = s->sh_flags, .sh_entsize = s->sh_entsize};
	PUSH(j->arena, j->sections, j->nsection, j->capsection, ((Section){.name = name, .h = h}));
	return j->nsection - 1;
}

static uint64_t align_up(uint64_t n, uint64_t align)
{
	return align > 1 ? (n + align - 1) / align * align : n;
}

static void append_section(Join *j, Object *o, size_t i, const char *names)
{
	const Elf64_Shdr *s = &o->sections[i];
	o->into[i] = find_or_add_section(j, names + s->sh_name, s);
	Elf64_Shdr *to = &j->sections[o->into[i]].h;
	o->at[i] = align_up(to->sh_size, s->sh_addralign);
	to->sh_size = o->at[i] + s->sh_size;
	if (s->sh_addralign > to->sh_addralign)
		to->sh_addralign = s->sh_addralign;
}

static void open_object(Join *j, Object *o, const Bytes *b)
{
	const Elf64_Ehdr *h = b->p;
	*o = (Object){.bytes = b->p, .nsection = h->e_shnum};
	o->sections = (const void *)(o->bytes + h->e_shoff);
	o->into = arena_alloc(j->arena, o->nsection * sizeof *o->into);
	o->at = arena_alloc(j->arena, o->nsection * sizeof *o->at);
	const char *names = (const char *)o->bytes + o->sections[h->e_shstrndx].sh_offset;
	for (size_t i = 0; i < o->nsection; i++) {
		const Elf64_Shdr *s = &o->sections[i];
		o->into[i] = -1;
		if (holds_bytes(s))
			append_section(j, o, i, names);
		if (s->sh_type != SHT_SYMTAB)
			continue;
		o->symbols = (const void *)(o->bytes + s->sh_offset);
		o->nsymbol = s->sh_size / sizeof *o->symbols;
		o->names = (const char *)o->bytes + o->sections[s->sh_link].sh_offset;
	}
	for (size_t i = 0; i < o->nsection; i++)
		if (o->sections[i].sh_type == SHT_RELA)
			j->sections[o->into[o->sections[i].sh_info]].rela.sh_size += o->sections[i].sh_size;
}

/* ---- symbols ----------------------------------------------------------------------------------------------------- */

static Symbol *add_symbol(Join *j, const char *name, Elf64_Sym s)
{
	Symbol *symbol = arena_alloc(j->arena, sizeof *symbol);
	*symbol = (Symbol){.name = name, .s = s};
	PUSH(j->arena, j->symbols, j->nsymbol, j->capsymbol, symbol);
	return symbol;
}

static bool has_name(const void *item, const void *key)
{
	return !strcmp(((const Symbol *)item)->name, key);
}

static Symbol *find_global(const Join *j, const char *name)
{
	return table_find(&j->globals, table_hash(name, strlen(name), 0), has_name, name);
}

static Symbol *add_global(Join *j, const char *name, Elf64_Sym s)
{
	Symbol *symbol = add_symbol(j, name, s);
	table_add(j->arena, &j->globals, table_hash(name, strlen(name), 0), symbol);
	return symbol;
}

static bool is_local(const Elf64_Sym *s)
{
	return ELF64_ST_BIND(s->st_info) == STB_LOCAL;
}

static Symbol *section_symbol(Join *j, int section, Elf64_Sym s)
{
	Section *to = &j->sections[section];
	s.st_value = 0;
	if (!to->symbol)
		to->symbol = add_symbol(j, "", s);
	return to->symbol;
}

static Symbol *define_symbol(Join *j, const Object *o, const char *name, Elf64_Sym s)
{
	const int section = o->into[s.st_shndx];
	const uint64_t at = o->at[s.st_shndx];
	const bool local = is_local(&s), hidden = s.st_other == STV_HIDDEN;
	s.st_shndx = (uint16_t)(section + 1);
	if (ELF64_ST_TYPE(s.st_info) == STT_SECTION)
		return section_symbol(j, section, s);
	s.st_value += at;
	if (hidden) {
		s.st_other = STV_DEFAULT;
		s.st_info = ELF64_ST_INFO(STB_LOCAL, ELF64_ST_TYPE(s.st_info));
	}
	if (!local && find_global(j, name))
		bug("two parts define %s", name);
	return local ? add_symbol(j, name, s) : add_global(j, name, s);
}

static void define_symbols(Join *j, Object *o)
{
	o->symbol_into = arena_alloc(j->arena, (o->nsymbol + 1) * sizeof *o->symbol_into);
	for (size_t i = 1; i < o->nsymbol; i++) {
		const Elf64_Sym *s = &o->symbols[i];
		const char *name = o->names + s->st_name;
		if (ELF64_ST_TYPE(s->st_info) != STT_FILE && s->st_shndx != SHN_UNDEF)
			o->symbol_into[i] = define_symbol(j, o, name, *s);
		else if (ELF64_ST_TYPE(s->st_info) == STT_FILE && o == j->objects) /* the same in all */
			add_symbol(j, name, *s);
	}
}

/* What an object names and does not define is another's, or comes from outside. */
static void find_symbols(Join *j, Object *o)
{
	for (size_t i = 1; i < o->nsymbol; i++) {
		const char *name = o->names + o->symbols[i].st_name;
		if (o->symbols[i].st_shndx != SHN_UNDEF)
			continue;
		Symbol *known = find_global(j, name);
		if (!known && o->symbols[i].st_other == STV_HIDDEN)
			bug("no part defines %s", name);
		o->symbol_into[i] = known ? known : add_global(j, name, o->symbols[i]);
	}
}

/* Local ones come first.  Returns the number of the first that is not. */
static uint32_t number_symbols(Join *j)
{
	uint32_t n = 1, first;
	for (int i = 0; i < j->nsymbol; i++)
		if (is_local(&j->symbols[i]->s))
			j->symbols[i]->number = n++;
	first = n;
	for (int i = 0; i < j->nsymbol; i++)
		if (!is_local(&j->symbols[i]->s))
			j->symbols[i]->number = n++;
	return first;
}

/* ---- the result -------------------------------------------------------------------------------------------------- */

/* The header of what comes next. */
static void begin_bytes(Join *j, Elf64_Shdr *h)
{
	h->sh_offset = j->size = align_up(j->size, h->sh_addralign);
}

static uint64_t names_bytes(const Join *j)
{
	uint64_t bytes = 1 + sizeof ".symtab" + sizeof ".strtab";
	for (int i = 0; i < j->nsymbol; i++)
		bytes += strlen(j->symbols[i]->name) + 1;
	for (int i = 0; i < j->nsection; i++)
		bytes += 2 * (strlen(j->sections[i].name) + 1) + strlen(".rela");
	return bytes;
}

/* Without the calls that are resolved and the gaps that alignment leaves out it is less. */
static uint64_t most_bytes(const Join *j)
{
	uint64_t bytes = sizeof(Elf64_Ehdr) + ((uint64_t)j->nsymbol + 1) * sizeof(Elf64_Sym) + names_bytes(j);
	for (int i = 0; i < j->nsection; i++)
		bytes += j->sections[i].h.sh_size + j->sections[i].h.sh_addralign + j->sections[i].rela.sh_size;
	return bytes + (2 * (uint64_t)j->nsection + 3) * sizeof(Elf64_Shdr) + 4 * sizeof(uint64_t);
}

static void write_section(Join *j, Section *to)
{
	enum { Nop = 0x90 }; /* between parts of code: never run, but somebody may read it */
	const int number = (int)(to - j->sections);
	begin_bytes(j, &to->h);
	if (to->h.sh_flags & SHF_EXECINSTR)
		memset(j->bytes + j->size, Nop, to->h.sh_size);
	for (const Object *o = j->objects; o < j->objects + j->nobject; o++)
		for (size_t i = 0; i < o->nsection; i++)
			if (o->into[i] == number)
				memcpy(j->bytes + j->size + o->at[i], o->bytes + o->sections[i].sh_offset, o->sections[i].sh_size);
	j->size += to->h.sh_size;
}

/* The call of a function in the same section: nothing is left to a linker. */
static bool resolve_call(Join *j, const Section *in, const Symbol *to, const Elf64_Rela *r)
{
	const uint32_t type = ELF64_R_TYPE(r->r_info);
	if (!is_local(&to->s) || to->s.st_shndx != in - j->sections + 1 || (type != R_X86_64_PLT32 && type != R_X86_64_PC32))
		return false;
	const int64_t distance = (int64_t)to->s.st_value + r->r_addend - (int64_t)r->r_offset;
	const int32_t field = (int32_t)distance;
	if (field != distance)
		bug("%s is too far from who calls it", to->name);
	memcpy(j->bytes + in->h.sh_offset + r->r_offset, &field, sizeof field);
	return true;
}

static void move_relocations(Join *j, const Object *o, const Elf64_Shdr *table)
{
	const Elf64_Rela *from = (const void *)(o->bytes + table->sh_offset);
	const Section *in = &j->sections[o->into[table->sh_info]];
	for (size_t i = 0; i < table->sh_size / sizeof *from; i++) {
		const Elf64_Sym *s = &o->symbols[ELF64_R_SYM(from[i].r_info)];
		const Symbol *symbol = o->symbol_into[ELF64_R_SYM(from[i].r_info)];
		Elf64_Rela r = from[i];
		r.r_offset += o->at[table->sh_info];
		if (ELF64_ST_TYPE(s->st_info) == STT_SECTION)
			r.r_addend += (int64_t)o->at[s->st_shndx];
		r.r_info = ELF64_R_INFO((uint64_t)symbol->number, ELF64_R_TYPE(r.r_info));
		if (resolve_call(j, in, symbol, &r))
			continue;
		memcpy(j->bytes + j->size, &r, sizeof r);
		j->size += sizeof r;
	}
}

static void write_relocations(Join *j, Section *of)
{
	const int number = (int)(of - j->sections);
	of->rela = (Elf64_Shdr){.sh_type = SHT_RELA, .sh_flags = SHF_INFO_LINK, .sh_info = (uint32_t)number + 1,
	                        .sh_addralign = 8, .sh_entsize = sizeof(Elf64_Rela)};
	begin_bytes(j, &of->rela);
	for (const Object *o = j->objects; o < j->objects + j->nobject; o++)
		for (size_t i = 0; i < o->nsection; i++)
			if (o->sections[i].sh_type == SHT_RELA && o->into[o->sections[i].sh_info] == number)
				move_relocations(j, o, &o->sections[i]);
	of->rela.sh_size = j->size - of->rela.sh_offset;
}

static Elf64_Shdr write_symbols(Join *j, uint32_t first_global)
{
	Elf64_Shdr h = {.sh_type = SHT_SYMTAB, .sh_info = first_global, .sh_addralign = 8, .sh_entsize = sizeof(Elf64_Sym)};
	begin_bytes(j, &h);
	h.sh_size = ((uint64_t)j->nsymbol + 1) * sizeof(Elf64_Sym);
	j->size += h.sh_size;
	return h;
}

/* Of a name that two texts make; what has none is named by the empty one at the begin. */
static uint32_t write_name(Join *j, const Elf64_Shdr *names, const char *before, const char *name)
{
	const uint64_t at = j->size;
	if (!*before && !*name)
		return 0;
	char *end = stpcpy(stpcpy((char *)j->bytes + at, before), name);
	j->size = (uint64_t)(end - (char *)j->bytes) + 1;
	return (uint32_t)(at - names->sh_offset);
}

/* Also sets the symbols, which now have names. */
static Elf64_Shdr write_names(Join *j, Elf64_Shdr *symtab)
{
	Elf64_Shdr h = {.sh_type = SHT_STRTAB, .sh_addralign = 1};
	Elf64_Sym *symbols = (void *)(j->bytes + symtab->sh_offset);
	begin_bytes(j, &h);
	j->size++;
	for (int i = 0; i < j->nsymbol; i++) {
		Symbol *s = j->symbols[i];
		s->s.st_name = write_name(j, &h, "", s->name);
		symbols[s->number] = s->s;
	}
	for (int i = 0; i < j->nsection; i++) {
		Section *s = &j->sections[i];
		s->h.sh_name = write_name(j, &h, "", s->name);
		if (s->rela.sh_size)
			s->rela.sh_name = write_name(j, &h, ".rela", s->name);
	}
	symtab->sh_name = write_name(j, &h, "", ".symtab");
	h.sh_name = write_name(j, &h, "", ".strtab");
	h.sh_size = j->size - h.sh_offset;
	return h;
}

static void write_header(Join *j, uint64_t sections, int nsection)
{
	Elf64_Ehdr h = *(const Elf64_Ehdr *)j->objects->bytes;
	h.e_shoff = sections;
	h.e_shnum = (uint16_t)nsection;
	h.e_shstrndx = (uint16_t)(nsection - 1);
	memcpy(j->bytes, &h, sizeof h);
}

/* Behind all that they tell of: none, those of bytes, those of relocations, symbols, names. */
static void write_headers(Join *j, Elf64_Shdr symtab, Elf64_Shdr strtab)
{
	const uint64_t begin = align_up(j->size, 8);
	Elf64_Shdr *first = (void *)(j->bytes + begin), *to = first + 1;
	for (int i = 0; i < j->nsection; i++)
		*to++ = j->sections[i].h;
	Elf64_Shdr *relas = to;
	for (int i = 0; i < j->nsection; i++)
		if (j->sections[i].rela.sh_size)
			*to++ = j->sections[i].rela;
	for (Elf64_Shdr *r = relas; r < to; r++)
		r->sh_link = (uint32_t)(to - first);
	symtab.sh_link = (uint32_t)(to - first) + 1;
	*to++ = symtab;
	*to++ = strtab;
	j->size = begin + (uint64_t)((uint8_t *)to - (uint8_t *)first);
	write_header(j, begin, (int)(to - first));
}

uint8_t *join_objects(Arena *arena, int n, const Bytes *objects, size_t *size)
{
	Join j = {.arena = new_inner_arena(arena), .nobject = n};
	j.objects = arena_alloc(j.arena, (size_t)n * sizeof *j.objects);
	for (int i = 0; i < n; i++)
		open_object(&j, &j.objects[i], &objects[i]);
	for (int i = 0; i < n; i++)
		define_symbols(&j, &j.objects[i]);
	for (int i = 0; i < n; i++)
		find_symbols(&j, &j.objects[i]);
	uint32_t first_global = number_symbols(&j);
	j.bytes = arena_alloc(arena, most_bytes(&j));
	j.size = sizeof(Elf64_Ehdr);
	for (int i = 0; i < j.nsection; i++)
		write_section(&j, &j.sections[i]);
	for (int i = 0; i < j.nsection; i++)
		write_relocations(&j, &j.sections[i]);
	Elf64_Shdr symtab = write_symbols(&j, first_global), strtab = write_names(&j, &symtab);
	write_headers(&j, symtab, strtab);
	free_arena(j.arena);
	*size = j.size;
	return j.bytes;
}
