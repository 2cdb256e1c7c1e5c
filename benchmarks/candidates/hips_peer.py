"""HIPS autograd, whose import name is ours too: it runs in an environment of its own."""

import platform
from importlib.metadata import version
from typing import Any

import autograd.numpy as np
import numpy

from autograd import make_vjp
from benchmarks.cases import GATES, PARAMETERS, Arrays, Case, Task


def start(threads: int) -> dict[str, str]:
    return {"autograd": version("autograd"), "NumPy": numpy.__version__, "Python": platform.python_version()}


def sigmoid(x: Any) -> Any:
    return 0.5 * np.tanh(0.5 * x) + 0.5


def lstm(parameters: Any, x: Any) -> Any:
    w_ih, w_hh, b_ih, b_hh = parameters
    w_x, w_h, bias = w_ih.T, w_hh.T, b_ih + b_hh
    h = c = numpy.zeros((x.shape[1], w_hh.shape[1]), x.dtype)
    outputs = []
    for x_t in x:
        i, f, g, o = np.split(np.dot(x_t, w_x) + np.dot(h, w_h) + bias, GATES["LSTM"], axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs)


def build(variant: str, case: Case, arrays: Arrays) -> Task:
    if case.kind == "chain":
        return chain(case, arrays)
    parameters = tuple(arrays[name] for name in PARAMETERS)
    x, gy = arrays["x"], arrays["gy"]
    if case.kind == "inference":
        return Task(lambda: lstm(parameters, x), lambda: {"y": lstm(parameters, x)})
    vjp_of = make_vjp(lambda p: lstm(p, x))

    def step() -> Any:
        vjp, _ = vjp_of(parameters)
        return vjp(gy)

    return Task(step, lambda: dict(zip(PARAMETERS, step(), strict=True)))


def chain(case: Case, arrays: Arrays) -> Task:
    length = case.size[0]

    def forward(p: Any) -> Any:
        a, b = p
        y = a * b
        for _ in range(length // 2):
            y = y * a + b
        return y

    vjp_of = make_vjp(forward)
    given, one = (arrays["a"], arrays["b"]), numpy.ones((), numpy.float32)

    def step() -> Any:
        vjp, _ = vjp_of(given)
        return vjp(one)

    return Task(step, lambda: dict(zip("ab", step(), strict=True)), calls=max(1, 1000 // length))
