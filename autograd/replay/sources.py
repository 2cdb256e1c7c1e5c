"""The things that a function reads beside its arguments: leaves, modules, names around it, random numbers.

While a function is recorded, the engine tells a `Sources` of every leaf that is an operand, `Variable.data`
tells it of every other look at the numbers of a leaf, and a module of its own call. The numbers may change
from replay to replay. The rest must stay: the same objects, and arrays in the same memory.
"""

from __future__ import annotations

import dis
import gc
import random
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from copy import copy
from functools import partial
from itertools import chain, compress, starmap
from operator import setitem
from pickle import dumps  # to compare: states hold arrays
from types import CellType, CodeType
from typing import Any
from weakref import ref

import numpy as np

from ..core import Array, Variable, ndarray, next_number
from ..modes import local
from .traced import CaptureError, Tree, flat, untraced

RUNS = 8  # runs of a function until all that it reads is known


class Sources:
    """Everything that ``fn`` reads: noted while ``fn`` runs inside `reading`, complete after `settle`."""

    put_back: Callable[[], object] = tuple  # does nothing, as long as nothing is substituted

    def __init__(self, fn: Callable[..., Any], given: Tree):
        self.name, inner = named(fn), getattr(fn, "__func__", fn)
        self.first = next_number()  # nodes with smaller numbers were made before
        self.noted: dict[int, ref[Variable]] = {}  # weakly, as the function itself makes most of them
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
        """Call ``run(*args)`` and note what it reads; in modes of its own, so that an interrupt leaves none
        behind."""
        outer = local.thread
        try:
            local.thread = copy(outer)
            local.thread.reads = self
            return run(*args)
        finally:
            local.thread = outer

    def leaf(self, x: Variable) -> None:
        """Note that the function looks at the numbers of ``x``."""
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
        """Note that the function looks at ``x.grad``, or sets it."""
        if x in self.leaves:
            raise CaptureError(
                f"{self.name} uses the grad of a leaf: capture goes back by itself, so leave zero_grad(),"
                " backward() and the optimizer outside"
            )
        if x.is_leaf:
            self.noted[id(x)] = ref(x)

    def modules(self, objects: Iterable[Any]) -> None:
        """Note that the function uses the attributes of these objects."""
        self.objects |= {id(x): x for x in objects if isinstance(getattr(x, "__dict__", None), dict)}

    # -- afterwards

    def settle(self, more: Iterable[Variable] = ()) -> bool:
        """Collect the noted leaves that still live, ``more``, and the arrays of objects. Is any new?"""
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

    def substitute(self, watch: Callable[[Array], Array], watch_state: Callable[[Array], Array]) -> None:
        """Put ``watch(array)`` in the place of the array of every leaf, and ``watch_state(array)`` in that of
        the arrays of objects, until `put_back` is called."""
        leaves = [(leaf, "_data", a) for leaf, a in self.leaves.items()]
        # one call of C, which no KeyboardInterrupt can leave half done
        self.put_back = partial(deque, chain(starmap(setattr, leaves), starmap(setitem, self.attributes)), 0)
        for leaf, _, a in leaves:
            leaf._data = watch(a)
        for of, name, a in self.attributes:
            of[name] = watch_state(a)

    def check_substitutes(self, states: Container[int]) -> None:
        """Raise if the function put another array in the place of one that it reads, unless it is
        one of ``states``, by id."""
        if any(layout(untraced(leaf._data)) != layout(a) for leaf, a in self.leaves.items()):
            raise CaptureError(f"{self.name} replaces the data of a leaf: do that outside of it")
        for of, name, a in self.attributes:
            now = of.get(name)
            if id(now) in states:
                continue
            if not isinstance(now, ndarray) or layout(untraced(now)) != layout(a):
                raise CaptureError(f"{self.name} replaces the array {name} of a module: do that outside")

    def remember(self) -> None:
        """Keep the present layouts, settings and names, for `unchanged`."""
        self.leaf_layouts = [(leaf, layout(a), leaf.requires_grad) for leaf, a in self.leaves.items()]
        self.attribute_layouts = [(of, name, layout(a)) for of, name, a in self.attributes]
        arrays = {(id(of), name) for of, name, _ in self.attributes}
        names = [(vars(x), name) for x in self.objects.values() for name in vars(x)] + self.globals
        self.settings = [(of, name, of.get(name)) for of, name in names if (id(of), name) not in arrays]
        self.closure = [(cell, contents(cell)) for cell in self.cells]
        self.sizes = [(vars(x), len(vars(x))) for x in self.objects.values()]

    def unchanged(self) -> bool:
        """Are all objects and layouts the same as at `remember`? The numbers of arrays may differ."""
        return (
            all(
                [(layout(leaf._data), leaf.requires_grad) == (a, grad) for leaf, a, grad in self.leaf_layouts]
            )
            and all([of.get(name) is value for of, name, value in self.settings])
            and all([layout(of.get(name)) == a for of, name, a in self.attribute_layouts])
            and all([contents(cell) is value for cell, value in self.closure])
            and all([len(of) == size for of, size in self.sizes])  # the first eval() adds an attribute
        )


def layout(a: object) -> tuple[Any, ...] | None:
    """Address, shape, strides and dtype of an array; None for anything else."""
    if not isinstance(a, ndarray):
        return None
    facts = a.__array_interface__
    return facts["data"][0], facts["shape"], facts["strides"], facts["typestr"]


def named(fn: object) -> str:
    return getattr(fn, "__name__", type(fn).__name__)


def contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing yet
        return None


def global_names(code: CodeType) -> set[str]:
    """The global names that ``code`` looks up, and those of the functions defined in it."""
    names = {
        line.argval for line in dis.get_instructions(code) if line.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    return names.union(*[global_names(part) for part in code.co_consts if isinstance(part, CodeType)])


# --- random numbers -----------------------------------------------------------------------------


class Draws:
    """All generators of random numbers, Python's and NumPy's, and their states at some moment."""

    def __init__(self) -> None:
        kinds = {*kinds_of(np.random.BitGenerator), *kinds_of(np.random.RandomState)}
        # other kinds, such as SystemRandom, have no state
        kinds |= {kind for kind in kinds_of(random.Random) if kind.getstate is random.Random.getstate}
        objects = gc.get_objects()  # very many: no bytecode for each
        self.generators = list(compress(objects, map(kinds.__contains__, map(type, objects))))
        self.remember()

    def remember(self) -> None:
        """Keep the present states."""
        self.states = {id(x): state_of(x) for x in self.generators}

    def since(self) -> set[int]:
        """The ids of the generators that were drawn from since `remember`."""
        return {id(x) for x in self.generators if dumps(state_of(x)) != dumps(self.states[id(x)])}

    def of(self, generators: Iterable[np.random.Generator]) -> dict[np.random.Generator, Any]:
        """The states of some generators."""
        if any(id(generator.bit_generator) not in self.states for generator in generators):
            raise CaptureError("a captured function makes a generator of random numbers: make it outside")
        return {generator: self.states[id(generator.bit_generator)] for generator in generators}


def kinds_of(kind: Any) -> Iterator[Any]:
    """A class and all its subclasses."""
    yield kind
    for below in kind.__subclasses__():
        yield from kinds_of(below)


def state_of(generator: Any) -> Any:
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, np.random.RandomState):  # it has more state than its bit generator
        return generator.get_state(legacy=False)
    return generator.state
