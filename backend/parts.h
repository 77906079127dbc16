/* parts.h - modules of LLVM cut into parts, which threads work on.
 *
 * A part is some functions of a module, of about the weight that all others have.  It has a context of its own, and gets there as
 * bitcode, of which the bodies of its functions are read and no others: those become declarations.
 */
#ifndef DCC_PARTS_H
#define DCC_PARTS_H

#include "emit.h"

typedef struct Part {
	LLVMContextRef cx;
	LLVMModuleRef mod; /* NULL: to be read */
	LLVMMemoryBufferRef bitcode; /* of a module of several parts */
	int64_t weight; /* how long it takes, about: in LLVM instructions */
	int from, to; /* these of its functions, in their order */
	LLVMMemoryBufferRef object; /* the result */
	const char *why; /* LLVM has given up; NULL: it has not */
	double passes, code; /* seconds of CPU */
} Part;

typedef struct Parts {
	Arena *arena;
	int n, cap;
	Part *items;
} Parts;

LLVMContextRef new_context(bool names); /* those inside of functions, which are for readers alone */
void add_module(Parts *, LLVMContextRef, LLVMModuleRef); /* a part by itself */
/* Its functions as one or more parts.  It has no data that functions share, but constants.  vector: what an instruction on vectors weighs,
 * one on scalars being 1. */
void add_functions(Parts *, LLVMContextRef, LLVMModuleRef, int vector);
void read_part(Part *); /* sets mod; by the thread that works on it */
/* Calls that passes have proven away leave functions that no code is made for, which no part can tell alone: makes them internal, for
 * globaldce.  All parts have been read. */
void drop_uncalled(const Parts *);
void free_bitcode(const Parts *);

#endif
