/* program.c - loads a model and runs it.
 *
 * .onnx and .ir files are compiled in this process, for one target and without weights in the object: the weights stay
 * in one piece of memory that the runtime gets as if it were a side file.  Objects go to jit.c, .so files to dlopen.  In
 * both the model's descriptor is found by its name: a data symbol that ends in _model.
 */
#include "program.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../backend/elf.h"
#include "../backend/backend.h"
#include "../passes/passes.h"
#include "jit.h"
#include "tensors.h"

double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const void *map_bytes(Arena *arena, const char *path, size_t *size)
{
	const Loc loc = {.file = path};
	const void *bytes = map_file(arena, path, size);
	if (!bytes)
		fatal_at(&loc, "cannot be read: %s", strerror(errno));
	return bytes;
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

static void set_model(Program *p, const dcc_model *model, const Loc *loc)
{
	if (memcmp(model->magic, "dcc\0mod", sizeof model->magic))
		fatal_at(loc, "its _model symbol is not a model that dcc compiled");
	if (model->abi < DCC_ABI_OLDEST || model->abi > DCC_ABI)
		fatal_at(loc, "compiled for ABI %u, this dcc-run knows %d to %d", model->abi, DCC_ABI_OLDEST, DCC_ABI);
	p->model = model;
	p->ninputs = model->ninputs;
	p->noutputs = model->noutputs;
	p->nsymbols = model->nsymbols;
	p->inputs = model->inputs;
	p->outputs = model->outputs;
	p->symbols = model->symbols;
}

static void choose_model_target(Program *p, const char *isa, const Loc *loc)
{
	for (int i = 0; i < p->model->ntargets && !p->target; i++) {
		const dcc_target *t = &p->model->targets[i];
		if (isa ? !strcmp(isa, t->name) : !(t->features & ~dcc_cpu_features()))
			p->target = (uint32_t)i + 1;
	}
	if (!p->target && isa)
		fatal_at(loc, "was not compiled for %s", isa);
	if (!p->target)
		fatal_at(loc, "was compiled for instruction sets that this CPU lacks");
	const dcc_target *t = &p->model->targets[p->target - 1];
	if (t->features & ~dcc_cpu_features())
		fatal_at(loc, "this CPU lacks instructions of the target %s", t->name);
	p->isa = t->name;
}

static const Target *choose_target(const ProgramOptions *opt, const Loc *loc)
{
	const Target *named = opt->isa ? find_target(opt->isa) : NULL;
	if (opt->isa && !named)
		fatal_at(loc, "there is no target %s", opt->isa);
	if (named && opt->how == HowCode && (named->need & ~dcc_cpu_features()))
		fatal_at(loc, "this CPU lacks instructions of the target %s", opt->isa);
	for (int i = 0; i < ntargets && !named; i++)
		if (opt->how == HowInterp || !(targets[i].need & ~dcc_cpu_features()))
			named = &targets[i];
	if (!named)
		fatal_at(loc, "this CPU can run none of the targets");
	return named;
}

static void lower_module(Module *m, const Target *const *target, const ProgramOptions *o)
{
	PassOptions opt = {.bisect_limit = -1, .ntarget = 1, .target = target, .exact_conv = o->exact_conv, .fast_matmul = o->fast_matmul,
	                   .tuning = o->tune_file ? read_tuning(m->arena, o->tune_file) : NULL};
	run_passes(m, &opt);
}

/* The object of a lowered module, malloc'ed. */
static void *emit_program(Module *m, const Target *target, size_t *size)
{
	EmitOptions opt = {.ntarget = 1, .target = &target};
	void *object;
	emit_object_memory(m->loops, &opt, &object, size);
	return object;
}

static void link_program(Arena *arena, Program *p, const void *object, size_t size, const Loc *loc)
{
	set_model(p, link_model(arena, object, size, loc), loc);
	choose_model_target(p, NULL, loc);
}

static void compile_program(Arena *arena, Program *p, Module *m, const Target *target, const ProgramOptions *o, const Loc *loc)
{
	void *weights;
	size_t size;
	lower_module(m, &target, o);
	const void *object = emit_program(m, target, &size);
	emit_weights_memory(m->loops, &weights, &p->weights_bytes);
	p->weights = weights;
	free_module(m);
	p->compile_s = now_s() - p->compile_s;
	link_program(arena, p, object, size, loc);
}

Program *load_lowered(Arena *arena, Module *m, const Target *target, const Program *like)
{
	const Loc loc = {.file = m->path};
	Program *p = arena_alloc(arena, sizeof *p);
	dcc_model *model = arena_alloc(arena, sizeof *model);
	void *weights;
	size_t size, bytes;

	*p = (Program){.path = m->path, .how = HowCode};
	const void *object = emit_program(m, target, &size);
	link_program(arena, p, object, size, &loc);
	if (like && p->model->weights_hash != like->model->weights_hash)
		bug("another lowering has other weights");
	if (!like)
		emit_weights_memory(m->loops, &weights, &bytes);
	*model = *p->model;
	model->weights = like ? like->model->weights : weights; /* as if embedded: a side file belongs to one lowering */
	model->layout_hash = 0;
	p->model = model;
	return p;
}

static dcc_port port_of(Module *m, const char *name, const Type *type)
{
	dcc_port port = {.name = name, .dtype = dtypes[type->dtype].onnx, .rank = type->rank};
	for (int d = 0; d < type->rank; d++) {
		port.dim_text[d] = dim_text(m, type->dims[d]);
		if (!dim_is_const(type->dims[d], &port.dims[d]))
			port.dims[d] = -1;
	}
	return port;
}

/* What a descriptor would say, for a module that is interpreted. */
static void describe_module(Arena *arena, Program *p, Module *m)
{
	Func *f = m->main;
	dcc_port *ports = arena_alloc(arena, (size_t)(f->nparam + f->body.nyield + 1) * sizeof *ports);
	dcc_symbol *symbols = arena_alloc(arena, (size_t)(m->nsym + 1) * sizeof *symbols);
	for (int i = 0; i < f->nparam; i++)
		ports[i] = port_of(m, f->params[i]->name, &f->params[i]->type);
	for (int i = 0; i < f->body.nyield; i++)
		ports[f->nparam + i] = port_of(m, f->results[i], &f->body.yields[i]->type);
	for (int i = 0; i < m->nsym; i++)
		symbols[i] = (dcc_symbol){.name = m->syms[i]->name, .lo = m->syms[i]->lo, .hi = m->syms[i]->hi,
		                          .source = symbol_source(m->syms[i]), .input = m->syms[i]->input, .element = m->syms[i]->element};
	p->module = m;
	p->ninputs = f->nparam;
	p->noutputs = f->body.nyield;
	p->nsymbols = m->nsym;
	p->inputs = ports;
	p->outputs = ports + f->nparam;
	p->symbols = symbols;
}

static void load_source(Arena *arena, Program *p, const ProgramOptions *opt, const Loc *loc)
{
	const Target *target = choose_target(opt, loc);
	LoadOptions load = {.nbind = opt->nbind, .bind = opt->bind, .broadcast_symbols = opt->broadcast_symbols, .ncustom = opt->ncustom, .custom = opt->custom,
	                    .nshape = opt->nshape, .shape = opt->shape};
	p->compile_s = now_s();
	Module *m = load_model(p->path, &load);
	if (!opt->isa)
		useful_targets(m, &target, 1);
	if (opt->how == HowCode) {
		compile_program(arena, p, m, target, opt, loc);
		return;
	}
	if (opt->how == HowInterp) {
		lower_module(m, &target, opt);
		p->isa = target->name;
	}
	describe_module(arena, p, m);
	p->compile_s = now_s() - p->compile_s;
}

static void load_object(Arena *arena, Program *p, const Loc *loc)
{
	size_t size;
	const void *bytes = map_bytes(arena, p->path, &size);
	set_model(p, link_model(arena, bytes, size, loc), loc);
}

static void load_shared(Arena *arena, Program *p, const Loc *loc)
{
	size_t size;
	const void *bytes = map_bytes(arena, p->path, &size);
	Elf e;
	open_elf(&e, bytes, size, loc);
	const char *path = strchr(p->path, '/') ? p->path : arena_printf(arena, "./%s", p->path);
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const void *model = library ? dlsym(library, find_model_name(&e, loc)) : NULL;
	if (!model)
		fatal_at(loc, "cannot be loaded: %s", dlerror());
	set_model(p, model, loc);
}

/* ---- custom operators -------------------------------------------------------------------------------------------- */

static void to_dcc_tensor(const Tensor *t, dcc_tensor *out)
{
	*out = (dcc_tensor){.data = t->data, .dtype = dtypes[t->dtype].onnx, .rank = t->rank};
	memcpy(out->dims, t->dims, sizeof out->dims);
}

/* eval_custom: what compiled code does, for the evaluator and the interpreter. */
static const char *call_loaded(Arena *arena, const char *symbol, const char *node, int nin, const Tensor *in, int nout,
                               Tensor *out)
{
	dcc_custom_op *f = NULL;
	void *found = find_loaded(symbol);
	if (!found)
		return arena_printf(arena, "no function '%s' is loaded (--load FILE.so)", symbol);
	memcpy(&f, &found, sizeof f);
	dcc_tensor *tensors = arena_alloc(arena, (size_t)(nin + nout) * sizeof *tensors);
	for (int i = 0; i < nin + nout; i++) {
		to_dcc_tensor(i < nin ? &in[i] : &out[i - nin], &tensors[i]);
		if (!tensor_numel(i < nin ? &in[i] : &out[i - nin]))
			tensors[i].data = NULL;
	}
	int32_t got = f(&(dcc_custom_args){.size = sizeof(dcc_custom_args), .inputs = tensors, .outputs = tensors + nin,
	                                   .ninputs = nin, .noutputs = nout, .node = node ? node : ""});
	return got ? arena_printf(arena, "the function '%s' returned %d", symbol, (int)got) : NULL;
}

static void load_functions(Arena *arena, const ProgramOptions *opt)
{
	eval_custom = call_loaded;
	for (int i = 0; i < opt->nload; i++)
		load_library(arena, opt->load[i]);
}

Program *load_program(Arena *arena, const char *path, const ProgramOptions *opt)
{
	double start = now_s();
	Program *p = arena_alloc(arena, sizeof *p);
	p->path = arena_strdup(arena, path);
	p->how = opt->how;
	const Loc loc = {.file = p->path};
	bool object = ends_with(path, ".o"), shared = ends_with(path, ".so");
	if (opt->how != HowCode && (object || shared))
		fatal_at(&loc, "is machine code; --oracle and --interp need an .onnx or .ir file");
	if (opt->weights && !object && !shared)
		fatal_at(&loc, "--weights belongs to .o and .so files");
	if (opt->nshape && (object || shared))
		fatal_at(&loc, "is compiled: --shape belongs to .onnx files");
	if (opt->ncustom && (object || shared))
		fatal_at(&loc, "is compiled: --custom-op belongs to .onnx files");
	if (opt->tune_file && (object || shared))
		fatal_at(&loc, "is compiled: --tune-file belongs to .onnx and .ir files");
	load_functions(arena, opt);
	if (object)
		load_object(arena, p, &loc);
	else if (shared)
		load_shared(arena, p, &loc);
	else
		load_source(arena, p, opt, &loc);
	p->compiled = object || shared;
	if (p->compiled)
		choose_model_target(p, opt->isa, &loc);
	if (p->compiled && p->model->weights_size && !p->model->weights && !opt->weights)
		fatal_at(&loc, "the model's weights are in a side file: --weights FILE names it");
	if (opt->weights)
		p->weights = map_bytes(arena, opt->weights, &p->weights_bytes);
	if (p->how == HowCode && !opt->small_pages)
		dcc_huge_pages(p->model, p->weights, p->weights_bytes, NULL, NULL); /* the first run tells of wrong weights */
	p->load_s = now_s() - start - p->compile_s;
	return p;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

DType dtype_of_port(const dcc_port *port)
{
	for (int i = 0; i < NDTypes; i++)
		if (dtypes[i].onnx == port->dtype)
			return i;
	bug("element type %d", port->dtype);
}

/* What compiled code sees of a tensor of less than a byte an element; freed with the call. */
static void *packed_copy(const Tensor *t, bool fill, const Loc *loc)
{
	size_t bytes = packed_bytes(t->dtype, tensor_numel(t));
	void *p = calloc(1, bytes + 1);
	if (!p)
		fatal_at(loc, "no memory for a tensor of %zu bytes", bytes);
	if (fill)
		pack_elements(t->dtype, t->data, tensor_numel(t), p);
	return p;
}

static void pack_ports(Arena *arena, Call *c, dcc_tensor *tensors, const Loc *loc)
{
	int nin = c->p->ninputs, n = nin + c->p->noutputs;
	c->packed = arena_alloc(arena, ((size_t)n + 1) * sizeof *c->packed);
	for (int i = 0; i < n; i++) {
		const Tensor *t = i < nin ? &c->in[i] : &c->out[i - nin];
		if (is_packed(t->dtype))
			tensors[i].data = c->packed[i] = packed_copy(t, i < nin, loc);
	}
}

static void unpack_outputs(Call *c)
{
	for (int i = 0; i < c->p->noutputs; i++)
		if (c->packed[c->p->ninputs + i])
			unpack_elements(c->out[i].dtype, c->packed[c->p->ninputs + i], tensor_numel(&c->out[i]), c->out[i].data);
}

static _Noreturn void fail_call(const Call *c, int status)
{
	const Loc loc = {.file = c->p->path};
	const char *sizes = c->p->made_up;
	bool of_sizes = status == DCC_ERROR_SHAPE || status == DCC_ERROR_RANGE || status == DCC_ERROR_INDEX;
	if (!sizes || !of_sizes)
		fatal_at(&loc, "%s (%s)", c->error.text, dcc_status_text(status));
	fatal_at(&loc, "%s (%s); the inputs were made up for %s: -D chooses other sizes", c->error.text, dcc_status_text(status), sizes);
}

static void alloc_outputs(Call *c, const int64_t *dims, dcc_tensor *out, const Loc *loc)
{
	for (int i = 0; i < c->p->noutputs; i++) {
		Tensor *t = &c->out[i];
		t->dtype = dtype_of_port(&c->p->outputs[i]);
		t->rank = c->p->outputs[i].rank;
		memcpy(t->dims, dims + (size_t)i * DCC_MAX_RANK, sizeof t->dims);
		alloc_tensor(t, loc);
		to_dcc_tensor(t, &out[i]);
	}
}

/* ---- state: buffers with a capacity, copied from and to the dense tensors that users see -------------------------- */

typedef struct Rows { /* the same rows in a dense tensor and in its state buffer, in bytes */
	int64_t count, bytes, dense_step, state_step;
} Rows;

static Rows rows_of(const dcc_port *port, const int64_t *dims)
{
	Rows r = {.count = 1, .bytes = (int64_t)dcc_dtype_size(port->dtype)};
	for (int d = 0; d < port->state_axis; d++)
		r.count *= dims[d];
	for (int d = port->state_axis + 1; d < port->rank; d++)
		r.bytes *= dims[d];
	r.dense_step = r.bytes * dims[port->state_axis];
	r.state_step = r.bytes * port->capacity;
	return r;
}

static void copy_state(const dcc_port *port, const int64_t *dims, char *state, char *dense, bool load)
{
	Rows r = rows_of(port, dims);
	for (int64_t i = 0; i < r.count; i++) {
		char *s = state + i * r.state_step, *d = dense + i * r.dense_step;
		memcpy(load ? s : d, load ? d : s, (size_t)r.dense_step);
	}
}

/* Gives every input that is state a buffer, and its output the place in it. */
static void place_state(Arena *arena, Call *c, const Tensor *in, dcc_tensor *tensors, const Loc *loc)
{
	const Program *p = c->p;
	c->state = arena_alloc(arena, (size_t)(p->ninputs + 1) * sizeof *c->state);
	for (int i = 0; i < p->ninputs; i++) {
		const dcc_port *port = &p->inputs[i];
		if (!port->state)
			continue;
		Rows r = rows_of(port, in[i].dims);
		if (in[i].dims[port->state_axis] + port->shift > port->capacity)
			fatal_at(loc, "input '%s': %lld rows do not fit the state's capacity of %lld", port->name,
			         (long long)in[i].dims[port->state_axis], (long long)port->capacity);
		if (!(c->state[i] = calloc((size_t)r.count + 1, (size_t)r.state_step + 1)))
			fatal_at(loc, "no memory for the state of input '%s'", port->name);
		copy_state(port, in[i].dims, c->state[i], in[i].data, true);
		tensors[i].data = c->state[i];
		tensors[p->ninputs + port->state - 1].data = c->state[i] + port->shift * r.bytes;
	}
}

static void fetch_state(Call *c)
{
	for (int o = 0; o < c->p->noutputs; o++)
		if (c->p->outputs[o].state)
			copy_state(&c->p->outputs[o], c->out[o].dims, c->args.outputs[o].data, c->out[o].data, false);
}

void new_call(Arena *arena, const Program *p, const Tensor *in, int threads, dcc_exec *exec, Call *c)
{
	const Loc loc = {.file = p->path};
	*c = (Call){.p = p, .in = in, .threads = threads};
	c->out = arena_alloc(arena, (size_t)(p->noutputs + 1) * sizeof *c->out);
	if (p->how != HowCode)
		return;
	dcc_tensor *tensors = arena_alloc(arena, (size_t)(p->ninputs + p->noutputs + 1) * sizeof *tensors);
	int64_t *dims = arena_alloc(arena, (size_t)(p->noutputs + 1) * DCC_MAX_RANK * sizeof *dims);
	for (int i = 0; i < p->ninputs; i++)
		to_dcc_tensor(&in[i], &tensors[i]);
	uint64_t bytes;
	int status = dcc_plan(p->model, tensors, p->ninputs, threads, dims, &bytes, &c->error);
	if (status)
		fail_call(c, status);
	alloc_outputs(c, dims, tensors + p->ninputs, &loc);
	place_state(arena, c, in, tensors, &loc);
	pack_ports(arena, c, tensors, &loc);
	if (bytes > (uint64_t)1 << 46)
		fatal_at(&loc, "the workspace of %llu bytes is too large", (unsigned long long)bytes);
	c->workspace = aligned_alloc(DCC_WORKSPACE_ALIGN,
				     (bytes + DCC_WORKSPACE_ALIGN) / DCC_WORKSPACE_ALIGN * DCC_WORKSPACE_ALIGN);
	if (!c->workspace)
		fatal_at(&loc, "no memory for a workspace of %llu bytes", (unsigned long long)bytes);
	c->args = (dcc_args){.size = sizeof c->args,
			     .inputs = tensors,
			     .outputs = tensors + p->ninputs,
			     .ninputs = p->ninputs,
			     .noutputs = p->noutputs,
			     .workspace = c->workspace,
			     .workspace_size = bytes,
			     .weights = p->weights,
			     .weights_size = p->weights_bytes,
			     .exec = exec,
			     .error = &c->error,
			     .target = p->target,
			     .out_dims = dims};
}

static void interpret(Call *c)
{
	const Program *p = c->p;
	for (int i = 0; i < p->noutputs; i++)
		free_tensor(&c->out[i]);
	const char *wrong = p->how == HowOracle ? eval_module(p->module, c->in, c->out)
	                                        : interp_program(p->module->loops, p->isa, c->threads, c->in, c->out);
	const Loc loc = {.file = p->path};
	if (wrong)
		fatal_at(&loc, "%s", wrong);
}

void run_call(Call *c)
{
	if (c->p->how != HowCode) {
		interpret(c);
		return;
	}
	int status = dcc_run(c->p->model, &c->args);
	if (status)
		fail_call(c, status);
	for (int i = 0; i < c->p->noutputs; i++)
		memcpy(c->out[i].dims, c->args.out_dims + (size_t)i * DCC_MAX_RANK, (size_t)c->out[i].rank * sizeof *c->out[i].dims);
	fetch_state(c);
	unpack_outputs(c);
}

void free_call(Call *c)
{
	for (int i = 0; c->packed && i < c->p->ninputs + c->p->noutputs; i++)
		free(c->packed[i]);
	for (int i = 0; i < c->p->noutputs; i++)
		free_tensor(&c->out[i]);
	for (int i = 0; c->state && i < c->p->ninputs; i++)
		free(c->state[i]);
	free(c->workspace);
}
