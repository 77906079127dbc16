/* ops.c - the tables of operators and attributes: ops.def and attrs.def as data. */
#include "ir.h"

#include "shape.h"

#include <math.h>
#include <string.h>

#define DEFAULT_Flag(x) .number = x
#define DEFAULT_Int(x) .number = x
#define DEFAULT_Float(x) .number = x
#define DEFAULT_Scalar(x) .number = x
#define DEFAULT_Dim(x) .number = x
#define DEFAULT_Ints(x) .number = x
#define DEFAULT_Dims(x) .number = x
#define DEFAULT_Op(x) .number = Op##x
#define DEFAULT_Word(x) .words = x
#define DEFAULT_Text(x) .words = x
const AttrInfo attr_infos[NAttrs] = {
#define ATTR(name, kind, dflt, meaning) [Attr_##name] = {#name, Attr##kind, DEFAULT_##kind(dflt), .help = meaning},
#include "attrs.def"
#undef ATTR
};

/* Both compilers fold __builtin_strncmp of literals in a static initializer. */
#define IS_OPT(x) (__builtin_strncmp(#x, "OPT_", 4) == 0)
#define NAME(x) (&#x[IS_OPT(x) ? 4 : 0])
#define IS_GIVEN(x) (__builtin_strncmp(#x, "given", 5) == 0)
#define IN0 0, {NULL}, {false}
#define IN1(a) 1, {NAME(a)}, {IS_OPT(a)}
#define IN2(a, b) 2, {NAME(a), NAME(b)}, {IS_OPT(a), IS_OPT(b)}
#define IN3(a, b, c) 3, {NAME(a), NAME(b), NAME(c)}, {IS_OPT(a), IS_OPT(b), IS_OPT(c)}
#define IN4(a, b, c, d) 4, {NAME(a), NAME(b), NAME(c), NAME(d)}, {IS_OPT(a), IS_OPT(b), IS_OPT(c), IS_OPT(d)}
#define IN5(a, b, c, d, e) 5, {NAME(a), NAME(b), NAME(c), NAME(d), NAME(e)}, {IS_OPT(a), IS_OPT(b), IS_OPT(c), IS_OPT(d), IS_OPT(e)}
#define VARIADIC(a) -1, {NAME(a)}, {false}
#define A(name) ((uint64_t)1 << Attr_##name)
#define COMMUTES Commutes
#define OP(name, text, in, cls, takes, code, shape, attrs, flags, meaning)                                             \
	[Op##name] = {text, in, Cls##cls, Types##takes, Code##code, shape_##shape, IS_GIVEN(shape), attrs, flags},
const OpInfo ops[NOps] = {
#include "ops.def"
};
#undef OP
#undef A
_Static_assert(NAttrs <= 64, "OpInfo.attrs has one bit per attribute");

bool find_op(const char *text, Op *op)
{
	for (int i = 0; i < NOps; i++) {
		if (!strcmp(ops[i].text, text)) {
			*op = i;
			return true;
		}
	}
	return false;
}
