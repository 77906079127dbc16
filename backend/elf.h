/* elf.h - reads objects and shared objects that hold a model: 64-bit ELF for x86-64, untrusted. */
#ifndef DCC_ELF_H
#define DCC_ELF_H

#include <elf.h>

#include "../ir/ir.h"

#define DCC_WEIGHTS_SECTION ".lrodata.dcc"

typedef struct Elf {
	const uint8_t *bytes;
	size_t size;
	const Elf64_Shdr *sections;
	int nsection;
	bool shared; /* .so: addresses are of the whole file; .o: of a section */
} Elf;

bool is_elf(const void *bytes, size_t size); /* the first bytes say so */
void open_elf(Elf *, const void *bytes, size_t size, const Loc *); /* bytes live as long as the Elf; fatal_at if it is none */
/* The only model: the name of its descriptor, a data symbol that ends in _model; several or none are fatal_at. */
const char *find_model_name(const Elf *, const Loc *);

int find_section(const Elf *, const char *name); /* its number; 0: there is none */
void each_undefined(const Elf *, void (*see)(void *ctx, const char *name), void *ctx); /* symbols that it wants of others */

/* What `dcc --inspect` prints of a model in an object; what is damaged is a fatal_at. */
void inspect_object(const Elf *, const Loc *, FILE *);

#endif
