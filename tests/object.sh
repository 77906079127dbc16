#!/usr/bin/env bash
# The object file and the library as an application sees them: undefined symbols, sizes, instruction sets, ways of
# linking, C and C++, two models in one program, and no system call inside of a run.
# usage: object.sh BUILD
set -u
build=$(cd "$1" && pwd) || exit 1
root=$(cd "$(dirname "$0")/.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
failed=0 count=0

# expect WHAT command...: succeeds
expect() {
	local what=$1
	shift
	count=$((count + 1))
	"$@" >out 2>&1 && return 0
	echo "$what: failed: $*"
	head -20 out
	failed=$((failed + 1))
	return 1
}

# none WHAT TEXT: nothing
none() {
	count=$((count + 1))
	[ -z "$2" ] && return
	printf '%s:\n%s\n' "$1" "$(head -5 <<<"$2")"
	failed=$((failed + 1))
}

expect "compile dynconv" "$build/dcc" -o dynconv.o "$root/examples/dynconv.onnx"
cp "$root/tests/models/bert.ts/model.onnx" bert.onnx
expect "compile bert" "$build/dcc" -o bert.o bert.onnx

# ---- texts have no weights: a run says so, or takes the side file ------------------------------------------------------------

for weights in '' --weights=text.w; do
	expect "assembly $weights" "$build/dcc" -S $weights -o text.s --name=dynconv "$root/examples/dynconv.onnx"
	expect "LLVM IR $weights" "$build/dcc" -emit-llvm $weights -o text.ll --name=dynconv "$root/examples/dynconv.onnx"
	expect "assemble $weights" cc -c -o text.o text.s
	expect "llc $weights" llc-19 -relocation-model=pic -filetype=obj -o text2.o text.ll
	for text in text.o text2.o; do
		if [ -z "$weights" ]; then
			none "$text has weights" "$("$build/dcc-run" $text --random 1 2>&1 | grep -v "weights are in a side file")"
		else
			none "$text answers something else" "$(diff <("$build/dcc-run" dynconv.o --random 1) <("$build/dcc-run" $text $weights --random 1))"
		fi
	done
done

# ---- symbols and sizes -----------------------------------------------------------------------------------------------

for model in dynconv bert; do
	none "$model.o asks for more than the runtime" \
		"$(nm -u $model.o | grep -vE ' (dcc_run|dcc_report|memcpy|memset|memmove)$')"
	none "$model.o asks for more than 10 symbols" "$(nm -u $model.o | sed '1,10d')"
	none "$model.o defines names of others" "$(nm -g --defined-only $model.o | grep -vE " ${model}(_[a-z_]+)?\$")"
	none "$model.o holds writable data" \
		"$(readelf -S --wide $model.o | sed 's/^ *\[ *[0-9]*\]//' | awk '$1 ~ /^\.(data|bss|tdata|tbss)$/ && $5 !~ /^0+$/')"
	none "$model.o wants an executable stack" "$(readelf -S --wide $model.o | grep -E 'note.GNU-stack.* [WX]+ ')"
done
instrumented=$(nm "$build/libdcc.a" | grep -E ' U __(asan|tsan|ubsan)_' | head -1)
[ -n "$instrumented" ] || none "libdcc.a has 100 KB or more" "$(find "$build/libdcc.a" -size +100000c)"
none "libdcc.a defines names without dcc_" \
	"$(nm -g --defined-only "$build/libdcc.a" | grep -E ' [A-Z] ' | grep -v ' dcc_')"

# ---- instruction sets ------------------------------------------------------------------------------------------------

objdump=$(command -v llvm-objdump-19 || command -v llvm-objdump)
targets=$("$build/dcc" -v | sed -n 's/ ([^)]*)//g; s/^targets: //p' | tr ' ' '|')
if [ -n "$objdump" ]; then
	for model in dynconv bert; do
		"$objdump" -d --no-show-raw-insn $model.o | awk '/^[0-9a-f]+ <.*>:$/ { name = $2 } /^ / { print name, $0 }' >$model.s
		none "$model: AVX-512 in code for AVX2" \
			"$(grep -E '^<[^ ]*\.avx2>:' $model.s | grep -E '%zmm|%[xy]mm(1[6-9]|2[0-9]|3[01])|\{1to|%k[0-7]')"
		none "$model: AVX in code for any CPU" "$(grep -vE "^<[^ ]*\.($targets)>:" $model.s | grep -E '%[yz]mm| v[a-z]+')"
		expect "$model: FMA of 16 lanes for AVX-512" grep -qE '^<[^ ]*\.avx512>:.*vfmadd[a-z0-9]*.*%zmm' $model.s
		expect "$model: FMA of 8 lanes for AVX2" grep -qE '^<[^ ]*\.avx2>:.*vfmadd[a-z0-9]*.*%ymm' $model.s
		none "$model: the register tile spills" \
			"$(grep -E '^<[^ ]*\.tile14\.avx512>:.*vmov[a-z]+ .*%zmm[0-9]+, .*\(%rsp\)' $model.s)"
	done
else
	echo "object: no llvm-objdump; instruction sets not checked"
fi

if [ -n "$instrumented" ]; then
	echo "object: libdcc.a is built with sanitizers; applications not checked"
	echo "object: $count checks, $failed failed"
	[ $failed = 0 ]
	exit
fi

# ---- an application --------------------------------------------------------------------------------------------------

cat >run.h <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dcc.h"

/* Runs a model on made-up inputs (symbols are 5); returns a hash of the outputs.  Writes to no file mark the run. */
static unsigned long run_model(const dcc_model *m)
{
	dcc_tensor in[8], out[8];
	int64_t dims[8 * DCC_MAX_RANK];
	uint64_t bytes;
	dcc_error error;
	dcc_args args;
	unsigned long hash = 5381;

	memset(in, 0, sizeof in);
	memset(out, 0, sizeof out);
	memset(&args, 0, sizeof args);
	for (int i = 0; i < m->ninputs; i++) {
		size_t n = 1;
		in[i].dtype = m->inputs[i].dtype;
		in[i].rank = m->inputs[i].rank;
		for (int d = 0; d < in[i].rank; d++)
			n *= (size_t)(in[i].dims[d] = m->inputs[i].dims[d] < 0 ? 5 : m->inputs[i].dims[d]);
		in[i].data = calloc(n, 8);
		for (size_t k = 0; k < n; k++)
			if (in[i].dtype == DCC_F32)
				((float *)in[i].data)[k] = (float)(k * 7 % 11) * 0.25f - 1;
			else
				((int64_t *)in[i].data)[k] = (int64_t)(k % 2);
	}
	if (dcc_plan(m, in, m->ninputs, 1, dims, &bytes, &error)) {
		fprintf(stderr, "%s: %s\n", m->name, error.text);
		exit(1);
	}
	for (int i = 0; i < m->noutputs; i++) {
		size_t n = 1;
		out[i].dtype = m->outputs[i].dtype;
		out[i].rank = m->outputs[i].rank;
		for (int d = 0; d < out[i].rank; d++)
			n *= (size_t)(out[i].dims[d] = dims[i * DCC_MAX_RANK + d]);
		out[i].data = calloc(n, 8);
	}
	args.size = sizeof args;
	args.inputs = in;
	args.outputs = out;
	args.ninputs = m->ninputs;
	args.noutputs = m->noutputs;
	args.workspace = aligned_alloc(DCC_WORKSPACE_ALIGN, bytes + DCC_WORKSPACE_ALIGN - bytes % DCC_WORKSPACE_ALIGN);
	args.workspace_size = bytes;
	args.error = &error;
	memset(args.workspace, 0, bytes); /* its pages are there */
	long begin = (long)write(-1, "begin", 5);
	int status = dcc_run(m, &args);
	long end = (long)write(-1, "end", 3);
	if (status || begin != -1 || end != -1) {
		fprintf(stderr, "%s: %s\n", m->name, error.text);
		exit(1);
	}
	for (int i = 0; i < m->noutputs; i++) {
		size_t n = dcc_dtype_size(out[i].dtype);
		for (int d = 0; d < out[i].rank; d++)
			n *= (size_t)out[i].dims[d];
		for (size_t k = 0; k < n; k++)
			hash = hash * 33 + ((unsigned char *)out[i].data)[k];
		free(out[i].data);
	}
	for (int i = 0; i < m->ninputs; i++)
		free(in[i].data);
	free(args.workspace);
	return hash;
}
C
cat >app.c <<'C'
#include "run.h"
#include "dynconv.h"
#include "bert.h"

int main(void)
{
	dynconv_dims d = {5, 5, 1};
	float x[5 * 5 * 48], y[5 * 5 * 48];
	dcc_error error;
	size_t bytes = dynconv_workspace_size(&d);
	void *workspace = aligned_alloc(DCC_WORKSPACE_ALIGN, (bytes / DCC_WORKSPACE_ALIGN + 1) * DCC_WORKSPACE_ALIGN);

	for (int k = 0; k < 5 * 5 * 48; k++)
		x[k] = (float)(k * 7 % 11) * 0.25f - 1;
	if (dynconv(&d, x, y, workspace, bytes, NULL, &error)) {
		fprintf(stderr, "dynconv: %s\n", error.text);
		return 1;
	}
	free(workspace);
	unsigned long hash = 5381, typed;
	for (size_t k = 0; k < sizeof y; k++)
		hash = hash * 33 + ((unsigned char *)y)[k];
	typed = hash;
	hash = run_model(&dynconv_model);
	if (typed != hash) {
		fprintf(stderr, "the typed call and dcc_run differ\n");
		return 1;
	}
	printf("%lx %lx\n", hash, run_model(&bert_model));
	return 0;
}
C
cp app.c app.cc
flags=(-O1 -Wall -Wextra -Werror -I "$root/runtime" -I .)
# A compiler may be several words, as "ccache gcc"; env makes it so in every run.
read -ra cc <<<"env ${CC:-cc}"
read -ra cxx <<<"${CXX:-c++}"
c11=("${cc[@]}" -std=c11 -D_GNU_SOURCE "${flags[@]}") models=(dynconv.o bert.o "$build/libdcc.a")
expect "link" "${c11[@]}" app.c "${models[@]}" -o app && ./app >app.out
expect "pedantic headers" "${cc[@]}" -std=c99 -pedantic-errors -D_GNU_SOURCE "${flags[@]}" -fsyntax-only app.c
expect "link as PIE" "${c11[@]}" -fPIE -pie app.c "${models[@]}" -o pie && ./pie >pie.out
expect "link without PIE" "${c11[@]}" -fno-pie -no-pie app.c "${models[@]}" -o nopie &&
	./nopie >nopie.out
expect "link shared" "${cc[@]}" -shared -Wl,-z,text -Wl,-z,defs -o libmodels.so "${models[@]}" -lpthread &&
	expect "link with shared models" "${c11[@]}" app.c -L. -lmodels "-Wl,-rpath,$tmp" -o shared &&
	./shared >shared.out
expect "link statically" "${c11[@]}" -static app.c "${models[@]}" -o static &&
	./static >static.out
if command -v "${cxx[0]}" >out; then
	expect "link as C++" "${cxx[@]}" -std=c++17 "${flags[@]}" app.cc "${models[@]}" -o cxx && ./cxx >cxx.out
else
	echo "object: no C++ compiler; C++ not checked"
fi
expect "the program ran" grep -qE '^[0-9a-f]+ [0-9a-f]+$' app.out
for out in pie nopie shared static cxx; do
	[ ! -e $out ] || expect "$out gives the same outputs" cmp app.out $out.out
done
none "the program needs more than libc" "$(readelf -d app | grep NEEDED | grep -vE 'libc\.so|libpthread|libm\.so')"

# ---- memory ----------------------------------------------------------------------------------------------------------

# 4 MB of weights and a workspace of some 100 pages: prefault() takes their faults; weights in huge pages, and a copy, give the same bits.
cat >wide.ir <<'IR'
dcc-ir 1 stage import
model wide
sym n in 0..
const @step: f32[] = [0.37]
func @main(%x: f32[n, 1024]) -> (y: f32[n, 1024]) {
  %0: i64[1048576] = iota {start=1}
  %1: f32[1048576] = cast %0
  %2: f32[1048576] = mul %1, @step
  %3: f32[1048576] = sin %2
  %4: f32[1024, 1024] = reshape %3
  %5: f32[n, 1024] = matmul %x, %4
  %6: f32[n, 1024] = softmax %5 {axis=1}
  %7: f32[n, 1024] = matmul %6, %4
  return %7
}
IR
cat >faults.c <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "wide.h"

enum { Rows = 96, Columns = 1024 };
static float x[Rows * Columns], y[Rows * Columns], again[Rows * Columns];

static long faults(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return u.ru_minflt + u.ru_majflt;
}

/* With an argument: prefaulted. */
int main(int argc, char **argv)
{
	wide_dims dims = {Rows, 1};
	size_t bytes = wide_workspace_size(&dims), size = wide_model.weights_size;
	void *workspace = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *copy = aligned_alloc(64, (size + 63) / 64 * 64);
	dcc_error error;

	(void)argv;
	madvise(workspace, bytes, MADV_NOHUGEPAGE);
	for (int i = 0; i < Rows * Columns; i++)
		x[i] = (float)(i * 7 % 11) * 0.25f - 1;
	memset(y, 1, sizeof y);
	if (argc > 1 && wide_prefault(workspace, bytes, &error))
		return 1;
	long before = faults();
	if (wide(&dims, x, y, workspace, bytes, NULL, &error))
		return 1;
	printf("%ld faults\n", faults() - before);

	memcpy(copy, wide_model.weights, size);
	uint64_t moved;
	if (dcc_huge_pages(&wide_model, NULL, 0, &moved, &error) || wide_huge_pages(&error) || memcmp(copy, wide_model.weights, size))
		return 1;
	printf("%d MB in huge pages\n", (int)(moved >> 20));
	memset(again, 1, sizeof again);
	if (wide(&dims, x, again, workspace, bytes, NULL, &error) || memcmp(y, again, sizeof y))
		return 1;
	dcc_tensor in = {x, DCC_F32, 2, {Rows, Columns}, {0}}, out = {again, DCC_F32, 2, {Rows, Columns}, {0}};
	dcc_args args = {.size = sizeof args, .inputs = &in, .outputs = &out, .ninputs = 1, .noutputs = 1, .workspace = workspace,
	                 .workspace_size = bytes, .weights = copy, .weights_size = size, .error = &error};
	if (wide_run(&args) || memcmp(y, again, sizeof y))
		return 1;
	memset(copy, 0, size);
	return wide_run(&args) || again[0] != 0;
}
C
expect "compile wide" "$build/dcc" -o wide.o wide.ir
expect "link faults" "${c11[@]}" faults.c wide.o "$build/libdcc.a" -o faults
expect "without prefault() the first run faults" sh -c './faults | grep -E "^[0-9]{3,} faults"'
case $(cat /sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null) in
*'[never]'* | '') expect "without huge pages nothing moves" sh -c './faults | grep -x "0 MB in huge pages"' ;;
*) expect "whole huge pages of weights move" sh -c './faults | grep -xE "[24] MB in huge pages"' ;;
esac
expect "with it it does not" sh -c './faults 1 | grep -E "^[1-3]?[0-9] faults"'

# ---- system calls ----------------------------------------------------------------------------------------------------

if ! command -v strace >out; then
	echo "object: no strace; system calls not checked"
elif ! strace -o trace ./app >out 2>&1; then
	echo "object: strace may not trace here; system calls not checked"
else
	expect "both runs were marked" test "$(grep -c '^write(-1, "begin"' trace)" = 2
	none "system calls inside of a run" \
		"$(sed -n '/^write(-1, "begin"/,/^write(-1, "end"/p' trace | grep -v '^write(-1, "')"
fi
echo "object: $count checks, $failed failed"
[ $failed = 0 ]
