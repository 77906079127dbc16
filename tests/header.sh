#!/usr/bin/env bash
# The generated header: it compiles cleanly as C99, C11 and C++11 whatever names a model has, its sizes say what a run
# reads and writes, and nothing in it overflows.  And the example of a KV cache, which uses what it says of state.
# usage: header.sh BUILD
set -u
. "$PWD/tests/expect.bash"
begin "$1"
LC_ALL=C.UTF-8
strict=(-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Werror -I. "-I$root/runtime")
sanitized=$(grep -cE '^DCC_(SANITIZE|TSAN):BOOL=ON' "$build/CMakeCache.txt")

# clean NAME: NAME.h alone, in every language that may include it.
clean() {
	echo "#include \"$1.h\"" >use.c
	cp use.c use.cc
	for std in c99 c11; do
		expect 0 '^$' cc -std=$std "${strict[@]}" -Wstrict-prototypes -fsyntax-only use.c
	done
	! command -v c++ >/dev/null || expect 0 '^$' c++ -std=c++11 "${strict[@]}" -fsyntax-only use.cc
}

# ---- names -----------------------------------------------------------------------------------------------------------

# Words of C, C++, dcc.h and the header itself, digits, names that are equal once they are identifiers, other alphabets.
words=(class for int static_assert char8_t and NULL INT64_MAX SIZE_MAX errno unix dims args in out exec error workspace
	workspace_size weights weights_size threads memset dcc_run DCC_H names_run names_dims main)
odd=(3d 007 a.b a_b a:b a-b _x x_ __x__ été Ж '日本' '*/' '//' '%s' '{}' "$(printf 'ab%.0s' {1..5000})" "$(printf 'ab%.0s' {1..5000})2")

# model NAME: its parameters are called as the words and the odd names, its symbols as the words.
model() {
	local word separator=
	printf 'dcc-ir 1 stage import\nmodel %s\n' "$1"
	for word in "${words[@]}"; do printf 'sym %s in 1..64\n' "$word"; done
	printf 'func @main('
	for word in "${words[@]}"; do
		printf '%s%%"%s": f32[%s]' "$separator" "$word" "$word"
		separator=', '
	done
	for word in "${odd[@]}"; do printf ', %%"%s": i8[2*int]' "$word"; done
	printf ') -> (class: f32[class], "b b": i8[2*int]) {\n  %%y: f32[class] = relu %%class\n'
	printf '  %%z: i8[2*int] = neg %%"*/"\n  return %%y, %%z\n}\n'
}
model names >names.ir
expect 0 '^$' "$build/dcc" -o names.o names.ir
clean names
expect 0 'int64_t t_class; /. class: 1 .. 64 ./' cat names.h
expect 0 'names_t_class_2_count' cat names.h
expect 0 'names_a_b_2_count' cat names.h
expect 0 '^46$' grep -c '^	const [a-z0-9_]+ \*[A-Za-z][A-Za-z0-9_]*,$' names.h -E
expect 1 '^$' grep -E '^	[a-z0-9_ ]+ \*?(class|for|int|errno|unix|NULL|INT64_MAX|exec),$' names.h

# ---- sizes -----------------------------------------------------------------------------------------------------------

cat >sizes.ir <<'IR'
dcc-ir 1 stage import
model sizes
sym n in 0..
sym m in 0..
func @main(%x: f32[n, m, 3], %w: f64[n*m*4096]) -> (y: f32[n, m, 3], z: f64[n*m*4096], s: f32[]) {
  %y: f32[n, m, 3] = relu %x
  %z: f64[n*m*4096] = neg %w
  %s: f32[] = sum %x {axes=[0, 1, 2], keepdims=0}
  return %y, %z, %s
}
IR
cat >sizes.c <<'C'
#include <stdio.h>

#include "sizes.h"
#include "step.h"

static int failed;
#define CHECK(c) ((c) ? 0 : (failed++, printf("line %d: %s\n", __LINE__, #c)))

int main(void)
{
	sizes_dims d = {.n = 5, .m = 7};
	CHECK(sizes_x_count(&d) == 105 && sizes_x_bytes(&d) == 420);
	CHECK(sizes_w_count(&d) == 35 * 4096 && sizes_w_bytes(&d) == 35 * 32768);
	CHECK(sizes_s_count(&d) == 1 && sizes_s_bytes(&d) == 4);
	d.n = 0;
	CHECK(sizes_x_count(&d) == 0 && sizes_x_bytes(&d) == 0);
	/* Negative, beyond what a tensor may have, and beyond 64 bits. */
	d.n = -1;
	CHECK(sizes_x_count(&d) == -1 && sizes_x_bytes(&d) == SIZE_MAX && sizes_w_bytes(&d) == SIZE_MAX);
	d.n = d.m = INT32_MAX;
	CHECK(sizes_x_count(&d) == -1 && sizes_w_count(&d) == -1 && sizes_y_bytes(&d) == SIZE_MAX);
	d.n = d.m = INT64_MIN;
	CHECK(sizes_x_count(&d) == -1 && sizes_w_count(&d) == -1 && sizes_z_bytes(&d) == SIZE_MAX);
	CHECK(dcc_floordiv_(INT64_MIN, -1) == INT64_MAX && dcc_floordiv_(-7, 2) == -4 && dcc_floordiv_(7, -2) == -4);
	CHECK(dcc_mod_(INT64_MIN, -1) == 0 && dcc_mod_(-7, 3) == 2 && dcc_mod_(7, -3) == -2 && dcc_mod_(5, 0) == 0);
	CHECK(dcc_add_(INT64_MAX, 1) == INT64_MAX && dcc_add_(INT64_MIN, -1) == INT64_MIN && dcc_add_(3, -5) == -2);
	CHECK(dcc_mul_(INT64_MIN, -1) == INT64_MAX && dcc_mul_(INT64_MAX, -2) == INT64_MIN && dcc_mul_(-3, 5) == -15);

	/* The workspace, too, where no run can be. */
	sizes_dims good = {.n = 5, .m = 7, .threads = 3}, bad = good;
	CHECK(sizes_workspace_size(&good) < 1 << 20 && sizes_workspace_size(&good) % DCC_WORKSPACE_ALIGN == 0);
	bad.n = -1;
	CHECK(sizes_workspace_size(&bad) == SIZE_MAX);
	bad.n = INT64_C(1) << 31;
	CHECK(sizes_workspace_size(&bad) == SIZE_MAX);
	bad = good, bad.threads = -1;
	CHECK(sizes_workspace_size(&bad) == SIZE_MAX);
	bad.threads = DCC_MAX_THREADS + 1;
	CHECK(sizes_workspace_size(&bad) == SIZE_MAX);
	bad.threads = 0, good.threads = 1;
	CHECK(sizes_workspace_size(&bad) == sizes_workspace_size(&good));

	/* State: the buffer is the capacity's, whatever is in it. */
	step_dims s = {.past = 3};
	CHECK(step_past_k_count(&s) == 24 && step_past_k_capacity(&s) == 32 * 8 && step_past_k_bytes(&s) == 32 * 8 * sizeof(float));
	CHECK(step_k_count(&s) == 32 && step_k_offset(&s) == 0);
	return failed != 0;
}
C
step=$root/examples/state
expect 0 '^$' "$build/dcc" -o sizes.o sizes.ir
expect 0 'warning: --state auto,cap=32: no output is an input with rows appended' "$build/dcc" --state auto,cap=32 -o none.o "$root/examples/dynconv.onnx"
expect 0 '^$' "$build/dcc" --state auto,cap=32 -o step.o "$step/step.ir"
clean sizes
clean step
warn=(-std=c11 -Wall -Wextra -Werror -I. "-I$root/runtime")
ubsan=(-fsanitize=undefined -fno-sanitize-recover=all)
if [ "$sanitized" = 0 ]; then
	cc "${ubsan[@]}" -x c -o empty - <<<'int main(void) { return 0; }' 2>/dev/null || ubsan=()
	expect 0 '^$' cc "${warn[@]}" "${ubsan[@]}" sizes.c sizes.o step.o "$build/libdcc.a" -o sizes
	expect 0 '^$' ./sizes
fi

# ---- a KV cache ------------------------------------------------------------------------------------------------------

# A window slides: the output lies one row behind the input.
cat >window.ir <<'IR'
dcc-ir 1 stage import
model window
sym b in 1..8
func @main(%x: f32[1, b, 6], %past: f32[3, b, 6]) -> (y: f32[4, b, 6], next: f32[3, b, 6]) {
  %0: f32[4, b, 6] = concat %past, %x {axis=0}
  %1: f32[4, b, 6] = relu %0
  %2: f32[3, b, 6] = slice %0 {starts=[1, 0, 0]}
  return %1, %2
}
IR
expect 0 '^$' "$build/dcc" --state next=past,cap=80 --weights=w.bin -o window.o window.ir
clean window
expect 0 'past \+ window_next_offset\(dims\)' cat window.h
expect 0 'return dcc_extend_\(dcc_extend_\(1, dims->b\), 6\);' grep -A3 window_next_offset window.h

# It slides to the end of its room, whatever lies behind; rows that a run does not reach may be something else.
expect 0 '^$' "$build/dcc" --state next=past,cap=64 --name=slide -o slide.o window.ir
cat >slide.c <<'C'
#include "slide.h"

int main(void)
{
	enum { Room = 64, Row = 8 * 6 };
	static struct {
		float past[Room][Row], y[4][Row];
	} m;
	_Alignas(64) static char workspace[4096];
	float x[Row] = {0};
	slide_dims d = {.b = 8};
	dcc_error e;
	if (slide_past_bytes(&d) != sizeof m.past || slide_workspace_size(&d) > sizeof workspace)
		return 1;
	for (int t = 0; t + 4 <= Room; t++) {
		x[0] = (float)(t + 1);
		if (slide_step(&d, x, m.past[t], m.y[0], workspace, sizeof workspace, NULL, &e))
			return 2;
		if (memcmp(m.past[t + 3], x, sizeof x) || m.y[3][0] != x[0])
			return 3;
	}
	if (slide_step(&d, x, m.past[0], m.past[4], workspace, sizeof workspace, NULL, &e))
		return 4;
	if (slide_step(&d, x, m.past[0], m.past[3], workspace, sizeof workspace, NULL, &e) != DCC_ERROR_ARGUMENT)
		return 5;
	return strcmp(e.text, "output 'y' overlaps input 'past'") && strcmp(e.text, "input 'past' overlaps output 'y'") ? 6 : 0;
}
C
if [ "$sanitized" = 0 ]; then
	expect 0 '^$' cc "${warn[@]}" slide.c slide.o "$build/libdcc.a" -o slide
	expect 0 '^$' ./slide
fi

# The tokens are those of NumPy on the whole sequence.
if [ "$sanitized" = 0 ]; then
	expect 0 '^$' cc "${warn[@]}" "$step/app.c" step.o "$build/libdcc.a" -o app
	expect 0 '^1 5 2 3 14 7 3 14 7 3 14 7$' ./app
	expect 0 "^32 rows in the cache: .*capacity of 32" ./app
	if cc "${warn[@]}" -fsanitize=address "$step/app.c" step.o "$build/libdcc.a" -o asan 2>/dev/null; then
		expect 0 '^1 5 2 3' env ASAN_OPTIONS=detect_leaks=0 ./asan
	fi
fi

# ---- sizes that the data decides -----------------------------------------------------------------------------------------

# The calls tell the true dims; the elements lie at the begin of the room for the bound.
cat >cut.ir <<'IR'
dcc-ir 1 stage import
model cut
sym n in 0..
sym k in 0..
func @main(%x: f32[n, 2], %rows: i64[], %out_dims: f32[n]) -> (y: f32[k, 2], s: f32[n]) {
  %r: i64[] = measure %rows {most=n, sym="k"}
  %c: f32[k, 2] = slice %x {starts=[0, 0]}
  %y: f32[k, 2] = neg %c
  %s: f32[n] = neg %out_dims
  return %y, %s
}
IR
cat >cut.c <<'C'
#include "cut.h"

int main(void)
{
	_Alignas(64) static char workspace[4096];
	float x[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, y[10] = {0}, z[5], s[5];
	int64_t rows = 3, out_dims[2 * DCC_MAX_RANK];
	cut_dims d = {.n = 5};
	dcc_error error;
	if (cut_workspace_size(&d) > sizeof workspace || cut_y_count(&d) != 10)
		return 1;
	memset(z, 0, sizeof z);
	if (cut(&d, x, &rows, z, y, s, out_dims, workspace, sizeof workspace, NULL, &error))
		return 2;
	if (out_dims[0] != 3 || out_dims[1] != 2 || out_dims[DCC_MAX_RANK] != 5 || y[5] != -6 || y[6] != 0)
		return 3;
	rows = 6;
	return cut(&d, x, &rows, z, y, s, NULL, workspace, sizeof workspace, NULL, &error) != DCC_ERROR_RANGE;
}
C
expect 0 '^$' "$build/dcc" -o cut.o cut.ir
clean cut
if [ "$sanitized" = 0 ]; then
	expect 0 '^$' cc "${warn[@]}" cut.c cut.o "$build/libdcc.a" -o cut
	expect 0 '^$' ./cut
fi

# ---- C++ -------------------------------------------------------------------------------------------------------------

cat >app.cc <<'CC'
#include <cstdio>
#include <dcc.hpp>

#include "cut.h"
#include "step.h"
#include "window.h"

static int failed;
#define CHECK(c) ((c) ? 0 : (failed++, std::printf("line %d: %s\n", __LINE__, #c)))

template <class F> static int status_of(F f)
{
	try {
		f();
	} catch (const dcc::error &e) {
		return e.status();
	}
	return 0;
}

int main()
{
	// The cache lives in the application's buffers; the model finds the place of k and v.
	step_dims dims = {};
	std::vector<float> k(step_past_k_bytes(&dims) / sizeof(float)), v(k.size());
	dcc::model step(step_model, 2);
	int64_t token = 5;
	for (int64_t past = 0; past < 3; past++) {
		std::vector<dcc::tensor> out = step({dcc::tensor(&token, {1}), dcc::tensor(k.data(), {1, 2, past, 4}),
		                                     dcc::tensor(v.data(), {1, 2, past, 4})});
		CHECK(out.size() == 3 && out[1].data == k.data() && out[2].shape()[2] == past + 1);
		CHECK(out[0].as<float>().size() == 16);
		CHECK(status_of([&] { out[0].as<double>(); }) == DCC_ERROR_DTYPE);
	}
	CHECK(k[0] == k[4] && k[4] == k[8] && k[12] == 0); // the same token three times
	CHECK(status_of([&] { step({dcc::tensor(&token, {1})}); }) == DCC_ERROR_ARGUMENT);
	CHECK(status_of([&] { step({}); }) == DCC_ERROR_ARGUMENT);
	CHECK(status_of([&] { dcc::tensor(&token, {1, 1, 1, 1, 1, 1, 1, 1, 1}); }) == DCC_ERROR_SHAPE);
	CHECK(status_of([&] { dcc::pool(-1); }) == DCC_ERROR_ARGUMENT);

	// A side file; outputs in the application's memory; a window that slides.
	dcc::weights side("w.bin");
	side.check(window_model);
	dcc::model window(window_model, 1, &side);
	std::vector<float> x(6, 1.f), past(80 * 6), y(4 * 6);
	std::vector<dcc::tensor> in = {dcc::tensor(x.data(), {1, 1, 6}), dcc::tensor(past.data(), {3, 1, 6})};
	window.prefault(in);
	CHECK(window.huge_pages() == 0); /* weights of a few bytes */
	CHECK(status_of([&] { window.prefault({}); }) == DCC_ERROR_ARGUMENT);
	std::vector<dcc::tensor> out = window.plan(in);
	CHECK(out[0].size() == 24 && out[0].data == nullptr);
	out[0].data = y.data();
	out[1].data = past.data() + 6;
	window.run(in, out);
	CHECK(y[17] == 0 && y[18] == 1 && past[18] == 1);
	CHECK(window(in)[1].data == past.data() + 6);
	CHECK(status_of([] { dcc::weights("no-such-file"); }) == DCC_ERROR_WEIGHTS);

	// The data decides the number of rows.
	dcc::model cut(cut_model);
	int64_t rows = 2;
	std::vector<float> numbers(10, 1.f), room(10);
	std::vector<dcc::tensor> given = {dcc::tensor(numbers.data(), {5, 2}), dcc::tensor(&rows, {}), dcc::tensor(numbers.data(), {5})};
	std::vector<dcc::tensor> planned = cut.plan(given);
	CHECK(planned[0].size() == 10 && cut(given)[0].size() == 4 && cut(given)[0].as<float>()[3] == -1 && cut(given)[1].size() == 5);
	planned[0].data = room.data();
	planned[1].data = y.data();
	CHECK(cut.run(given, planned)[0].shape()[0] == 2 && room[3] == -1 && room[4] == 0);
	CHECK(status_of([&] { side.check(step_model); }) == DCC_ERROR_WEIGHTS);
	dcc::workspace a(100), b(std::move(a));
	CHECK(b.size() == 100 && a.size() == 0 && reinterpret_cast<uintptr_t>(b.data()) % DCC_WORKSPACE_ALIGN == 0);
	try {
		b.reserve(SIZE_MAX);
		failed++;
	} catch (const std::bad_alloc &) {
	}
	return failed != 0;
}
CC
if ! command -v c++ >/dev/null; then
	echo "header: no C++ compiler; dcc.hpp not checked"
elif [ "$sanitized" = 0 ]; then
	expect 0 '^$' c++ -std=c++11 "${strict[@]}" app.cc cut.o step.o window.o "$build/libdcc.a" -o cxx
	expect 0 '^$' ./cxx
fi

echo "header: $checks checks, $failed failed"
[ $failed = 0 ]
