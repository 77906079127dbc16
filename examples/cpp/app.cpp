// app.cpp - any compiled model behind one C++17 class, through its descriptor instead of the typed call.
//
//   dcc -o dynconv.o ../dynconv.onnx
//   c++ -std=c++17 $(pkg-config --cflags dcc) -I. app.cpp dynconv.o $(pkg-config --libs dcc) -o app
#include <cmath>
#include <cstdio>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "dynconv.h"

// One model for one thread at a time; workspace and outputs live as long as the object.
class Model {
public:
	explicit Model(const dcc_model &model, int threads = 1)
		: model(model), pool(threads > 1 ? dcc_pool_new(threads) : nullptr), threads(pool ? threads : 1)
	{
	}

	struct Array {
		std::vector<int64_t> dims;
		std::vector<float> data;
	};

	// Float inputs in the model's order.
	std::vector<Array> operator()(std::vector<Array> &inputs)
	{
		std::vector<dcc_tensor> in, out;
		for (Array &a : inputs)
			in.push_back(tensor(a));
		std::vector<int64_t> dims(static_cast<size_t>(model.noutputs) * DCC_MAX_RANK);
		uint64_t bytes = 0;
		dcc_error error{};
		check(dcc_plan(&model, in.data(), static_cast<int>(in.size()), threads, dims.data(), &bytes, &error), error);

		std::vector<Array> outputs(static_cast<size_t>(model.noutputs));
		for (size_t i = 0; i < outputs.size(); i++) {
			const int64_t *d = &dims[i * DCC_MAX_RANK];
			size_t count = 1;
			outputs[i].dims.assign(d, d + model.outputs[i].rank);
			for (int64_t n : outputs[i].dims)
				count *= static_cast<size_t>(n);
			outputs[i].data.resize(count);
			out.push_back(tensor(outputs[i]));
		}
		if (bytes > size) {
			workspace.reset(::operator new(bytes, std::align_val_t{DCC_WORKSPACE_ALIGN}));
			size = bytes;
		}
		dcc_args args{};
		args.size = sizeof args;
		args.inputs = in.data();
		args.outputs = out.data();
		args.ninputs = static_cast<int32_t>(in.size());
		args.noutputs = model.noutputs;
		args.workspace = workspace.get();
		args.workspace_size = size;
		args.exec = pool.get();
		args.error = &error;
		check(dcc_run(&model, &args), error);
		return outputs;
	}

private:
	struct FreePool {
		void operator()(dcc_exec *exec) const { dcc_pool_free(exec); }
	};
	struct FreeWorkspace {
		void operator()(void *p) const { ::operator delete(p, std::align_val_t{DCC_WORKSPACE_ALIGN}); }
	};

	static dcc_tensor tensor(Array &a)
	{
		dcc_tensor t{};
		t.data = a.data.data();
		t.dtype = DCC_F32;
		t.rank = static_cast<int32_t>(a.dims.size());
		for (size_t i = 0; i < a.dims.size() && i < DCC_MAX_RANK; i++)
			t.dims[i] = a.dims[i];
		return t;
	}

	static void check(int status, const dcc_error &error)
	{
		if (status)
			throw std::runtime_error(error.text);
	}

	const dcc_model &model;
	std::unique_ptr<dcc_exec, FreePool> pool;
	std::unique_ptr<void, FreeWorkspace> workspace;
	uint64_t size = 0;
	int threads;
};

int main()
{
	Model model(dynconv_model, 2);
	std::vector<Model::Array> inputs(1);
	inputs[0].dims = {2, 17, 48};
	for (int i = 0; i < 2 * 17 * 48; i++)
		inputs[0].data.push_back(static_cast<float>(std::sin(static_cast<double>(i))));

	double sum = 0;
	std::vector<Model::Array> outputs = model(inputs);
	for (float v : outputs[0].data)
		sum += std::fabs(static_cast<double>(v));
	std::printf("%s: %zu outputs, mean |y| = %.6f\n", dynconv_model.name, outputs[0].data.size(),
		    sum / static_cast<double>(outputs[0].data.size()));

	inputs[0].dims = {2, 34, 24};
	try {
		model(inputs);
	} catch (const std::runtime_error &e) {
		std::printf("a wrong shape: %s\n", e.what());
		return 0;
	}
	return 1;
}
