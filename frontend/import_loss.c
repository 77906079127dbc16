/* import_loss.c - NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss. */
#include "build.h"
#include "import.h"

/* Labels choose classes; those that are ignored choose class 0 and weigh nothing. */
typedef struct Labels {
	Value *at; /* [N, d..] */
	Value *ignored; /* or NULL */
	Value *weight; /* of each label, or NULL: all weigh 1 */
} Labels;

static void read_labels(Call *c, Labels *l, DType dtype)
{
	Value *labels = c->in[1], *weights = c->nin > 2 ? c->in[2] : NULL;
	DType idx = labels->type.dtype;
	Attr axis = mk_int(Attr_axis, 0);
	if (dtypes[idx].cls != ClassSigned)
		fatal_at(c->loc, "labels of element type %s", dtypes[idx].text);
	*l = (Labels){.at = labels};
	if (has_attr(c, "ignore_index")) {
		Value *none = const_scalar(c->m, scalar_of_int(idx, onnx_int(c, "ignore_index", 0)))->value;
		l->ignored = emit2(c, OpEq, labels, none);
		l->at = emit3(c, OpWhere, l->ignored, emit_const(c, idx, 0), labels);
	}
	if (weights && weights->type.rank != 1)
		fatal_at(c->loc, "weights of rank %d", weights->type.rank);
	if (weights)
		require_equal(c, weights->type.dims[0], c->in[0]->type.dims[1], "the number of classes");
	if (weights)
		l->weight = emit(c, OpGather, 2, (Value *[]){weights, l->at}, 1, &axis, NULL);
	if (l->ignored)
		l->weight = emit3(c, OpWhere, l->ignored, emit_const(c, dtype, 0), l->weight ? l->weight : emit_const(c, dtype, 1));
}

/* The negated element of `logs` [N, C, d..] that each label chooses. */
static Value *chosen(Call *c, Value *logs, const Labels *l)
{
	const Type *t = &l->at->type;
	const Dim *dims[MaxRank];
	for (int i = 0; i < t->rank + 1; i++)
		dims[i] = i == 1 ? num(c, 1) : t->dims[i ? i - 1 : 0];
	Attr axis = mk_int(Attr_axis, 1);
	Value *v = emit(c, OpGatherElem, 2, (Value *[]){logs, emit_reshape(c, l->at, t->rank + 1, dims)}, 1, &axis, NULL);
	return emit1(c, OpNeg, emit_reshape(c, v, t->rank, t->dims));
}

static Value *total(Call *c, Op op, Value *v)
{
	int64_t axes[MaxRank];
	for (int i = 0; i < v->type.rank; i++)
		axes[i] = i;
	return emit_reduce(c, op, v, v->type.rank, axes, false);
}

static void import_loss(Call *c, Value *logs)
{
	Labels l;
	int rank = logs->type.rank;
	if (rank < 2 || c->in[1]->type.rank != rank - 1)
		fatal_at(c->loc, "operands have ranks %d and %d", rank, c->in[1]->type.rank);
	for (int i = 0; i < rank - 1; i++)
		require_equal(c, c->in[1]->type.dims[i], logs->type.dims[i ? i + 1 : 0], "dims of the labels");
	read_labels(c, &l, logs->type.dtype);
	Value *loss = chosen(c, logs, &l);
	if (l.weight)
		loss = emit2(c, OpMul, loss, l.weight);
	if (l.ignored) /* 0, even of an infinite element */
		loss = emit3(c, OpWhere, l.ignored, emit_const(c, logs->type.dtype, 0), loss);
	if (onnx_word(c, "reduction", "none"))
		c->out[0] = loss;
	else if (onnx_word(c, "reduction", "sum"))
		c->out[0] = total(c, OpSum, loss);
	else if (l.weight)
		c->out[0] = emit2(c, OpDiv, total(c, OpSum, loss), total(c, OpSum, l.weight));
	else
		c->out[0] = total(c, OpMean, loss);
}

void import_log_likelihood_loss(Call *c)
{
	import_loss(c, c->in[0]);
}

void import_cross_entropy_loss(Call *c)
{
	if (c->in[0]->type.rank < 2)
		fatal_at(c->loc, "the scores have rank %d", c->in[0]->type.rank);
	Value *logs = log_softmax(c, c->in[0], 1);
	import_loss(c, logs);
	if (c->nout > 1)
		c->out[1] = logs;
}
