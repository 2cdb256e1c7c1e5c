"""Two ways to have a graph: declare it and run it later, or run and have it recorded.

    python -m examples.define_and_run            # seconds
    python -m examples.define_and_run --quick    # less than one

Define-and-run: build an expression out of placeholders, compile it, then feed it. The graph is there before
any number is: its gradient is one more expression, and the compiler computes nothing twice. But Python's own
`if` and `while` see placeholders, not numbers. Define-by-run, which this library does: Python computes, and
the graph is what it did (Tokui et al. 2015, "Chainer: a next-generation open source framework for deep
learning"). The whole of the first way, with its gradients, is the seventy lines of shared/declared.py.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import autograd as ag
from examples.shared.declared import Constant, Variable, compile, gradient, tanh
from examples.shared.measure import Figures, report
from examples.shared.options import arguments


def settle(x: Any, w: Any) -> tuple[Any, int]:
    """Repeat h = tanh(w h + x) until it stands still: how often is known only by doing it."""
    h, steps, before = ag.tanh(x), 1, np.inf
    while abs(h.item() - before) >= 1e-9:  # a plain `while`, on the number itself
        h, steps, before = ag.tanh(w * h + x), steps + 1, h.item()
    return h, steps


def repeat(tanh: Callable[[Any], Any], x: Any, w: Any, steps: int = 20) -> Any:
    """A fixed number of steps, which both ways can say."""
    h = tanh(x)
    for _ in range(steps - 1):
        h = tanh(w * h + x)
    return h


def settled_slope(h: float, w: float) -> float:
    """dh/dx by implicit differentiation of h = tanh(w h + x): what the graph must come to as well."""
    return (1 - h * h) / (1 - w * (1 - h * h))


def main(argv: list[str] | None = None) -> Figures:
    times = 30 if arguments(argv, "define_and_run", __doc__, quick="fewer repetitions").quick else 1000
    a, b = Variable("a"), Variable("b")  # no numbers
    c = b * a
    d = c + Constant(1)
    f = compile(d, *gradient(d, a, b))
    u, v = np.ones(10), np.ones(10) * 2  # numbers
    x, y = ag.Variable(u), ag.Variable(v)
    by_run = y * x + 1
    by_run.sum().backward()
    same = all(map(np.array_equal, f(a=u, b=v), (by_run.data, x.grad.data, y.grad.data)))
    print(f"b * a + 1 and its gradient, compiled:\n\n{f.__doc__}\n\nequal to define-by-run: {same}")
    try:
        if c:
            pass
    except TypeError as error:
        print(f"define-and-run with an `if`: TypeError, {error}\n")

    declared = compile(h := repeat(tanh, a, b), *gradient(h, a))
    print("µs for twenty steps and their slope      of one number   of 100,000 numbers")
    x, w = ag.Variable(0.5), ag.Variable(0.9, requires_grad=False)
    ways: dict[str, Callable[[], Any]] = {
        "define-and-run": lambda: declared(a=x.data, b=w.data),
        "define-by-run": lambda: ag.grad(repeat(ag.tanh, x, w).sum(), x),
        "define-by-run, recorded once (capture)": ag.capture(lambda: repeat(ag.tanh, x, w).sum()),
    }
    for name, way in ways.items():
        spent = []
        for x.data, loops in ((np.array(0.5), times), (np.linspace(0, 1, 100_000), times // 30)):
            way()
            start = time.perf_counter()
            for _ in range(loops):
                way()
            spent.append((time.perf_counter() - start) / loops * 1e6)
        print("{:40}{:14.1f}{:21.1f}".format(name, *spent))

    print("\na loop until it stands still; what is declared has a fixed length of 20 steps")
    slopes: Figures = {"steps": {}, "dh/dx": {}, "define-by-run": {}, "define-and-run": {}}
    for x_value, w_value in [(0.1, 0.2), (0.5, 0.9), (-2.0, 0.9), (0.01, 0.99)]:
        h, steps = settle(x := ag.Variable(x_value), w_value)
        found = ag.grad(h, x).item(), float(declared(a=x_value, b=w_value)[1])
        values = steps, settled_slope(h.item(), w_value), *found
        for column, value in zip(slopes.values(), values, strict=True):
            column[f"x = {x_value}, w = {w_value}"] = value
    return report("h = tanh(w h + x)", slopes)


if __name__ == "__main__":
    main()
