#!/usr/bin/env bash
# Installs what the build needs on Debian 12.  Where nothing is missing it needs neither network nor root.
# test.sh and demo.sh source it for install_missing, configure_in and build_in.

# What must be there (a command or a file) and the package that brings it.
needs=(
	cmake:cmake ninja:ninja-build cc:gcc ld:binutils protoc-c:protobuf-c-compiler llvm-config-19:llvm-19-dev
	/usr/include/stdio.h:libc6-dev /usr/include/protobuf-c/protobuf-c.h:libprotobuf-c-dev
	/usr/include/llvm-c-19/llvm-c/Core.h:llvm-19-dev
)

# What only tests use; without it they say that they are skipped.
test_needs=(
	c++:g++ pkg-config:pkgconf strace:strace gdb:gdb perf:linux-perf llvm-objdump-19:llvm-19 python3:python3 dot:graphviz
	/usr/share/sounds/alsa:alsa-utils /usr/include/png.h:libpng-dev mpirun:openmpi-bin mpicc:libopenmpi-dev
	/usr/lib/python3/dist-packages/numpy:python3-numpy /usr/lib/python3/dist-packages/pytest:python3-pytest
	/usr/lib/python3/dist-packages/onnx:python3-onnx /usr/share/libonnx-testdata:libonnx-testdata
	mkdocs:mkdocs chromium:chromium chromedriver:chromium-driver /usr/lib/python3/dist-packages/selenium:python3-selenium
	/usr/lib/python3/dist-packages/nbclient:python3-nbclient /usr/lib/python3/dist-packages/ipykernel:python3-ipykernel
)
# What a build with LLVM inside needs (DCC_BUNDLE), for archives and wheels.
bundle_needs=(
	c++:g++ /usr/lib/llvm-19/lib/liblldELF.a:liblld-19-dev /usr/lib/x86_64-linux-gnu/libz.a:zlib1g-dev
	/usr/lib/x86_64-linux-gnu/libzstd.a:libzstd-dev /usr/lib/x86_64-linux-gnu/libtinfo.a:libncurses-dev
)
test_needs+=("${bundle_needs[@]}" dpkg-shlibdeps:dpkg-dev lintian:lintian)
# The emulator for CPUs without AVX-512, see tests/emulated.sh.
if ! grep -qw avx512f /proc/cpuinfo && [ -x ../shared/avx512/zmmrun ]; then
	test_needs+=(bochs-bin:bochs /usr/lib/x86_64-linux-gnu/bochs/plugins:bochs-term /usr/share/vgabios:vgabios)
fi

# missing_packages NEED...: the packages of those that are not there
missing_packages() {
	local need what
	for need; do
		what=${need%:*}
		case $what in
		/*) [ -e "$what" ] ;;
		*) command -v "$what" >/dev/null ;;
		esac || echo "${need#*:}"
	done | sort -u
}

# install_missing [NEED...]: default is what the build needs.  Fails, and says what is missing, where it cannot install.
install_missing() {
	local packages as_root=
	[ $# -gt 0 ] || set -- "${needs[@]}"
	packages=$(missing_packages "$@" | tr '\n' ' ')
	[ -n "$packages" ] || return 0
	[ "$(id -u)" = 0 ] || as_root=sudo
	if ! command -v apt-get >/dev/null || { [ -n "$as_root" ] && ! command -v sudo >/dev/null; }; then
		echo "missing, and cannot be installed without apt-get and root (names of Debian packages): $packages" >&2
		return 1
	fi
	echo "installing: $packages"
	$as_root apt-get -qq update &&
		$as_root env DEBIAN_FRONTEND=noninteractive \
			apt-get -qq -y --no-install-recommends install $packages >/dev/null
}

# configure_in FOLDER [cmake options]
configure_in() {
	local dir=$1 generator=() output
	shift
	[ -e "$dir/CMakeCache.txt" ] || ! command -v ninja >/dev/null || generator=(-G Ninja)
	output=$(cmake -S . -B "$dir" "${generator[@]}" "$@" 2>&1) || { echo "$output" >&2; return 1; }
}

# build_in FOLDER [cmake options]: configures, then builds what changed.
build_in() {
	configure_in "$@" && cmake --build "$1" --parallel "$(nproc)"
}

[ "${BASH_SOURCE[0]}" != "$0" ] || install_missing
