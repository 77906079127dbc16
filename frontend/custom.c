/* custom.c - operators that the application computes: --custom-op=DOMAIN:OP=SYMBOL(SIGNATURE).
 *
 *   signature = "(" [param {"," param}] ")" "->" "(" result {"," result} ")"
 *   param     = "%" name ":" type                an input of the ONNX node, in order
 *             | name ":" type ["=" default]      an attribute of the node, handed to the function as a constant tensor:
 *                                                f32 for FLOAT and FLOATS, i64 for INT and INTS, u8 for STRING
 *   default   = number | "[" [number {"," number}] "]"
 *   result    = [name ":"] type                  those beyond the node's outputs are scratch memory of the function
 *   type      = dtype "[" [dim {"," dim}] "]"    as in IR text; symbols are the signature's own
 *
 * A dim of a parameter that is a symbol binds it at its first place; all other dims are checked, at run time if need be.
 * An operator may have several signatures: the first that fits a node is taken.  Without a signature the types of the
 * outputs are those that the model states.
 */
#include "custom.h"
#include "build.h"
#include "expr.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MaxCustomParams = 16 };

typedef struct CustomTensor {
	const char *name;
	bool attr;
	bool optional; /* "%x?": the node may leave it out */
	DType dtype;
	int rank;
	const char *dims[MaxRank];
	OnnxAttr *dflt; /* of an attribute; NULL: it has none */
} CustomTensor;

struct CustomOp {
	const char *text; /* the option's */
	const char *domain, *op, *symbol;
	bool typed; /* has a signature */
	int nparam, nresult;
	CustomTensor params[MaxCustomParams], results[MaxCustomParams];
	bool used;
	struct CustomOp *next; /* in the order of the options */
};

/* ---- reading ----------------------------------------------------------------------------------------------------- */

typedef struct Reader {
	Import *im;
	const char *text, *p;
} Reader;

static _Noreturn void fail_option(const Reader *r, const char *expected)
{
	fatal_at(&(Loc){.file = "dcc"}, "--custom-op=%s: expected %s at '%.20s'", r->text, expected, r->p);
}

static bool accept(Reader *r, const char *word)
{
	while (isspace((unsigned char)*r->p))
		r->p++;
	if (strncmp(r->p, word, strlen(word)))
		return false;
	r->p += strlen(word);
	return true;
}

static void expect(Reader *r, const char *word)
{
	if (!accept(r, word))
		fail_option(r, word);
}

/* Up to one of the characters of `end`. */
static const char *take_until(Reader *r, const char *end, const char *what)
{
	accept(r, "");
	size_t n = strcspn(r->p, end), trimmed = n;
	while (trimmed && isspace((unsigned char)r->p[trimmed - 1]))
		trimmed--;
	if (!trimmed)
		fail_option(r, what);
	const char *s = arena_printf(r->im->scratch, "%.*s", (int)trimmed, r->p);
	r->p += n;
	return s;
}

static const char *take_dim(Reader *r)
{
	const char *from = r->p;
	int depth = 0;
	for (; *r->p && (depth || (*r->p != ',' && *r->p != ']')); r->p++)
		depth += (*r->p == '(') - (*r->p == ')');
	if (r->p == from)
		fail_option(r, "a dim");
	return arena_printf(r->im->scratch, "%.*s", (int)(r->p - from), from);
}

static void take_type(Reader *r, CustomTensor *t)
{
	const char *dtype = take_until(r, "[", "an element type");
	if (!find_dtype(dtype, &t->dtype))
		fail_option(r, arena_printf(r->im->scratch, "an element type instead of '%s'", dtype));
	expect(r, "[");
	while (!accept(r, "]")) {
		if (t->rank)
			expect(r, ",");
		if (t->rank == MaxRank)
			fail_option(r, "at most 8 dims");
		accept(r, "");
		t->dims[t->rank++] = take_dim(r);
	}
}

/* Into *f, or into *i if the type is i64. */
static void take_number(Reader *r, DType t, float *f, int64_t *i)
{
	char *end;
	accept(r, "");
	errno = 0;
	if (t == I64)
		*i = strtoll(r->p, &end, 10);
	else
		*f = strtof(r->p, &end);
	if (end == r->p || (t == I64 && (errno || *end == '.' || *end == 'e' || *end == 'E')))
		fail_option(r, t == I64 ? "an integer of 64 bits" : "a number");
	r->p = end;
}

/* The kinds of attributes, by the tensor that a function gets. */
static const struct AttrForm {
	Onnx__AttributeProto__AttributeType type;
	DType dtype;
	int rank;
} attr_forms[] = {
	{ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT, F32, 0}, {ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS, F32, 1},
	{ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT, I64, 0},   {ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS, I64, 1},
	{ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING, U8, 1},
};

static const struct AttrForm *form_of(const CustomTensor *t)
{
	for (size_t i = 0; i < sizeof attr_forms / sizeof *attr_forms; i++)
		if (attr_forms[i].dtype == t->dtype && attr_forms[i].rank == t->rank)
			return &attr_forms[i];
	return NULL;
}

static OnnxAttr *take_default(Reader *r, const CustomTensor *t)
{
	OnnxAttr *a = arena_alloc(r->im->scratch, sizeof *a);
	onnx__attribute_proto__init(a);
	a->type = form_of(t)->type;
	a->floats = arena_alloc(r->im->scratch, MaxKnown * sizeof *a->floats);
	a->ints = arena_alloc(r->im->scratch, MaxKnown * sizeof *a->ints);
	if (t->dtype == U8)
		fail_option(r, "no default of a text");
	if (!t->rank) {
		take_number(r, t->dtype, &a->f, &a->i);
		return a;
	}
	expect(r, "[");
	for (size_t n = 0; !accept(r, "]"); n++) {
		if (n)
			expect(r, ",");
		if (n == MaxKnown)
			fail_option(r, "at most 64 numbers");
		take_number(r, t->dtype, &a->floats[n], &a->ints[n]);
		a->n_floats = a->n_ints = n + 1;
	}
	return a;
}

static int take_tensors(Reader *r, CustomTensor *all, bool results)
{
	int n = 0;
	expect(r, "(");
	while (!accept(r, ")")) {
		if (n)
			expect(r, ",");
		if (n == MaxCustomParams)
			fail_option(r, "at most 16 parameters");
		CustomTensor *t = &all[n++];
		*t = (CustomTensor){.attr = !results && !accept(r, "%")};
		if (!results || strcspn(r->p, ":") < strcspn(r->p, "["))
			t->name = take_until(r, "?:,)", "a name and its type");
		t->optional = !results && !t->attr && accept(r, "?");
		if (t->name)
			expect(r, ":");
		take_type(r, t);
		if (t->attr && !form_of(t))
			fail_option(r, "an attribute of type f32[], f32[n], i64[], i64[n] or u8[n]");
		if (t->attr && accept(r, "="))
			t->dflt = take_default(r, t);
	}
	return n;
}

static CustomOp *read_custom(Import *im, const char *text)
{
	Reader r = {im, text, text};
	CustomOp *op = arena_alloc(im->scratch, sizeof *op);
	size_t head = strcspn(text, "("), name = strcspn(text, "=");
	const char *colon = NULL;
	for (size_t i = 0; i < name && i < head; i++) /* a domain may have colons */
		colon = text[i] == ':' ? text + i : colon;
	op->text = text;
	if (!colon || name >= head)
		fail_option(&r, "DOMAIN:OP=SYMBOL");
	op->domain = arena_printf(im->scratch, "%.*s", (int)(colon - text), text);
	r.p = colon + 1;
	op->op = take_until(&r, "=", "an operator");
	expect(&r, "=");
	op->symbol = take_until(&r, "(", "the name of a C function");
	accept(&r, "");
	op->typed = *r.p != 0;
	if (op->typed) {
		op->nparam = take_tensors(&r, op->params, false);
		expect(&r, "->");
		op->nresult = take_tensors(&r, op->results, true);
	}
	accept(&r, "");
	if (*r.p || (op->typed && !op->nresult))
		fail_option(&r, *r.p ? "the end" : "a result");
	return op;
}

void read_customs(Import *im)
{
	CustomOp **end = &im->customs;
	for (int i = 0; i < im->opt->ncustom; i++, end = &(*end)->next)
		*end = read_custom(im, im->opt->custom[i]);
}

/* ---- finding ------------------------------------------------------------------------------------------------------ */

static bool same_domain(const char *a, const char *b)
{
	return is_standard(a) ? is_standard(b) : b && !strcmp(a, b);
}

static CustomOp *next_custom(CustomOp *from, const OnnxNode *node)
{
	for (CustomOp *op = from; op; op = op->next)
		if (!strcmp(op->op, node->op_type ? node->op_type : "") && same_domain(op->domain, node->domain))
			return op;
	return NULL;
}

bool find_custom(const Import *im, const OnnxNode *node)
{
	CustomOp *op = next_custom(im->customs, node);
	for (CustomOp *o = op; o; o = next_custom(o->next, node))
		o->used = true;
	return op != NULL;
}

void warn_unused_customs(const Import *im)
{
	for (const CustomOp *op = im->customs; op; op = op->next)
		if (!op->used)
			warn_at(&(Loc){.file = im->file->path}, "--custom-op: no node has the operator '%s' of domain '%s'", op->op,
			        op->domain);
}

/* ---- fitting ------------------------------------------------------------------------------------------------------ */

static int count_inputs(const Call *c)
{
	int n = c->nin;
	while (n && !c->in[n - 1])
		n--;
	return n;
}

static const CustomTensor *find_param(const CustomOp *op, const char *attr)
{
	for (int i = 0; i < op->nparam; i++)
		if (op->params[i].attr && !strcmp(op->params[i].name, attr))
			return &op->params[i];
	return NULL;
}

static const OnnxAttr *attr_or_default(const Call *c, const CustomTensor *t)
{
	const OnnxAttr *a = onnx_attr(c, t->name);
	return a ? a : t->dflt;
}

static const char *attr_misfit(const Call *c, const CustomTensor *t)
{
	const OnnxAttr *a = attr_or_default(c, t);
	if (!a)
		return arena_printf(c->im->scratch, "the node has no attribute '%s'", t->name);
	return a->type == form_of(t)->type ? NULL : arena_printf(c->im->scratch, "attribute '%s' has another type", t->name);
}

static const char *input_misfit(const Call *c, const CustomTensor *t, int i)
{
	const Value *v = i < c->nin ? c->in[i] : NULL;
	if (!v && t->optional)
		return NULL;
	bool fits = v && v->type.dtype == t->dtype && v->type.rank == t->rank;
	for (int d = 0; fits && d < t->rank; d++) {
		int64_t got;
		char *end;
		long long want = strtoll(t->dims[d], &end, 10);
		fits = *end || !dim_is_const(v->type.dims[d], &got) || got == want;
	}
	return fits ? NULL : arena_printf(c->im->scratch, "input %d is %s", i, v ? type_text(c->m, &v->type) : "absent");
}

/* NULL, or why this signature is not the node's. */
static const char *misfit(const Call *c, const CustomOp *op)
{
	int nin = 0;
	for (size_t i = 0; i < c->node->n_attribute; i++)
		if (!find_param(op, c->node->attribute[i]->name))
			return arena_printf(c->im->scratch, "attribute '%s' is not in the signature", c->node->attribute[i]->name);
	if (!op->typed)
		return NULL;
	for (int i = 0; i < op->nparam; i++) {
		const CustomTensor *t = &op->params[i];
		const char *why = t->attr ? attr_misfit(c, t) : nin < count_inputs(c) || t->optional ? input_misfit(c, t, nin) : NULL;
		if (why)
			return why;
		nin += !t->attr && (nin < count_inputs(c) || !t->optional);
	}
	if (nin != count_inputs(c))
		return arena_printf(c->im->scratch, "the node has %d inputs", count_inputs(c));
	return op->nresult < c->nout ? arena_printf(c->im->scratch, "the node has %d outputs", c->nout) : NULL;
}

/* ---- building ----------------------------------------------------------------------------------------------------- */

static Value *attr_value(const Call *c, const CustomTensor *t)
{
	const OnnxAttr *a = attr_or_default(c, t);
	const void *data = t->rank ? (const void *)a->ints : &a->i;
	size_t n = t->rank ? a->n_ints : 1, size = (size_t)dtypes[t->dtype].bytes;
	Type type = {.dtype = t->dtype, .rank = t->rank};
	if (t->dtype == F32) {
		data = t->rank ? a->floats : &a->f;
		n = t->rank ? a->n_floats : 1;
	} else if (t->dtype == U8) {
		data = a->s.data;
		n = a->s.len;
	}
	if (n > DimMax)
		fatal_at(c->loc, "attribute '%s' has %zu elements", t->name, n);
	if (t->rank)
		type.dims[0] = dim_const(c->m, (int64_t)n);
	void *copy = arena_alloc(c->m->arena, n * size + 1);
	if (n)
		memcpy(copy, data, n * size);
	return new_const(c->m, t->name, type, copy, n * size)->value;
}

static const Dim *named_dim(void *names, const char *name)
{
	return get_name(names, name);
}

static const Dim *dim_of_text(Call *c, const CustomOp *op, const char *text, Names *symbols)
{
	const Dim *d = parse_dim_text(c->m, text, named_dim, symbols);
	if (!d)
		fatal_at(c->loc, "--custom-op=%s: '%s' is no expression over the symbols of the parameters", op->text, text);
	return d;
}

/* What the function sees of an input that the node leaves out: no elements, and so no data. */
static Value *absent_value(Call *c)
{
	const Type type = {.dtype = F32, .rank = 1, .dims = {dim_const(c->m, 0)}};
	return new_const(c->m, "absent", type, arena_alloc(c->m->arena, 1), 0)->value;
}

static Value *operand(Call *c, const CustomTensor *t, int i)
{
	if (t && t->attr)
		return attr_value(c, t);
	return i < c->nin ? c->in[i] : NULL;
}

/* Symbols first, so that expressions may stand before them.  Absent inputs bind none. */
static void bind_dims(Call *c, const CustomOp *op, Value *const *in, Names *symbols)
{
	for (int bind = 1; bind >= 0; bind--)
		for (int i = 0; i < op->nparam; i++)
			for (int d = 0; in[i] && d < op->params[i].rank; d++) {
				const char *text = op->params[i].dims[d];
				const Dim *got = in[i]->type.dims[d];
				if (bind && is_c_name(text) && !get_name(symbols, text))
					put_name(symbols, text, (void *)got);
				else if (!bind)
					require_equal(c, got, dim_of_text(c, op, text, symbols), "dim of a custom operator's parameter");
			}
}

static const Dim *symbol_of_model(void *im, const char *name)
{
	return get_name(&((Import *)im)->syms, name);
}

static Type stated_type(Call *c, const CustomOp *op, const char *output)
{
	const OnnxValueInfo *v = c->scope->function ? NULL : find_info(c->im->graph, output);
	Type t = {0};
	if (!v || v->type->tensor_type->shape->n_dim > MaxRank || !onnx_dtype(v->type->tensor_type->elem_type, &t.dtype))
		fatal_at(c->loc, "the model does not state the type of '%s': --custom-op=%s needs a signature", output, op->text);
	const Onnx__TensorShapeProto *shape = v->type->tensor_type->shape;
	t.rank = (int)shape->n_dim;
	for (int d = 0; d < t.rank; d++) {
		const char *param = shape->dim[d]->dim_param;
		bool number = shape->dim[d]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
		if (number && shape->dim[d]->dim_value >= 0 && shape->dim[d]->dim_value <= DimMax)
			t.dims[d] = dim_const(c->m, shape->dim[d]->dim_value);
		else if (!number && param && *param)
			t.dims[d] = parse_dim_text(c->m, param, symbol_of_model, c->im);
		if (!t.dims[d])
			fatal_at(c->loc, "dim %d of '%s' is no expression over the dims of the inputs: --custom-op=%s needs a signature",
			         d, output, op->text);
	}
	return t;
}

static void build_custom(Call *c, const CustomOp *op)
{
	Value *in[MaxCustomParams];
	Names symbols = {.arena = c->im->scratch};
	int nin = op->typed ? op->nparam : count_inputs(c), nout = op->typed ? op->nresult : c->nout, next = 0;
	if (nin > MaxCustomParams || nin < 1)
		fatal_at(c->loc, "a custom operator has 1 to %d inputs and attributes, this one %d", MaxCustomParams, nin);
	for (int i = 0; i < nin; i++) {
		const CustomTensor *t = op->typed ? &op->params[i] : NULL;
		in[i] = operand(c, t, next);
		next += !t || !t->attr;
	}
	bind_dims(c, op, in, &symbols);
	for (int i = 0; i < nin; i++)
		in[i] = in[i] ? in[i] : absent_value(c);
	Node *n = new_node(c->m, c->im->block, NULL, OpCustom, c->loc, nin, in);
	set_attr(c->m, n, mk_text(c->m, Attr_symbol, op->symbol));
	for (int i = 0; i < nout; i++) {
		const CustomTensor *r = &op->results[i];
		Type t = op->typed ? (Type){.dtype = r->dtype, .rank = r->rank} : stated_type(c, op, c->node->output[i]);
		for (int d = 0; d < t.rank && op->typed; d++)
			t.dims[d] = dim_of_text(c, op, r->dims[d], &symbols);
		for (int d = 0; d < t.rank; d++)
			require_at_least(c, t.dims[d], 0);
		const char *wrong = i ? NULL : set_type(c->m, n, &t);
		if (wrong)
			type_error(c->m, OpCustom, c->loc, wrong);
		if (i)
			add_result(c->m, n, t);
		if (i < c->nout)
			c->out[i] = n->out[i];
	}
}

void import_custom(Call *c)
{
	char *why = arena_strdup(c->im->scratch, "");
	for (CustomOp *op = next_custom(c->im->customs, c->node); op; op = next_custom(op->next, c->node)) {
		const char *wrong = misfit(c, op);
		if (!wrong) {
			build_custom(c, op);
			return;
		}
		why = arena_printf(c->im->scratch, "%s%s '%s': %s", why, *why ? ";" : "", op->text, wrong);
	}
	fatal_at(c->loc, "no --custom-op fits this node:%s", why);
}
