/* debug.c - line information (dcc -g): what debuggers and profilers call the code, and the lines of the listing.
 *
 * A kernel is a function called by its name; its lines are those of its loop IR.  In a program each step is an inlined
 * function called by the ONNX node that it computes, so that a backtrace reads kernel, node, program, although many
 * nodes share a kernel.  The code is the same as without -g.
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

void debug_function(Emit *e, const LFunc *fn, const char *name, LLVMValueRef f)
{
	size_t length;
	e->scope = e->outer = NULL;
	if (!e->debug)
		return;
	e->scope = new_subprogram(e, name, LLVMGetValueName2(f, &length), fn->line);
	LLVMSetSubprogram(f, e->scope);
	LLVMSetCurrentDebugLocation2(e->b, LLVMDIBuilderCreateDebugLocation(e->cx, (unsigned)fn->line, 0, e->scope, NULL));
	add_unwind_table(e, f);
}

void debug_line(Emit *e, const LStmt *s)
{
	if (e->scope)
		LLVMSetCurrentDebugLocation2(
			e->b, LLVMDIBuilderCreateDebugLocation(e->cx, (unsigned)s->line, 0, e->scope, e->outer));
}

void no_debug(Emit *e)
{
	e->scope = e->outer = NULL;
	LLVMSetCurrentDebugLocation2(e->b, NULL);
}

void debug_step(Emit *e, const LStmt *s)
{
	const LFunc *fn = step_kernel(s);
	if (!e->scope)
		return;
	const char *name = s->nloc && s->locs[0]->node ? s->locs[0]->node : fn ? fn->name : "step";
	e->outer = LLVMDIBuilderCreateDebugLocation(e->cx, (unsigned)s->line, 0, e->scope, NULL);
	e->program_scope = e->scope;
	e->scope = new_subprogram(e, name, "", s->line);
	debug_line(e, s);
}

void debug_step_end(Emit *e, const LStmt *s)
{
	if (!e->scope)
		return;
	e->scope = e->program_scope;
	e->outer = NULL;
	debug_line(e, s);
}

void end_debug(Emit *e)
{
	if (!e->debug)
		return;
	LLVMDIBuilderFinalize(e->debug);
	LLVMDisposeDIBuilder(e->debug);
}
