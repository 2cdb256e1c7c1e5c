"""Builds the one file in C, ``autograd/replay/table.c``, as a library that knows nothing of Python.

Without a C compiler the packages install without it, and `autograd.capture` replays by calls of NumPy.
"""

import sys

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext


class BuildLibrary(build_ext):
    """Builds a library of one name for every Python, which is no module of Python's."""

    def get_ext_filename(self, name):
        return super().get_ext_filename(name).partition(".")[0] + ".native"

    def get_export_symbols(self, extension):
        return extension.export_symbols


class Wheel(bdist_wheel):
    """A wheel for every Python 3 on one platform."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


library = Extension(
    "autograd.replay.table",
    ["autograd/replay/table.c"],
    export_symbols=["run_rows", "limits"],
    libraries=[] if sys.platform == "win32" else ["m"],  # of floating-point flags
    optional=True,  # a failure is a warning
)
setup(ext_modules=[library], cmdclass={"build_ext": BuildLibrary, "bdist_wheel": Wheel})
