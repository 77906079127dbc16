/* print.c - the text form of a module (ir.md), and the tables of `dcc --list-ops`.
 *
 * What is printed reads back to an equal module.  Constants of at most 64 elements are decimal numbers that read back
 * to the same bits.  Larger ones are referred to where their bytes lie in a file beside the text; else they are
 * hexadecimal up to 4096 bytes, and beyond that write_module() puts them into PATH.data, while print_module() can
 * only write `elided`.
 */
#include "lex.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { MaxListed = 64, MaxInline = 4096, HexLine = 48, DataAlign = 64 };

/* ---- names of values -------------------------------------------------------------------------------------------- */

enum { NumberNamed = -1 };

typedef struct Numbering {
	Map names;
	int next;
} Numbering;

static void number_value(Numbering *nb, Value *v)
{
	bool named = v->name && *v->name && !find_name(&nb->names, v->name);
	if (named)
		add_name(&nb->names, v->name, v);
	v->number = named ? NumberNamed : nb->next++;
}

static void use_value(Value *v)
{
	if (v && v->konst)
		v->number = 1;
}

static void number_block(Numbering *nb, Block *b)
{
	for (int i = 0; i < b->nparam; i++)
		number_value(nb, b->params[i]);
	for (Node *n = b->first; n; n = n->next) {
		for (int i = 0; i < n->nin; i++)
			use_value(n->in[i]);
		for (int i = 0; i < n->nout; i++)
			number_value(nb, n->out[i]);
		if (n->body)
			number_block(nb, n->body);
		if (n->other)
			number_block(nb, n->other);
	}
	for (int i = 0; i < b->nyield; i++)
		use_value(b->yields[i]);
}

/* Sets Value.number: results are counted, or keep their name where it is the first of its kind; constants: 1 if used.
 */
void number_values(Module *m)
{
	Numbering nb = {.names = {.arena = new_arena()}};
	for (int i = 0; i < m->nconst; i++)
		m->consts[i]->value->number = 0;
	for (int i = 0; i < m->main->nparam; i++)
		number_value(&nb, m->main->params[i]);
	number_block(&nb, &m->main->body);
	for (int i = 0; m->loops && i < m->loops->nweight; i++)
		use_value(m->loops->weights[i]);
	free_arena(nb.names.arena);
}

void print_ref(FILE *f, const Value *v)
{
	putc(v->konst ? '@' : '%', f);
	if (v->konst)
		print_name(f, v->konst->name);
	else if (v->number == NumberNamed)
		print_name(f, v->name);
	else
		fprintf(f, "%d", v->number);
}

/* ---- constants -------------------------------------------------------------------------------------------------- */

/* A file that holds the bytes; one per module->consts[i]. */
typedef struct Place {
	const char *file; /* NULL: none */
	uint64_t offset;
} Place;

static uint64_t const_hash(const Const *c)
{
	return hash_bytes(c->data, c->bytes, 0);
}

static bool is_listed(const Const *c)
{
	return const_numel(&c->type) <= MaxListed;
}

void print_list(FILE *f, const Const *c)
{
	int64_t n = const_numel(&c->type);
	putc('[', f);
	for (int64_t i = 0; i < n; i++) {
		if (i)
			fputs(", ", f);
		print_scalar(f, scalar_at(c->type.dtype, c->data, i));
	}
	putc(']', f);
}

static void print_hex(FILE *f, const Const *c)
{
	const unsigned char *p = c->data;
	fputs("hex", f);
	for (size_t i = 0; i < c->bytes; i++) {
		if (i % HexLine == 0)
			fputs(i ? "\"\n\t\"" : "\n\t\"", f);
		fprintf(f, "%02x", p[i]);
	}
	putc('"', f);
}

static void print_const(FILE *f, Module *m, const Const *c, const Place *at)
{
	fputs("const @", f);
	print_name(f, c->name);
	fprintf(f, ": %s = ", type_text(m, &c->type));
	if (is_listed(c)) {
		print_list(f, c);
	} else if (at->file) {
		fputs("file ", f);
		print_quoted(f, at->file);
		fprintf(f, " %llu #%016llx", (unsigned long long)at->offset, (unsigned long long)const_hash(c));
	} else if (c->bytes <= MaxInline) {
		print_hex(f, c);
	} else {
		fprintf(f, "elided #%016llx", (unsigned long long)const_hash(c));
	}
	putc('\n', f);
}

static Place *new_places(Module *m)
{
	return arena_alloc(m->arena, ((size_t)m->nconst + 1) * sizeof(Place));
}

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

static void indent(FILE *f, int depth)
{
	for (int i = 0; i < depth; i++)
		fputs("  ", f);
}

static void print_word(FILE *f, const char *words, int64_t i)
{
	for (; i > 0 && strchr(words, '|'); i--)
		words = strchr(words, '|') + 1;
	fprintf(f, "%.*s", (int)strcspn(words, "|"), words);
}

void print_attr_value(FILE *f, Module *m, const Attr *a)
{
	switch (attr_infos[a->id].kind) {
	case AttrFlag: case AttrInt: fprintf(f, "%lld", (long long)a->i); break;
	case AttrOp: fputs(ops[a->i].text, f); break;
	case AttrWord: print_word(f, attr_infos[a->id].words, a->i); break;
	case AttrDim: fputs(dim_text(m, a->dim), f); break;
	case AttrText: print_quoted(f, a->text); break;
	case AttrFloat:
		print_scalar(f, (Scalar){F64, .f = a->f});
		break;
	case AttrScalar: print_scalar(f, a->s); break;
	case AttrInts:
	case AttrDims:
		putc('[', f);
		for (int i = 0; i < a->n; i++) {
			fputs(i ? ", " : "", f);
			if (attr_infos[a->id].kind == AttrInts)
				fprintf(f, "%lld", (long long)a->ints[i]);
			else
				fputs(dim_text(m, a->dims[i]), f);
		}
		putc(']', f);
		break;
	}
}

void print_attr(FILE *f, Module *m, const Attr *a)
{
	fprintf(f, "%s=", attr_infos[a->id].text);
	print_attr_value(f, m, a);
}

static void print_attrs(FILE *f, Module *m, const Node *n)
{
	for (int i = 0; i < n->nattr; i++) {
		fputs(i ? ", " : " {", f);
		print_attr(f, m, &n->attrs[i]);
	}
	if (n->nattr)
		putc('}', f);
}

/* Elements of a parameter that are symbols. */
static void print_values(FILE *f, Module *m, const Value *v)
{
	if (v->block || !v->known)
		return;
	fputs(" = [", f);
	for (int64_t i = 0, n = const_numel(&v->type); i < n; i++)
		fprintf(f, "%s%s", i ? ", " : "", dim_text(m, v->known[i]));
	putc(']', f);
}

static void print_params(FILE *f, Module *m, int n, Value *const *params)
{
	for (int i = 0; i < n; i++) {
		fputs(i ? ", " : "", f);
		print_ref(f, params[i]);
		fprintf(f, ": %s", type_text(m, &params[i]->type));
		print_values(f, m, params[i]);
	}
}

static void print_refs(FILE *f, const char *before, int n, Value *const *values)
{
	for (int i = 0; i < n; i++) {
		fputs(i ? ", " : before, f);
		if (values[i])
			print_ref(f, values[i]);
		else
			putc('_', f);
	}
}

static void print_block(FILE *f, Module *m, const Block *b, int depth, const char *end);

static void print_checks(FILE *f, Module *m, const Block *b, int depth)
{
	for (int i = 0; i < b->ncheck; i++) {
		indent(f, depth);
		fprintf(f, "check %s == %s", dim_text(m, b->checks[i].a), dim_text(m, b->checks[i].b));
		print_loc(f, b->checks[i].loc);
		putc('\n', f);
	}
}

static void print_body(FILE *f, Module *m, const Block *b, int depth)
{
	if (b->owner->op == OpLoop) {
		fputs(" (", f);
		print_params(f, m, b->nparam, b->params);
		putc(')', f);
	}
	fputs(" {\n", f);
	print_checks(f, m, b, depth + 1);
	print_block(f, m, b, depth + 1, "yield");
	indent(f, depth);
	putc('}', f);
}

static void print_block(FILE *f, Module *m, const Block *b, int depth, const char *end)
{
	for (const Node *n = b->first; n; n = n->next) {
		indent(f, depth);
		for (int i = 0; i < n->nout; i++) {
			fputs(i ? ", " : "", f);
			print_ref(f, n->out[i]);
			fprintf(f, ": %s", type_text(m, &n->out[i]->type));
		}
		fprintf(f, " = %s", ops[n->op].text);
		print_refs(f, " ", n->nin, n->in);
		print_attrs(f, m, n);
		if (n->body)
			print_body(f, m, n->body, depth);
		if (n->other) {
			fputs(" else", f);
			print_body(f, m, n->other, depth);
		}
		print_loc(f, n->loc);
		putc('\n', f);
	}
	indent(f, depth);
	fputs(end, f);
	print_refs(f, " ", b->nyield, b->yields);
	putc('\n', f);
}

static void print_func(FILE *f, Module *m, const Func *fn)
{
	fputs("func @", f);
	print_name(f, fn->name);
	putc('(', f);
	print_params(f, m, fn->nparam, fn->params);
	fputs(") -> (", f);
	for (int i = 0; i < fn->body.nyield; i++) {
		fputs(i ? ", " : "", f);
		print_name(f, fn->results[i]);
		fprintf(f, ": %s", type_text(m, &fn->body.yields[i]->type));
	}
	fputs(") {\n", f);
	print_block(f, m, &fn->body, 1, "return");
	fputs("}\n", f);
}

void print_main(FILE *f, Module *m)
{
	number_values(m);
	print_func(f, m, m->main);
}

static void print_head(FILE *f, Module *m, const Place *places)
{
	fprintf(f, "dcc-ir 1 stage %s\nmodel ", m->stage);
	print_name(f, m->name);
	fprintf(f, " #%016llx\n", (unsigned long long)m->model_hash);
	for (int i = 0; i < m->nsym; i++) {
		const Sym *s = m->syms[i];
		fprintf(f, "sym %s in %lld..%lld", s->name, (long long)s->lo, (long long)s->hi);
		if (s->kind == SymDerived)
			fprintf(f, " = %s", dim_text(m, s->is));
		if (s->kind == SymValue && s->times)
			fprintf(f, " of in%d[%d] * (%s)", s->input, s->element, dim_text(m, s->times));
		putc('\n', f);
	}
	for (int i = 0; i < m->nconst; i++)
		if (m->consts[i]->value->number)
			print_const(f, m, m->consts[i], &places[i]);
	print_checks(f, m, &m->main->body, 0);
}

static void print_at(FILE *f, Module *m, const Place *places)
{
	number_values(m);
	print_head(f, m, places);
	print_func(f, m, m->main);
	if (m->loops)
		print_loops(f, m->loops);
}

void print_module(FILE *f, Module *m)
{
	Place *places = new_places(m);
	for (int i = 0; i < m->nconst; i++)
		if (m->consts[i]->file)
			places[i] = (Place){base_name(m->consts[i]->file), m->consts[i]->offset};
	print_at(f, m, places);
}

char *module_text(Module *m)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (f)
		print_module(f, m);
	if (!f || fclose(f))
		refuse_at(NULL, "out of memory");
	return text;
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

/* A file that replaces `path` only when it is complete, so that a text may be written over the one that was read. */
typedef struct OutFile {
	FILE *f;
	const char *path, *part; /* part == path: not a regular file, written in place */
} OutFile;

_Noreturn static void fail_write(const char *path)
{
	Loc at = {.file = path};
	fatal_at(&at, "cannot write: %s", strerror(errno));
}

static OutFile open_out(Module *m, const char *path)
{
	struct stat st;
	OutFile o = {.path = path, .part = path};
	bool special = !stat(path, &st) && !S_ISREG(st.st_mode);
	int fd = special ? open(path, O_WRONLY | O_CLOEXEC) : open_temporary(m->arena, path, &o.part);
	o.f = fd < 0 ? NULL : fdopen(fd, "wb");
	if (!o.f)
		fail_write(path);
	return o;
}

static void close_out(const OutFile *o)
{
	errno = EIO; /* an earlier failure may come without a new one */
	bool bad = fflush(o->f) || ferror(o->f);
	if (bad || fclose(o->f))
		fail_write(o->path);
	if (o->part == o->path)
		return;
	if (rename(o->part, o->path))
		fail_write(o->path);
	diag_keep(o->part);
}

/* Files beside the text that constants come from, mapped once. */
typedef struct Beside {
	Module *m;
	const char *dir; /* "" or with its slash */
	Map files; /* by name; value: MappedFile */
} Beside;

typedef struct MappedFile {
	const char *bytes; /* NULL: not there */
	size_t size;
} MappedFile;

static const MappedFile *map_beside(Beside *b, const char *name)
{
	void **found = find_name(&b->files, name);
	if (found)
		return *found;
	MappedFile *mf = arena_alloc(b->m->arena, sizeof *mf);
	mf->bytes = map_file(b->m->arena, arena_printf(b->m->arena, "%s%s", b->dir, name), &mf->size);
	add_name(&b->files, name, mf);
	return mf;
}

static bool lies_beside(Beside *b, const Const *c)
{
	if (!c->file)
		return false;
	const MappedFile *mf = map_beside(b, base_name(c->file));
	return mf->bytes && c->offset <= mf->size && c->bytes <= mf->size - c->offset &&
	       !memcmp(mf->bytes + c->offset, c->data, c->bytes);
}

static void write_padding(FILE *f, uint64_t *offset)
{
	for (; *offset % DataAlign; ++*offset)
		putc(0, f);
}

/* Decides where constants lie and writes PATH.data, if it is needed, to a part that is still to be put in place. */
static OutFile write_data(Module *m, const char *path, Place *places)
{
	size_t dir = (size_t)(base_name(path) - path);
	Beside b = {.m = m, .dir = arena_printf(m->arena, "%.*s", (int)dir, path), .files = {.arena = m->arena}};
	const char *data_path = arena_printf(m->arena, "%s.data", path), *data = base_name(data_path);
	OutFile out = {0};
	uint64_t offset = 0;
	for (int i = 0; i < m->nconst; i++) {
		const Const *c = m->consts[i];
		if (!c->value->number || is_listed(c))
			continue;
		/* the old PATH.data is about to be replaced: nothing may refer to it */
		if (c->file && strcmp(base_name(c->file), data) && lies_beside(&b, c)) {
			places[i] = (Place){base_name(c->file), c->offset};
			continue;
		}
		if (c->bytes <= MaxInline)
			continue;
		if (!out.f)
			out = open_out(m, data_path);
		write_padding(out.f, &offset);
		places[i] = (Place){data, offset};
		if (fwrite(c->data, 1, c->bytes, out.f) != c->bytes)
			fail_write(data_path);
		offset += c->bytes;
	}
	return out;
}

void write_module(const char *path, Module *m)
{
	Place *places = new_places(m);
	number_values(m);
	if (!strcmp(path, "-")) {
		print_module(stdout, m);
		if (fflush(stdout) || ferror(stdout))
			fail_write("stdout");
		return;
	}
	OutFile data = write_data(m, path, places);
	OutFile text = open_out(m, path);
	print_at(text.f, m, places);
	if (data.f)
		close_out(&data);
	close_out(&text);
}

/* ---- dcc --list-ops --------------------------------------------------------------------------------------------- */

static void print_operands(FILE *f, const OpInfo *op)
{
	if (op->nin < 0)
		fprintf(f, "%s, ...", op->in[0]);
	for (int i = 0; i < op->nin; i++)
		fprintf(f, "%s%s%s", i ? ", " : "", op->in[i], op->optional[i] ? "|_" : "");
}

static void print_op(FILE *f, const OpInfo *op, const char *cls, const char *takes, const char *shape,
                     const char *flags, const char *meaning)
{
	fprintf(f, "%s(", op->text);
	print_operands(f, op);
	fprintf(f, ")\n    class %s, takes %s, result %s", cls, takes, op->given ? "given" : shape);
	const char *sep = ", attributes ";
	for (int id = 0; id < NAttrs; id++) {
		if (op->attrs >> id & 1) {
			fprintf(f, "%s%s", sep, attr_infos[id].text);
			sep = " ";
		}
	}
	if (op->flags)
		fprintf(f, ", %s", flags);
	if (op->code != CodeAll)
		fprintf(f, ", compiled for %s", op->code == CodeF32 ? "f32" : "floating types");
	if (op->cls == ClsEwise)
		fprintf(f, "\n    = %s", meaning);
	putc('\n', f);
}

static void print_default(FILE *f, const AttrInfo *a)
{
	switch (a->kind) {
	case AttrFlag: case AttrInt: case AttrFloat: case AttrScalar: case AttrDim: fprintf(f, "%.10g", a->number); break;
	case AttrOp: fputs(ops[(int)a->number].text, f); break;
	case AttrWord: fprintf(f, "%.*s", (int)strcspn(a->words, "|"), a->words); break;
	case AttrInts: case AttrDims: fputs("[]", f); break;
	case AttrText: print_quoted(f, a->words); break;
	}
}

void print_ops(FILE *f)
{
	static const char *const kinds[] = {
		[AttrFlag] = "flag", [AttrInt] = "integer", [AttrInts] = "integers", [AttrFloat] = "number", [AttrScalar] = "element",
		[AttrOp] = "operator", [AttrDim] = "dim", [AttrDims] = "dims", [AttrText] = "text",
	};
	fputs("Operators: name(operands), class, element types, how the result type follows; the value of one element\n", f);
#define OP(name, text, in, cls, takes, code, shape, attrs, flags, meaning)                                             \
	print_op(f, &ops[Op##name], #cls, #takes, #shape, #flags, #meaning);
#include "ops.def"
#undef OP
	fputs("\nAttributes: name, kind, default, meaning\n", f);
	for (int i = 0; i < NAttrs; i++) {
		const AttrInfo *a = &attr_infos[i];
		fprintf(f, "%s: %s", a->text, a->kind == AttrWord ? a->words : kinds[a->kind]);
		fputs(", default ", f);
		print_default(f, a);
		fprintf(f, "\n    %s\n", a->help);
	}
	fputs("\nElement types:", f);
	for (int i = 0; i < NDTypes; i++)
		fprintf(f, " %s", dtypes[i].text);
	putc('\n', f);
}
