/* backend.h - from loop IR to machine code. */
#ifndef DCC_BACKEND_H
#define DCC_BACKEND_H

#include "../ir/loop.h"
#include "../ir/target.h"

typedef struct EmitOptions {
	int ntarget;
	const Target *const *target; /* best first */
	const char *weights_path; /* NULL: embed; else the side file to write */
	bool verbose; /* -v: print the linker's command */
	bool quick; /* -O0: less time here, more in the code; the same bits */
	int jobs; /* threads at most; 0: as many as there are CPUs for them.  The bytes are the same */
	uint64_t tuning_hash; /* of the file that chose schedules; 0: none did */
	const char *listing; /* line information is about this file (its name alone; print_listing writes it); NULL: none */
} EmitOptions;

/* All of these are deterministic and verify what they emit; failures of the output (disk full, not writable) are user errors
 * that leave no file behind. */
void emit_object(LModule *, const EmitOptions *, const char *path);
void emit_assembly(LModule *, const EmitOptions *, const char *path); /* -S; "-" is stdout */
/* The same file as a path that no program takes for an option or a response file. */
const char *plain_path(Arena *, const char *path);
/* -shared: object and libdcc.a, linked by the C compiler `linker` (NULL: cc) with `link` as it stands. */
void emit_shared(LModule *, const EmitOptions *, const char *linker, int nlink, const char *const *link, const char *path);
void emit_llvm(LModule *, const EmitOptions *, const char *path); /* -emit-llvm, text */
void emit_header(LModule *, const EmitOptions *, const char *path);
void write_text(Module *, const char *path, const void *text, size_t n); /* like these; "-" is stdout */
/* In two steps, for files that appear together or not at all: written beside its place, then put there. */
typedef struct Out Out;
Out *hold_header(LModule *, const EmitOptions *, const char *path);
Out *begin_text(Module *, const char *path); /* fails before anything else is written */
void end_text(Out *, const void *text, size_t n); /* writes and publishes it */
Out *hold_text(Module *, const char *path, const void *text, size_t n);
void publish_output(Out *);
/* The object without weights in memory (for dcc-run), malloc'ed; and the weights alone, malloc'ed, aligned to 64. */
void emit_object_memory(LModule *, const EmitOptions *, void **bytes, size_t *size);
void emit_weights_memory(LModule *, void **bytes, size_t *size);


int symbol_source(const Sym *); /* DCC_SYMBOL_... of runtime/dcc.h */

#endif
