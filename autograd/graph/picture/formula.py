"""What an operation of several operands computes, in the letters at hand: + h Wᵀ, (1−z)·n + z·h."""

from itertools import combinations, pairwise
from typing import Any

from ...core import SCALARS, Constant, Function, Variable
from ...ops import elementwise, shape
from ...ops.conv import Conv
from ...ops.linalg import AddMM, Linear
from ..fold import Fold
from ..reading import Item, Reading
from .names import Names

FORMULAS = AddMM, Conv, elementwise.Lerp, Linear
LONGEST = 4  # letters; a longer name of an operand is not written into a formula
LINE = 10  # letters; a longer formula is broken where arrows are to stay short
MOST_LINES = 3


def formula(node: Function, reading: Reading | Fold, names: Names) -> str:
    """The label of one of the `FORMULAS`."""
    fold = reading if isinstance(reading, Fold) else None
    base = fold.reading if fold else reading
    sources = iter(base.sources[node])  # the inputs of the node itself, not of all that it stands for
    operands: list[Any] = [f"{e:g}" if e.__class__ in SCALARS else next(sources) for e in node.edges]

    def letter(i: int, otherwise: str) -> str:
        operand = operands[i]
        if isinstance(operand, str):
            return operand
        item, k = operand
        own = names.of(item, k)
        if own == "0" or (not own and _is_delayed(item, node, fold)):  # a state, or where it starts
            return "h"
        return (own if _is_letter(own) else "") or names.gate(item, k) or otherwise

    def weight(i: int, transposed: bool = False) -> str:
        item, _ = operands[i]
        while isinstance(item, shape.Transpose | shape.Contiguous) and base.sources.get(item):
            transposed ^= isinstance(item, shape.Transpose)
            ((item, _),) = base.sources[item]
        own = names.short(item) if isinstance(item, Variable) else ""
        return (own if _is_letter(own) else "W") + "ᵀ" * transposed

    if isinstance(node, AddMM):
        return f"+ {letter(1, 'x')} {weight(2)}"
    if isinstance(node, Linear):
        return f"{letter(0, 'x')} {weight(1, True)}" + (f" + {letter(2, 'b')}" if operands[2:] else "")
    if isinstance(node, elementwise.Lerp):
        w = letter(2, "w")
        return f"(1−{w})·{letter(0, 'a')} + {w}·{letter(1, 'b')}"
    if len(operands) < 3:
        return node.symbol
    bias = operands[2][0]
    while isinstance(bias, Function) and base.sources[bias]:
        bias = base.sources[bias][0][0]
    if names.is_parameter(bias):
        return f"{letter(0, 'x')} ⋆ {weight(1)} + {letter(2, 'b')}"
    return f"+ {letter(0, 'x')} ⋆ {weight(1)}"


def _is_letter(name: str) -> bool:
    """May a name stand in a formula?"""
    return 0 < len(name) <= LONGEST and name.isprintable() and " " not in name and name != "bias"


def _is_delayed(item: Item, node: Function, fold: Fold | None) -> bool:
    """Does an operand come from another step than the operation?"""
    if isinstance(item, Constant):
        return item.origin is not None and item.origin[2].step != node.place.step
    if not isinstance(item, Function):
        return False
    if fold is not None and (fold.delay(item, node) or 0) > 0:
        return True
    return None not in (item.place.step, node.place.step) and item.place.step != node.place.step


def in_lines(text: str) -> list[str]:
    """A formula in so few lines of about one length that they are short, broken before operators.

    >>> from autograd.graph.picture.formula import in_lines
    >>> in_lines("da = dh ∘ (1 − h²)")
    ['da = dh', '∘ (1 − h²)']
    """
    parts, lines = _unbroken(text), [text]
    short = max([LINE, *map(len, parts)])
    for n in range(2, min(MOST_LINES, len(parts)) + 1):
        if max(map(len, lines)) <= short:
            break
        every = [[0, *cuts, len(parts)] for cuts in combinations(range(1, len(parts)), n - 1)]
        broken = [[" ".join(parts[i:j]) for i, j in pairwise(cuts)] for cuts in every]
        lines = min(broken, key=lambda own: sum([len(line) ** 3 for line in own]))
    return lines


def _unbroken(text: str) -> list[str]:
    """The parts of a formula between which a line may end: before operators, after commas."""
    depth, parts, start = 0, [], 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if c == " " and not depth and (text[i + 1] in "∘+−=" or text[i - 1] == ","):
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]
