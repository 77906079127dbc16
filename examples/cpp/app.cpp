// app.cpp - a compiled model in a C++ program, through dcc.hpp.
//
//   dcc -o dynconv.o ../dynconv.onnx
//   c++ -std=c++11 $(pkg-config --cflags dcc) -I. app.cpp dynconv.o $(pkg-config --libs dcc) -o app
#include <cmath>
#include <cstdio>
#include <dcc.hpp>
#include <vector>

#include "dynconv.h"

static double mean(const dcc::tensor &t)
{
	double sum = 0;
	for (float v : t.as<float>())
		sum += std::fabs(static_cast<double>(v));
	return sum / static_cast<double>(t.size());
}

int main()
{
	std::vector<float> x;
	for (int i = 0; i < 2 * 17 * 48; i++)
		x.push_back(static_cast<float>(std::sin(static_cast<double>(i))));

	// Any model, by its description: shapes and memory are found at run time.
	dcc::model model(dynconv_model, 2);
	std::vector<dcc::tensor> y = model({dcc::tensor(x.data(), {2, 17, 48})});
	std::printf("%s: %zu outputs, mean |y| = %.6f\n", model.description().name, y[0].size(), mean(y[0]));

	// This one, by its typed call, with memory that frees itself.
	dynconv_dims dims = {2, 17, 2};
	dcc::workspace workspace(dynconv_workspace_size(&dims));
	dcc::pool pool(2);
	std::vector<float> again(static_cast<size_t>(dynconv_y_count(&dims)));
	dcc_error error;
	dcc::check(dynconv(&dims, x.data(), again.data(), workspace.data(), workspace.size(), pool.get(), &error), error);
	std::printf("the typed call gives %s\n", again[7] == y[0].as<float>()[7] ? "the same" : "OTHER VALUES");

	try {
		model({dcc::tensor(x.data(), {2, 34, 24})});
	} catch (const dcc::error &e) {
		std::printf("a wrong shape: %s\n", e.what());
		return e.status() == DCC_ERROR_SHAPE ? 0 : 1;
	}
	return 1;
}
