/* abi_test.c - what the number DCC_ABI stands for: where the fields of dcc.h lie, and the numbers that objects and programs hold.
 * Something here changes: docs/abi.md says whether DCC_ABI must grow.
 */
#include <stddef.h>

#include "../runtime/dcc.h"
#include "test.h"

static void check_structs(void)
{
#define AT(field, offset) CHECK_EQ(offsetof(dcc_exec, field), offset)
	CHECK_EQ(sizeof(dcc_exec), 32);
	AT(size, 0); AT(threads, 8); AT(always, 12); AT(run, 16); AT(barrier, 24);
#undef AT
#define AT(field, offset) CHECK_EQ(offsetof(dcc_error, field), offset)
	CHECK_EQ(sizeof(dcc_error), 244);
	AT(code, 0); AT(text, 4);
#undef AT
#define AT(field, offset) CHECK_EQ(offsetof(dcc_tensor, field), offset)
	CHECK_EQ(sizeof(dcc_tensor), 96);
	AT(data, 0); AT(dtype, 8); AT(rank, 12); AT(dims, 16); AT(reserved, 80);
#undef AT
#define AT(field, offset) CHECK_EQ(offsetof(dcc_args, field), offset)
	CHECK_EQ(sizeof(dcc_args), 112);
	AT(size, 0); AT(inputs, 8); AT(outputs, 16); AT(ninputs, 24); AT(noutputs, 28); AT(workspace, 32);
	AT(workspace_size, 40); AT(weights, 48); AT(weights_size, 56); AT(exec, 64); AT(error, 72); AT(target, 80);
	AT(reserved, 84); AT(out_dims, 96); AT(cancel, 104);
#undef AT
#define AT(field, offset) CHECK_EQ(offsetof(dcc_custom_args, field), offset)
	CHECK_EQ(sizeof(dcc_custom_args), 40);
	AT(size, 0); AT(inputs, 8); AT(outputs, 16); AT(ninputs, 24); AT(noutputs, 28); AT(node, 32);
#undef AT
#define AT(field, offset) CHECK_EQ(offsetof(dcc_symbol, field), offset)
	CHECK_EQ(sizeof(dcc_symbol), 40);
	AT(name, 0); AT(lo, 8); AT(hi, 16); AT(source, 24); AT(input, 28); AT(element, 32); AT(reserved, 36);
#undef AT
#define AT(field, offset) CHECK_EQ(offsetof(dcc_port, field), offset)
	CHECK_EQ(sizeof(dcc_port), 168);
	AT(name, 0); AT(dtype, 8); AT(rank, 12); AT(dims, 16); AT(dim_text, 80); AT(state, 144); AT(state_axis, 148);
	AT(capacity, 152); AT(shift, 160);
#undef AT
#define AT(field, offset) CHECK_EQ(offsetof(dcc_frame, field), offset)
	CHECK_EQ(sizeof(dcc_frame), 88);
	AT(in, 0); AT(out, 8); AT(workspace, 16); AT(weights, 24); AT(syms, 32); AT(status, 40); AT(exec, 48);
	AT(barrier, 56); AT(cancel, 64); AT(next_part, 72); AT(shares, 80);
#undef AT
#define AT(field, offset) CHECK_EQ(offsetof(dcc_step, field), offset)
	CHECK_EQ(sizeof(dcc_step), 24);
	AT(kernel, 0); AT(nodes, 8); AT(nnodes, 16); AT(cost, 20);
#undef AT
#define AT(field, offset) CHECK_EQ(offsetof(dcc_target, field), offset)
	CHECK_EQ(sizeof(dcc_target), 32);
	AT(name, 0); AT(features, 8); AT(program, 16); AT(next, 24);
#undef AT
#define AT(field, offset) CHECK_EQ(offsetof(dcc_model, field), offset)
	CHECK_EQ(sizeof(dcc_model), 192);
	AT(magic, 0); AT(abi, 8); AT(size, 12); AT(name, 16); AT(version, 24); AT(model_hash, 32); AT(nsymbols, 40);
	AT(ninputs, 44); AT(noutputs, 48); AT(ntargets, 52); AT(nsteps, 56); AT(nmessages, 60); AT(symbols, 64);
	AT(inputs, 72); AT(outputs, 80); AT(targets, 88); AT(messages, 96); AT(weights, 104); AT(weights_size, 112);
	AT(weights_hash, 120); AT(bind, 128); AT(check, 136); AT(output_dims, 144); AT(workspace_size, 152);
	AT(steps, 160); AT(step_cost, 168); AT(layout_hash, 176); AT(tuning_hash, 184);
#undef AT
}

/* By name, number: none is given to another name. */
static void check_numbers(void)
{
	CHECK_EQ(DCC_ABI, 3);
	CHECK_EQ(DCC_ABI_OLDEST, 2);
	CHECK_EQ(DCC_MAX_RANK, 8);
	CHECK_EQ(DCC_WORKSPACE_ALIGN, 64);
	CHECK_EQ(DCC_CPU_AVX2, 1);
	CHECK_EQ(DCC_CPU_AVX512, 2);
	const int symbols[] = {DCC_SYMBOL_INPUT, DCC_SYMBOL_DATA, DCC_SYMBOL_VALUE, DCC_SYMBOL_DERIVED, DCC_SYMBOL_SCALED};
	for (int i = 0; i < 5; i++)
		CHECK_EQ(symbols[i], i);
	const int statuses[] = {
		DCC_OK, DCC_ERROR_ARGUMENT, DCC_ERROR_DTYPE, DCC_ERROR_SHAPE, DCC_ERROR_RANGE, DCC_ERROR_INDEX, DCC_ERROR_WORKSPACE,
		DCC_ERROR_WEIGHTS, DCC_ERROR_CPU, DCC_ERROR_VERSION, DCC_ERROR_CUSTOM, DCC_ERROR_CANCELLED,
	};
	for (int i = 0; i < (int)(sizeof statuses / sizeof *statuses); i++)
		CHECK_EQ(statuses[i], i);
	const int dtypes[] = { /* of ONNX; 0, 8, 14 and 15 are none of dcc's */
		0, DCC_F32, DCC_U8, DCC_I8, DCC_U16, DCC_I16, DCC_I32, DCC_I64, 8, DCC_BOOL, DCC_F16, DCC_F64, DCC_U32, DCC_U64, 14, 15, DCC_BF16,
		DCC_F8E4M3FN, DCC_F8E4M3FNUZ, DCC_F8E5M2, DCC_F8E5M2FNUZ, DCC_U4, DCC_I4, DCC_F4E2M1, DCC_F8E8M0, DCC_U2, DCC_I2,
	};
	for (int i = 0; i < (int)(sizeof dtypes / sizeof *dtypes); i++)
		CHECK_EQ(dtypes[i], i);
}

int main(void)
{
	check_structs();
	check_numbers();
	return test_end("abi_test");
}
