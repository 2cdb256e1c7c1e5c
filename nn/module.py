"""Module: a tree of parameters with names. No layer lives here.

The attributes themselves are the tree: a walk over them, in the order of assignment, finds parameters,
buffers and modules, in lists, tuples and dicts as well. Names are PyTorch's dotted paths. A module may
hold a module that holds it: no walk goes up again from there.
"""

from collections.abc import Callable, Iterator, Mapping
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, Self, TypeVar, overload

import numpy as np
from numpy.typing import DTypeLike

from autograd import Parameter, Variable, scope
from autograd.extend import Array, Operand, Value, alike, as_array, hint, isarray, recorder, to_host

from .functional import data_of

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class HasForward(Protocol[P, R]):
    """A module as `Module.__call__` uses it: a type checker reads arguments and result off ``forward``."""

    _name: str
    _hooks: "tuple[ForwardHook, ...]"

    def forward(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def modules(self) -> "Iterator[Module]": ...


class ForwardHook:
    """A registered hook, as `Module.register_forward_hook` returns it; `remove` takes the hook away again."""

    def __init__(self, module: "Module", hook: Callable[[Any, Any, Any], Any]):
        self.module, self.hook = module, hook

    def remove(self) -> None:
        """Call the hook no more."""
        left = tuple([hook for hook in self.module._hooks if hook is not self])
        object.__setattr__(self.module, "_hooks", left)


class Module:
    """Base of all layers and models: assign parameters and modules in ``__init__``, write ``forward``.

    ``training`` says whether layers like Dropout act; `train` and `eval` set it for the whole tree.
    A name that holds a Parameter takes another Parameter or None, and nothing else: that is a TypeError.

    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         self.layers = [nn.Linear(2, 3), nn.Linear(3, 1)]
    ...
    ...     def forward(self, x):
    ...         return self.layers[1](ag.tanh(self.layers[0](x)))
    >>> [name for name, _ in Net().named_parameters()]
    ['layers.0.weight', 'layers.0.bias', 'layers.1.weight', 'layers.1.bias']
    >>> Net()(np.ones((4, 2), "f")).shape
    (4, 1)
    """

    training: bool = True
    _name: str = ""  # the attribute under which the parent holds this module
    _buffers: tuple[str, ...] = ()
    _passing: tuple[str, ...] = ()  # those of them that are in no state dict
    _hooks: tuple[ForwardHook, ...] = ()

    def _no_forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward method")

    forward: Callable[..., Any] = _no_forward

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(vars(self).get(name), Parameter) and not isinstance(value, Parameter | None):
            raise TypeError(_LOST.format(f"{type(self).__name__}.{name}", type(value).__name__, f"m.{name}"))
        _learn_names(name, value)
        object.__setattr__(self, name, value)

    def __call__(self: HasForward[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        if (reads := recorder()) is not None:
            reads.modules(self.modules())
        if not self._name:  # the root of the tree adds nothing to the path
            y = self.forward(*args, **kwargs)
        else:
            with scope(self._name):
                y = self.forward(*args, **kwargs)
        for hook in self._hooks:
            new = hook.hook(self, args, y)
            y = y if new is None else new
        return y

    def register_forward_hook(self, hook: Callable[[Any, Any, Any], Any]) -> ForwardHook:
        """Call ``hook(module, args, result)`` after every call of this module.

        What a hook returns, unless it is None, takes the place of the result. ``remove()`` on what comes back
        from here takes the hook away again. A loop over time calls the ``step`` of a cell, not the cell.

        >>> layer, sizes = nn.Linear(2, 3), []
        >>> hook = layer.register_forward_hook(lambda module, args, y: sizes.append(y.shape))
        >>> _ = layer(np.ones((5, 2), "f"))
        >>> hook.remove()
        >>> sizes
        [(5, 3)]
        """
        if not callable(hook):
            who, got = type(self).__name__, type(hook).__name__
            raise TypeError(f"{who}.register_forward_hook expected a function, got {got}")
        handle = ForwardHook(self, hook)
        object.__setattr__(self, "_hooks", (*self._hooks, handle))
        return handle

    def rename(self, name: str) -> None:
        """Set the name under which this module appears in the scopes of nodes; "" adds nothing."""
        object.__setattr__(self, "_name", name)

    def register_buffer(self, name: str, value: Value | None, persistent: bool = True) -> None:
        """Make an array part of the state dict though it is not trained, such as a running mean.

        None stands for an array that is not there yet, or not kept: it is in no state dict. Nor is a buffer
        that is not ``persistent``, such as a table that ``__init__`` computes; `to_dtype` converts it.
        """
        setattr(self, name, value)
        passing = {*self._passing, name} if not persistent else {*self._passing} - {name}
        object.__setattr__(self, "_buffers", tuple(dict.fromkeys((*self._buffers, name))))
        object.__setattr__(self, "_passing", tuple(sorted(passing)))

    # -- the tree

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The modules held directly, with their names; ``layers.0`` for a module in a list or dict."""
        return ((name, value) for name, value in self._held() if isinstance(value, Module))

    def children(self) -> Iterator["Module"]:
        """The modules held directly."""
        return (m for _, m in self.named_children())

    def get_submodule(self, path: str) -> "Module":
        """The module with this path, as `named_modules` gives it; "" is this one.

        Raises:
            AttributeError: there is none.

        >>> nn.Sequential(nn.Linear(2, 3), nn.Tanh()).get_submodule("1")
        Tanh()
        """
        if not path:
            return self
        for name, child in self.named_children():
            if path == name or path.startswith(f"{name}."):
                return child.get_submodule(path[len(name) + 1 :])
        there = ", ".join([name for name, _ in self.named_children()]) or "none"
        raise AttributeError(f"{type(self).__name__} has no submodule {path!r}: those in it are {there}")

    def _held(self) -> Iterator[tuple[str, Any]]:
        """The attributes, those in lists and dicts under dotted names."""
        for name, value in vars(self).items():
            if isinstance(value, NESTS):
                yield from _flat(name, value)
            else:
                yield name, value

    def _own(self) -> Iterator[tuple[str, Any]]:
        """This module's own parameters and buffers, with their names in the state dict."""
        buffers = self._buffers
        for name, value in self._held():
            if isinstance(value, Parameter) if name not in buffers else value is not None:
                yield name, value

    def named_modules(
        self, prefix: str = "", seen: set["Module"] | None = None
    ) -> Iterator[tuple[str, "Module"]]:
        """This module and all below it, each once, with its (first) path."""
        seen = set() if seen is None else seen
        if self not in seen:
            seen.add(self)
            yield prefix, self
            for name, child in self.named_children():
                yield from child.named_modules(f"{prefix}.{name}" if prefix else name, seen)

    def modules(self) -> Iterator["Module"]:
        """This module and all below it."""
        return (m for _, m in self.named_modules())

    def _state(
        self, prefix: str = "", above: tuple["Module", ...] = ()
    ) -> Iterator[tuple[str, "Module", str, Any]]:
        """(path, owner, attribute, value) of every parameter and buffer of the tree.

        ``above`` are the modules on the path from the root to this one.
        """
        above = *above, self
        for name, value in self._own():
            yield prefix + name, self, name, value
        for name, child in self.named_children():
            if child not in above:
                yield from child._state(f"{prefix}{name}.", above)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter once, with its path; a shared one under its first."""
        seen: set[int] = set()
        for path, _, _, value in self._state():
            if isinstance(value, Parameter) and id(value) not in seen:
                seen.add(id(value))
                yield path, value

    def parameters(self) -> Iterator[Parameter]:
        """Every parameter once."""
        return (p for _, p in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Value]]:
        """Every array that is part of the state but not trained, with its path."""
        return ((path, value) for path, _, _, value in self._state() if not isinstance(value, Parameter))

    def buffers(self) -> Iterator[Value]:
        """Every array that is part of the state but not trained."""
        return (value for _, value in self.named_buffers())

    # -- state

    def state_dict(self) -> dict[str, Array]:
        """A copy of every parameter and buffer by path: plain arrays, ready for `nn.save`; those on a device
        are, after `autograd.to_host`."""
        return {path: np.copy(data_of(value)) for path, _, _, value in self._lasting()}

    def _lasting(self) -> Iterator[tuple[str, "Module", str, Any]]:
        """What of `_state` belongs into a state dict."""
        return (entry for entry in self._state() if entry[2] not in entry[1]._passing)

    def load_state_dict(self, state: Mapping[str, Operand], strict: bool = True) -> None:
        """Copy arrays into the parameters and buffers; everything is checked before anything changes.

        Args:
            state: arrays by path, from `state_dict`, or from PyTorch's converted to arrays.
            strict: do missing or unexpected paths raise?

        Raises:
            KeyError: paths are missing or unexpected, under ``strict``.
            ValueError: an array has another shape, holds no numbers or too large ones, or cannot be
                written to.
        """
        if not isinstance(state, Mapping):
            who = type(self).__name__
            raise ValueError(f"{who}.load_state_dict expected a dict, got {type(state).__name__}")
        own = {path: (module, name, value) for path, module, name, value in self._lasting()}
        if strict and own.keys() != state.keys():
            missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
            raise KeyError(
                f"{type(self).__name__}.load_state_dict: missing {missing}, unexpected {extra}"
                " (strict=False loads what matches)"
            )
        new = {path: _fit(path, state[path], data_of(own[path][2])) for path in own.keys() & state.keys()}
        for path, array in new.items():
            module, name, value = own[path]
            if isinstance(value, Parameter):
                value.data[...] = alike(array, value)
                value.data = value.data  # a new version: see Variable.data
            else:
                object.__setattr__(module, name, alike(array, data_of(value)))

    def to_dtype(self, dtype: DTypeLike) -> Self:
        """Convert every parameter and floating-point buffer, in place; gradients are dropped."""
        for _, module, name, value in self._state():
            if isinstance(value, Parameter):
                value.data, value.grad = value.data.astype(dtype), None
            elif as_array(value).dtype.kind == "f":
                object.__setattr__(module, name, as_array(value).astype(dtype, copy=False))
        return self

    def to_arrays(self, like: Array) -> Self:
        """Make every parameter and buffer an array of the type of ``like``, in place; gradients are dropped.

        The type is any that speaks NumPy's dispatch protocols: ``model.to_arrays(cupy.empty(0))`` brings a
        model to a GPU, ``model.to_arrays(np.empty(0))`` brings it back. Everything that the model meets has
        to be of that type as well.

        >>> nn.Linear(2, 1).to_arrays(like=np.empty(0)).weight.shape  # NumPy's arrays they were before
        (1, 2)
        """
        if not isarray(like):
            raise TypeError(f"{type(self).__name__}.to_arrays expected an array, got {type(like).__name__}")
        for _, module, name, value in self._state():
            moved = alike(to_host(as_array(value)), like)
            if isinstance(value, Parameter):
                value.data, value.grad = moved, None
            else:
                object.__setattr__(module, name, moved)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters; with ``set_to_none=False``, set them to zero instead."""
        for p in self.parameters():
            p.grad = None if set_to_none or p.grad is None else Variable(np.zeros_like(p.data), False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Train all parameters from now on; with False, freeze them."""
        for p in self.parameters():
            p.requires_grad = requires_grad
        return self

    # -- mode

    def train(self, mode: bool = True) -> Self:
        """Set training mode for the whole tree."""
        for m in self.modules():
            object.__setattr__(m, "training", mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode for the whole tree."""
        return self.train(False)

    def apply(self, fn: Callable[["Module"], Any]) -> Self:
        """Call ``fn`` on every module of the tree, children first."""
        for m in reversed(list(self.modules())):
            fn(m)
        return self

    # -- repr

    def extra_repr(self) -> str:
        """The text between the parentheses of ``repr``; subclasses override it."""
        return ""

    @recursive_repr()
    def __repr__(self) -> str:
        inner = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        if not inner:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = [self.extra_repr(), *inner] if self.extra_repr() else inner
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


HINTS = {  # what PyTorch's modules have and these have not
    "to": "x.to_dtype(np.float64)  # for a dtype; x.to_arrays(like=a) for the device of an array a",
    "cuda": "x.to_arrays(like=np.empty(0))  # or cupy.empty(0): arrays of that type",
    "cpu": "x.to_arrays(like=np.empty(0))",
    "share_memory": "x  # leave it out, as threads share everything",
    "float": "x.to_dtype(np.float32)",
    "double": "x.to_dtype(np.float64)",
    "half": "x.to_dtype(np.float16)",
    "type": "x.to_dtype(np.float64)",
    "register_parameter": "x.w = nn.Parameter(array)",
    "get_parameter": "dict(x.named_parameters())[path]",
    "get_buffer": "dict(x.named_buffers()).get(path)",
    "add_module": "x.layer = nn.Linear(2, 3)",
    "register_module": "x.layer = nn.Linear(2, 3)",
    "register_forward_pre_hook": "x.forward = lambda *xs, forward=x.forward: forward(*map(change, xs))",
    "register_full_backward_hook": "y.register_hook(see)  # on a result of the module: it gets its gradient",
    "register_backward_hook": "y.register_hook(see)  # on a result of the module: it gets its gradient",
    "compile": "autograd.capture(step)  # of a function that computes a loss",
}
hint(Module, HINTS)


class Weightless(Module):
    """Base of modules whose result is a Variable for a Variable, and an array for an array."""

    if TYPE_CHECKING:

        @overload
        def __call__(self, x: Variable) -> Variable: ...
        @overload
        def __call__(self, x: Array) -> Array: ...
        def __call__(self, x: Value) -> Any: ...


_LOST = (
    "{0} is a Parameter, and the module would lose it: expected a Parameter or None, got {1}. To change its"
    " numbers, {2}.data -= lr * {2}.grad.data, or an optimizer of optim; to put another in its place,"
    " {2} = nn.Parameter(array); to keep something else under this name, del {2} first"
)


NESTS = list, tuple, dict


def kind_of(x: Any) -> str:
    """What ``x`` is, for errors that expected a module: its class, or how to make an object of the class that
    it is."""
    if isinstance(x, type):
        return f"the class {x.__name__}: make one, {x.__name__}(...)"
    return type(x).__name__


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """``value`` under its name, or the items of a list, tuple or dict under dotted names."""
    if isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _flat(f"{name}.{i}", item)
    elif isinstance(value, dict):
        keys: dict[str, Any] = {}
        for key, item in value.items():
            for path, part in _flat(f"{name}.{key}", item):
                if isinstance(part, Module | Parameter):
                    if path in keys:
                        raise ValueError(
                            f"{name} has two entries that would both be called {path} in a state dict,"
                            f" under the keys {keys[path]!r} and {key!r}: rename one"
                        )
                    keys[path] = key
                yield path, part
    else:
        yield name, value


def _fit(path: str, new: Operand, old: Any) -> Array:
    """``new`` as an array that can replace ``old``, or an error."""
    array: Array = to_host(as_array(new))
    old = as_array(old)
    if array.shape != old.shape:
        raise ValueError(f"load_state_dict: {path} expected shape {old.shape}, got {array.shape}")
    if array.dtype.kind not in "fiub" or not np.can_cast(array.dtype, old.dtype, "same_kind"):
        raise ValueError(f"load_state_dict: {path} expected {old.dtype} numbers, got {array.dtype}")
    if isinstance(old, np.ndarray) and not old.flags.writeable:
        raise ValueError(f"load_state_dict: {path} is a read-only array")
    with np.errstate(over="ignore"):
        cast = array.astype(old.dtype)
    if not np.array_equal(np.isfinite(cast), np.isfinite(array)):
        raise ValueError(f"load_state_dict: {path} has numbers too large for {old.dtype}")
    return cast


def _learn_names(name: str, value: Any) -> None:
    """Tell modules their place in the tree, and parameters without a name theirs."""
    for path, item in _flat(name, value):
        if isinstance(item, Module):
            item.rename(path)
        elif isinstance(item, Parameter) and item.name is None:
            item.name = path
