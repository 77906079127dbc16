#!/usr/bin/env bash
# label: full
# Installs into a fresh folder, moves it, and builds the examples from there: pkg-config and CMake, C and C++, PIE and
# shared; -shared and its errors.
# usage: install.sh BUILD
set -u
. "$(dirname "$0")/expect.bash"
for program in pkg-config c++ cmake nm readelf; do
	command -v $program >/dev/null && continue
	echo "install: skipped, there is no $program"
	exit 77
done
build=$(cd "$1" && pwd)
src=$PWD
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
LC_ALL=C.UTF-8
! command -v ninja >/dev/null || export CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}

cmake --install "$build" --prefix "$tmp/first" >/dev/null || exit 1
mv "$tmp/first" "$tmp/moved here" # relocatable, also to a folder with a space
prefix="$tmp/moved here"
dcc=$prefix/bin/dcc
pc=$(dirname "$(find "$prefix" -name dcc.pc)")
library=$(find "$prefix" -name libdcc.a)
model=$src/examples/dynconv.onnx
input=$src/examples/dynconv.data/input.npy
flags() {
	PKG_CONFIG_PATH=$pc pkg-config "$@" dcc
}
sanitized=$(grep -cE '^DCC_(SANITIZE|TSAN):BOOL=ON' "$build/CMakeCache.txt")

expect 0 "^dcc $(flags --modversion) .commit " "$dcc" --version
expect 0 '^dcc-run ' "$prefix/bin/dcc-run" --version
expect 1 '^$' grep -rlE "$src|$tmp/first" "$prefix/include" "$pc" "$pc/../cmake"
[ ! -e "$prefix/share/man/man1" ] || expect 0 'dcc-run.1' ls "$prefix/share/man/man1"

expect 0 '^complete .* dcc-run$' cat "$prefix/share/bash-completion/completions/dcc-run"
for page in dcc dcc-run; do # options.sh compares what they say
	! command -v groff >/dev/null || expect 1 '^$' grep . <(groff -mdoc -Tutf8 -ww -z "$src/man/$page.1" 2>&1)
done

# Programs by pkg-config.  A library with sanitizers cannot be linked without them: only -shared is tried then.
cd "$tmp" || exit 1
eval "cflags=($(flags --cflags)) libs=($(flags --libs))"
warn=(-Wall -Wextra -Werror -O1)
if [ "$sanitized" = 0 ]; then
	expect 0 '^$' "$dcc" -o dynconv.o "$model"
	for how in "-fPIE -pie" "-fno-pie -no-pie"; do
		expect 0 '^$' cc -std=c11 "${warn[@]}" $how "${cflags[@]}" -I. "$src/examples/c/app.c" dynconv.o \
			"${libs[@]}" -lm -o app
		expect 0 '1632 outputs, .* two threads give the same bits' ./app
		expect 0 '^$' c++ -std=c++11 "${warn[@]}" -Wpedantic $how "${cflags[@]}" -I. "$src/examples/cpp/app.cpp" dynconv.o \
			"${libs[@]}" -o app
		expect 0 '^dynconv: 1632 outputs' ./app
		expect 0 'the typed call gives the same' ./app
		expect 0 "a wrong shape: input 'x': dim 2 is 24, expected 48" ./app
	done

	# A model inside the application's own shared object.
	echo 'int start(void); int main(void) { return start(); }' >main.c
	sed 's/int main(void)/int start(void)/' "$src/examples/c/app.c" >part.c
	expect 0 '^$' cc -shared -fPIC "${cflags[@]}" -I. part.c dynconv.o "${libs[@]}" -lm -Wl,-z,defs,-z,text -o libpart.so
	expect 0 '^$' cc main.c -L. -lpart -Wl,-rpath,. -o app
	expect 0 'the same bits' ./app

	# Two models in one program, compiled by CMake; nothing to do the second time, one model after it was touched.
	mkdir cmake
	cp "$src"/examples/cmake/* cmake
	cp "$model" .
	expect 0 'Generating done|written to' cmake -S cmake -B out "-DCMAKE_PREFIX_PATH=$prefix"
	expect 0 'Compiling model dynconv17' cmake --build out
	expect 0 'any_length needs [0-9]+ bytes, dynconv17 [0-9]+; they agree in every bit' out/app
	expect 1 '^$' grep Compiling <(cmake --build out)
	touch dynconv.onnx
	expect 0 'Compiling model any_length' cmake --build out
	expect 0 'written to' cmake -S "$src/examples/custom" -B out3 "-DCMAKE_PREFIX_PATH=$prefix"
	expect 0 'Built target app|Linking C executable app' cmake --build out3
	expect 0 '^2.0943 at 1$' out3/app
	cat >cmake/CMakeLists.txt <<-'END'
		cmake_minimum_required(VERSION 3.18)
		project(app LANGUAGES CXX)
		find_package(dcc REQUIRED)
		dcc_add_model(m ../dynconv.onnx NAME dynconv WEIGHTS m.bin OPTIONS -march=avx2)
		add_library(part SHARED app.cpp)
		target_link_libraries(part PRIVATE m)
		set_target_properties(part PROPERTIES CXX_STANDARD 11)
		add_executable(run main.cpp)
		target_link_libraries(run PRIVATE part)
	END
	cat >cmake/app.cpp <<-'END'
		#include <cstdio>
		#include <dcc.hpp>
		#include "dynconv.h"
		static size_t run_with(const dcc::weights *side)
		{
			std::vector<float> x(2 * 48);
			return dcc::model(dynconv_model, 1, side)({dcc::tensor(x.data(), {1, 2, 48})})[0].size();
		}
		int run()
		{
			try {
				run_with(nullptr);
			} catch (const dcc::error &e) {
				std::puts(e.what());
			}
			dcc::weights side("out2/m.bin");
			side.check(dynconv_model);
			std::printf("%zu outputs\n", run_with(&side));
			return 0;
		}
	END
	echo 'int run(); int main() { return run(); }' >cmake/main.cpp
	expect 0 'written to' cmake -S cmake -B out2 "-DCMAKE_PREFIX_PATH=$prefix"
	expect 0 'Built target run|Linking CXX executable run' cmake --build out2
	expect 0 'weights are in a side file' out2/run
	expect 0 '^96 outputs$' out2/run
fi

# -shared: what it exports, what it needs, and that it runs on its own.
expect 0 '^$' "$dcc" -shared -o m.so "$model"
if [ "$sanitized" = 0 ]; then
	exported=$(nm -D --defined-only m.so | cut -d' ' -f3 | sort | tr '\n' ' ')
	expect 0 '^dcc_bytes dcc_check_weights .*dcc_run .*dynconv_model dynconv_run dynconv_workspace_size $' echo "$exported"
	expect 1 '^$' grep -vE '^(dcc|dynconv)_' <(tr ' ' '\n' <<<"${exported% }")
	expect 0 '^1$' grep -c NEEDED <(readelf -d m.so)
	expect 1 '^$' grep TEXTREL <(readelf -d m.so)
fi
expect 0 '^y: f32\[2, 23, 48\]' "$prefix/bin/dcc-run" m.so --inputs "$input" --threads 2
expect 0 'dynconv_run' cat m.h
expect 0 '^$' "$dcc" -shared --weights=w.bin -o ./-w.so "$model"
expect 0 '^y: f32' "$prefix/bin/dcc-run" ./-w.so --weights w.bin --inputs "$input"
expect 0 '^$' "$dcc" -shared -o @r.so --linker=gcc "$model"

mkdir bad
expect 1 "no program 'no-such-cc'" "$dcc" -shared --linker=no-such-cc -o bad/m.so "$model"
expect 1 "^bad/m.so: error: cannot be linked: 'false' failed with status 1" \
	"$dcc" -shared --linker=false -o bad/m.so "$model"
expect 1 "no program 'cc'" env PATH=/nowhere "$dcc" -shared -o bad/m.so "$model"
expect 1 '^none/m.(so|h): error: cannot write' "$dcc" -shared -o none/m.so "$model"
expect 1 'wants a regular file' "$dcc" -shared -o /dev/null "$model"
expect 1 'wants a regular file' "$dcc" -shared -o - "$model"
expect 1 '--linker says nothing about an object' "$dcc" --linker=x -o bad/m.o "$model"
mv "$library" kept.a
expect 1 'libdcc.a is neither in' "$dcc" -shared -o bad/m.so "$model"
expect 0 '^$' ls bad

echo "install: $checks checks, $failed failed"
[ $failed = 0 ]
