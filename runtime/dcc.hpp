// dcc.hpp - dcc.h for C++11: memory that frees itself, tensors with types, exceptions instead of statuses.
//
//     dcc::model net(NAME_model, 2 /* threads */);
//     std::vector<dcc::tensor> y = net({dcc::tensor(x.data(), {2, 17, 48})});
//     for (float v : y[0].as<float>()) ...
//
// A tensor is a view: of the application's memory where it is an input, of the model's where operator() made it; that stays until
// the next run or the end of the dcc::model.  run() takes outputs from the application instead and, once a run of these shapes has been
// made, allocates little.  plan() tells the most that an output can be, where the data decides; a run what it is.  Of state (dcc --state) operator() finds the place itself: the output is a view of the input's buffer.
// One dcc::model serves one thread at a time; any number of them may share a dcc_model.  The typed calls of the generated header work
// with dcc::workspace and dcc::pool as well.  Whatever dcc.h says holds.
#ifndef DCC_HPP
#define DCC_HPP

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <initializer_list>
#include <new>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "dcc.h"

namespace dcc {

// A dcc_status that is not DCC_OK; what() is the text of its dcc_error.
class error : public std::runtime_error {
public:
	error(int status, const std::string &text) : std::runtime_error(text), status_(status) {}
	int status() const noexcept { return status_; }

private:
	int status_;
};

inline void check(int status, const dcc_error &e)
{
	if (status)
		throw error(status, e.text);
}

template <class T> struct dtype_of;
template <> struct dtype_of<float> { static constexpr int value = DCC_F32; };
template <> struct dtype_of<double> { static constexpr int value = DCC_F64; };
template <> struct dtype_of<int8_t> { static constexpr int value = DCC_I8; };
template <> struct dtype_of<int16_t> { static constexpr int value = DCC_I16; };
template <> struct dtype_of<int32_t> { static constexpr int value = DCC_I32; };
template <> struct dtype_of<int64_t> { static constexpr int value = DCC_I64; };
template <> struct dtype_of<uint8_t> { static constexpr int value = DCC_U8; };
template <> struct dtype_of<uint16_t> { static constexpr int value = DCC_U16; };
template <> struct dtype_of<uint32_t> { static constexpr int value = DCC_U32; };
template <> struct dtype_of<uint64_t> { static constexpr int value = DCC_U64; };
template <> struct dtype_of<bool> { static constexpr int value = DCC_BOOL; };

// Elements in a row that somebody else owns.
template <class T> class span {
public:
	span(T *data, size_t size) noexcept : data_(data), size_(size) {}
	T *data() const noexcept { return data_; }
	size_t size() const noexcept { return size_; }
	bool empty() const noexcept { return size_ == 0; }
	T *begin() const noexcept { return data_; }
	T *end() const noexcept { return data_ + size_; }
	T &operator[](size_t i) const { return data_[i]; }

private:
	T *data_;
	size_t size_;
};

// A view of row-major elements.  Inputs may be const; they are only written where they are state.
class tensor : public dcc_tensor {
public:
	tensor() noexcept : dcc_tensor() {}
	template <class T> tensor(const T *elements, std::initializer_list<int64_t> shape) : dcc_tensor()
	{
		set(elements, dtype_of<T>::value, shape.begin(), shape.size());
	}
	template <class T> tensor(const T *elements, const std::vector<int64_t> &shape) : dcc_tensor()
	{
		set(elements, dtype_of<T>::value, shape.data(), shape.size());
	}
	// Of a type that C++ does not have: half, float8, packed ones.
	tensor(const void *elements, dcc_dtype type, const std::vector<int64_t> &shape) : dcc_tensor()
	{
		set(elements, type, shape.data(), shape.size());
	}

	span<const int64_t> shape() const noexcept { return {dims, static_cast<size_t>(rank)}; }
	size_t size() const noexcept // elements
	{
		size_t n = 1;
		for (int64_t d : shape())
			n *= static_cast<size_t>(d);
		return n;
	}
	template <class T> span<T> as() const
	{
		if (dtype != dtype_of<T>::value)
			throw error(DCC_ERROR_DTYPE, dcc_status_text(DCC_ERROR_DTYPE));
		return {static_cast<T *>(data), size()};
	}

private:
	void set(const void *elements, int type, const int64_t *shape, size_t n)
	{
		if (n > DCC_MAX_RANK)
			throw error(DCC_ERROR_SHAPE, "a tensor has at most 8 dims");
		data = const_cast<void *>(elements);
		dtype = type;
		rank = static_cast<int32_t>(n);
		for (size_t i = 0; i < n; i++)
			dims[i] = shape[i];
	}
};

// Memory aligned as workspaces must be.
class workspace {
public:
	workspace() noexcept : data_(nullptr), size_(0) {}
	explicit workspace(size_t bytes) : workspace() { reserve(bytes); }
	workspace(workspace &&w) noexcept : workspace() { swap(w); }
	workspace &operator=(workspace &&w) noexcept { swap(w); return *this; }
	~workspace() { std::free(data_); }
	void *data() const noexcept { return data_; }
	size_t size() const noexcept { return size_; }
	void reserve(size_t bytes) // at least; what was in it is lost if it grows
	{
		if (bytes <= size_)
			return;
		void *bigger = nullptr;
		if (posix_memalign(&bigger, DCC_WORKSPACE_ALIGN, bytes))
			throw std::bad_alloc();
		std::free(data_);
		data_ = bigger;
		size_ = bytes;
	}
	void swap(workspace &w) noexcept
	{
		std::swap(data_, w.data_);
		std::swap(size_, w.size_);
	}

private:
	void *data_;
	size_t size_;
};

// Threads for one run at a time; one thread needs none.
class pool {
public:
	explicit pool(int threads = 1) : exec_(threads == 1 ? nullptr : dcc_pool_new(threads))
	{
		if (threads != 1 && !exec_)
			throw error(DCC_ERROR_ARGUMENT, "cannot start " + std::to_string(threads) + " threads");
	}
	pool(pool &&p) noexcept : exec_(p.exec_) { p.exec_ = nullptr; }
	pool &operator=(pool &&p) noexcept { std::swap(exec_, p.exec_); return *this; }
	~pool() { dcc_pool_free(exec_); }
	dcc_exec *get() const noexcept { return exec_; } // NULL: the calling thread alone
	int threads() const noexcept { return exec_ ? exec_->threads : 1; }

private:
	dcc_exec *exec_;
};

// The side file of a model compiled with --weights, mapped; several models may use it.
class weights {
public:
	explicit weights(const std::string &path) : data_(nullptr), size_(0)
	{
		int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
		struct stat st;
		bool good = file >= 0 && !fstat(file, &st) && st.st_size > 0;
		void *p = good ? mmap(nullptr, static_cast<size_t>(st.st_size), PROT_READ, MAP_PRIVATE, file, 0) : MAP_FAILED;
		int reason = errno;
		if (file >= 0)
			close(file);
		if (p == MAP_FAILED)
			throw error(DCC_ERROR_WEIGHTS, path + ": " + (file >= 0 && !good ? "is empty" : std::strerror(reason)));
		data_ = p;
		size_ = static_cast<size_t>(st.st_size);
	}
	weights(weights &&w) noexcept : data_(w.data_), size_(w.size_) { w.data_ = nullptr; }
	weights(const weights &) = delete;
	weights &operator=(const weights &) = delete;
	~weights()
	{
		if (data_)
			munmap(data_, size_);
	}
	const void *data() const noexcept { return data_; }
	size_t size() const noexcept { return size_; }
	void check(const dcc_model &m) const // reads all of it
	{
		dcc_error e;
		dcc::check(dcc_check_weights(&m, data_, size_, &e), e);
	}

private:
	void *data_;
	size_t size_;
};

class model {
public:
	// The weights (a side file) must outlive the model.
	explicit model(const dcc_model &m, int threads = 1, const weights *side = nullptr) : model_(&m), pool_(threads), side_(side) {}

	const dcc_model &description() const noexcept { return *model_; }

	// What the outputs of such inputs are, without data; the inputs need none.
	std::vector<tensor> plan(const std::vector<tensor> &inputs)
	{
		std::vector<dcc_tensor> in(inputs.begin(), inputs.end());
		size_t n = static_cast<size_t>(model_->noutputs);
		std::vector<int64_t> dims(n * DCC_MAX_RANK + 1);
		std::vector<tensor> outputs(n);
		uint64_t bytes = 0;
		dcc_error e;
		dcc::check(dcc_plan(model_, in.data(), static_cast<int>(in.size()), pool_.threads(), dims.data(), &bytes, &e), e);
		workspace_.reserve(bytes);
		for (size_t i = 0; i < n; i++) {
			outputs[i].dtype = model_->outputs[i].dtype;
			outputs[i].rank = model_->outputs[i].rank;
			for (int d = 0; d < outputs[i].rank; d++)
				outputs[i].dims[d] = dims[i * DCC_MAX_RANK + static_cast<size_t>(d)];
		}
		return outputs;
	}

	// Before the first run of such inputs, so that it finds workspace and weights in memory.
	void prefault(const std::vector<tensor> &inputs)
	{
		plan(inputs);
		const void *own = side_ ? side_->data() : nullptr;
		dcc_error e;
		dcc::check(dcc_prefault(model_, own, side_ ? side_->size() : 0, workspace_.data(), workspace_.size(), &e), e);
	}

	// The weights into huge pages, for all models that share them; tells how many bytes went there.
	uint64_t huge_pages()
	{
		const void *own = side_ ? side_->data() : nullptr;
		dcc_error e;
		uint64_t moved = 0;
		dcc::check(dcc_huge_pages(model_, own, side_ ? side_->size() : 0, &moved, &e), e);
		return moved;
	}

	// Outputs in the application's memory, with the dims that plan() tells.  Returns them with the dims that they have: others, and
	// fewer elements, only where the data decides.
	std::vector<tensor> run(const std::vector<tensor> &inputs, std::vector<tensor> outputs)
	{
		plan(inputs);
		run_planned(inputs, outputs);
		return outputs;
	}

	// Outputs in this object's memory.
	std::vector<tensor> operator()(const std::vector<tensor> &inputs)
	{
		std::vector<tensor> outputs = plan(inputs);
		memory_.resize(outputs.size());
		for (size_t i = 0; i < outputs.size(); i++) {
			const dcc_port &port = model_->outputs[i];
			if (port.state) {
				outputs[i].data = behind(inputs[static_cast<size_t>(port.state - 1)], port);
				continue;
			}
			memory_[i].reserve(dcc_bytes(port.dtype, static_cast<int64_t>(outputs[i].size())));
			outputs[i].data = memory_[i].data();
		}
		run_planned(inputs, outputs);
		return outputs;
	}

private:
	static void *behind(const tensor &input, const dcc_port &output)
	{
		int64_t step = output.shift * static_cast<int64_t>(dcc_dtype_size(output.dtype));
		for (int d = output.state_axis + 1; d < output.rank; d++)
			step *= input.dims[d];
		return static_cast<char *>(input.data) + step;
	}

	void run_planned(const std::vector<tensor> &inputs, std::vector<tensor> &outputs)
	{
		std::vector<dcc_tensor> in(inputs.begin(), inputs.end()), out(outputs.begin(), outputs.end());
		std::vector<int64_t> dims(out.size() * DCC_MAX_RANK + 1);
		dcc_args args = dcc_args();
		dcc_error e;
		args.size = sizeof args;
		args.inputs = in.data();
		args.outputs = out.data();
		args.ninputs = static_cast<int32_t>(in.size());
		args.noutputs = static_cast<int32_t>(out.size());
		args.workspace = workspace_.data();
		args.workspace_size = workspace_.size();
		args.weights = side_ ? side_->data() : nullptr;
		args.weights_size = side_ ? side_->size() : 0;
		args.exec = pool_.get();
		args.error = &e;
		args.out_dims = dims.data();
		dcc::check(dcc_run(model_, &args), e);
		for (size_t i = 0; i < outputs.size(); i++)
			std::copy_n(&dims[i * DCC_MAX_RANK], DCC_MAX_RANK, outputs[i].dims);
	}

	const dcc_model *model_;
	pool pool_;
	const weights *side_;
	workspace workspace_;
	std::vector<workspace> memory_; // of the outputs
};

} // namespace dcc

#endif
