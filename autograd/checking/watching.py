"""Watching a backward pass: the gradient at every node, and what flows over every edge.

`backward` adds up all contributions to a value; a recurrent weight is used at every time step, and the
sum no longer tells where in time it came from. A `watch` sees the contributions one by one.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from ..core import SCALARS, Constant, Function, Variable, data_of, source
from ..modes import instrumented


class Use(NamedTuple):
    """One use of a leaf: where it happened, by which operation, and what it contributed.

    >>> h, w = Variable(1.0), Variable(0.5)
    >>> with ag.watch() as seen:
    ...     for t in range(3):
    ...         with ag.step(t):
    ...             h = h * w
    ...     h.backward()
    >>> [(use.op, use.step, float(use.grad)) for use in seen.uses(w)]
    [('Mul', 0, 0.25), ('Mul', 1, 0.25), ('Mul', 2, 0.25)]
    """

    scope: str
    step: int | None
    op: str
    number: int  # of the node: uses in the order of the forward pass
    grad: np.ndarray


class Flaw(NamedTuple):
    """NaN or infinity in the values of an operation or leaf, or in the gradients that it gives.

    >>> with np.errstate(divide="ignore"), ag.watch() as seen:
    ...     y = ag.log(Variable([0.0, 1.0]))
    >>> seen.flaws(y.creator)
    (Flaw(kind='inf', backward=False, born=True),)
    """

    kind: Literal["NaN", "inf"]
    backward: bool  # in gradients?
    born: bool  # did it come into being here, from finite numbers? Else it was passed on


class watch(instrumented):
    """Records what flows while it is entered: ``with watch() as w: loss.backward()``.

    Contributions are computed one by one instead of being joined, so the pass is slower. Those of
    several passes add up, as gradients of leaves do. Entered before the forward pass, it notes where
    values stop being finite as well.

    >>> w = Variable(2.0)
    >>> with ag.watch() as seen:
    ...     (w * w * w).backward()
    >>> [float(use.grad) for use in seen.uses(w)], w.grad.item()
    ([4.0, 4.0, 4.0], 12.0)
    """

    __slots__ = ("_flaws", "_given", "_gradients", "_uses")

    def __init__(self) -> None:
        super().__init__(self)
        self._gradients: dict[int, tuple[Any, ...]] = {}  # received, by number of the node
        self._given: dict[int, tuple[Any, ...]] = {}
        self._uses: dict[Variable, list[Use]] = {}
        self._flaws: dict[Any, dict[bool, Flaw]] = {}  # by number of the node, or by leaf

    def __enter__(self) -> "watch":
        super().__enter__()
        return self

    def forward(self, node: Function, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Called for every recorded call: note where NaN and infinity come into the values."""
        if (kind := _flaw_in(outputs)) is None:
            return
        arrived = False
        for edge, x in zip(node.edges, inputs, strict=True):
            if edge.__class__ not in SCALARS and (before := _flaw_in([x])) is not None:
                arrived = True
                if isinstance(edge, Variable | Constant):
                    self._flaws.setdefault(edge, {})[False] = Flaw(before, False, True)
        self._flaws.setdefault(node.number, {})[False] = Flaw(kind, False, not arrived)

    def backward(self, node: Function, gys: tuple[Any, ...], gxs: list[Any]) -> None:
        """Called by the walk for every node: gradients of its outputs, contributions to its inputs."""
        received, given = [_array(g) for g in gys], [None if g is None else _array(g) for g in gxs]
        for i, edge in enumerate(node.edges):
            if (g := given[i]) is not None and isinstance(edge, Variable):
                given[i] = g = g.copy()  # the array itself may become leaf.grad, which is the user's
                use = Use(node.place.scope, node.place.step, node.label, node.number, g)
                self._uses.setdefault(edge, []).append(use)
        if (kind := _flaw_in(given)) is not None:
            arrived = _flaw_in(received) or _flaw_in(node.saved or ())
            self._flaws.setdefault(node.number, {})[True] = Flaw(kind, True, arrived is None)
        for kept, arrays in ((self._gradients, received), (self._given, given)):
            before = kept.get(node.number)
            kept[node.number] = tuple(arrays if before is None else map(_sum, before, arrays))

    def uses(self, leaf: Variable) -> list[Use]:
        """The uses of ``leaf`` in the order of the forward pass; their gradients sum to ``leaf.grad``."""
        return sorted(self._uses.get(leaf, []), key=lambda use: use.number)

    def gradient(self, of: Variable | Function) -> np.ndarray | None:
        """The gradient that arrived at a computed Variable, or at a node; None if none did.

        For a node with several outputs, a tuple.
        """
        if isinstance(of, Function):
            gys = self._gradients.get(of.number)
            return None if gys is None else gys[0] if len(gys) == 1 else gys  # type: ignore[return-value]
        edge = of._edge
        node, k = source(edge)
        if not isinstance(node, Function):
            raise ValueError("gradient expected a computed Variable: for a leaf see uses(leaf) or leaf.grad")
        return self._gradients[node.number][k] if node.number in self._gradients else None

    def contribution(self, node: Function, i: int) -> np.ndarray | None:
        """The gradient that ``node`` gave to its input ``i``; None if it gave none, as to a constant.

        All contributions to a value add up to its gradient.
        """
        given = self._given.get(node.number)
        return None if given is None else given[i]

    def flaws(self, of: Function | Variable | Constant) -> tuple[Flaw, ...]:
        """NaN and infinity at a node, a leaf or a constant: in its values, and in what it gives back.

        Values are known if the watch was entered before the forward pass. A gradient that is not
        finite counts as born where the gradient that arrived and all saved values were finite.
        """
        return tuple(self._flaws.get(of.number if isinstance(of, Function) else of, {}).values())


def _array(g: Any) -> np.ndarray:
    return np.asarray(data_of(g))


def _sum(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else a + b


def _flaw_in(values: Iterable[Any]) -> Literal["NaN", "inf"] | None:
    """NaN or inf, if the values are not all finite; NaN if there are both."""
    found: Literal["NaN", "inf"] | None = None
    for value in values:
        if value.__class__ is tuple:  # the outputs of one node
            kind = _flaw_in(value)
        elif getattr(data_of(value), "dtype", np.dtype(int)).kind != "f" or np.isfinite(data_of(value)).all():
            continue
        else:
            kind = "NaN" if np.isnan(data_of(value)).any() else "inf"
        if kind == "NaN":
            return kind
        found = kind or found
    return found
