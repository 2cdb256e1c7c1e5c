"""Every public name has an example in its docstring, and every example of the library does what it says."""

import doctest
import importlib
import inspect
import pkgutil
import types

import numpy as np
import pytest

import autograd
import nn
import optim
from autograd import bptt, graph, linalg

PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (autograd, graph, bptt, linalg, nn, optim)
    for name in dict.fromkeys([*module.__all__, *(autograd.ops.__all__ if module is autograd else ())])
    if not isinstance(getattr(module, name), types.ModuleType)
}
MODULES = [
    name
    for package in (autograd, nn, optim)
    for _, name, _ in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]
FINDER = doctest.DocTestFinder(exclude_empty=True)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_name_has_an_example(name):
    """But for exceptions, which the functions show that raise them."""
    found = PUBLIC[name]
    is_exception = inspect.isclass(found) and issubclass(found, Exception)
    assert is_exception or ">>> " in (found.__doc__ or ""), f"{name} needs two to five lines of example"


@pytest.mark.parametrize("name", MODULES)
def test_examples_do_what_they_say(name, tmp_path, monkeypatch):
    """Each in a namespace of its own, with the library's names at hand, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    names = {"np": np, "ag": autograd, "nn": nn, "optim": optim, "graph": graph, "bptt": bptt}
    for test in FINDER.find(module, extraglobs={**names, "Variable": autograd.Variable}):
        nn.manual_seed(0)
        with np.printoptions(precision=4, suppress=True):
            out = []
            results = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(
                test, out=out.append
            )
            assert not results.failed, "".join(out)
