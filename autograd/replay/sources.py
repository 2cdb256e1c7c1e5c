"""What a recorded function reads beside its arguments: leaves, modules, the names around it, random numbers.

While a function is recorded, the engine tells a `Sources` of every leaf that is an operand, `Variable.data`
of every other look at the numbers of a leaf, and a module of itself when it is called. The numbers may change
from replay to replay. What else was found must stay: the same objects, arrays in the same places.
"""

from __future__ import annotations

import dis
import gc
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from functools import partial
from itertools import chain, starmap
from operator import setitem
from pickle import dumps  # to compare: states hold arrays
from types import CellType, CodeType
from typing import Any
from weakref import ref

import numpy as np

from ..core import Variable, next_number
from ..modes import local
from .traced import Array, CaptureError, Tree, bare, flat, ndarray

RUNS = 8  # of a function until all that it reads is known


class Sources:
    """What ``fn`` reads: noted while it runs inside `reading`, complete after `settle`."""

    put_back: Callable[[], Any] = tuple  # does nothing, as long as nothing is put elsewhere

    def __init__(self, fn: Callable[..., Any], given: Tree):
        self.name, inner = named(fn), getattr(fn, "__func__", fn)
        self.first = next_number()  # nodes with smaller numbers were made before
        self.noted: dict[int, ref[Variable]] = {}  # weakly, as the function makes most of them itself
        self.objects: dict[int, Any] = {}
        self.leaves: dict[Variable, Array] = {}  # with their data
        self.runs = 0
        self.attributes: list[tuple[dict[str, Any], str, Array]] = []  # the arrays of objects
        code = getattr(inner, "__code__", None)
        self.cells = getattr(inner, "__closure__", None) or ()
        self.globals = [(inner.__globals__, name) for name in global_names(code)] if code else []
        self.modules([fn, getattr(fn, "__self__", None), *[x for x in flat(given) if callable(x)]])

    # -- while the function runs

    def reading(self, run: Callable[..., Any], *args: Any) -> Any:
        """``run(*args)``, of which this is told what it reads; in modes of its own, so that an interrupt
        cannot leave any behind."""
        outer = local.thread
        try:
            local.thread = copy(outer)
            local.thread.reads = self
            return run(*args)
        finally:
            local.thread = outer

    def leaf(self, x: Variable) -> None:
        """Somebody looks at the numbers of ``x``."""
        node = x.creator
        if node is None:
            self.noted[id(x)] = ref(x)
        elif node.number < self.first:
            raise CaptureError(
                f"{self.name} uses a result of {node.describe()}, which was computed before {self.name} was"
                " called: compute it inside, or pass it as an argument, detached"
            )

    def inputs(self, xs: Iterable[Any]) -> None:
        """An operation uses the numbers of its inputs."""
        for x in xs:
            if isinstance(x, Variable):
                self.leaf(x)

    def grad(self, x: Variable) -> None:
        """Somebody looks at ``x.grad``, or sets it."""
        if x in self.leaves:
            raise CaptureError(
                f"{self.name} uses the grad of a leaf: capture goes back by itself, so leave zero_grad(),"
                " backward() and the optimizer outside"
            )
        if x.is_leaf:
            self.noted[id(x)] = ref(x)

    def modules(self, objects: Iterable[Any]) -> None:
        """Somebody uses what these objects have in their attributes."""
        self.objects |= {id(x): x for x in objects if isinstance(getattr(x, "__dict__", None), dict)}

    # -- afterwards

    def settle(self, more: Iterable[Variable] = ()) -> bool:
        """Take up what was noted: living leaves and ``more``, arrays of objects. Is any of it new?"""
        self.runs += 1
        if self.runs > RUNS:
            raise CaptureError(f"{self.name} makes a leaf at every call, which outlives it: make it outside")
        before = len(self.leaves), len(self.attributes)
        noted = [x for x in [reference() for reference in self.noted.values()] if x is not None]
        for x in [*noted, *more]:
            self.leaves.setdefault(x, x._data)
        self.attributes = [
            (vars(x), name, value)
            for x in self.objects.values()
            for name, value in vars(x).items()
            if type(value) is ndarray and not value.dtype.hasobject
        ]
        return (len(self.leaves), len(self.attributes)) != before

    def substitute(self, watch: Callable[[Array], Any]) -> None:
        """Put ``watch(array)`` in the place of every array that is read, until `put_back` is called."""
        leaves = [(leaf, "_data", a) for leaf, a in self.leaves.items()]
        # One call of C, which no KeyboardInterrupt can leave half done.
        self.put_back = partial(deque, chain(starmap(setattr, leaves), starmap(setitem, self.attributes)), 0)
        for leaf, _, a in leaves:
            leaf._data = watch(a)
        for of, name, a in self.attributes:
            of[name] = watch(a)

    def check_substitutes(self) -> None:
        """Raise if the function has put something else in the place of an array."""
        if any(layout(bare(leaf._data)) != layout(a) for leaf, a in self.leaves.items()):
            raise CaptureError(f"{self.name} replaces the data of a leaf: do that outside of it")
        for of, name, a in self.attributes:
            now = of.get(name)
            if not isinstance(now, ndarray) or layout(bare(now)) != layout(a):
                raise CaptureError(f"{self.name} replaces the array {name} of a module: do that outside")

    def remember(self) -> None:
        """Note how everything is now, for `unchanged`."""
        self.layouts = [(leaf, layout(a), leaf.requires_grad) for leaf, a in self.leaves.items()]
        self.places = [(of, name, layout(a)) for of, name, a in self.attributes]
        arrays = {(id(of), name) for of, name, _ in self.attributes}
        names = [(vars(x), name) for x in self.objects.values() for name in vars(x)] + self.globals
        self.settings = [(of, name, of.get(name)) for of, name in names if (id(of), name) not in arrays]
        self.closure = [(cell, contents(cell)) for cell in self.cells]

    def unchanged(self) -> bool:
        """Is everything where and what it was? The numbers of arrays may differ."""
        return (
            all([(layout(leaf._data), leaf.requires_grad) == (a, grad) for leaf, a, grad in self.layouts])
            and all([of.get(name) is value for of, name, value in self.settings])
            and all([layout(of.get(name)) == a for of, name, a in self.places])
            and all([contents(cell) is value for cell, value in self.closure])
        )


def layout(a: Any) -> Any:
    """Where in memory the elements of ``a`` are, and what they are; None if it is no array."""
    if not isinstance(a, ndarray):
        return None
    facts = a.__array_interface__
    return facts["data"][0], facts["shape"], facts["strides"], facts["typestr"]


def named(fn: Any) -> str:
    return getattr(fn, "__name__", type(fn).__name__)


def contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing yet
        return None


def global_names(code: CodeType) -> set[str]:
    """The global names that ``code`` looks up, also in the functions defined in it."""
    names = {
        line.argval for line in dis.get_instructions(code) if line.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    return names.union(*[global_names(part) for part in code.co_consts if isinstance(part, CodeType)])


# --- random numbers -----------------------------------------------------------------------------


class Draws:
    """All generators of random numbers, Python's and NumPy's, and their states at some moment."""

    def __init__(self) -> None:
        kinds = {*kinds_of(np.random.BitGenerator), *kinds_of(np.random.RandomState)}
        # others, such as SystemRandom, have no state
        kinds |= {kind for kind in kinds_of(random.Random) if kind.getstate is random.Random.getstate}
        self.generators = [x for x in gc.get_objects() if type(x) in kinds]
        self.remember()

    def remember(self) -> None:
        """Note the states as they are now."""
        self.states = {id(x): state_of(x) for x in self.generators}

    def since(self) -> set[int]:
        """What has been drawn from since, by id."""
        return {id(x) for x in self.generators if dumps(state_of(x)) != dumps(self.states[id(x)])}

    def of(self, generators: Iterable[np.random.Generator]) -> dict[np.random.Generator, Any]:
        """The states of some generators."""
        if any(id(generator.bit_generator) not in self.states for generator in generators):
            raise CaptureError("a captured function makes a generator of random numbers: make it outside")
        return {generator: self.states[id(generator.bit_generator)] for generator in generators}


def kinds_of(kind: Any) -> Iterator[Any]:
    yield kind
    for below in kind.__subclasses__():
        yield from kinds_of(below)


def state_of(generator: Any) -> Any:
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, np.random.RandomState):  # more than that of its bit generator
        return generator.get_state(legacy=False)
    return generator.state
