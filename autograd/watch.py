"""Watching a backward pass: the gradient at every node, and of a shared leaf use by use.

`backward` adds up all contributions to a weight; a recurrent weight is used at every time step, and the
sum no longer tells where in time it came from. A `watch` sees the contributions one by one.
"""

from typing import Any, NamedTuple

import numpy as np

from .core import Function, Slot, Variable, plain
from .modes import instrumented


class Use(NamedTuple):
    """One use of a leaf: where it happened, by which operation, and what it contributed."""

    scope: str
    step: int | None
    op: str
    number: int  # of the node: uses in the order of the forward pass
    grad: np.ndarray


class watch(instrumented):
    """Records what flows while it is entered: ``with watch() as w: loss.backward()``.

    Contributions are computed one by one instead of being joined, so the pass is slower.
    """

    __slots__ = ("_gradients", "_uses")

    def __init__(self) -> None:
        super().__init__(self)
        self._gradients: dict[int, tuple[Any, ...]] = {}
        self._uses: dict[Variable, list[Use]] = {}

    def forward(self, node: Function, inputs: Any, outputs: Any) -> None:
        """Nothing to record on the way forward."""

    def backward(self, node: Function, gys: tuple[Any, ...], gxs: list[Any]) -> None:
        """Called by the walk for every node: gradients of its outputs, contributions to its inputs."""
        self._gradients[node.number] = tuple([_array(g) for g in gys])
        for edge, g in zip(node.edges or (), gxs, strict=True):
            if g is not None and isinstance(edge, Variable):
                use = Use(node.place.scope, node.place.step, node.label, node.number, _array(g))
                self._uses.setdefault(edge, []).append(use)

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
        node, k = (edge.node, edge.k) if isinstance(edge, Slot) else (edge, 0)
        if not isinstance(node, Function):
            raise ValueError("gradient expected a computed Variable: for a leaf see uses(leaf) or leaf.grad")
        return self._gradients[node.number][k] if node.number in self._gradients else None


def _array(g: Any) -> np.ndarray:
    return np.asarray(plain(g))
