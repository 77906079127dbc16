#!/usr/bin/env bash
# label: long
# The Debian packages, the archive and the wheel: made, unpacked into a folder and used from there, without a C compiler where they
# promise to need none.  tools/bare_roots.sh does the rest, in root file systems of their own.
# PYTHON names an interpreter with pip and numpy; default: python3.  PACKAGES names a folder that keeps the packages.
# usage: packages.sh BUILD
set -u
src=$PWD
. tests/expect.bash
. tools/install-deps.sh
absent=$(missing_packages cpack:cmake dpkg-shlibdeps:dpkg-dev pkg-config:pkgconf ps:procps "${bundle_needs[@]}" | tr '\n' ' ')
if [ -n "$absent" ]; then
	echo "packages: skipped, there is no $absent"
	exit 77
fi
build=$(cd "$1" && pwd)
! has_sanitizers || skip "the library has sanitizers"
python=${PYTHON:-python3}
export PIP_ROOT_USER_ACTION=ignore
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
LC_ALL=C.UTF-8
model=$src/examples/dynconv.onnx

pack() { # BUILD
	(cd "$1" && cpack -B "$tmp/made") >"$tmp/log" 2>&1 && return
	cat "$tmp/log"
	exit 1
}

# glibc FILE: the newest version that it asks for
glibc() {
	objdump -T "$1" | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -1
}

# program PREFIX: an application with the library of that prefix and ./dynconv.o
program() {
	local flags
	flags=$(PKG_CONFIG_PATH=$(dirname "$(find "$1" -name dcc.pc)") pkg-config --cflags --libs dcc)
	expect 0 '^$' cc -std=c11 -I. "$src/examples/c/app.c" dynconv.o $flags -lm -o app
	expect 0 '1632 outputs, .* two threads give the same bits' ./app
}

# ---- Debian
cd "$tmp" || exit 1
pack "$build"
tool=$(echo made/dcc_*_amd64.deb) dev=$(echo made/libdcc-dev_*_amd64.deb)
version=$(sed -n 's/^#define DCC_VERSION "\(.*\)"/\1/p' "$src/runtime/dcc.h")
for package in "$tool" "$dev"; do
	expect 0 "^$version-1\$" dpkg-deb -f "$package" Version
done
expect 0 'libc6 .*libllvm19.*libprotobuf-c1' dpkg-deb -f "$tool" Depends
dpkg-deb -x "$dev" deb
cat >CMakeLists.txt <<-END
	cmake_minimum_required(VERSION 3.18)
	project(app LANGUAGES C)
	find_package(dcc $version REQUIRED)
	dcc_add_model(net $model)
END
expect 1 'only the library of dcc is installed here' cmake -S . -B out "-DCMAKE_PREFIX_PATH=$tmp/deb/usr"
dpkg-deb -x "$tool" deb
expect 0 'written to' cmake -S . -B out "-DCMAKE_PREFIX_PATH=$tmp/deb/usr"
expect 0 "^dcc $version " deb/usr/bin/dcc --version
expect 0 '^$' deb/usr/bin/dcc -o dynconv.o "$model"
program deb
expect 0 '^$' deb/usr/bin/dcc -shared -o m.so "$model"
expect 0 '^y: f32' deb/usr/bin/dcc-run m.so --random 1
if command -v lintian >/dev/null; then # findings that the page does not explain
	lintian --allow-root --display-info --pedantic "$tool" "$dev" >findings 2>&1
	expect 1 '^$' grep -vFf <(grep -oE '^\| `[a-z-]+`' "$src/docs/install.md" | cut -d'`' -f2) findings
fi

# ---- the archive
(cd "$src" && build_in "$build/bundle" -DDCC_BUNDLE=ON) >log 2>&1 || { cat log; exit 1; }
pack "$build/bundle"
tar xzf made/dcc-*.tar.gz
mv dcc-"$version"-linux-x86_64 "moved here"
archive=$tmp/moved\ here
cp dynconv.o by-deb.o
expect 0 '^$' "$archive/bin/dcc" -o dynconv.o "$model"
expect 0 '^$' cmp dynconv.o by-deb.o
cp -r "$src/examples/cmake" app-by-cmake
cp "$model" .
expect 0 'written to' cmake -S app-by-cmake -B out2 "-DCMAKE_PREFIX_PATH=$archive"
expect 0 'Built target app|Linking .* executable app' cmake --build out2
expect 0 'they agree in every bit' out2/app
expect 1 '^$' grep -E 'INTERP|NEEDED' <(readelf -ld "$archive/bin/dcc")
expect 0 '^GLIBC_2.34$' glibc "$archive/bin/dcc-run"
expect 0 '^libc.so.6 libgcc_s.so.1 libm.so.6 $' echo "$(readelf -d "$archive/bin/dcc-run" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -v '^ld-' | sort | tr '\n' ' ')"
expect 0 '^llvm-19-dev$' ls "$archive/share/doc/dcc/licences"
expect 0 '^y: f32' "$archive/bin/dcc-run" "$model" --random 1

# It links alone.  What it links asks for an old glibc, and of libc for nothing but what bundle/lib*.c list.
alone=(env -i PATH=/nowhere "$archive/bin/dcc" -shared -o m.so)
rm m.so
expect 0 '^$' "${alone[@]}" "$model"
expect 0 '^GLIBC_2.16$' glibc m.so
expect 1 '^$' grep -v '@GLIBC_' <(nm -Du m.so)
expect 0 '^dcc_bytes dcc_check_weights .*dcc_run .*dynconv_model dynconv_run dynconv_workspace_size $' \
	echo "$(nm -D --defined-only m.so | cut -d' ' -f3 | sort | tr '\n' ' ')"
expect 0 '^y: f32' "$archive/bin/dcc-run" m.so --random 1 --threads 2
expect 0 '^y: f32' "$build/dcc-run" m.so --random 1 --threads 2

# Handlers of fork() go with the object.
cat >unload.c <<'END'
#include <dlfcn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
	void *model = dlopen("./m.so", RTLD_NOW);
	void *(*pool_new)(int) = (void *(*)(int))dlsym(model, "dcc_pool_new");
	void (*pool_free)(void *) = (void (*)(void *))dlsym(model, "dcc_pool_free");
	pool_free(pool_new(2));
	printf("%d\n", dlclose(model) || !dlopen("./m.so", RTLD_NOW | RTLD_NOLOAD));
	pid_t child = fork();
	if (!child)
		_exit(7);
	int status;
	return waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 7;
}
END
expect 0 '^$' cc -o unload unload.c
expect 0 '^1$' ./unload

# What is linked beside the model wants a C compiler; what is missing is said; nothing is left, whoever ends it.
echo 'int own(void) { return 0; }' >own.c
cc -c own.c
expect 1 "there is no program 'cc'" "${alone[@]}" own.o "$model"
expect 0 '^$' "$archive/bin/dcc" -shared -o own.so own.o "$model"
mkdir left
link_folder=$archive/lib/dcc-link
rm "$link_folder/libstart.a"
expect 1 "cannot open .*/dcc-link/libstart.a" "${alone[@]/m.so/left/m.so}" "$model"
expect 1 "left/m.so: error: cannot be linked: 'ld.lld' failed with status 1" "${alone[@]/m.so/left/m.so}" "$model"
expect 0 '^$' ls left
cp "$build/bundle/dcc-link/libstart.a" "$link_folder"
rm "$link_folder/libc.so"
mkfifo "$link_folder/libc.so" # lld waits
(exec "${alone[@]/m.so/left/m.so}" "$model") &
until compgen -G 'left/m.so.*/model.o' >/dev/null && [ -n "$(ps -o pid= --ppid $!)" ]; do sleep 0.02; done
linker=$(ps -o pid= --ppid $!)
kill -TERM $!
wait $! 2>/dev/null
check "ended by SIGTERM" [ $? = 143 ]
for ((i = 0; i < 100; i++)); do kill -0 $linker 2>/dev/null || break; sleep 0.02; done
check "lld goes on without dcc" [ $i -lt 100 ]
expect 0 '^$' ls left

# ---- the wheel
cd "$src/python" || exit 1
isolation=--no-build-isolation
"$python" -c 'from setuptools.command import bdist_wheel' 2>/dev/null || isolation=
[ "$build" = "$src/build" ] || export DCC_BUILD=$build/bundle # else it builds there itself
if "$python" -c 'import numpy, pip' 2>/dev/null && "$python" -m pip wheel -q $isolation --no-deps -w "$tmp/made" . >"$tmp/log" 2>&1; then
	rm -rf build dcc.egg-info
	cd "$tmp" || exit 1
	wheel=$(echo made/*.whl)
	expect 0 "^made/dcc-$version-py3-none-manylinux_2_17_x86_64.whl\$" echo "$wheel"
	if "$python" -m auditwheel --version >/dev/null 2>&1; then
		expect 0 'platform tag: "manylinux_2_([0-9]|1[0-7])_x86_64"' echo "$("$python" -m auditwheel show "$wheel" | tr '\n' ' ')"
	fi
	expect 0 '^$' "$python" -m pip install -q --no-deps --target site "$wheel"
	expect 0 '^\(1, 1, 48\)$' env -i PATH=/nowhere PYTHONPATH=site "$("$python" -c 'import sys; print(sys.executable)')" -c \
		'import dcc, sys; print(dcc.compile(sys.argv[1])([[[1.0] * 48]], threads=2).shape)' "$model"
else
	cat "$tmp/log"
	echo "packages: the wheel is skipped, $python has no numpy, pip or setuptools >= 70.1, and pip fetched none"
fi

cd "$tmp" && ls -l made/*.* | awk '{ printf "packages: %s %.1f MB\n", $NF, $5 / 1e6 }'
[ -z "${PACKAGES:-}" ] || cp made/*.deb made/*.tar.gz made/*.whl "$PACKAGES"
echo "packages: $checks checks, $failed failed"
[ $failed = 0 ]
