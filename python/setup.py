"""Everything static is in pyproject.toml.  With DCC_BUILD=FOLDER in the environment the wheel gets the dcc program and
libdcc.a of that build folder, and the platform's tag; without, it is pure and finds dcc in $DCC or PATH."""

import os
import shutil

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

BUILD = os.environ.get("DCC_BUILD")


class BuildWithCompiler(build_py):
    def run(self):
        super().run()
        folder = os.path.join(self.build_lib, "dcc", "bin")
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier build with DCC_BUILD
        if BUILD:
            os.makedirs(folder)
            for name in ("dcc", "libdcc.a"):
                shutil.copy2(os.path.join(BUILD, name), folder)


class PlatformDistribution(Distribution):
    def has_ext_modules(self):
        return bool(BUILD)


class AnyPythonWheel(bdist_wheel):
    def get_tag(self):
        tag = super().get_tag()
        return ("py3", "none", tag[2]) if BUILD else tag


setup(distclass=PlatformDistribution, cmdclass={"build_py": BuildWithCompiler, "bdist_wheel": AnyPythonWheel})
