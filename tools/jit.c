/* jit.c - see jit.h.
 *
 * LLJIT gets the code; the weights, which may have more bytes than its code can reach, stay in the file that is mapped: it sees an
 * object whose last section is cut off, and the descriptor that others see is a copy that points to the file.  An object calls the
 * runtime, a few functions of libc and what --load names, and nothing else that this process happens to hold.
 */
#include "jit.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include <llvm-c/Core.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Target.h>

#include "../backend/elf.h"

/* ---- functions that a model may call ----------------------------------------------------------------------------- */

static struct {
	Arena *arena;
	int n, cap;
	void **handles;
} libraries;

void load_library(Arena *arena, const char *path)
{
	const Loc loc = {.file = path};
	void *handle = dlopen(strchr(path, '/') ? path : arena_printf(arena, "./%s", path), RTLD_NOW | RTLD_GLOBAL);
	if (!handle)
		fatal_at(&loc, "cannot be loaded: %s", dlerror());
	PUSH(arena, libraries.handles, libraries.n, libraries.cap, handle);
}

/* What a library defines itself: dlsym looks into those that it depends on as well, and libc is one. */
void *find_loaded(const char *function)
{
	for (int i = 0; i < libraries.n; i++) {
		struct link_map *library, *owner;
		Dl_info info;
		void *found = dlsym(libraries.handles[i], function);
		if (found && !dlinfo(libraries.handles[i], RTLD_DI_LINKMAP, &library) &&
		    dladdr1(found, &info, (void **)&owner, RTLD_DL_LINKMAP) && owner == library)
			return found;
	}
	return NULL;
}

static const struct {
	const char *name;
	uintptr_t address;
} own[] = {
	{"dcc_run", (uintptr_t)dcc_run}, {"dcc_report", (uintptr_t)dcc_report}, {"memcpy", (uintptr_t)memcpy},
	{"memmove", (uintptr_t)memmove}, {"memset", (uintptr_t)memset},
};

typedef struct Wanted { /* of the symbols that an object leaves open */
	Arena *arena;
	LLVMOrcLLJITRef jit;
	int n, cap;
	LLVMOrcCSymbolMapPair *found;
	const char *missing;
} Wanted;

static void find_wanted(void *ctx, const char *name)
{
	Wanted *w = ctx;
	uintptr_t address = 0;
	if (!strcmp(name, "_GLOBAL_OFFSET_TABLE_")) /* an assembler's name for what the linker makes */
		return;
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (!strcmp(own[i].name, name))
			address = own[i].address;
	if (!address)
		address = (uintptr_t)find_loaded(name);
	if (!address) {
		w->missing = name;
		return;
	}
	LLVMOrcCSymbolMapPair pair = {LLVMOrcLLJITMangleAndIntern(w->jit, name), {address, {LLVMJITSymbolGenericFlagsExported, 0}}};
	PUSH(w->arena, w->found, w->n, w->cap, pair);
}

/* ---- weights ------------------------------------------------------------------------------------------------------- */

enum { Stub = 64 }; /* bytes that remain of the weights */

/* A copy of the object that ends where its weights begin; NULL: they are not the end of it. */
static uint8_t *cut_weights(Arena *arena, const Elf *e, size_t *size)
{
	int number = find_section(e, DCC_WEIGHTS_SECTION);
	if (!number)
		return NULL;
	uint64_t at = e->sections[number].sh_offset, bytes = e->sections[number].sh_size;
	uint64_t headers = (uint64_t)((const uint8_t *)e->sections - e->bytes);
	if (bytes <= Stub || at > e->size || e->size - at != bytes || headers + (uint64_t)e->nsection * sizeof *e->sections > at)
		return NULL;
	*size = at + Stub;
	uint8_t *copy = arena_alloc(arena, *size);
	memcpy(copy, e->bytes, *size);
	Elf64_Shdr *sections = (void *)(copy + headers);
	sections[number].sh_size = Stub;
	for (int i = 0; i < e->nsection; i++) {
		const Elf64_Shdr *s = &sections[i];
		if (s->sh_type != SHT_SYMTAB || s->sh_offset % 8 || s->sh_offset > at || s->sh_size > at - s->sh_offset)
			continue;
		Elf64_Sym *syms = (void *)(copy + s->sh_offset);
		for (uint64_t k = 0; k < s->sh_size / sizeof *syms; k++)
			if (syms[k].st_shndx == number)
				syms[k].st_size = Stub;
	}
	return copy;
}

/* ---- LLJIT ------------------------------------------------------------------------------------------------------- */

/* LLVM's messages speak of its own parts; what can go wrong here is that the file is damaged. */
static void check_llvm(LLVMErrorRef err, const Loc *loc)
{
	if (!err)
		return;
	LLVMConsumeError(err);
	fatal_at(loc, "cannot be linked: the object is damaged");
}

static void ignore_error(void *ctx, LLVMErrorRef err)
{
	(void)ctx;
	LLVMConsumeError(err);
}

static LLVMOrcLLJITRef new_jit(const Loc *loc)
{
	LLVMOrcLLJITRef jit;
	LLVMInitializeX86TargetInfo();
	LLVMInitializeX86Target();
	LLVMInitializeX86TargetMC();
	LLVMInitializeX86AsmPrinter();
	check_llvm(LLVMOrcCreateLLJIT(&jit, NULL), loc);
	LLVMOrcExecutionSessionSetErrorReporter(LLVMOrcLLJITGetExecutionSession(jit), ignore_error, NULL);
	return jit;
}

const dcc_model *link_model(Arena *arena, const void *bytes, size_t size, const Loc *loc)
{
	Elf e;
	open_elf(&e, bytes, size, loc);
	const char *symbol = find_model_name(&e, loc);
	Wanted w = {.arena = arena, .jit = new_jit(loc)};
	LLVMOrcJITDylibRef dylib = LLVMOrcLLJITGetMainJITDylib(w.jit);
	each_undefined(&e, find_wanted, &w);
	if (w.missing)
		fatal_at(loc, "calls the function '%s', which is not loaded (--load FILE.so)", w.missing);
	check_llvm(LLVMOrcJITDylibDefine(dylib, LLVMOrcAbsoluteSymbols(w.found, (size_t)w.n)), loc);
	size_t left = size;
	const uint8_t *cut = cut_weights(arena, &e, &left);
	const char *start = cut ? (const char *)cut : bytes;
	LLVMMemoryBufferRef buffer = LLVMCreateMemoryBufferWithMemoryRange(start, left, loc->file, false);
	LLVMOrcExecutorAddress address;
	check_llvm(LLVMOrcLLJITAddObjectFile(w.jit, dylib, buffer), loc);
	check_llvm(LLVMOrcLLJITLookup(w.jit, &address, symbol), loc);
	const dcc_model *linked = (const void *)(uintptr_t)address;
	if (!cut || memcmp(linked->magic, "dcc\0mod", sizeof linked->magic))
		return linked;
	dcc_model *model = arena_alloc(arena, sizeof *model);
	*model = *linked;
	model->weights = e.bytes + left - Stub;
	return model;
}
