/* debug.c - line information (dcc -g): what debuggers and profilers call the code, and the lines of the listing.
 *
 * A kernel is a function called by its name; its lines are those of its loop IR.  In a program each step is a function
 * called by the ONNX node that it computes, so that a backtrace reads kernel, node, program, although many nodes share a
 * kernel: with -g steps share no functions, and LLVM may know more of what they pass to kernels.  Kernels compute the same.
 */
#include "emit.h"

#include <string.h>

#include "../runtime/dcc.h"

enum { DwarfVersion = 4 }; /* 5 adds an index of names that lacks the inlined functions: gdb would not find nodes */

static void add_module_flag(Emit *e, const char *key, unsigned value)
{
	LLVMMetadataRef v = LLVMValueAsMetadata(LLVMConstInt(e->i32, value, false));
	LLVMAddModuleFlag(e->mod, LLVMModuleFlagBehaviorWarning, key, strlen(key), v);
}

void begin_debug(Emit *e)
{
	static const char producer[] = "dcc " DCC_VERSION;
	if (!e->opt->listing)
		return;
	number_lines(e->lm);
	e->debug = LLVMCreateDIBuilder(e->mod);
	e->file = LLVMDIBuilderCreateFile(e->debug, e->opt->listing, strlen(e->opt->listing), ".", 1);
	LLVMDIBuilderCreateCompileUnit(e->debug, LLVMDWARFSourceLanguageC11, e->file, producer, sizeof producer - 1, true, "",
	                               0, 0, "", 0, LLVMDWARFEmissionFull, 0, true, false, "", 0, "", 0);
	add_module_flag(e, "Debug Info Version", LLVMDebugMetadataVersion());
	add_module_flag(e, "Dwarf Version", DwarfVersion);
}

static LLVMMetadataRef new_subprogram(Emit *e, const char *name, const char *symbol, int line)
{
	LLVMMetadataRef type = LLVMDIBuilderCreateSubroutineType(e->debug, e->file, NULL, 0, LLVMDIFlagZero);
	return LLVMDIBuilderCreateFunction(e->debug, e->file, name, strlen(name), symbol, strlen(symbol), e->file,
	                                   (unsigned)line, type, true, true, (unsigned)line, LLVMDIFlagZero, true);
}

/* perf unwinds by .eh_frame alone; without -g nobody needs it. */
static void add_unwind_table(Emit *e, LLVMValueRef f)
{
	const uint64_t asynchronous = 2;
	unsigned kind = LLVMGetEnumAttributeKindForName("uwtable", 7);
	LLVMAddAttributeAtIndex(f, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(e->cx, kind, asynchronous));
}

static void begin_scope(Emit *e, int line, const char *name, const char *symbol, LLVMValueRef f)
{
	e->scope = new_subprogram(e, name, symbol, line);
	LLVMSetSubprogram(f, e->scope);
	LLVMSetCurrentDebugLocation2(e->b, LLVMDIBuilderCreateDebugLocation(e->cx, (unsigned)line, 0, e->scope, NULL));
	add_unwind_table(e, f);
}

void debug_function(Emit *e, int line, const char *name, LLVMValueRef f)
{
	size_t length;
	if (e->debug)
		begin_scope(e, line, name, LLVMGetValueName2(f, &length), f);
}

/* Without a symbol debuggers show the name.  A call at its end that became a jump would take the node out of backtraces. */
void debug_step(Emit *e, const LStmt *s, LLVMValueRef f)
{
	static const char key[] = "disable-tail-calls", value[] = "true";
	const LFunc *fn = step_kernel(s);
	if (!e->debug)
		return;
	begin_scope(e, s->line, s->nloc && s->locs[0]->node ? s->locs[0]->node : fn ? fn->name : "step", "", f);
	LLVMAddAttributeAtIndex(f, LLVMAttributeFunctionIndex,
	                        LLVMCreateStringAttribute(e->cx, key, sizeof key - 1, value, sizeof value - 1));
	if (s->body.first)
		debug_line(e, s->body.first);
}

void debug_line(Emit *e, const LStmt *s)
{
	if (e->scope)
		LLVMSetCurrentDebugLocation2(e->b, LLVMDIBuilderCreateDebugLocation(e->cx, (unsigned)s->line, 0, e->scope, NULL));
}

void no_debug(Emit *e)
{
	e->scope = NULL;
	LLVMSetCurrentDebugLocation2(e->b, NULL);
}

void end_debug(Emit *e)
{
	if (!e->debug)
		return;
	LLVMDIBuilderFinalize(e->debug);
	LLVMDisposeDIBuilder(e->debug);
}
