"""A recorded graph as equations, and its gradient as equations: `formula`."""

import ast
from typing import Any

from ...core import Variable
from ..reading import Reading, results_of
from .folding import Equation, Folding, as_they_are
from .recorded import Recorded
from .rules import FUNCTIONS
from .system import System
from .writing import Writer

__all__ = ["FUNCTIONS", "Equation", "Formula", "formula"]


class Formula:
    """Equations of a graph, in LaTeX, as text, and as Python.

    Attributes:
        equations: in the order in which they are written.
        sources: the Function (with the number of its output) or leaf behind each name in `code`; for a name
            with steps, a dict of these.
        settings: what `code` names besides: indices, and operations that have no notation.

    >>> x = Variable([0.0, 1.0], name="x")
    >>> y = graph.formula(ag.exp(x), wrt=x)
    >>> y.lines
    ['y = \\\\exp\\\\left(x\\\\right)', '\\\\bar{x} = \\\\bar{y} \\\\odot y']
    >>> y.code
    ['y = exp(x)', 'g_x = g_y * y']
    """

    def __init__(self, equations: list[Equation], system: System):
        self.equations, self.sources = equations, system.sources
        self.settings = dict(system.settings)
        self._symbols = dict(system.symbols)
        self._upper = self._clash()

    def _clash(self) -> bool:
        """Would a name be taken for a step of another one, as h₀ for the first h?"""
        write = Writer(self._symbols, self.settings, False)
        seen: set[str] = set()
        for ident, source in self.sources.items():
            if self._symbols[ident].name == "0":
                continue
            for step in source if isinstance(source, dict) else [None]:
                name = write.symbol(ident, "" if step is None else str(step))
                if name in seen:
                    return True
                seen.add(name)
        return False

    def _rows(self, latex: bool) -> list[tuple[str, str, str]]:
        """Left and right sides, and what is said behind."""
        write = Writer(self._symbols, self.settings, latex, self._upper)
        rows = []
        for equation in self.equations:
            behind = [write.steps(equation.steps)] if equation.steps is not None else []
            if equation.note:
                behind.append(rf"\text{{{_escaped(equation.note)}}}" if latex else f"({equation.note})")
            rows.append(
                (write(equation.target), write(equation.tree), (r",\quad " if latex else "  ").join(behind))
            )
        return rows

    @property
    def lines(self) -> list[str]:
        """Every equation in LaTeX."""
        return [f"{a} = {b}" + (rf"\qquad {c}" if c else "") for a, b, c in self._rows(True)]

    @property
    def latex(self) -> str:
        """All equations in LaTeX, one below the other, for a place where mathematics may stand."""
        rows = [f"{a} &= {b}" + (f" && {c}" if c else "") for a, b, c in self._rows(True)]
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"

    @property
    def text(self) -> str:
        """All equations as text; g stands for the gradient of what follows it."""
        rows = self._rows(False)
        width = max([len(a) for a, _, _ in rows], default=0)
        return "\n".join([f"{a:>{width}} = {b}" + (f"    {c}" if c else "") for a, b, c in rows])

    @property
    def code(self) -> list[str]:
        """Every equation in Python: NumPy's names and those of `FUNCTIONS`; g_h is the gradient of h."""
        found = []
        for e in self.equations:
            steps = f"  # for t in {ast.unparse(e.steps)}" if e.steps is not None else ""
            found.append(f"{ast.unparse(e.target)} = {ast.unparse(e.tree)}{steps}")
        return found

    def _repr_latex_(self) -> str:
        return f"$$\n{self.latex}\n$$"

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Formula of {len(self.equations)} equations>"


def formula(y: Any, *, wrt: Any = None, params: Any = None, fold: bool = False) -> Formula:
    """The equations that compute ``y``, and with ``wrt`` those of its gradient, as they were recorded.

    Args:
        y: a Variable; without ``wrt`` also Variables in lists, tuples and dicts, as for `draw`.
        wrt: the Variable, or a list of those, whose gradients are asked for, leaves or not. A gradient is
            the sum of what all uses give to it, and stands below those that it is made of: the equations
            follow the backward pass.
        params: names for leaves, as for `draw`.
        fold: write what is the same in every step once, with t. Values and gradients of steps that do not
            exist are 0; [t = 9] is 1 in that step, and else 0.

    Values are called by their names, by gates, and else by free letters. Steps stand below, or above in
    parentheses where a name such as h₀ would be taken for one of them. x with a step is a part of x.

    >>> W, h = Variable([[0.5]], name="W"), Variable([[1.0]], requires_grad=False, name="s")
    >>> for t in range(9):
    ...     h = ag.tanh(h @ W)
    >>> print(graph.formula(h.sum(), wrt=W, fold=True))
    h₋₁ = s
     zₜ = hₜ₋₁ W    t = 0, …, 8
     hₜ = tanh(zₜ)    t = 0, …, 8
      y = Σ h₈
     gy = 1
    ghₜ = [t = 8] gy 𝟏 + gzₜ₊₁ Wᵀ    t = 0, …, 8
    gzₜ = ghₜ ∘ (1 − hₜ²)    t = 0, …, 8
     gW = Σₜ hₜ₋₁ᵀ gzₜ

    Raises:
        TypeError: ``y`` or ``wrt`` is no Variable.
        ValueError: ``y`` does not depend on ``wrt``, or a checkpoint hides what it computed.
    """
    reading = Reading(results_of(y)).join_sums()
    wanted = [] if wrt is None else _wanted(reading, y, wrt)
    system = System(Recorded(reading, wanted), params)
    if fold:
        folding = Folding(system)
        equations = folding.equations(system.forward) + folding.equations(system.backward)
    else:
        equations = as_they_are([*system.forward, *system.backward])
    return Formula(equations, system)


def _wanted(reading: Reading, y: Any, wrt: Any) -> list[Any]:
    """The values whose gradients are asked for."""
    given = list(wrt) if isinstance(wrt, list | tuple) else [wrt]
    if not isinstance(y, Variable):
        raise TypeError(f"formula expected a Variable with wrt=, got {type(y).__name__}: give one result")
    for v in given:
        if not isinstance(v, Variable):
            raise TypeError(
                f"formula expected wrt to be a Variable or a list of those, got {type(v).__name__}"
            )
    for node in reading.nodes:
        if node.has_hidden_inputs:
            raise ValueError(
                f"formula cannot see what is inside of {node.describe()}: run the forward pass without"
                " checkpoint"
            )
    behind = {source for sources in reading.sources.values() for source in sources}
    behind |= {reading.source_of(v) for _, v in reading.results}
    wanted = [reading.source_of(v) for v in given]
    for v, value in zip(given, wanted, strict=True):
        if value not in behind or not v.requires_grad:
            raise ValueError(
                f"formula found no {v.name or 'such Variable'} {v.shape} behind y: expected wrt to be what y"
                " was computed from, and to require grad"
            )
    return wanted


def _escaped(text: str) -> str:
    for c in "\\{}$&#_%^~":
        text = text.replace(c, " " if c in "\\{}$~" else f"\\{c}")
    return text
