"""Equations: every line that is printed holds, with the values that were recorded and the gradients that flowed.

Nothing is parsed: what is printed and what is evaluated here come from one expression.
"""

import ast
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose

import autograd as ag
import nn
from autograd import Function, Parameter, Variable, graph
from autograd.core import Constant
from autograd.graph.equations import FUNCTIONS
from autograd.graph.equations.rules import SETTINGS, TABLE
from autograd.modes import instrumented
from tests.cases import conv_cases  # noqa: F401  (adds its rows to the table)
from tests.cases.op_cases import CASES


class Values:
    """An instrument that keeps what went into every operation and what came out."""

    def __init__(self):
        self.of_node, self.of_constant = {}, {}

    def forward(self, node, inputs, outputs):
        self.of_node[node.number] = outputs
        for edge, x in zip(node.edges, inputs, strict=True):
            if isinstance(edge, Constant):
                self.of_constant[id(edge)] = x

    def backward(self, node, gys, gxs):
        pass

    def __getitem__(self, source):
        item, k = source
        if isinstance(item, Function):
            return self.of_node[item.number][k]
        if isinstance(item, Constant):
            if item.origin is not None and item.origin[0] in self.of_node:
                return self.of_node[item.origin[0]][item.origin[1]]
            return self.of_constant[id(item)]
        return item.data


class Series(dict):
    """Values by step; those of other steps are 0, or what they are said to be."""

    def __init__(self, values, fill):
        super().__init__(values)
        self.fill = np.full_like(next(iter(values.values())), fill)

    def __missing__(self, step):
        return self.fill


def holds(formula, values, watch=None, leaves=(), rtol=1e-9):
    """Evaluate every equation in turn; returns how many single equations held."""
    known = {**FUNCTIONS, **SETTINGS, **formula.settings}
    for name, source in formula.sources.items():
        if isinstance(source, dict):
            known[name] = Series({t: values[s] for t, s in source.items()}, 1.0)
        else:
            known[name] = values[source]
    gradients = {id(leaf): leaf.grad.data for leaf in leaves}

    def gradient(source):
        item, k = source
        if isinstance(item, Function):
            g = watch.gradient(item)
            return None if g is None else g[k] if isinstance(g, tuple) else g
        return gradients.get(id(item))

    if watch is not None:
        for name, source in formula.sources.items():
            if isinstance(source, dict):
                found = {t: g for t, s in source.items() if (g := gradient(s)) is not None}
                if found:
                    known[f"g_{name}"] = Series(found, 0.0)
            elif (g := gradient(source)) is not None:
                known[f"g_{name}"] = g
    count = 0
    for equation in formula.equations:
        target, tree = ast.unparse(equation.target), ast.unparse(equation.tree)
        steps = [None] if equation.steps is None else eval(ast.unparse(equation.steps))
        for t in steps:
            got = np.asarray(eval(tree, {**known, "t": t}))
            name, _, rest = target.partition("[")
            if rest and int(eval(rest[:-1], {"t": t})) not in known[name]:  # what h was before the loop
                known[name][eval(rest[:-1], {"t": t})] = got
                continue
            expected = np.asarray(eval(target, {**known, "t": t}))
            if got.shape != expected.shape:  # a number where an array has the same number everywhere
                assert got.size == 1, f"{target} = {tree}"
            scale = np.abs(expected).max(initial=0.0)
            assert_allclose(
                got, expected + 0 * got, rtol, rtol * scale, err_msg=f"{target} = {tree}, t = {t}"
            )
            count += 1
    return count


def checked(f, *arrays, params=None, fold=False, names="abcdef", gradients=True, **more):
    """The equations of a function of arrays, after all of them were found to hold."""
    xs = [Parameter(a, name=name) for a, name in zip(arrays, names, strict=False)]
    return check(lambda: f(*xs), xs, fold=fold, params=params, **more)


def check(f, leaves, fold=False, params=None, rtol=1e-9):
    with instrumented(values := Values()):
        y = f()
    used = [x for x in leaves]
    result = graph.formula(y, wrt=used, params=params, fold=fold)
    for x in leaves:
        x.grad = None
    with ag.watch() as watch:
        ag.backward(y, np.ones_like(y.data), retain_graph=True)
    assert holds(result, values, watch, leaves, rtol) > 0
    assert holds(graph.formula(y, params=params, fold=fold), values, rtol=rtol) > 0
    assert len(result.lines) == len(result.text.splitlines()) == len(result.code)
    return result


def scalar(ys):
    """A number that depends on all of the outputs."""
    parts = [ag.sum(y * np.linspace(0.5, 1.5, y.size).reshape(y.shape)) for y in ys]
    return sum(parts[1:], parts[0])


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_every_operation_is_written_as_something_true(case):
    arrays = case.inputs()
    xs = [Parameter(a, name=f"x{i}") for i, a in enumerate(arrays)]

    def f():
        ys = case.f(*xs)
        return scalar(ys if isinstance(ys, tuple | list) else (ys,))

    result = check(f, xs, rtol=1e-7)
    assert "vjp" not in "".join(result.code)  # all have rules of their own
