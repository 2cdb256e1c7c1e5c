"""DeZero 0.0.13, in an environment of its own with NumPy 1.23.

It cuts a Variable apart only by indexing, whose gradient is slow, so its own LSTM keeps one weight per gate
and so does this one. It has no way to put states together again; `Stack` is that, and does it a favour.
"""

import platform

import dezero.functions as F
import numpy as np
from dezero import Function, Parameter, Variable, __version__, no_grad

from benchmarks.cases import PARAMETERS, Arrays, Case, Task


def start(threads: int) -> dict[str, str]:
    return {"dezero": __version__, "NumPy": np.__version__, "Python": platform.python_version()}


class Stack(Function):
    def forward(self, *xs: np.ndarray) -> np.ndarray:
        return np.stack(xs)

    def backward(self, gy: Variable) -> tuple[Variable, ...]:
        return tuple(Variable(g) for g in gy.data)


def build(variant: str, case: Case, arrays: Arrays) -> Task:
    if case.kind == "chain":
        return chain(case, arrays)
    _, B, _, H = case.size
    w_x, w_h = (
        [Parameter(np.ascontiguousarray(w.T)) for w in np.split(arrays[name], 4)]
        for name in ("weight_ih", "weight_hh")
    )
    biases = [Parameter(b) for b in np.split(arrays["bias_ih"] + arrays["bias_hh"], 4)]
    parameters = [*w_x, *w_h, *biases]
    x, gy = arrays["x"], Variable(arrays["gy"])

    def forward() -> Variable:
        h = c = Variable(np.zeros((B, H), np.float32))
        outputs = []
        for x_t in x:
            a = [F.linear(x_t, wx, b) + F.matmul(h, wh) for wx, wh, b in zip(w_x, w_h, biases, strict=True)]
            i, f, g, o = F.sigmoid(a[0]), F.sigmoid(a[1]), F.tanh(a[2]), F.sigmoid(a[3])
            c = f * c + i * g
            h = o * F.tanh(c)
            outputs.append(h)
        return Stack()(*outputs)

    if case.kind == "inference":

        def infer() -> Variable:
            with no_grad():
                return forward()

        return Task(infer, lambda: {"y": infer().data})

    def step() -> None:
        for p in parameters:
            p.cleargrad()
        y = forward()
        y.grad = gy
        y.backward()

    def results() -> Arrays:
        step()
        g = [p.grad.data for p in parameters]
        bias = np.concatenate(g[8:])
        joined = np.concatenate([w.T for w in g[:4]]), np.concatenate([w.T for w in g[4:8]]), bias, bias
        return dict(zip(PARAMETERS, joined, strict=True))

    return Task(step, results)


def chain(case: Case, arrays: Arrays) -> Task:
    a, b = Variable(arrays["a"]), Variable(arrays["b"])
    length = case.size[0]

    def step() -> None:
        a.cleargrad()
        b.cleargrad()
        y = a * b
        for _ in range(length // 2):
            y = y * a + b
        y.backward()

    def results() -> Arrays:
        step()
        return {"a": a.grad.data, "b": b.grad.data}

    return Task(step, results, calls=max(1, 1000 // length))
