/* header.c - the C and C++ header that goes with an object: dims, sizes and typed calls.
 *
 * ONNX names become identifiers: other characters turn into '_', keywords and names that the header uses get t_ in
 * front, and equal names a number.  Arithmetic on dims goes through dcc.h's functions, which do not overflow.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "../runtime/dcc.h"
#include "../ir/lex.h"
#include "emit.h"

typedef struct Names {
	Arena *arena;
	const char *model; /* MODEL_... is the header's own */
	Map next; /* of each identifier: the number that the next equal one gets */
} Names;

typedef struct Header {
	FILE *f;
	Module *m;
	const EmitOptions *opt;
	const char **syms, **inputs, **outputs; /* identifiers */
} Header;

/* ---- identifiers ----------------------------------------------------------------------------------------------- */

/* Keywords of C and C++, and common macros and types. */
static const char *const words[] = {
	"alignas", "alignof", "and", "and_eq", "asm", "assert", "auto", "bitand", "bitor", "bool", "break", "case", "catch",
	"char", "char8_t", "char16_t", "char32_t", "class", "co_await", "co_return", "co_yield", "compl", "concept",
	"const", "const_cast", "consteval", "constexpr", "constinit", "continue", "decltype", "default", "delete", "do",
	"double", "dynamic_cast", "else", "enum", "explicit", "export", "extern", "false", "float", "for", "friend", "goto",
	"if", "inline", "int", "long", "mutable", "namespace", "new", "noexcept", "not", "not_eq", "nullptr", "operator", "or",
	"or_eq", "private", "protected", "public", "register", "reinterpret_cast", "requires", "restrict", "return", "short",
	"signed", "sizeof", "static", "static_assert", "static_cast", "struct", "switch", "template", "this", "thread_local",
	"throw", "true", "try", "typedef", "typeid", "typename", "typeof", "typeof_unqual", "union", "unsigned", "using",
	"virtual", "void", "volatile", "wchar_t", "while", "xor", "xor_eq",
	"linux", "unix", "i386", "errno", "stdin", "stdout", "stderr", "NULL", "EOF", "offsetof", "complex", "I",
	"int8_t", "int16_t", "int32_t", "int64_t", "uint8_t", "uint64_t", "size_t", "memset", "main",
};

/* The names that the typed call uses. */
static const char *const own[] = {
	"dims", "threads", "args", "in", "out", "workspace", "workspace_size", "weights", "weights_size", "exec", "error", "out_dims",
};

static bool in_list(const char *name, int n, const char *const *list)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(name, list[i]))
			return true;
	return false;
}

/* Limits of <stdint.h> and <limits.h>. */
static bool is_limit(const char *name)
{
	size_t n = strlen(name);
	return n > 4 && (!strcmp(name + n - 4, "_MAX") || !strcmp(name + n - 4, "_MIN"));
}

static bool is_word(const char *name)
{
	return in_list(name, sizeof words / sizeof *words, words) || is_limit(name) || !strncmp(name, "dcc_", 4) ||
	       !strncmp(name, "DCC_", 4);
}

static bool is_reserved(const char *name, const char *model)
{
	size_t n = strlen(model);
	return is_word(name) || in_list(name, sizeof own / sizeof *own, own) || (!strncmp(name, model, n) && name[n] == '_');
}

/* Letters, digits and single '_' inside; starts with a letter. */
static char *sanitise(Arena *arena, const char *name)
{
	char *id = arena_alloc(arena, strlen(name) + 3);
	size_t n = 0;
	for (const char *p = name; *p; p++) {
		bool plain = (unsigned char)*p < 128 && isalnum((unsigned char)*p);
		if (n == 0 && (!plain || isdigit((unsigned char)*p)))
			id[n++] = 't';
		if (plain)
			id[n++] = *p;
		else if (id[n - 1] != '_')
			id[n++] = '_';
	}
	while (n > 1 && id[n - 1] == '_')
		n--;
	id[n] = 0;
	return n ? id : arena_strdup(arena, "t");
}

static const char *new_name(Names *names, const char *from)
{
	const char *id = sanitise(names->arena, from ? from : "");
	if (is_reserved(id, names->model))
		id = arena_printf(names->arena, "t_%s", id);
	const char *unique = id;
	void **next = find_name(&names->next, id);
	intptr_t number = next ? (intptr_t)*next : 2;
	for (; find_name(&names->next, unique); number++)
		unique = arena_printf(names->arena, "%s_%d", id, (int)number);
	if (next)
		*next = (void *)number;
	add_name(&names->next, unique, (void *)(intptr_t)2);
	return unique;
}

static bool is_field(const Sym *s)
{
	return s->kind == SymInput || s->kind == SymValue;
}

static void name_everything(Header *h)
{
	Arena *arena = h->m->arena;
	const Func *fn = h->m->main;
	Names fields = {.arena = arena, .model = h->m->name, .next = {.arena = arena}}, params = fields;
	h->syms = arena_alloc(arena, ((size_t)h->m->nsym + 1) * sizeof *h->syms);
	h->inputs = arena_alloc(arena, ((size_t)fn->nparam + 1) * sizeof *h->inputs);
	h->outputs = arena_alloc(arena, ((size_t)fn->body.nyield + 1) * sizeof *h->outputs);
	for (int i = 0; i < h->m->nsym; i++)
		if (is_field(h->m->syms[i]))
			h->syms[i] = new_name(&fields, h->m->syms[i]->name);
	for (int i = 0; i < fn->nparam; i++)
		h->inputs[i] = new_name(&params, fn->params[i]->name);
	for (int i = 0; i < fn->body.nyield; i++)
		h->outputs[i] = new_name(&params, fn->results[i]);
}

/* ---- dims as C ------------------------------------------------------------------------------------------------- */

static void *c_constant(void *ctx, int64_t v)
{
	Header *h = ctx;
	return arena_printf(h->m->arena, v < INT32_MIN || v > INT32_MAX ? "INT64_C(%lld)" : "%lld", (long long)v);
}

static void *c_symbol(void *ctx, const Sym *s)
{
	Header *h = ctx;
	if (s->kind == SymDerived)
		return arena_printf(h->m->arena, "%s_%s_(dims)", h->m->name, s->name);
	return arena_printf(h->m->arena, "dims->%s", h->syms[s->index]);
}

static void *c_binary(void *ctx, const char *op, void *a, void *b)
{
	static const char *const calls[][2] = {{"+", "add"}, {"*", "mul"}, {"/", "floordiv"}, {"%", "mod"},
	                                       {"min", "min"}, {"max", "max"}};
	Header *h = ctx;
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		if (!strcmp(op, calls[i][0]))
			return arena_printf(h->m->arena, "dcc_%s_(%s, %s)", calls[i][1], (char *)a, (char *)b);
	bug("no C for the operator '%s' of dims", op);
}

/* What the data decides has its upper bound. */
static const char *c_dim(Header *h, const Dim *d)
{
	DimVisitor v = {c_constant, c_symbol, c_binary, h};
	return dim_visit(dim_most(h->m, d), &v);
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

/* A packed tensor is bytes. */
static const char *c_type(DType t)
{
	static const char *const names[NDTypes] = {
#define DTYPE(name, text, bits, ctype, cls, onnx) [name] = #ctype,
#include "../ir/dtypes.def"
#undef DTYPE
	};
	return names[is_packed(t) ? U8 : t];
}

static const char *dcc_dtype_name(DType t)
{
	static const char *const names[NDTypes] = {
		[F32] = "DCC_F32", [F64] = "DCC_F64", [I8] = "DCC_I8", [I16] = "DCC_I16",
		[I32] = "DCC_I32", [I64] = "DCC_I64", [U8] = "DCC_U8", [U16] = "DCC_U16",
		[U32] = "DCC_U32", [F16] = "DCC_F16", [BF16] = "DCC_BF16",
		[F8E4M3FN] = "DCC_F8E4M3FN", [F8E4M3FNUZ] = "DCC_F8E4M3FNUZ", [F8E5M2] = "DCC_F8E5M2",
		[F8E5M2FNUZ] = "DCC_F8E5M2FNUZ", [F8E8M0] = "DCC_F8E8M0", [F4E2M1] = "DCC_F4E2M1",
		[U4] = "DCC_U4", [I4] = "DCC_I4", [U2] = "DCC_U2", [I2] = "DCC_I2",
		[U64] = "DCC_U64", [Bool] = "DCC_BOOL",
	};
	return names[t];
}

/* No name may end the comment or the line. */
static const char *comment_text(Arena *arena, const char *text)
{
	char *copy = arena_strdup(arena, safe_name(arena, text ? text : ""));
	for (char *p = copy; *p; p++)
		if (*p == '\\' || (*p == '*' && p[1] == '/') || (*p == '/' && p[1] == '*'))
			*p = '?';
	return copy;
}

/* Where the field of a value comes from. */
static const char *value_text(Header *h, const Sym *s)
{
	Arena *a = h->m->arena;
	if (s->kind != SymValue)
		return "";
	const char *element = arena_printf(a, "element %d of %s", s->element, h->inputs[s->input]);
	if (!s->times)
		return arena_printf(a, ", %s", element);
	return arena_printf(a, ", %s times %s, rounded down", element, comment_text(a, dim_text(h->m, s->times)));
}

static void print_dims(Header *h)
{
	fprintf(h->f, "typedef struct %s_dims {\n", h->m->name);
	for (int i = 0; i < h->m->nsym; i++) {
		const Sym *s = h->m->syms[i];
		if (!is_field(s))
			continue;
		fprintf(h->f, "\tint64_t %s; /* %s%s: %lld .. %lld */\n", h->syms[i], comment_text(h->m->arena, s->name),
		        value_text(h, s), (long long)s->lo, (long long)s->hi);
	}
	fprintf(h->f, "\tint64_t threads; /* of the exec, for the workspace; 0 counts as 1 */\n} %s_dims;\n\n", h->m->name);
}

/* int64_t NAME_ID_what(dims): `first` times some dims. */
static void print_product(Header *h, const char *id, const char *what, int64_t first, int n, const Dim *const *dims)
{
	const char *product = arena_printf(h->m->arena, "%lld", (long long)first);
	for (int d = 0; d < n; d++)
		product = arena_printf(h->m->arena, "dcc_extend_(%s, %s)", product, c_dim(h, dims[d]));
	fprintf(h->f, "static inline int64_t %s_%s_%s(const %s_dims *dims)\n{\n\t(void)dims;\n\treturn %s;\n}\n", h->m->name, id,
	        what, h->m->name, product);
}

/* size_t NAME_ID_bytes(dims): of what NAME_ID_what counts. */
static void print_bytes(Header *h, const char *id, const char *what, const Type *t)
{
	fprintf(h->f, "static inline size_t %s_%s_bytes(const %s_dims *dims)\n{\n", h->m->name, id, h->m->name);
	if (is_packed(t->dtype))
		fprintf(h->f, "\treturn dcc_packed_bytes_(%s_%s_%s(dims), %d);\n}\n\n", h->m->name, id, what, dtypes[t->dtype].bits);
	else
		fprintf(h->f, "\treturn dcc_bytes_(%s_%s_%s(dims), sizeof(%s));\n}\n\n", h->m->name, id, what, c_type(t->dtype));
}

static const char *port_text(Header *h, const char *name, const Type *t)
{
	const char *text = arena_printf(h->m->arena, "%s: %s", name ? name : "", type_text(h->m, t));
	return comment_text(h->m->arena, text);
}

static void print_input_sizes(Header *h, int i)
{
	const Value *v = h->m->main->params[i];
	const Type *t = &v->type;
	fprintf(h->f, "/* %s */\n", port_text(h, v->name, t));
	print_product(h, h->inputs[i], "count", 1, t->rank, t->dims);
	if (!state_append(v)) {
		print_bytes(h, h->inputs[i], "count", t);
		return;
	}
	Type whole;
	storage_type(h->m, v, &whole);
	fprintf(h->f, "/* State: the caller's buffer is laid out as %s, %s_%s_bytes() in all; runs write in place. */\n",
	        comment_text(h->m->arena, type_text(h->m, &whole)), h->m->name, h->inputs[i]);
	print_product(h, h->inputs[i], "capacity", 1, whole.rank, whole.dims);
	print_bytes(h, h->inputs[i], "capacity", t);
}

static void print_output_sizes(Header *h, int o)
{
	const Value *v = h->m->main->body.yields[o];
	State s;
	fprintf(h->f, "/* %s */\n", port_text(h, h->m->main->results[o], &v->type));
	print_product(h, h->outputs[o], "count", 1, v->type.rank, v->type.dims);
	if (!state_of_output(h->m, v, &s)) {
		print_bytes(h, h->outputs[o], "count", &v->type);
		return;
	}
	Type whole;
	storage_type(h->m, h->m->main->params[s.input], &whole);
	fprintf(h->f, "/* State: lies this many elements behind %1$s in its buffer, and is the %1$s of the next run%2$s. */\n",
	        h->inputs[s.input], s.shift ? ",\n * which a run cannot see the end of: move it back to the begin before it would pass that" : "");
	print_product(h, h->outputs[o], "offset", s.shift, whole.rank - s.axis - 1,
	              whole.dims + s.axis + 1);
}

/* Symbols by a formula over others. */
static void print_derived(Header *h)
{
	for (int i = 0; i < h->m->nsym; i++) {
		const Sym *s = h->m->syms[i];
		if (s->kind == SymDerived)
			fprintf(h->f, "static inline int64_t %s_%s_(const %s_dims *dims)\n{\n\treturn %s;\n}\n", h->m->name, s->name,
			        h->m->name, c_dim(h, s->is));
	}
}

static void print_sizes(Header *h)
{
	const Func *fn = h->m->main;
	print_derived(h);
	fprintf(h->f, "/* Elements and bytes of each tensor; -1 and SIZE_MAX where a dim or the number is out of range. */\n\n");
	for (int i = 0; i < fn->nparam; i++)
		print_input_sizes(h, i);
	for (int i = 0; i < fn->body.nyield; i++)
		print_output_sizes(h, i);
}

static void print_tensor(Header *h, const char *array, int i, const char *id, const Type *t)
{
	fprintf(h->f, "\t%s[%d].data = (void *)%s;\n", array, i, id);
	fprintf(h->f, "\t%s[%d].dtype = %s;\n", array, i, dcc_dtype_name(t->dtype));
	fprintf(h->f, "\t%s[%d].rank = %d;\n", array, i, t->rank);
	for (int d = 0; d < t->rank; d++)
		fprintf(h->f, "\t%s[%d].dims[%d] = %s;\n", array, i, d, c_dim(h, t->dims[d]));
}

/* Does the data decide a dim of an output? */
static bool has_measured_output(const Header *h)
{
	const Block *b = &h->m->main->body;
	for (int i = 0; i < b->nyield; i++)
		for (int d = 0; d < b->yields[i]->type.rank; d++)
			if (is_measured_dim(b->yields[i]->type.dims[d]))
				return true;
	return false;
}

/* Of a step, state inputs are written and outputs that are state are left out. */
static void print_signature(Header *h, bool step)
{
	const Func *fn = h->m->main;
	State s;
	fprintf(h->f, "static inline int %s%s(const %s_dims *dims", h->m->name, step ? "_step" : "", h->m->name);
	for (int i = 0; i < fn->nparam; i++)
		fprintf(h->f, ",\n\t%s%s *%s", step && state_append(fn->params[i]) ? "" : "const ",
		        c_type(fn->params[i]->type.dtype), h->inputs[i]);
	for (int i = 0; i < fn->body.nyield; i++)
		if (!step || !state_of_output(h->m, fn->body.yields[i], &s))
			fprintf(h->f, ",\n\t%s *%s", c_type(fn->body.yields[i]->type.dtype), h->outputs[i]);
	if (has_measured_output(h))
		fprintf(h->f, ",\n\tint64_t *out_dims");
	if (h->opt->weights_path)
		fprintf(h->f, ",\n\tconst void *weights, size_t weights_size");
	fprintf(h->f, ",\n\tvoid *workspace, size_t workspace_size, dcc_exec *exec, dcc_error *error)\n");
}

static void print_call(Header *h)
{
	const Func *fn = h->m->main;
	int nin = fn->nparam, nout = fn->body.nyield;
	bool measured = has_measured_output(h);
	fprintf(h->f, "/* Runs the model; a dcc_status. */\n");
	if (measured)
		fprintf(h->f, "/* out_dims gets the true dims of every output, DCC_MAX_RANK each; counts and bytes are of the most that the data can "
		        "decide.  It may be NULL. */\n");
	print_signature(h, false);
	fprintf(h->f, "{\n\tdcc_tensor in[%d], out[%d];\n\tdcc_args args;\n", nin ? nin : 1, nout ? nout : 1);
	fprintf(h->f, "\t(void)dims;\n\tmemset(in, 0, sizeof in);\n\tmemset(out, 0, sizeof out);\n");
	fprintf(h->f, "\tmemset(&args, 0, sizeof args);\n");
	for (int i = 0; i < nin; i++)
		print_tensor(h, "in", i, h->inputs[i], &fn->params[i]->type);
	for (int i = 0; i < nout; i++)
		print_tensor(h, "out", i, h->outputs[i], &fn->body.yields[i]->type);
	fprintf(h->f, "\targs.size = sizeof args;\n\targs.inputs = in;\n\targs.outputs = out;\n");
	fprintf(h->f, "\targs.ninputs = %d;\n\targs.noutputs = %d;\n", nin, nout);
	fprintf(h->f, "\targs.workspace = workspace;\n\targs.workspace_size = workspace_size;\n");
	if (h->opt->weights_path)
		fprintf(h->f, "\targs.weights = weights;\n\targs.weights_size = weights_size;\n");
	if (measured)
		fprintf(h->f, "\targs.out_dims = out_dims;\n");
	fprintf(h->f, "\targs.exec = exec;\n\targs.error = error;\n\treturn %s_run(&args);\n}\n\n", h->m->name);
}

static void print_prefault(Header *h)
{
	bool side = h->opt->weights_path != NULL;
	fprintf(h->f, "/* Touches weights and workspace, so that the first run finds them in memory; a dcc_status. */\n");
	fprintf(h->f, "static inline int %s_prefault(%svoid *workspace, size_t workspace_size, dcc_error *error)\n{\n", h->m->name,
	        side ? "const void *weights, size_t weights_size, " : "");
	fprintf(h->f, "\treturn dcc_prefault(&%s_model, %s, workspace, workspace_size, error);\n}\n\n", h->m->name,
	        side ? "weights, weights_size" : "NULL, 0");
}

static void print_huge_pages(Header *h)
{
	bool side = h->opt->weights_path != NULL;
	fprintf(h->f, "/* Moves the weights into huge pages, where the system has some, for all runs to come; a dcc_status. */\n");
	fprintf(h->f, "static inline int %s_huge_pages(%sdcc_error *error)\n{\n", h->m->name, side ? "const void *weights, size_t weights_size, " : "");
	fprintf(h->f, "\treturn dcc_huge_pages(&%s_model, %s, NULL, error);\n}\n\n", h->m->name, side ? "weights, weights_size" : "NULL, 0");
}

static bool has_state(const Header *h)
{
	State s;
	for (int i = 0; i < h->m->main->body.nyield; i++)
		if (state_of_output(h->m, h->m->main->body.yields[i], &s))
			return true;
	return false;
}

static void print_step(Header *h)
{
	const Func *fn = h->m->main;
	State s;
	if (!has_state(h))
		return;
	fprintf(h->f, "/* The same, with the outputs that are state where they belong. */\n");
	print_signature(h, true);
	fprintf(h->f, "{\n\treturn %s(dims", h->m->name);
	for (int i = 0; i < fn->nparam; i++)
		fprintf(h->f, ", %s", h->inputs[i]);
	for (int i = 0; i < fn->body.nyield; i++) {
		if (state_of_output(h->m, fn->body.yields[i], &s))
			fprintf(h->f, ",\n\t\t%s + %s_%s_offset(dims)", h->inputs[s.input], h->m->name, h->outputs[i]);
		else
			fprintf(h->f, ", %s", h->outputs[i]);
	}
	fprintf(h->f, "%s%s,\n\t\tworkspace, workspace_size, exec, error);\n}\n\n", has_measured_output(h) ? ", out_dims" : "",
	        h->opt->weights_path ? ", weights, weights_size" : "");
}

static const char *custom_symbol(const Node *n)
{
	return n->op == OpCustom ? attr_text(n, Attr_symbol) : NULL;
}

/* Once each. */
static void print_customs(Header *h)
{
	const Node *first = h->m->main->body.first;
	for (const Node *n = first; n; n = n->next) {
		const char *symbol = custom_symbol(n), *other;
		const Node *o = first;
		while (symbol && o != n && (!(other = custom_symbol(o)) || strcmp(other, symbol)))
			o = o->next;
		if (symbol && o == n)
			fprintf(h->f, "dcc_custom_op %s; /* the application defines it */\n\n", symbol);
	}
}

static const char preamble[] =
	"/* %1$s - compiled by dcc %2$s; link with libdcc.  dcc.h describes every call.\n"
	" *\n"
	" * Tensors are row-major and aligned to their element; those of state (dcc --state) live in buffers that runs write in\n"
	" * place.  The workspace is aligned to %3$d bytes: aligned_alloc(%3$d, %1$s_workspace_size(&dims)).\n"
	" * A run has the threads of its exec, without one the calling thread alone; dims.threads sizes the workspace for them. */\n";

static const char strassen_note[] =
	"/* Compiled with --fast-matmul: products of many rows by large weights are made of sums of two neighbouring rows each, so errors are relative\n"
	" * to the larger of the two, and what is not finite in one spreads into the other. */\n";

static const char tuning_note[] = "/* Compiled with --tune-file, of a file with hash %016llx: schedules of equal bits. */\n";

static bool has_strassen(Module *m)
{
	for (Node *n = first_node(m); n; n = next_node(n)) {
		const Node *root = n->op == OpGroup ? n->body->first : n;
		if (root->op == OpStrassen)
			return true;
	}
	return false;
}

static void print_header(Header *h)
{
	const char *name = h->m->name;
	fprintf(h->f, preamble, name, DCC_VERSION, DCC_WORKSPACE_ALIGN);
	if (has_strassen(h->m))
		fputs(strassen_note, h->f);
	if (h->opt->tuning_hash)
		fprintf(h->f, tuning_note, (unsigned long long)h->opt->tuning_hash);
	fprintf(h->f, "#ifndef DCC_MODEL_%s_H\n#define DCC_MODEL_%s_H\n\n", name, name);
	fprintf(h->f, "#include <string.h>\n\n#include \"dcc.h\"\n\n");
	fprintf(h->f, "#if DCC_ABI_OLDEST > %d || DCC_ABI < %d\n", DCC_ABI, DCC_ABI);
	fprintf(h->f, "#error \"%s was compiled for another version of dcc.h\"\n#endif\n\n", name);
	fprintf(h->f, "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
	print_dims(h);
	fprintf(h->f, "extern const dcc_model %s_model;\n", name);
	fprintf(h->f, "/* Bytes, a multiple of %d; SIZE_MAX where dims are outside their bounds or the size overflows. */\n",
	        DCC_WORKSPACE_ALIGN);
	fprintf(h->f, "size_t %s_workspace_size(const %s_dims *dims);\n", name, name);
	fprintf(h->f, "int %s_run(const dcc_args *args); /* dcc_run(&%s_model, args) */\n\n", name, name);
	print_customs(h);
	print_sizes(h);
	print_call(h);
	print_step(h);
	print_prefault(h);
	print_huge_pages(h);
	fprintf(h->f, "#ifdef __cplusplus\n}\n#endif\n#endif\n");
}

Out *hold_header(LModule *lm, const EmitOptions *opt, const char *path)
{
	Header h = {.m = lm->m, .opt = opt};
	char *text = NULL;
	size_t n = 0;
	h.f = open_memstream(&text, &n);
	if (!h.f)
		refuse_at(NULL, "out of memory");
	if (is_word(lm->m->name))
		fatal_at(&(Loc){.file = lm->m->path}, "a model cannot be called '%s' in C: give it another name with --name=",
		         lm->m->name);
	const char *file = base_name(path);
	if (is_system_header(file))
		fatal_at(&(Loc){.file = lm->m->path}, "a header cannot be called %s, which would hide the system's: give it another "
		         "name with --header=", file);
	name_everything(&h);
	print_header(&h);
	if (fclose(h.f))
		refuse_at(NULL, "out of memory");
	const char *copy = arena_strdup(lm->m->arena, text);
	free(text);
	return hold_text(lm->m, path, copy, n);
}

void emit_header(LModule *lm, const EmitOptions *opt, const char *path)
{
	publish_output(hold_header(lm, opt, path));
}
