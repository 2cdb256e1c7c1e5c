"""MyGrad, in an environment of its own."""

import platform
from importlib.metadata import version

import mygrad as mg
import numpy as np
from mygrad.nnet.activations import sigmoid

from benchmarks.cases import PARAMETERS, Arrays, Case, Task


def start(threads: int) -> dict[str, str]:
    mg.turn_memory_guarding_off()  # checks that slow it down; its documentation says so
    return {"mygrad": version("mygrad"), "NumPy": np.__version__, "Python": platform.python_version()}


def lstm(parameters: dict[str, mg.Tensor], x: np.ndarray) -> mg.Tensor:
    w_ih, w_hh, b_ih, b_hh = (parameters[name] for name in PARAMETERS)
    w_x, w_h, bias = w_ih.T, w_hh.T, b_ih + b_hh
    H = w_hh.shape[1]
    h = c = mg.tensor(np.zeros((x.shape[1], H), x.dtype), constant=True)
    outputs = []
    for x_t in x:
        a = mg.matmul(x_t, w_x) + mg.matmul(h, w_h) + bias
        i, f, g, o = (a[:, k * H : (k + 1) * H] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * mg.tanh(g)
        h = sigmoid(o) * mg.tanh(c)
        outputs.append(h)
    return mg.stack(outputs)


def build(variant: str, case: Case, arrays: Arrays) -> Task:
    if case.kind == "chain":
        return chain(case, arrays)
    parameters = {name: mg.tensor(arrays[name]) for name in PARAMETERS}
    x, gy = arrays["x"], arrays["gy"]
    if case.kind == "inference":

        def infer() -> mg.Tensor:
            with mg.no_autodiff:
                return lstm(parameters, x)

        return Task(infer, lambda: {"y": infer().data})

    def step() -> None:
        for p in parameters.values():
            p.null_grad()
        lstm(parameters, x).backward(gy)

    def results() -> Arrays:
        step()
        return {name: p.grad for name, p in parameters.items()}

    return Task(step, results)


def chain(case: Case, arrays: Arrays) -> Task:
    a, b = mg.tensor(arrays["a"]), mg.tensor(arrays["b"])
    length = case.size[0]

    def step() -> None:
        a.null_grad()
        b.null_grad()
        y = a * b
        for _ in range(length // 2):
            y = y * a + b
        y.backward()

    def results() -> Arrays:
        step()
        return {"a": a.grad, "b": b.grad}

    return Task(step, results, calls=max(1, 1000 // length))
