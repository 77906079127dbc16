/* rewrite.h - the rule engine. */
#ifndef DCC_REWRITE_H
#define DCC_REWRITE_H

#include "pass.h"

typedef struct Rule {
	const char *name, *before, *after, *where, *test;
} Rule;
extern const Rule rules[];
extern const int nrules;

/* Applies the rules to every node once, first rule first; true if any applied.  only: a rule's index or -1 for all. */
bool apply_rules(Module *, int only);

#endif
