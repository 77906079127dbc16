/* load.c - opens a model file, finds out what it is, and frees everything again if it is wrong. */
#include "import.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* A C identifier from the file's name without folder and extension, which the C library does not have. */
static char *name_of_path(Arena *a, const char *path)
{
	const char *base = base_name(path), *dot = strrchr(base, '.');
	int n = dot && dot > base ? (int)(dot - base) : (int)strlen(base);
	bool letter = isalpha((unsigned char)*base) || *base == '_';
	char *name = arena_printf(a, "%s%.*s", n && letter ? "" : "model_", n, base);
	for (char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p))
			*p = '_';
	return is_libc_name(name) ? arena_printf(a, "model_%s", name) : name;
}

/* IR text starts with one of two words, after comments and blanks; protobuf cannot. */
static bool is_ir_text(const char *path, const char *bytes, size_t size)
{
	static const char *const first[] = {"dcc-ir", "model"};
	size_t at = 0;
	if (ends_with(path, ".ir"))
		return true;
	while (at < size && (isspace((unsigned char)bytes[at]) || bytes[at] == ';')) {
		const char *end = bytes[at] == ';' ? memchr(bytes + at, '\n', size - at) : bytes + at;
		at = end ? (size_t)(end - bytes) + 1 : size;
	}
	for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
		size_t n = strlen(first[i]);
		if (size - at > n && !memcmp(bytes + at, first[i], n) && isspace((unsigned char)bytes[at + n]))
			return true;
	}
	return false;
}

static void check_options(const char *path, const LoadOptions *opt)
{
	Loc loc = {.file = path};
	for (int i = 0; i < opt->nbind; i++) {
		const DimBinding *b = &opt->bind[i];
		if (b->lo < 0 || b->hi > DimMax || b->lo > b->hi)
			error_at(&loc, "-D %s: the range %lld..%lld is empty or outside 0..%d", b->sym,
			         (long long)b->lo,
			         (long long)b->hi, DimMax);
	}
	for (int i = 0; i < opt->nshape; i++)
		if (!strchr(opt->shape[i], '='))
			error_at(&loc, "--shape: expected INPUT=[DIM,DIM], got '%s'", opt->shape[i]);
	for (const char *p = opt->name; p && *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '_') {
			error_at(&loc, "the model's name '%s' is not a C identifier", opt->name);
			break;
		}
	if (opt->name && (!*opt->name || isdigit((unsigned char)*opt->name)))
		error_at(&loc, "the model's name '%s' is not a C identifier", opt->name);
	exit_if_errors();
}

/* ---- -D on IR text --------------------------------------------------------------------------------------------- */

static const Dim **subst_dims(Module *m, int64_t n, const Dim *const *dims, const Dim *const *by)
{
	const Dim **out = arena_alloc(m->arena, (n + 1) * sizeof *out);
	for (int64_t i = 0; i < n; i++)
		out[i] = dim_subst(m, dims[i], by);
	return out;
}

static void subst_value(Module *m, Value *v, const Dim *const *by)
{
	if (v->known)
		v->known = subst_dims(m, const_numel(&v->type), v->known, by);
	for (int i = 0; i < v->type.rank; i++)
		v->type.dims[i] = dim_subst(m, v->type.dims[i], by);
}

/* Those that have come to hold are dropped. */
static void subst_checks(Module *m, Block *b, const Dim *const *by)
{
	int kept = 0;
	for (int i = 0; i < b->ncheck; i++) {
		DimCheck k = b->checks[i];
		k.a = dim_subst(m, k.a, by);
		k.b = dim_subst(m, k.b, by);
		if (k.a != k.b)
			b->checks[kept++] = k;
	}
	b->ncheck = kept;
}

static void subst_block(Module *m, Block *b, const Dim *const *by)
{
	subst_checks(m, b, by);
	for (int i = 0; i < b->nparam; i++)
		subst_value(m, b->params[i], by);
	for (Node *n = b->first; n; n = n->next) {
		for (int i = 0; i < n->nattr; i++) {
			Attr *a = &n->attrs[i];
			if (a->dim)
				a->dim = dim_subst(m, a->dim, by);
			if (a->dims)
				a->dims = subst_dims(m, a->n, a->dims, by);
		}
		for (int i = 0; i < n->nout; i++)
			subst_value(m, n->out[i], by);
		if (n->body)
			subst_block(m, n->body, by);
		if (n->other)
			subst_block(m, n->other, by);
	}
}

static void subst_module(Module *m, const Dim *const *by)
{
	for (int i = 0; i < m->main->nparam; i++) {
		const Dim **known = m->main->params[i]->known;
		subst_value(m, m->main->params[i], by);
		m->main->params[i]->known = known; /* the symbols that a run reads there, and checks */
	}
	subst_block(m, &m->main->body, by);
	for (int i = 0; i < m->nsym; i++) {
		Sym *s = m->syms[i];
		if (s->kind == SymDerived)
			s->is = dim_subst(m, s->is, by);
		if (s->times)
			s->times = dim_subst(m, s->times, by);
		if (s->most)
			s->most = dim_subst(m, s->most, by);
	}
	for (int i = 0; i < m->main->body.ncheck; i++) {
		const DimCheck *k = &m->main->body.checks[i];
		if (dim_is_const(k->a, NULL) && dim_is_const(k->b, NULL))
			fatal_at(k->loc, "with these -D, %s would have to be %s", dim_text(m, k->a), dim_text(m, k->b));
	}
}

static void bind_parsed(Module *m, const LoadOptions *opt)
{
	Loc loc = {.file = m->path};
	if (!opt->nbind)
		return;
	if (m->loops || !m->main)
		fatal_at(&loc, "-D cannot be applied any more: the module is lowered");
	for (int i = 0; i < opt->nbind; i++) {
		const DimBinding *b = &opt->bind[i];
		Sym *sym = find_sym(m, b->sym);
		if (!sym || !may_bind(sym)) {
			refuse_binding(m, &loc, b->sym);
			exit_if_errors();
		}
		sym->lo = b->lo > sym->lo ? b->lo : sym->lo;
		sym->hi = b->hi < sym->hi ? b->hi : sym->hi;
		if (sym->lo > sym->hi)
			fatal_at(&loc, "-D %s: the bounds contradict each other or the module's", b->sym);
	}
	const Dim **by = arena_alloc(m->arena, (m->nsym + 1) * sizeof *by);
	for (int i = 0; i < m->nsym; i++)
		if (is_given(m->syms[i]) && m->syms[i]->lo == m->syms[i]->hi) /* the data is asked */
			by[i] = dim_const(m, m->syms[i]->lo);
	subst_module(m, by);
	const char *wrong = verify_module(m);
	if (wrong)
		fatal_at(&loc, "with these -D, %s", wrong);
}

/* ---- files ----------------------------------------------------------------------------------------------------- */

typedef struct Loading {
	Arena *scratch; /* names, protobuf messages, IR text */
	Module *module;
} Loading;

/* ---- ONNX ------------------------------------------------------------------------------------------------------ */

/* A check x == sym + c holds only for sym in range(x) - c. */
static void learn_from(Module *m, const Dim *x, const Dim *y, Demand *demands)
{
	for (int i = 0; i < m->nsym; i++) {
		int64_t c, lo, hi;
		if (m->syms[i]->kind != SymInput)
			continue;
		const Dim *rest = dim_uses_sym(y, m->syms[i]) ? dim_sub(m, y, dim_sym(m, m->syms[i]->name)) : NULL;
		if (!rest || !dim_is_const(rest, &c) || c < -DimMax || c > DimMax)
			continue;
		dim_range(x, &lo, &hi);
		if (lo > -DimMax && lo - c > demands[i].lo)
			demands[i].lo = lo - c;
		if (hi < DimMax && hi - c < demands[i].hi)
			demands[i].hi = hi - c;
	}
}

static const Demand *find_demand(const Demand *demands, int n, const char *sym)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(demands[i].sym, sym))
			return &demands[i];
	return NULL;
}

/* Bounds of the symbols, with what the run-time checks imply: T == min(T, 40) says T <= 40.  Did anything get tighter?
 * Earlier demands stay for symbols that have become constants. */
static bool learn_demands(Arena *a, Module *m, Demand **demands, int *n)
{
	enum { MaxLearned = 64 }; /* symbols times checks: keep it small */
	bool tighter = false;
	int old = *n, count = m->nsym;
	if (m->nsym > MaxLearned)
		return false;
	Demand *now = arena_alloc(a, (m->nsym + old + 1) * sizeof *now);
	for (int i = 0; i < count; i++)
		now[i] = (Demand){arena_strdup(a, m->syms[i]->name), m->syms[i]->lo, m->syms[i]->hi};
	for (int i = 0; i < m->main->body.ncheck; i++) {
		const DimCheck *check = &m->main->body.checks[i];
		learn_from(m, check->a, check->b, now);
		learn_from(m, check->b, check->a, now);
	}
	for (int i = 0; i < count; i++) {
		const Demand *was = find_demand(*demands, old, now[i].sym);
		if (m->syms[i]->kind == SymInput)
			tighter |= now[i].lo != (was ? was->lo : 0) || now[i].hi != (was ? was->hi : DimMax);
	}
	for (int i = 0; i < old; i++)
		if (!find_demand(now, count, (*demands)[i].sym))
			now[count++] = (*demands)[i];
	*n = count;
	*demands = now;
	return tighter;
}

/* Of the whole file; pages are given back as it goes, so that weights do not fill memory before they are needed. */
static uint64_t hash_file(const char *bytes, size_t size)
{
	enum { Step = 1 << 24 }; /* bytes; a multiple of any page size */
	uint64_t hash = 0;
	for (size_t at = 0; at < size; at += Step) {
		size_t n = size - at < Step ? size - at : Step;
		hash = hash_bytes(bytes + at, n, hash);
		madvise((void *)(bytes + at), n, MADV_DONTNEED);
	}
	return hash;
}

typedef struct Onnx {
	Loading *l;
	const char *path, *name;
	const LoadOptions *opt;
	OnnxFile *file;
	size_t size;
	uint64_t hash;
	int tries;
	OnnxFile found; /* its choices led to a module */
} Onnx;

/* What one import has told the next. */
static uint64_t found_so_far(const OnnxFile *file)
{
	return file->values.table.count + file->units.table.count + file->nchoice;
}

/* Imports again, from the tighter bounds, while there are some: dims get simpler and checks vanish.  Ends early if there is a dispute. */
static void import_rounds(void *onnx)
{
	enum { MaxRounds = 5 };
	Onnx *o = onnx;
	Loading *l = o->l;
	OnnxFile *file = o->file;
	Demand *demands = NULL;
	int n = 0;
	file->dispute.node = NULL;
	for (int round = 0; round < MaxRounds; round++) {
		free_module(l->module);
		l->module = NULL;
		Module *m = l->module = new_module(o->name, o->path);
		m->broadcast_symbols = o->opt->broadcast_symbols;
		m->model_hash = o->hash;
		file->external = NULL;
		file->ntaken = 0;
		file->bytes = map_file(m->arena, o->path, &file->size); /* constants point into it */
		if (!file->bytes || file->size != o->size)
			fatal_at(&(Loc){.file = o->path}, "%s",
			         file->bytes ? "the file changes while it is read" : strerror(errno));
		uint64_t found = found_so_far(file);
		bool again = import_model(m, file, l->scratch, o->opt, n, demands);
		if (file->dispute.node)
			return;
		round -= found_so_far(file) > found; /* there are only so many inputs and branches */
		if (!again && !learn_demands(l->scratch, m, &demands, &n))
			break;
	}
}

/* In how many ways can what is disputed be decided?  Two are as many as more; so are too many attempts. */
static int try_branches(Onnx *o)
{
	enum { MaxTries = 64 };
	OnnxFile *file = o->file;
	int ways = 0;
	if (++o->tries > MaxTries)
		return 2;
	if (!diag_try(import_rounds, o, NULL, 0))
		return 0;
	if (!file->dispute.node) {
		o->found = *file;
		return 1;
	}
	if (file->nchoice == MaxChoices)
		return 2;
	const Dispute d = file->dispute;
	const int n = file->nchoice;
	for (int yes = 1; yes >= 0 && ways < 2; yes--) {
		file->choices[n] = (Choice){.node = d.node, .place = d.place, .yes = yes};
		file->nchoice = n + 1;
		ways += try_branches(o);
	}
	file->nchoice = n;
	return ways;
}

static void decide_branches(Onnx *o)
{
	OnnxFile *file = o->file;
	import_rounds(o);
	if (!file->dispute.node)
		return;
	Dispute first = file->dispute;
	int ways = try_branches(o);
	if (ways != 1)
		refuse_at(&first.loc, "not supported: the branches give %s, and what follows fits %s", first.what, ways ? "both" : "neither");
	file->nchoice = o->found.nchoice;
	memcpy(file->choices, o->found.choices, sizeof file->choices);
	import_rounds(o);
}

static void load_onnx(Loading *l, const char *path, const char *bytes, size_t size, const LoadOptions *opt)
{
	Onnx o = {.l = l, .path = path, .opt = opt, .size = size};
	o.name = opt->name ? opt->name : name_of_path(l->scratch, path);
	OnnxFile *file = o.file = read_onnx(l->scratch, path, bytes, size);
	file->found_types.arena = file->values.arena = file->units.arena = l->scratch;
	o.hash = hash_file(bytes, size);
	order_nodes(file);
	decide_branches(&o);
	for (int i = 0; i < file->ntaken; i++) {
		const Choice *choice = &file->choices[file->taken[i]];
		if (choice->why)
			warn_at(&choice->loc, "a run where the condition is %s ends in an error, as that branch is none: %s",
			        choice->yes ? "false" : "true", choice->why);
	}
}

static void load(Loading *l, const char *path, const LoadOptions *opt)
{
	size_t size;
	Loc loc = {.file = path};
	check_options(path, opt);
	l->scratch = new_arena();
	const char *bytes = map_file(l->scratch, path, &size);
	if (!bytes)
		fatal_at(&loc, "%s", errno == EINVAL ? "not a regular file" : strerror(errno));
	if (is_ir_text(path, bytes, size)) {
		if (opt->inputs || opt->outputs)
			fatal_at(&loc, "--inputs and --outputs need an ONNX file: IR text has no names of ONNX values");
		if (opt->nshape)
			fatal_at(&loc, "--shape needs an ONNX file: IR text states the shapes of its inputs");
		if (opt->ncustom)
			fatal_at(&loc, "--custom-op needs an ONNX file: IR text calls its functions by name already");
		l->module = parse_module(path, bytes);
		if (opt->name)
			l->module->name = arena_strdup(l->module->arena, opt->name);
		bind_parsed(l->module, opt);
		return;
	}
	load_onnx(l, path, bytes, size, opt);
}

/* False: left by an error that somebody wants back. */
static bool try_load(Loading *l, const char *path, const LoadOptions *opt)
{
	jmp_buf here;
	if (setjmp(here))
		return false;
	diag_recover = &here;
	load(l, path, opt);
	return true;
}

/* If errors come back to the caller, so does the memory. */
Module *load_model(const char *path, const LoadOptions *options)
{
	static const LoadOptions none;
	Loading l = {NULL, NULL};
	jmp_buf *outer = diag_recover;
	if (!options)
		options = &none;
	if (!outer) {
		load(&l, path, options);
	} else if (!try_load(&l, path, options)) {
		diag_recover = outer;
		free_arena(l.scratch);
		free_module(l.module);
		longjmp(*outer, 1);
	}
	diag_recover = outer;
	free_arena(l.scratch);
	return l.module;
}
