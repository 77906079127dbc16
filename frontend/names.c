/* names.c - strings to pointers on top of the arena's hash table. */
#include "names.h"

#include <string.h>

typedef struct Entry {
	const char *key;
	void *value;
} Entry;

static bool has_key(const void *entry, const void *key)
{
	return !strcmp(((const Entry *)entry)->key, key);
}

static uint64_t hash_key(const char *key)
{
	return table_hash(key, strlen(key), 0);
}

void *get_name(const Names *n, const char *key)
{
	const Entry *e = table_find(&n->table, hash_key(key), has_key, key);
	return e ? e->value : NULL;
}

void put_name(Names *n, const char *key, void *value)
{
	Entry *e = table_find(&n->table, hash_key(key), has_key, key);
	if (!e) {
		e = arena_alloc(n->arena, sizeof *e);
		e->key = key;
		table_add(n->arena, &n->table, hash_key(key), e);
	}
	e->value = value;
}
