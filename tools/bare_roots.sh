#!/usr/bin/env bash
# Tries the packages where nothing else is, in root file systems that debootstrap makes: from install to a program that runs, on
# Debian 12, on a newer Debian, and, for the library, compiled models and the wheel, on Debian 11 with glibc 2.31.
# Needs root, debootstrap, Debian's and Python's package registries; docs/install.md shows what it prints.
# usage: bare_roots.sh PACKAGES ROOTS [SUITE...]
#   PACKAGES  folder with the .deb files, the archive and the wheel, as tests/packages.sh keeps them
#   ROOTS     folder for the root file systems: SUITE.base is made once, SUITE is a copy of it, new in every run
#   SUITE     bookworm, trixie or bullseye; default: all three
set -eu
cd "$(dirname "$0")/.."
packages=$(cd "$1" && pwd) roots=$2
shift 2
[ $# -gt 0 ] || set -- bookworm trixie bullseye
mkdir -p "$roots"

# inside SUITE: the lines of standard input, one after the other, each shown before what it prints
inside() {
	cp /dev/stdin "$roots/$1/try/lines"
	unshare --mount bash -c '
		mount -t proc proc "$0/proc"
		exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive bash -euc "
			cd /try
			while read -r line; do
				echo \"\$ \$line\"
				eval \"\$line\" </dev/null
			done <lines"' "$roots/$1"
}

for suite; do
	root=$roots/$suite
	[ -e "$root.base/try" ] || {
		debootstrap --variant=minbase "$suite" "$root.base" >"$root.log"
		mkdir "$root.base/try"
	}
	rm -rf "$root"
	cp -a "$root.base" "$root"
	cp "$packages"/* examples/dynconv.onnx examples/c/app.c "$root/try"
	echo "== $suite: $(chroot "$root" ldd --version | head -1), $(du -sm "$root" | cut -f1) MB"

	# The archive, before there is a compiler.  dcc is static, dcc-run wants glibc 2.34.
	inside "$suite" <<-'END'
		tar xzf dcc-*.tar.gz && mv dcc-*-x86_64 dcc
		dcc/bin/dcc --version
		dcc/bin/dcc -o dynconv.o dynconv.onnx
		dcc/bin/dcc -shared -o m.so dynconv.onnx
	END
	[ "$suite" = bullseye ] || inside "$suite" <<-'END'
		dcc/bin/dcc-run m.so --random 1 --threads 2
		dcc/bin/dcc-run dynconv.onnx --random 1
	END

	# The library, with the object that the archive's dcc wrote.
	inside "$suite" <<-'END'
		apt-get -qq update
		apt-get -qq install --no-install-recommends ./libdcc-dev_*.deb gcc libc6-dev pkg-config >log 2>&1
		cc -I. $(pkg-config --cflags dcc) app.c dynconv.o $(pkg-config --libs dcc) -lm -o app
		./app
	END

	# The compiler as Debian package, where LLVM 19 is one.
	[ "$suite" = bullseye ] || inside "$suite" <<-'END'
		rm dynconv.o dynconv.h m.so
		apt-get -qq install --no-install-recommends ./dcc_*.deb >log 2>&1
		dcc -o dynconv.o dynconv.onnx
		cc -I. $(pkg-config --cflags dcc) app.c dynconv.o $(pkg-config --libs dcc) -lm -o app
		./app
		dcc -shared -o m.so dynconv.onnx
		dcc-run m.so --random 1 --threads 2
		dpkg -l dcc libdcc-dev libllvm19 | grep ^ii
	END

	# The wheel; without a C compiler in PATH.
	inside "$suite" <<-'END'
		apt-get -qq install --no-install-recommends python3 python3-venv >log 2>&1
		python3 -m venv venv
	END
	version=$(chroot "$root" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
	python3 -m pip download -q --only-binary=:all: --python-version "$version" -d "$root/try/wheels" numpy
	inside "$suite" <<-'END'
		venv/bin/pip install -q --disable-pip-version-check --no-index --find-links wheels ./dcc-*.whl
		PATH=/nowhere venv/bin/python -c 'import dcc; m = dcc.compile("dynconv.onnx"); print(m, m([[[1.0] * 48]], threads=2).shape)'
	END
done
