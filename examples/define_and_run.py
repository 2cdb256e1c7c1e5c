"""Two ways to have a graph: declare it and run it later, or run and have it recorded.

    python -m examples.define_and_run            # seconds
    python -m examples.define_and_run --quick    # less than one

Define-and-run: build an expression out of placeholders, compile it, then feed it. The graph is there before
any number is, so a compiler may improve it; but Python's own `if` and `while` see placeholders and not
numbers. Define-by-run, which this library does: Python computes, and the graph is what it did (Tokui et al.
2015, "Chainer: a next-generation open source framework for deep learning"). The whole of the first way fits
below, so that the two can be compared.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import autograd as ag
from examples.shared.options import arguments

# --- define-and-run, in forty lines -------------------------------------------------------------


class Node:
    """A place in an expression: what to do, and with which other nodes. It has no value yet."""

    def __init__(self, operation: Callable[..., Any] | None, *inputs: "Node", name: str = ""):
        self.operation, self.inputs, self.name = operation, inputs, name

    def __add__(self, other: "Node") -> "Node":
        return Node(np.add, self, other)

    def __mul__(self, other: "Node") -> "Node":
        return Node(np.multiply, self, other)

    def __bool__(self) -> bool:
        raise TypeError("a placeholder has no value yet: `if` and `while` cannot look at it")


def Variable(name: str) -> Node:
    return Node(None, name=name)


def Constant(value: float) -> Node:
    return Node(lambda: value)


def compile(end: Node) -> Callable[..., Any]:
    """The expression as a function of its placeholders: sorted once, run many times."""
    order: list[Node] = []
    stack = [(end, False)]
    while stack:
        node, inputs_done = stack.pop()
        if inputs_done and node not in order:
            order.append(node)
        elif not inputs_done:
            stack += [(node, True), *((n, False) for n in node.inputs)]

    def run(**values: Any) -> Any:
        found: dict[Node, Any] = {}
        for node in order:
            inputs = [found[n] for n in node.inputs]
            found[node] = values[node.name] if node.operation is None else node.operation(*inputs)
        return found[end]

    return run


# --- what only define-by-run can say ------------------------------------------------------------


def settle(x: ag.Variable, w: ag.Variable) -> tuple[ag.Variable, int]:
    """Repeat h = tanh(w h + x) until it stands still: how often is known only by doing it."""
    h, steps = ag.tanh(x), 1
    while True:
        new = ag.tanh(w * h + x)
        steps += 1
        if abs(float(new.data - h.data)) < 1e-9:  # a plain `if`, on the number itself
            return new, steps
        h = new


def settled_slope(h: float, w: float) -> float:
    """dh/dx by implicit differentiation of h = tanh(w h + x): what the graph must come to as well."""
    inner = 1 - h * h
    return inner / (1 - w * inner)


def main(argv: list[str] | None = None) -> int:
    count = 200 if arguments(argv, "define_and_run", __doc__, quick="fewer repetitions").quick else 20_000

    a, b = Variable("a"), Variable("b")  # no numbers
    c = b * a
    d = c + Constant(1.0)
    f = compile(d)
    a_value, b_value = np.ones(10), np.ones(10) * 2
    before = f(a=a_value, b=b_value)

    x, y = ag.Variable(a_value), ag.Variable(b_value)  # numbers
    by_run = y * x + 1.0
    by_run.sum().backward()
    print(f"define-and-run  {before[:3]} ...   the graph was there first, {d.operation} was called later")
    print(f"define-by-run   {by_run.data[:3]} ...   and it already has a gradient: {x.grad.data[:3]} ...")
    print(f"largest difference {np.abs(before - by_run.data).max():.0f}")

    start = time.perf_counter()
    for _ in range(count):
        f(a=a_value, b=b_value)
    middle = time.perf_counter()
    for _ in range(count):
        y * x + 1.0
    end = time.perf_counter()
    compiled, recorded = (middle - start) / count * 1e6, (end - middle) / count * 1e6
    print(f"one run: {compiled:.1f} µs compiled, {recorded:.1f} µs recorded")

    # A loop that ends when the numbers say so. In define-and-run the `if` fails:
    try:
        if c:
            pass
    except TypeError as error:
        print(f"\ndefine-and-run with an `if`: TypeError, {error}")
    print("define-by-run with a `while`, a graph of its own for every input:")
    print("     x      w   steps        dh/dx     by implicit differentiation")
    worst = 0.0
    for x_value, w_value in [(0.1, 0.2), (0.5, 0.9), (-2.0, 0.9), (0.01, 0.99)]:
        x, w = ag.Variable(x_value), ag.Variable(w_value)
        h, steps = settle(x, w)
        h.backward()
        exact = settled_slope(float(h.data), w_value)
        worst = max(worst, abs(float(x.grad.data) - exact) / exact)
        print(f"{x_value:6} {w_value:6} {steps:7} {float(x.grad.data):12.8f} {exact:12.8f}")
    print(f"largest relative difference {worst:.0e}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
