/* operators.c - the application's side of two custom operators; dcc.h describes dcc_custom_op.
 *
 *   com.example:Snake   y = x + sin(alpha * x)^2 / alpha
 *   com.example:Best    the largest element of each row, and where it stands
 */
#include <math.h>

#include "dcc.h"

dcc_custom_op example_snake, example_best;

static int64_t count(const dcc_tensor *t)
{
	int64_t n = 1;
	for (int d = 0; d < t->rank; d++)
		n *= t->dims[d];
	return n;
}

/* inputs: x, alpha (an attribute of the ONNX node); outputs: y */
int32_t example_snake(const dcc_custom_args *args)
{
	const float *x = args->inputs[0].data, alpha = *(const float *)args->inputs[1].data;
	float *y = args->outputs[0].data;
	for (int64_t i = 0; i < count(&args->inputs[0]); i++) {
		float s = sinf(alpha * x[i]);
		y[i] = x[i] + s * s / alpha;
	}
	return 0;
}

enum { EmptyRow = 1 };

/* inputs: x[.., n]; outputs: largest[..], index[..] */
int32_t example_best(const dcc_custom_args *args)
{
	const dcc_tensor *t = &args->inputs[0];
	int64_t rows = count(&args->outputs[0]), n = t->dims[t->rank - 1];
	const float *x = t->data;
	float *largest = args->outputs[0].data;
	int64_t *index = args->outputs[1].data;
	if (rows && !n)
		return EmptyRow;
	for (int64_t r = 0; r < rows; r++, x += n) {
		index[r] = 0;
		for (int64_t i = 1; i < n; i++)
			if (x[i] > x[index[r]])
				index[r] = i;
		largest[r] = x[index[r]];
	}
	return 0;
}
