"""Define-and-run in seventy lines: expressions of placeholders, their gradients, a compiler.

What `examples.define_and_run` compares with define-by-run. The names are those of the books that show it.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np


class Node:
    """A place in an expression: Python text with a gap for every input. It has no value yet."""

    numbers = count()

    def __init__(self, text: str, *inputs: Any):
        self.text, self.inputs = text, [x if isinstance(x, Node) else Constant(x) for x in inputs]
        self.number = next(self.numbers)  # inputs are made before what uses them

    def __add__(self, other: Any) -> "Node":
        return Node("{} + {}", self, other)

    def __sub__(self, other: Any) -> "Node":
        return Node("{} - {}", self, other)

    def __mul__(self, other: Any) -> "Node":
        return Node("{} * {}", self, other)

    def __bool__(self) -> bool:
        raise TypeError("a placeholder has no value yet: `if` and `while` cannot look at it")


def Variable(name: str) -> Node:
    return Node(name)


def Constant(value: float) -> Node:
    return Node(repr(value))


def tanh(x: Node) -> Node:
    return Node("np.tanh({})", x)


RULES: dict[
    str, Callable[..., tuple[Node, ...]]
] = {  # from the gradient g of a result to those of its inputs
    "{} + {}": lambda g, a, b: (g, g),
    "{} - {}": lambda g, a, b: (g, g * -1.0),
    "{} * {}": lambda g, a, b: (g * b, g * a),
    "np.tanh({})": lambda g, a: (g * (Constant(1.0) - tanh(a) * tanh(a)),),
}


def needed(*ends: Node) -> list[Node]:
    """All nodes that the ends are made of, inputs first."""
    found, stack = set(), list(ends)
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack += node.inputs
    return sorted(found, key=lambda node: node.number)


def gradient(end: Node, *wrt: Node) -> list[Node]:
    """Expressions for the derivatives of the end. Nothing is computed: the graph grows."""
    sums = {end: Constant(1.0)}
    for node in reversed(needed(end)):
        if node.inputs:
            for x, g in zip(node.inputs, RULES[node.text](sums[node], *node.inputs), strict=True):
                sums[x] = sums[x] + g if x in sums else g
    return [sums[x] for x in wrt]


def compile(*ends: Node) -> Callable[..., Any]:
    """Expressions as one Python function of their placeholders; equal lines are computed once."""
    names: dict[Node, str] = {}
    lines: dict[str, str] = {}  # what is computed -> the name of the result
    for node in needed(*ends):
        text = node.text.format(*[names[x] for x in node.inputs])
        names[node] = lines.setdefault(text, f"_{len(lines)}") if node.inputs else text
    inputs = dict.fromkeys(node.text for node in names if node.text.isidentifier())
    body = [f"{name} = {text}" for text, name in lines.items()] + [
        "return " + ", ".join(names[e] for e in ends)
    ]
    source, scope = f"def run({', '.join(inputs)}):\n    " + "\n    ".join(body), {"np": np}
    exec(source, scope)
    scope["run"].__doc__ = source
    return scope["run"]
