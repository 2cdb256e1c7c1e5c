"""The two halves of a graph: Variable, an array that remembers, and Function, one operation.

Calling a Function on Variables computes arrays and, on the way, leaves a node behind: the Function
instance itself, with edges to what it was called on. The way back over the nodes is in `engine`,
the operations are in `autograd.ops`, the operators of Variable in `autograd.operators`; this file
knows none of them.

Ownership points one way. A Variable refers to the node that made it, a node to its parents, and
nothing refers forward, so there are no cycles and a graph is freed with its last Variable:

    Variable ──▶ Function ──▶ Function ──▶ Variable (a leaf)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, count
from operator import attrgetter
from threading import RLock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Union
from weakref import ref

import numpy as np

from .modes import Place, local

if TYPE_CHECKING:
    from .operators import Methods as _Methods
else:
    _Methods = object  # operators.py adds its methods when the package is imported

ndarray = np.ndarray
Array = np.ndarray  # or an array of another type that implements NumPy's dispatch protocols
Value = Union["Variable", Array]  # the result of an operation: an array if no operand is a Variable
Plain = Array | np.generic | float | Sequence[Any]  # an operand that is no Variable
Operand = Union["Variable", Plain]


# --- what a graph is made of --------------------------------------------------------------------

Origin = tuple[int, int, Place]  # of a detached value: the number of the node, which output, the place


class Annotations:
    """Everything that a user attached to one Variable: a name, hooks, a gradient to keep, a cut; its origin.

    ``part`` is which part of a loop's state it is, which loops under `stepwise` note for drawings.

    A leaf owns its annotations. Those of any other Variable live on the node, per output, so that they are
    there when the walk comes by, long after the Variable itself is gone. Only attaching something makes
    them: looking leaves no trace.
    """

    __slots__ = ("cut", "grad", "hooks", "name", "origin", "part", "retain")

    def __init__(self) -> None:
        self.name: str | None = None
        self.grad: Variable | None = None
        self.hooks: dict[int, Callable[[Variable], Any]] = {}
        self.part: str | None = None
        self.retain = self.cut = False
        self.origin: Origin | None = None


class Hook:
    """A registered hook, as `Variable.register_hook` returns it; `remove` takes the hook away again."""

    __slots__ = ("_hooks", "_number")

    def __init__(self, hooks: dict[int, Callable[[Variable], Any]], number: int):
        self._hooks, self._number = hooks, number

    def remove(self) -> None:
        """Call the hook no more."""
        self._hooks.pop(self._number, None)


class Slot(NamedTuple):
    """Output ``k`` of a node with several outputs; an edge to it."""

    node: Function
    k: int


def source(edge: Any) -> tuple[Any, int]:
    """Where an edge leads: to (node, which output), or to (a leaf or a constant, 0)."""
    return edge if edge.__class__ is Slot else (edge, 0)


class Constant:
    """An edge that ends at something without a gradient; holds its description, not its array."""

    __slots__ = ("dtype", "name", "origin", "shape")

    def __init__(self, name: str | None, shape: tuple[int, ...], dtype: Any, origin: Origin | None = None):
        self.name, self.shape, self.dtype, self.origin = name, shape, dtype, origin


UNTRACKED = Constant(None, (), None)  # the edge of an untracked Variable until it is first used


class Variable(_Methods):
    """An array that remembers how it was computed.

    ``Variable(data)`` is a leaf: operations on it are recorded, and ``backward()`` on a result puts
    the gradient into ``grad``. Anything that is not a Variable is a constant to the operations.

    Args:
        data: an array (kept, not copied) or anything ``numpy.asarray`` takes.
        requires_grad: record operations? By default yes for floating-point data; integers and
            bools have no gradient, and asking for one is a TypeError.
        name: a label for drawings and error messages.

    >>> x = Variable([1.0, 2.0, 3.0], name="x")
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> y.item(), x.grad.data
    (14.0, array([2., 4., 6.]))
    """

    __slots__ = ("__weakref__", "_data", "_edge", "_annotations", "_views_of")
    # _edge tells the three kinds apart. None: a leaf that tracks. Constant: a leaf that does not.
    # Function or Slot: the result of an operation. Only leaves fill _annotations. _views_of are the leaves
    # that track in whose memory this array lies, as that of W.T lies in W's.

    _data: Array
    _edge: Function | Slot | Constant | None
    _annotations: Annotations | None
    _views_of: tuple[Variable, ...]

    def __init__(self, data: Any, requires_grad: bool | None = None, name: str | None = None):
        if isinstance(data, Variable):
            raise TypeError("Variable expected an array, got a Variable: use it as it is, or x.detach()")
        self._data = array(data)
        self._edge = UNTRACKED
        self._annotations = None
        self._views_of = ()
        if requires_grad is None:
            requires_grad = self._data.dtype.kind == "f"
        if requires_grad:
            self.requires_grad = True
        if name is not None:
            self.name = name

    # -- the array

    @property
    def data(self) -> Array:
        """The array itself; writing into it is not recorded."""
        if (reads := local.thread.reads) is not None:
            reads.leaf(self)
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        # The identity of a leaf's array is its version: a fresh view is a new version, so that
        # backward notices ``p.data += 1`` as well as ``p.data = other`` (see Function.values).
        value = array(value)
        if self._edge is None and value.dtype.kind != "f":
            raise TypeError(f"the data of a leaf that tracks must be floating-point, got {value.dtype}")
        self._data = value[...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def dtype(self) -> Any:
        return self._data.dtype

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        return self._data.size

    def item(self) -> Any:
        """The value of a one-element Variable as a Python number."""
        return self.data.item()

    # -- the graph

    @property
    def creator(self) -> Function | None:
        """The Function that computed this Variable; None for a leaf."""
        node, _ = source(self._edge)
        return node if isinstance(node, Function) else None

    @property
    def is_leaf(self) -> bool:
        return self._edge is None or isinstance(self._edge, Constant)

    @property
    def requires_grad(self) -> bool:
        return not isinstance(self._edge, Constant)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not self.is_leaf:
            raise RuntimeError(
                "requires_grad of a computed Variable cannot be set: use y.detach() for a copy that"
                " does not track, or y.unchain() to cut the graph at y"
            )
        if value and self._data.dtype.kind != "f":
            raise TypeError(
                f"only floating-point Variables have gradients, got {self._data.dtype}:"
                " convert the data (x.astype(np.float32)) or drop requires_grad"
            )
        self._edge = None if value else UNTRACKED

    def annotate(self) -> Annotations:
        """What users attached to this Variable, to attach more; made on first use."""
        node, k = source(self._edge)
        if isinstance(node, Function):
            return node.annotate(k)
        if self._annotations is None:
            with annotating:  # another thread may be at it too
                self._annotations = self._annotations or Annotations()
        return self._annotations

    def annotated(self) -> Annotations | None:
        """What users attached to this Variable, if anything, to look at."""
        node, k = source(self._edge)
        return node.annotations.get(k) if isinstance(node, Function) else self._annotations

    @property
    def name(self) -> str | None:
        """A label for drawings and error messages."""
        notes = self.annotated()
        return None if notes is None else notes.name

    @name.setter
    def name(self, value: str | None) -> None:
        self.annotate().name = value

    @property
    def grad(self) -> Variable | None:
        """The gradient summed by all ``backward`` calls so far; on leaves and after `retain_grad`."""
        if (reads := local.thread.reads) is not None:
            reads.grad(self)
        notes = self.annotated()
        return None if notes is None else notes.grad

    @grad.setter
    def grad(self, value: Variable | None) -> None:
        if (reads := local.thread.reads) is not None:
            reads.grad(self)
        if value is not None:
            if not isinstance(value, Variable):
                raise TypeError(f"grad expected a Variable or None, got {type(value).__name__}")
            if value.shape != self.shape:
                raise ValueError(f"grad expected shape {self.shape}, got {value.shape}")
        self.annotate().grad = value

    def retain_grad(self) -> None:
        """Keep the gradient of this intermediate in ``grad`` as if it were a leaf."""
        self._need_graph("retain_grad")
        self.annotate().retain = True

    def register_hook(self, hook: Callable[[Variable], Any]) -> Hook:
        """Call ``hook(gradient)`` once per backward pass, on the finished sum.

        A hook may return a Variable or array to go on with instead; what it gets is no other gradient's
        memory. ``remove()`` on what is returned here takes the hook away again.

        Raises:
            TypeError: ``hook`` cannot be called.
            RuntimeError: this Variable does not require grad.
        """
        self._need_graph("register_hook")
        if not callable(hook):
            got = type(hook).__name__
            raise TypeError(f"register_hook on {self.name or 'x'} expected a function, got {got}")
        hooks, number = self.annotate().hooks, next(_numbers)
        hooks[number] = hook
        return Hook(hooks, number)

    def _need_graph(self, what: str) -> None:
        if not self.requires_grad:
            raise RuntimeError(f"{what} on a Variable that does not require grad: it gets no gradient")

    def detach(self) -> Variable:
        """The same array as a new Variable outside the graph."""
        y = untracked(self.data)
        y._views_of = lying_in(y._data, owners([self]))
        if origin := self._origin():
            y.annotate().origin = origin
        return y

    def _origin(self) -> Origin | None:
        """What computed this value, if anything did."""
        node, k = source(self._edge)
        if isinstance(node, Function):
            return node.number, k, node.place
        return None if self._annotations is None else self._annotations.origin

    def unchain(self) -> None:
        """Cut the graph here, in place: nothing flows back through this Variable any more.

        Later results that were already computed from it stay in their graph; `backward` from them
        stops here. Other outputs of the same Function are not affected.
        """
        node, k = source(self._edge)
        if not isinstance(node, Function):
            self._edge = UNTRACKED
            return
        name, origin = self.name, self._origin()
        node.cut(k)
        self._edge, self._annotations = UNTRACKED, None
        self.name = name
        self.annotate().origin = origin

    # -- what Python needs to know

    __hash__ = object.__hash__  # identity, although == compares elements

    def __len__(self) -> int:
        if self._data.ndim == 0:
            raise TypeError("len() of a 0-d Variable")
        return len(self._data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if self.requires_grad:
            raise TypeError(
                "a Variable that requires grad would lose its graph as an array:"
                " use x.data or x.detach(), or an operation of autograd or NumPy on x itself"
            )
        return np.array(self.data, dtype=dtype, copy=copy)

    def __copy__(self) -> Variable:
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict[int, Any]) -> Variable:
        copied: Variable = type(self).__new__(type(self))
        copied.__setstate__(self.__getstate__())
        copied._data = self.data.copy()
        memo[id(self)] = copied
        return copied

    def __getstate__(self) -> tuple[Array, bool, str | None]:
        if not self.is_leaf:
            raise TypeError("a computed Variable cannot be copied or pickled: use x.detach()")
        return self.data, self.requires_grad, self.name

    def __setstate__(self, state: tuple[Array, bool, str | None]) -> None:
        Variable.__init__(self, *state)

    def __repr__(self) -> str:
        prefix = f"{type(self).__name__}("
        text = np.array2string(np.asarray(self.data), separator=", ", prefix=prefix)
        notes = [f"dtype={self.dtype}"] if self.dtype != np.float64 else []
        if self.name:
            notes.append(f"name={self.name!r}")
        if self.creator is not None:
            notes.append(f"creator={self.creator.label}")
        elif not self.requires_grad:
            notes.append("requires_grad=False")
        return prefix + ", ".join([text, *notes]) + ")"


class Parameter(Variable):
    """A leaf that a module owns and an optimizer updates; otherwise a Variable like any other.

    >>> layer = nn.Linear(3, 2)
    >>> isinstance(layer.weight, ag.Parameter), layer.weight.shape
    (True, (2, 3))
    """

    __slots__ = ()


class Function:
    """One operation, and one node of the graph once it was called.

    A subclass writes ``forward(self, a, b, ...)`` on arrays and, below it, ``backward(self, gy, ...)``:
    from the gradient of the output to one gradient per input (None where there is none). The
    argument names of ``backward`` say what is kept alive for it: ``y`` is the output, a name of
    ``forward``'s an input, ``*xs`` all inputs, and a name annotated in the class body an array that
    ``forward`` put on ``self``, a constant such as a mask. Settings go to ``__init__``.

    ``backward`` is written in plain NumPy. A first-order pass calls it with arrays. Under
    ``create_graph=True`` the same lines get Variables and record the pass. So it never writes into
    what it is given. With several outputs, ``gy`` and ``y`` are tuples.

    ``symbol`` is what a drawing shows, ``rule`` the local derivative as a reader would write it.
    ``broadcasts = True`` lets the walk sum a gradient back to the shape of a broadcast input.

    >>> class Cube(ag.Function):
    ...     def forward(self, x):
    ...         return x * x * x
    ...     def backward(self, gy, x):
    ...         return 3.0 * gy * x * x
    >>> x = Variable(2.0)
    >>> y = Cube()(x)
    >>> y, ag.grad(y, x).item()
    (Variable(8., creator=Cube), 12.0)
    """

    symbol = ""
    rule = ""
    broadcasts = False
    has_hidden_inputs = False  # may depend on leaves that are not among its inputs, as `checkpoint` does

    # The node. A call fills these in; the class attributes mean "not called yet".
    number = -1  # the order of calls, over all threads
    place: Place  # where in the model it was called
    edges: tuple[Any, ...] = ()  # one per input: Function, Slot, leaf, Constant or scalar
    saved: tuple[Any, ...] | None = None  # the arrays that backward asks for; None again after release
    leaves: Mapping[Variable, Any] = MappingProxyType({})  # those in whose memory saved arrays lie, with
    # weak references to their data at the call
    multi_output = False  # is the output a tuple?
    out_shape: Any  # the shape of the output; a tuple of shapes where there are several outputs
    out_dtype: Any
    annotations: Mapping[int, Annotations] = MappingProxyType({})  # by output

    # The signature of ``backward``, read once per class.
    _names: tuple[str, ...] = ()  # the names of its arguments after gy, "*" for all inputs
    _saved_inputs: tuple[tuple[int, int], ...] = ()
    _pick: Callable[..., tuple[Any, ...]]

    forward: Callable[..., Any]
    backward: Callable[..., Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "forward") and hasattr(cls, "backward"):
            _read_signatures(cls)

    def __call__(self, *inputs: Any) -> Any:
        if self.number >= 0:
            raise RuntimeError(f"{self.label} was called twice: make a new instance for every call")
        thread = local.thread
        arrays, edges, tracked, near = read(inputs, thread.recording, self.has_hidden_inputs)
        if edges is None:
            return self.forward(*map(plain_operand, inputs))  # without a Variable, this is NumPy
        if thread.reads is not None:
            thread.reads.inputs(inputs)
        try:
            y = self.forward(*arrays) if thread.meter is None else thread.meter.forward(self, arrays)
        except Exception as error:
            error.add_note(f"in {self.describe(arrays, thread.place)}")
            raise
        if y.__class__ is not ndarray:
            y = tuple(map(asarray, y)) if y.__class__ is tuple else asarray(y)
        if tracked and thread.recording:
            out = self._record(y, arrays, edges, thread.place)
        else:
            out = untracked(y) if y.__class__ is not tuple else tuple(map(untracked, y))
        if near:
            self._note_views(near, out)
        if thread.instruments and self.number >= 0:
            for instrument in thread.instruments:
                instrument.forward(self, arrays, y if self.multi_output else (y,))
        return out

    def _record(self, y: Any, arrays: list[Any], edges: list[Any], place: Place) -> Any:
        """Become a node of the graph and return the result as Variables that refer to it. Integers and bools
        have no gradient: such outputs are untracked, and without any other there is no node."""
        if y.__class__ is not tuple:
            if y.dtype.kind != "f":
                return untracked(y)
            self.out_shape, self.out_dtype = y.shape, y.dtype
            out: Any = computed(y, self)
        else:
            floating = [part.dtype.kind == "f" for part in y]
            if y and not any(floating):
                return tuple(map(untracked, y))
            self.multi_output = True
            self.out_shape, self.out_dtype = tuple(map(_shape, y)), tuple(map(_dtype, y))
            out = [computed(part, _slot(Slot, (self, k))) for k, part in enumerate(y)]
            if not all(floating):
                out = [x if f else untracked(x._data) for x, f in zip(out, floating, strict=True)]
            out = tuple(out)
        self.saved = self._pick(self, y, arrays)
        self.edges = tuple(edges)
        self.number = next_number()
        self.place = place
        return out

    def _note_views(self, near: Iterable[Variable], out: Any) -> None:
        """Note in which leaves' memory the results and the saved arrays lie: a leaf's data may change."""
        owning = owners(near)
        for part in out if out.__class__ is tuple else (out,):
            part._views_of = lying_in(part._data, owning)
        if self.saved:
            arrays = (*self.saved[0], *self.saved[1:]) if self.saved[0].__class__ is tuple else self.saved
            self.leaves = {leaf: ref(leaf._data) for a in arrays for leaf in lying_in(a, owning)}

    # -- of a node, for the walk and for those who read graphs

    @property
    def label(self) -> str:
        return type(self).__name__

    def describe(self, arrays: Iterable[Any] = (), place: Place | None = None) -> str:
        """Who and where, for error messages: ``MatMul(shapes (2, 3), (4, 5)) at encoder step 3``."""
        if self.number >= 0:
            shapes = ", ".join(str(edge_type(e)[0]) for e in self.edges)
        else:
            shapes = ", ".join(str(np.shape(a)) for a in arrays)
        return f"{self.label}(shapes {shapes}) at {self.place if place is None else place}"

    def needs(self, i: int) -> bool:
        """Does input ``i`` want a gradient? Lets ``backward`` skip an expensive one."""
        return self.edges[i].__class__ not in CONSTANTS

    def annotate(self, k: int) -> Annotations:
        """What users attached to output ``k``, to attach more; made on first use."""
        with annotating:
            if not isinstance(self.annotations, dict):
                self.annotations = {}
            return self.annotations.setdefault(k, Annotations())

    def name_of(self, k: int) -> str | None:
        """The name that a user gave to output ``k``."""
        notes = self.annotations.get(k)
        return None if notes is None else notes.name

    def is_cut(self, k: int) -> bool:
        """Do gradients stop at output ``k``?"""
        notes = self.annotations.get(k)
        return notes is not None and notes.cut

    def cut(self, k: int) -> None:
        """Stop gradients at output ``k``; a node with all outputs cut lets go of its inputs."""
        self.annotate(k).cut = True
        outputs = sum(dtype.kind == "f" for dtype in self.out_dtype) if self.multi_output else 1
        if sum(notes.cut for notes in self.annotations.values()) == outputs:
            self.edges, self.saved = (), ()

    def values(self) -> tuple[Any, ...]:
        """The arrays that ``backward`` asked for, checked to be those that ``forward`` saw."""
        saved = self.saved
        if saved is None:
            raise RuntimeError(
                f"a second backward pass through {self.describe()}: the first one released the saved"
                " arrays. Pass retain_graph=True to the first, or compute the result again"
            )
        for leaf in self.leaves:
            if leaf._data is not self.leaves[leaf]():
                used = "it" if any([edge is leaf for edge in self.edges]) else "a view of it"
                raise RuntimeError(
                    f"the data of leaf {leaf.name or '(unnamed)'} {leaf.shape} was replaced or changed"
                    f" after {self.describe()} used {used}: call backward first, or compute the result again"
                )
        return saved

    def values_as_variables(self) -> tuple[Any, ...]:
        """The same as Variables, connected as the originals were, for a pass that is recorded."""
        values = list(self.values())
        for position, i in self.saved_inputs():
            edge = self.edges[i]
            if isinstance(edge, Variable):
                values[position] = edge
            elif isinstance(edge, (Function, Slot)):
                values[position] = computed(values[position], edge)
        if self._names[:1] == ("y",):
            y = values[0]
            if self.multi_output:
                parts = [computed(a, Slot(self, k)) if a.dtype.kind == "f" else a for k, a in enumerate(y)]
                values[0] = tuple(parts)
            else:
                values[0] = computed(y, self)
        owning = owners(self.leaves)
        for value in chain(*[value if value.__class__ is tuple else (value,) for value in values]):
            if isinstance(value, Variable) and value._edge is not None:
                value._views_of = lying_in(value._data, owning)
        return tuple(values)

    def saved_inputs(self) -> Iterable[tuple[int, int]]:
        """Pairs (position in ``saved``, number of the input)."""
        if not self._names or self._names[-1] != "*":
            return self._saved_inputs
        first = len(self._names) - 1
        return [(first + i, i) for i in range(len(self.edges))]


def read(inputs: tuple[Any, ...], recording: bool, hidden: bool) -> tuple[list[Any], Any, bool, Any]:
    """Split the inputs of a call into arrays for ``forward`` and edges to them; say whether a gradient is
    wanted, and which inputs are leaves or views of leaves. There are no edges if no input is a Variable."""
    arrays: list[Any] = []
    edges: list[Any] = []
    near_leaves: tuple[Variable, ...] = ()
    any_variable = tracked = hidden
    for x in inputs:
        if isinstance(x, Variable):
            any_variable = True
            arrays.append(x._data)
            edge: Any = x._edge
            if edge is None:  # a leaf that tracks is an edge itself
                edge, tracked = x, True
                near_leaves += (x,)
            elif edge.__class__ is not Constant:
                tracked = True
            elif edge is UNTRACKED and recording:
                edge = x._edge = Constant(x.name, x._data.shape, x._data.dtype, x._origin())
            edges.append(edge)
            if x._views_of:
                near_leaves += (x,)
        else:
            arrays.append(x)
            edges.append(None)
    if not any_variable:
        return arrays, None, False, ()
    for i, edge in enumerate(edges):
        if edge is None:  # an array or a number
            arrays[i], edges[i] = constant_edge(arrays[i])
    return arrays, edges, tracked, near_leaves


_numbers = count()
next_number = _numbers.__next__
annotating = RLock()  # held for the moment in which something is attached to a Variable
SCALARS = (float, int, bool)
CONSTANTS = frozenset([Constant, *SCALARS])  # the classes of edges that end without a gradient


def _read_signatures(cls: type[Function]) -> None:
    """Read which arguments ``cls.backward`` has and make the function that picks them."""
    inputs = list(inspect.signature(cls.forward).parameters.values())[1:]
    asked = list(inspect.signature(cls.backward).parameters.values())[1:]
    names = [p.name for p in inputs]
    annotated = {name for base in cls.__mro__ for name in inspect.get_annotations(base)}
    annotated -= set(Function.__annotations__)
    if "y" in names or "gy" in names:
        raise TypeError(f"{cls.__name__}.forward: y and gy mean the output; rename the input")
    if not asked or asked[0].name != "gy":
        raise TypeError(f"{cls.__name__}.backward: after self, the first argument must be gy")
    asked_names = ["*" if p.kind is p.VAR_POSITIONAL else p.name for p in asked[1:]]
    for position, name in enumerate(asked_names):
        if not (name in names or name in annotated or name == "*" or (name == "y" and position == 0)):
            raise TypeError(
                f"{cls.__name__}.backward asks for {name!r}: expected y (first), *xs, an input of"
                f" forward ({', '.join(names)}) or an array annotated in the class body"
            )
    cls._names = tuple(asked_names)
    cls._saved_inputs = tuple(
        (position, names.index(n)) for position, n in enumerate(asked_names) if n in names
    )
    cls._pick = staticmethod(_picker(names, asked_names))


def _picker(names: list[str], asked: list[str]) -> Callable[..., tuple[Any, ...]]:
    """A function of (node, y, inputs of forward) that takes the arrays for which backward asks."""
    if not asked:
        return lambda node, y, xs: ()
    if asked == ["y"]:
        return lambda node, y, xs: (y,)
    if asked in (names, ["*"]):
        return lambda node, y, xs: tuple(xs)
    place = {"y": 0, **{name: i for i, name in enumerate(names, 1)}}

    def pick(node: Function, y: Any, xs: list[Any]) -> tuple[Any, ...]:
        values = (y, *xs)  # arrays that forward put on the node leave it with the rest that is saved
        named = [values[place[n]] if n in place else node.__dict__.pop(n) for n in asked if n != "*"]
        return (*named, *xs) if asked[-1] == "*" else tuple(named)

    return pick


# --- arrays in and out --------------------------------------------------------------------------


def isarray(x: Any) -> bool:
    """Is ``x`` an array already (NumPy's or one that speaks its protocol)? Scalars are not.

    >>> from autograd.extend import isarray
    >>> isarray(np.ones(2)), isarray(1.0), isarray(Variable(1.0))
    (True, False, False)
    """
    return isinstance(x, np.ndarray) or (hasattr(x, "__array_function__") and not isinstance(x, Variable))


def array(x: Any) -> Array:
    """``x`` as an array without a mask: an array as it is, anything else made one."""
    if not isarray(x):
        return np.asarray(x)
    if x.__class__ is not ndarray and hasattr(x, "mask"):
        raise TypeError(MASKED)
    return x


MASKED = (
    "masked arrays and Variables do not mix, as a gradient would lose the mask: use the array m.filled(0.0),"
    " and where(m.mask, 0.0, y) for what is to be left out"
)


def asarray(y: Any) -> Array:
    """NumPy returns scalars for 0-d results; everywhere else in the engine there are arrays."""
    return np.asarray(y) if isinstance(y, np.generic) else y


def alike(a: Array, x: Any) -> Array:
    """NumPy's array ``a``, a constant, as an array of the type of ``x``, with which it will be computed.

    >>> from autograd.extend import alike
    >>> mask = np.tri(2, dtype=bool)
    >>> alike(mask, Variable(np.ones((2, 2)))) is mask  # NumPy's are taken as they are
    True
    """
    x = x._data if isinstance(x, Variable) else x
    return a if isinstance(x, ndarray) or not isarray(x) else np.asarray(a, like=x)


def data_of(x: Any) -> Any:
    """The array of a Variable, anything else as it is.

    >>> from autograd.extend import data_of
    >>> data_of(Variable([1.0])), data_of([1.0])
    (array([1.]), [1.0])
    """
    return x.data if isinstance(x, Variable) else x


def as_array(x: Any, like: Any = None) -> Any:
    """The array of a Variable, an array as it is, and anything else made one, of the type of ``like``.

    >>> from autograd.extend import as_array
    >>> as_array(Variable([1.0])), as_array([1.0])
    (array([1.]), array([1.]))
    """
    x = data_of(x)
    return x if isarray(x) else alike(np.asarray(x), like)


def plain_operand(x: Any) -> Any:
    """An operand of a call without Variables: an array, or a Python scalar."""
    return x if x.__class__ is np.ndarray or x.__class__ in SCALARS or isarray(x) else np.asarray(x)


def constant(x: Any) -> Any:
    """An operand that is no Variable: an array, or a Python scalar, which never widens a dtype."""
    if x.__class__ in SCALARS:
        return x
    x = array(x)
    if x.dtype.kind in "cOSUMm":  # the result would have no gradient, in silence
        raise TypeError(f"expected numbers, got {x.dtype} in {x!r}")
    return x.item() if x.ndim == 0 else x


def constant_edge(x: Any) -> tuple[Any, Any]:
    """An operand that is no Variable, as ``forward`` gets it, and the edge to it."""
    x = constant(x)
    return x, x if x.__class__ in SCALARS else Constant(None, x.shape, x.dtype)


def computed(data: Array, edge: Function | Slot) -> Variable:
    y: Variable = _new(Variable)
    y._data = data
    y._edge = edge
    y._annotations = None
    y._views_of = ()
    return y


def untracked(data: Array) -> Variable:
    y: Variable = _new(Variable)
    y._data = data
    y._edge = UNTRACKED
    y._annotations = None
    y._views_of = ()
    return y


_shape, _dtype = attrgetter("shape"), attrgetter("dtype")
_new = Variable.__new__
_slot = tuple.__new__  # what Slot(node, k) does, at half the cost


def edge_type(edge: Any) -> tuple[tuple[int, ...], Any]:
    """Shape and dtype of the value that an edge leads to."""
    if edge.__class__ is Slot:
        node, k = edge
        return node.out_shape[k], node.out_dtype[k]
    if isinstance(edge, Function):
        return edge.out_shape, edge.out_dtype
    if edge.__class__ in SCALARS:
        return (), None
    return edge.shape, edge.dtype


# --- views of leaves ----------------------------------------------------------------------------

# An operation may give a view of what it was given, as W.T is one. When the data of a leaf changes, what
# is saved of its views does too, and `Function.values` has to know.


def owners(near: Iterable[Variable]) -> dict[Variable, Any]:
    """Those of some Variables that are leaves, and the leaves whose views others are, each with what owns its
    memory."""
    found: dict[Variable, Any] = {}
    for x in near:
        if x._edge is None:
            found[x] = memory(x._data)
        for leaf in x._views_of:
            found[leaf] = memory(leaf._data)
    return found


def lying_in(a: Any, owning: dict[Variable, Any]) -> tuple[Variable, ...]:
    """The leaves in whose memory an array lies."""
    owner = memory(a)
    for own in owning.values():
        if own is owner:
            break
    else:
        return ()  # nearly always
    found = [leaf for leaf, own in owning.items() if own is owner]
    return tuple(found if a.__class__ is ndarray else [x for x in found if np.may_share_memory(a, x._data)])


def memory(a: Any) -> Any:
    """What owns the memory of an array. NumPy's own ``base`` is asked, as a class of arrays may have another;
    `as_strided` puts an object with a base in between that is no array."""
    while (base := _base(a) if isinstance(a, ndarray) else getattr(a, "base", None)) is not None:
        a = base
    return a


_base = ndarray.base.__get__
