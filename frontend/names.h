/* names.h - a map from strings, for the names in a model; only looked up, never walked, so that no order leaks out. */
#ifndef DCC_NAMES_H
#define DCC_NAMES_H

#include "../ir/ir.h"

typedef struct Names {
	Arena *arena;
	Table table;
} Names;

void *get_name(const Names *, const char *key); /* NULL: absent */
void put_name(Names *, const char *key, void *value); /* replaces; keeps the pointer to key */

#endif
