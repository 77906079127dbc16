"""Everything static is in pyproject.toml.  What the wheel holds beside Python:

DCC_BUILD not set  in a checkout: dcc with LLVM and a linker inside, which CMake builds (DCC_BUNDLE) into ../build/bundle; elsewhere nothing
DCC_BUILD=FOLDER   the dcc of that build folder (one that is no absolute path lies in the checkout), which wants on the user's machine what it wants here, unless it is a bundle
DCC_BUILD=         nothing: the wheel is pure and finds dcc in $DCC or PATH
"""

import os
import shutil
import subprocess
import tempfile

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("DCC_BUILD")
if BUILD:
    BUILD = os.path.join(SOURCE, BUILD)  # pip runs this in the folder python
    if not os.path.exists(os.path.join(BUILD, "cmake_install.cmake")):
        raise SystemExit(f"DCC_BUILD: {BUILD} is no build folder of CMake")
MAKE = BUILD is None and os.path.exists(os.path.join(SOURCE, "runtime", "dcc.h"))
if MAKE:
    BUILD = os.path.join(SOURCE, "build", "bundle")
# The program is static, and what it links asks for glibc 2.16 (bundle/libc.c).
BUNDLE_PLATFORM = "manylinux_2_17_x86_64"


def missing_packages():
    """Names of Debian packages that such a build wants and this machine lacks."""
    script = '. tools/install-deps.sh && missing_packages "${needs[@]}" "${bundle_needs[@]}"'
    return subprocess.run(["bash", "-c", script], cwd=SOURCE, capture_output=True, text=True).stdout.split()


def make_bundle():
    try:
        subprocess.run(["cmake", "-S", SOURCE, "-B", BUILD, "-DDCC_BUNDLE=ON"], check=True)
        subprocess.run(["cmake", "--build", BUILD, "--parallel", str(os.cpu_count())], check=True)
    except (OSError, subprocess.CalledProcessError):
        missing = missing_packages()
        raise SystemExit("dcc with LLVM inside cannot be built here"
                         + (f", there is no {' '.join(missing)} (names of Debian packages)" if missing else "; the lines above say why")
                         + "; DCC_BUILD=FOLDER takes the dcc of a build, DCC_BUILD= none") from None


def is_bundle():
    return os.path.isdir(os.path.join(BUILD, "dcc-link"))


class BuildWithCompiler(build_py):
    def run(self):
        super().run()
        folder = os.path.join(self.build_lib, "dcc", "bin")
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier build
        if MAKE:
            make_bundle()
        if BUILD:
            self.copy_compiler(folder)

    @staticmethod
    def copy_compiler(folder):
        os.makedirs(folder)
        with tempfile.TemporaryDirectory() as prefix:
            subprocess.run(["cmake", "--install", BUILD, "--strip", "--prefix", prefix], check=True, stdout=subprocess.DEVNULL)
            found = {name: os.path.join(path, name) for path, folders, files in os.walk(prefix) for name in (*folders, *files)}
            for name in ("libdcc.a", "dcc.h", "dcc.hpp", "dcc-link", "LICENSE", "licences"):
                if os.path.isdir(found.get(name, "")):
                    shutil.copytree(found[name], os.path.join(folder, name))
                elif name in found:
                    shutil.copy2(found[name], folder)
            shutil.copy2(os.path.join(prefix, "bin", "dcc"), folder)


class PlatformDistribution(Distribution):
    def has_ext_modules(self):
        return bool(BUILD)


class AnyPythonWheel(bdist_wheel):
    def get_tag(self):
        tag = super().get_tag()
        return ("py3", "none", BUNDLE_PLATFORM if is_bundle() else tag[2]) if BUILD else tag


setup(distclass=PlatformDistribution, cmdclass={"build_py": BuildWithCompiler, "bdist_wheel": AnyPythonWheel})
