/* names.c - the names of constants and parameters: words of the text form, each once in its set. */
#include "graph.h"

#include <string.h>

enum { MaxName = 200 };

typedef struct NameEntry {
	const char *text;
	int next; /* suffix to try first for the next value of this name */
} NameEntry;

struct NameSet {
	Table table;
	const char *fresh; /* stem of the values that come without a name */
};

static bool same_name(const void *item, const void *key)
{
	return !strcmp(((const NameEntry *)item)->text, key);
}

static NameEntry *find_entry(const struct NameSet *s, const char *text)
{
	return table_find(&s->table, table_hash(text, strlen(text), 0), same_name, text);
}

static const char *add_name(Module *m, struct NameSet *s, const char *text)
{
	NameEntry *e = arena_alloc(m->arena, sizeof *e);
	*e = (NameEntry){text, 1};
	table_add(m->arena, &s->table, table_hash(text, strlen(text), 0), e);
	return text;
}

static bool is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

/* A word that does not start like a number. */
static char *clean_name(Module *m, const char *name)
{
	bool numeric = (*name >= '0' && *name <= '9') || *name == '.';
	char *text = arena_printf(m->arena, "%s%.*s", numeric ? "_" : "", MaxName, name);
	for (char *c = text; *c; c++)
		if (!is_word_char(*c))
			*c = '_';
	return text;
}

bool is_c_name(const char *name)
{
	bool digit = *name >= '0' && *name <= '9';
	for (const char *c = name; *c; c++)
		if (!is_word_char(*c) || *c == '.')
			return false;
	return *name && !digit && strlen(name) <= MaxName;
}

const char *unique_name(Module *m, struct NameSet *s, const char *name)
{
	const char *text = name && *name ? clean_name(m, name) : s->fresh;
	NameEntry *taken = find_entry(s, text);
	if (!taken)
		return add_name(m, s, text);
	char longer[2 * MaxName];
	do
		snprintf(longer, sizeof longer, "%s_%d", text, taken->next++);
	while (find_entry(s, longer));
	return add_name(m, s, arena_strdup(m->arena, longer));
}

struct NameSet *new_names(Module *m, const char *fresh)
{
	struct NameSet *s = arena_alloc(m->arena, sizeof *s);
	s->fresh = fresh;
	return s;
}
