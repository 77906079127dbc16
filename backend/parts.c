/* parts.c - modules cut into parts: see parts.h. */
#include "parts.h"

#include <llvm-c/BitReader.h>
#include <llvm-c/BitWriter.h>
#include <stdlib.h>
#include <string.h>

/* An eighth of a second, beside which a context, a pass manager and all names of the module weigh little. */
enum { PartWeight = 6000, GlobalsPerWeight = 8 };

LLVMContextRef new_context(bool names)
{
	LLVMContextRef cx = LLVMContextCreate();
	LLVMContextSetDiscardValueNames(cx, !names);
	return cx;
}

void make_hidden(LLVMValueRef f)
{
	LLVMSetLinkage(f, LLVMExternalLinkage);
	LLVMSetVisibility(f, LLVMHiddenVisibility);
}

/* ---- cutting ---------------------------------------------------------------------------------------------------- */

static int64_t weigh_function(LLVMValueRef f, int vector)
{
	int64_t n = 0;
	for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(f); b; b = LLVMGetNextBasicBlock(b))
		for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i))
			n += LLVMGetTypeKind(LLVMTypeOf(i)) == LLVMVectorTypeKind ? vector : 1;
	return n;
}

static int64_t weigh_functions(LLVMModuleRef mod, int vector)
{
	int64_t n = 0;
	for (LLVMValueRef f = LLVMGetFirstFunction(mod); f; f = LLVMGetNextFunction(f))
		n += weigh_function(f, vector);
	return n;
}

static int64_t weigh_data(LLVMModuleRef mod)
{
	int64_t n = 0;
	for (LLVMValueRef g = LLVMGetFirstGlobal(mod); g; g = LLVMGetNextGlobal(g))
		n++;
	return n / GlobalsPerWeight;
}

static void add_part(Parts *parts, Part p)
{
	PUSH(parts->arena, parts->items, parts->n, parts->cap, p);
}

/* Functions in their order, of about equal weight. */
static void add_cuts(Parts *to, LLVMModuleRef mod, int vector)
{
	const int64_t all = weigh_functions(mod, vector), cuts = all / PartWeight + 1;
	int64_t before = 0, begin = 0;
	int from = 0, n = 0, cut = 1;
	for (LLVMValueRef f = LLVMGetFirstFunction(mod); f; f = LLVMGetNextFunction(f)) {
		if (LLVMIsDeclaration(f))
			continue;
		if (n > from && before >= all * cut / cuts) {
			add_part(to, (Part){.weight = before - begin, .from = from, .to = n});
			from = n;
			begin = before;
			cut++;
		}
		before += weigh_function(f, vector);
		n++;
	}
	add_part(to, (Part){.weight = before - begin, .from = from, .to = n});
}

static void copy_attributes(LLVMValueRef from, LLVMValueRef to, LLVMAttributeIndex at)
{
	LLVMAttributeRef some[32];
	unsigned n = LLVMGetAttributeCountAtIndex(from, at);
	if (n > sizeof some / sizeof *some)
		bug("a function with %u attributes", n);
	LLVMGetAttributesAtIndex(from, at, some);
	for (unsigned i = 0; i < n; i++)
		LLVMAddAttributeAtIndex(to, at, some[i]);
}

/* A function of another part becomes a declaration: callers know what its attributes say. */
static void declare_only(LLVMModuleRef mod, LLVMValueRef f)
{
	size_t n;
	const char *name = LLVMGetValueName2(f, &n);
	LLVMValueRef d = LLVMAddFunction(mod, "", LLVMGlobalGetValueType(f));
	LLVMSetVisibility(d, LLVMHiddenVisibility);
	LLVMSetFunctionCallConv(d, LLVMGetFunctionCallConv(f));
	copy_attributes(f, d, LLVMAttributeFunctionIndex);
	for (unsigned i = 0; i <= LLVMCountParams(f); i++)
		copy_attributes(f, d, i);
	LLVMReplaceAllUsesWith(f, d);
	char *copy = strndup(name, n);
	if (!copy)
		abort(); /* as an operator new of LLVM */
	LLVMDeleteFunction(f);
	LLVMSetValueName2(d, copy, n);
	free(copy);
}

/* The functions of a part stay, their bodies read by `reader`; NULL: they are there. */
static void keep_functions(const Part *p, LLVMPassManagerRef reader)
{
	int n = 0;
	for (LLVMValueRef f = LLVMGetFirstFunction(p->mod), next; f; f = next) {
		next = LLVMGetNextFunction(f);
		if (LLVMIsDeclaration(f))
			continue;
		if (n < p->from || n >= p->to)
			declare_only(p->mod, f);
		else if (reader)
			LLVMRunFunctionPassManager(reader, f);
		n++;
	}
}

/* A run of a function pass manager reads the body of the function first, and there is no other way in LLVM's C API to ask for one. */
void read_part(Part *p)
{
	if (p->mod)
		return;
	LLVMMemoryBufferRef view = LLVMCreateMemoryBufferWithMemoryRange(LLVMGetBufferStart(p->bitcode), LLVMGetBufferSize(p->bitcode),
	                                                                 "", false);
	p->cx = new_context(false);
	if (LLVMGetBitcodeModuleInContext2(p->cx, view, &p->mod))
		bug("LLVM cannot read what it has written");
	LLVMPassManagerRef none = LLVMCreateFunctionPassManagerForModule(p->mod);
	keep_functions(p, none);
	LLVMDisposePassManager(none);
}

void add_module(Parts *parts, LLVMContextRef cx, LLVMModuleRef mod)
{
	add_part(parts, (Part){.cx = cx, .mod = mod, .weight = weigh_functions(mod, 1) + weigh_data(mod)});
}

void add_functions(Parts *parts, LLVMContextRef cx, LLVMModuleRef mod, int vector)
{
	Part *first;
	const int before = parts->n;
	add_cuts(parts, mod, vector);
	first = &parts->items[before];
	first->cx = cx;
	first->mod = mod;
	if (parts->n == before + 1)
		return;
	for (LLVMValueRef f = LLVMGetFirstFunction(mod); f; f = LLVMGetNextFunction(f))
		if (!LLVMIsDeclaration(f))
			make_hidden(f);
	LLVMMemoryBufferRef bitcode = LLVMWriteBitcodeToMemoryBuffer(mod);
	for (Part *p = first; p < parts->items + parts->n; p++)
		p->bitcode = bitcode;
	keep_functions(first, NULL);
}

void free_bitcode(const Parts *parts)
{
	for (int i = 0; i < parts->n; i++) {
		LLVMMemoryBufferRef bitcode = parts->items[i].bitcode;
		if (bitcode && (i == 0 || parts->items[i - 1].bitcode != bitcode))
			LLVMDisposeMemoryBuffer(bitcode);
	}
}

/* ---- what nobody calls ------------------------------------------------------------------------------------------ */

/* A function of a module that is cut. */
typedef struct Known {
	const char *name;
	LLVMValueRef f;
	bool called;
} Known;

typedef struct Calls {
	Arena *arena;
	Table known; /* by name */
	int nfunction, capfunction, ncalled, capcalled;
	Known **functions, **called;
} Calls;

static bool has_name(const void *item, const void *key)
{
	return !strcmp(((const Known *)item)->name, key);
}

static uint64_t hash_name(const char *name)
{
	return table_hash(name, strlen(name), 0);
}

static void add_known(Calls *c, LLVMValueRef f)
{
	size_t n;
	Known *k = arena_alloc(c->arena, sizeof *k);
	*k = (Known){.name = LLVMGetValueName2(f, &n), .f = f};
	table_add(c->arena, &c->known, hash_name(k->name), k);
	PUSH(c->arena, c->functions, c->nfunction, c->capfunction, k);
}

static void note_call(Calls *c, LLVMValueRef f)
{
	size_t n;
	const char *name = LLVMGetValueName2(f, &n);
	Known *k = table_find(&c->known, hash_name(name), has_name, name);
	if (!k || k->called)
		return;
	k->called = true;
	PUSH(c->arena, c->called, c->ncalled, c->capcalled, k);
}

static void note_calls(Calls *c, LLVMValueRef f)
{
	for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(f); b; b = LLVMGetNextBasicBlock(b))
		for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i))
			if (LLVMIsACallInst(i) && LLVMIsAFunction(LLVMGetCalledValue(i)))
				note_call(c, LLVMGetCalledValue(i));
}

/* Modules that are whole name those of others that they call or whose address they take. */
void drop_uncalled(const Parts *parts)
{
	const Part *end = parts->items + parts->n;
	Calls c = {.arena = new_inner_arena(parts->arena)};
	for (const Part *p = parts->items; p < end; p++)
		for (LLVMValueRef f = LLVMGetFirstFunction(p->mod); f && p->bitcode; f = LLVMGetNextFunction(f))
			if (!LLVMIsDeclaration(f))
				add_known(&c, f);
	for (const Part *p = parts->items; p < end; p++)
		for (LLVMValueRef f = LLVMGetFirstFunction(p->mod); f && !p->bitcode; f = LLVMGetNextFunction(f))
			if (LLVMIsDeclaration(f))
				note_call(&c, f);
	for (int i = 0; i < c.ncalled; i++)
		note_calls(&c, c.called[i]->f);
	for (int i = 0; i < c.nfunction; i++)
		if (!c.functions[i]->called)
			LLVMSetLinkage(c.functions[i]->f, LLVMInternalLinkage);
	free_arena(c.arena);
}
