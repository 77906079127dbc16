/* dim.h - inside of the symbolic dims: what dim.c (the normal form), dim_range.c (ranges), dim_divide.c (division, min and
 * max) and dim_text.c (values, text, types) share.
 *
 * A Dim is a sorted sum of terms; a term is a coefficient times a Mono, a sorted product of Atoms; an Atom is a symbol,
 * or floordiv, mod, min or max of two Dims.  All three are hash-consed.  Monos are ordered by degree, then by atoms: a
 * monomial order in the sense of polynomial division, the constant last.  No order depends on an address.
 *
 * Input is hostile: terms, factors, depth and tree size are bounded, so every walk over a Dim as a tree is, too.
 */
#ifndef DCC_DIM_H
#define DCC_DIM_H

#include "ir.h"

enum { MaxTerms = 256, MaxFactors = 32, MaxDepth = 64, MaxSize = 4096 };

typedef enum AtomKind { AtomSym, AtomDiv, AtomMod, AtomMin, AtomMax } AtomKind;

typedef struct Atom {
	AtomKind kind;
	const Sym *sym;
	const Dim *a, *b;
	uint64_t hash;
	int size, depth; /* of the tree */
} Atom;

typedef struct Mono {
	uint64_t hash;
	int size, depth, n; /* n == 0: the factor of a constant */
	const Atom *atoms[];
} Mono;

typedef struct Term {
	int64_t coef; /* not 0 */
	const Mono *mono;
} Term;

struct Dim {
	uint64_t hash;
	int size, depth, n;
	Term terms[];
};

/* A sum under construction, sorted as in a Dim. */
typedef struct Poly {
	int n;
	Term t[MaxTerms];
} Poly;

struct DimTable {
	Table dims, monos, atoms, syms;
	const Mono *unit;
};

typedef struct Range { /* INT64_MIN and INT64_MAX stand for minus and plus infinity */
	int64_t lo, hi;
} Range;

/* ---- dim.c ----------------------------------------------------------------------------------------------------- */

_Noreturn void dim_refuse(const Module *, const char *what); /* what dcc lacks */
DimTable *dim_table(Module *);
const Atom *intern_atom(Module *, AtomKind, const Sym *, const Dim *a, const Dim *b);
const Dim *intern_dim(Module *, const Poly *);
const Mono *intern_mono(Module *, int n, const Atom *const *);
const Dim *dim_of_atom(Module *, const Atom *);
const Atom *dim_as_atom(const Dim *); /* the atom that the dim is, or NULL */
const Mono *divide_mono(Module *, const Mono *x, const Mono *y); /* x / y, or NULL where y does not divide x */
const Mono *gcd_mono(Module *, const Mono *, const Mono *);
void set_poly(Poly *, const Dim *);
/* Both return NULL, or what went wrong. */
const char *add_term(Poly *, int64_t coef, const Mono *);
const char *add_scaled(Module *, Poly *, const Dim *, int64_t factor, const Mono *); /* += factor * d * mono */
const Dim *add_multiple(Module *, const Dim *a, const Dim *b, int64_t factor); /* a + factor * b */

/* ---- dim_range.c ----------------------------------------------------------------------------------------------- */

bool is_infinite(int64_t bound);
Range range_of(const Dim *);
Range range_of_sum(Module *, const Dim *a, const Dim *b, int64_t factor); /* of a + factor * b; everything on overflow */
Range divide_range(Range a, Range b);

#endif
