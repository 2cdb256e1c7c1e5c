"""What PyTorch's tensors have and Variables have not: asking for it is an AttributeError that says what to
write instead.

One mechanism and no behaviour. A `Hint` stands in the class under such a name and raises when it is asked, so
``hasattr`` is False and ``dir`` does not list it, attributes that are there cost what they did, and what a
subclass or an object itself has under the name comes first.
"""

from collections.abc import Mapping
from inspect import getattr_static
from typing import Any, NoReturn

from .core import Function, Variable


class Hint:
    """An attribute that is not there, with what to write instead: Python in which x is the object, and after
    two spaces and "#" a remark. "Class" stands for the name of the class that was asked."""

    __slots__ = ("name", "way")

    def __init__(self, name: str, way: str):
        self.name, self.way = name, way

    def __get__(self, instance: object, owner: type) -> NoReturn:
        who = owner.__name__
        raise AttributeError(_sentence(who, self.name, self.way.replace("Class", who)), name=self.name)


def _sentence(who: str, name: str, way: str) -> str:
    code, _, remark = way.partition("  # ")
    text = f"{who} has no attribute {name!r}: " + (f"write {code}" if code else remark)
    return text + (f" ({remark})" if code and remark else "")


def hint(owner: type, ways: Mapping[str, str]) -> None:
    """Let ``owner`` say for each of these names, which it has not, what to write.

    >>> from autograd.extend import hint
    >>> class Meter(nn.Module):
    ...     total = 3.0
    >>> hint(Meter, {"compute": "x.total"})
    >>> Meter().compute
    Traceback (most recent call last):
    AttributeError: Meter has no attribute 'compute': write x.total
    >>> hasattr(Meter(), "compute")
    False
    """
    for name, way in ways.items():
        if hasattr(owner, name):
            raise ValueError(f"{owner.__name__} has an attribute {name!r}")
        setattr(owner, name, Hint(name, way))
    owner.__dir__ = _names  # type: ignore[method-assign, assignment]


def _names(x: Any) -> list[str]:
    """What ``dir(x)`` lists: no hints."""
    return [name for name in object.__dir__(x) if not isinstance(getattr_static(x, name), Hint)]


ON_THE_CPU = "x  # leave it out, as everything is in the computer's memory"

TENSORS = {
    # shapes
    "view": "x.reshape(2, -1)",
    "view_as": "x.reshape(y.shape)",
    "reshape_as": "x.reshape(y.shape)",
    "unsqueeze": "np.expand_dims(x, axis)",
    "permute": "x.transpose(1, 0)",
    "t": "x.T",
    "adjoint": "x.mT",
    "movedim": "np.moveaxis(x, source, destination)",
    "dim": "x.ndim",
    "numel": "x.size",
    "nelement": "x.size",
    "expand": "np.broadcast_to(x, shape)",
    "expand_as": "np.broadcast_to(x, y.shape)",
    "unflatten": "x.reshape(*x.shape[:-1], 3, -1)",
    "contiguous": "autograd.contiguous(x)  # or nothing: reshape takes any layout",
    "is_contiguous": "x.data.flags.c_contiguous",
    "stride": "x.data.strides  # in bytes",
    # parts
    "chunk": "autograd.split(x, n, axis)  # n equal parts",
    "split": "autograd.split(x, [1, 2], axis)  # where to cut, or into how many equal parts",
    "unbind": "autograd.unstack(x, axis)",
    "narrow": "x[:, start : start + length]",
    "select": "x[:, i]",
    "index_select": "x[:, index]",
    "gather": "np.take_along_axis(x, places, axis)",
    "scatter": "autograd.index_update(x, index, value)",
    "index_fill": "autograd.index_update(x, index, value)",
    "index_copy": "autograd.index_update(x, index, value)",
    "masked_fill": "autograd.where(mask, value, x)",
    "masked_select": "x[mask]",
    "where": "autograd.where(mask, x, y)",
    "topk": "np.take_along_axis(x, np.argsort(-x.data, axis)[:, :n], axis)",
    "tile": "np.tile(x, (1, 2))",
    "repeat_interleave": "x.repeat(2, axis)",
    "flip": "np.flip(x, axis)",
    "roll": "np.roll(x, n, axis)",
    "tril": "np.tril(x)",
    "triu": "np.triu(x)",
    # arithmetic
    "add": "x + y",
    "sub": "x - y",
    "mul": "x * y",
    "div": "x / y",
    "neg": "-x",
    "pow": "x ** 2",
    "square": "np.square(x)",
    "rsqrt": "1.0 / np.sqrt(x)",
    "reciprocal": "1.0 / x",
    "sign": "np.sign(x)",
    "log1p": "np.log1p(x)",
    "expm1": "np.expm1(x)",
    "clamp": "x.clip(low, high)",
    "clamp_min": "np.maximum(x, low)",
    "clamp_max": "np.minimum(x, high)",
    "maximum": "np.maximum(x, y)",
    "minimum": "np.minimum(x, y)",
    "lerp": "autograd.lerp(x, y, 0.3)",
    "amax": "x.max(axis)",
    "amin": "x.min(axis)",
    "norm": "np.linalg.norm(x)",
    "mm": "x @ w",
    "bmm": "x @ w",
    "mv": "x @ v",
    "matmul": "x @ w",
    "outer": "np.outer(x, y)",
    "eq": "x == y",
    "ne": "x != y",
    "lt": "x < y",
    "le": "x <= y",
    "gt": "x > y",
    "ge": "x >= y",
    "isnan": "np.isnan(x.data)",
    # arrays, dtypes, devices
    "numpy": "x.data",
    "clone": "x.copy()  # or x itself, as no operation writes into it; x.data.copy() for the numbers",
    "float": "x.astype(np.float32)",
    "double": "x.astype(np.float64)",
    "half": "x.astype(np.float16)",
    "long": "x.data.astype(np.int64)",
    "int": "x.data.astype(np.int32)",
    "bool": "x.data.astype(bool)",
    "type_as": "x.astype(y.dtype)",
    "to": "x.astype(np.float32)  # for a dtype; for a device nothing, there is one, the CPU",
    "cuda": ON_THE_CPU,
    "cpu": ON_THE_CPU,
    "pin_memory": ON_THE_CPU,
    "device": "  # there is one, the CPU: leave it out",
    "is_cuda": "False",
    "is_floating_point": "x.dtype.kind == 'f'",
    "element_size": "x.dtype.itemsize",
    "new_zeros": "np.zeros(shape, x.dtype)",
    "new_ones": "np.ones(shape, x.dtype)",
    "new_full": "np.full(shape, value, x.dtype)",
    "new_tensor": "np.array(value, x.dtype)",
    # the graph
    "grad_fn": "x.creator",
    "requires_grad_": "x.requires_grad = True",
    "detach_": "x.unchain()",
    # in place
    "zero_": "x.data[...] = 0  # to forget a gradient, p.grad = None",
    "fill_": "x.data[...] = value",
    "copy_": "x.data[...] = y.data",
    "add_": "x.data += y.data  # outside the graph; in it, x = x + y",
    "sub_": "x.data -= y.data  # outside the graph; in it, x = x - y",
    "mul_": "x.data *= y.data  # outside the graph; in it, x = x * y",
    "div_": "x.data /= y.data  # outside the graph; in it, x = x / y",
    "clamp_": "x.data = x.data.clip(low, high)",
    "masked_fill_": "x.data[mask] = value  # outside the graph; in it, x = autograd.where(mask, value, x)",
    "uniform_": "nn.init.uniform_(x, low, high)",
    "normal_": "nn.init.normal_(x, low, high)",
}


TORCH = {  # functions and names of the module; beside these, it knows those of tensors
    "tensor": "np.array([1.0, 2.0])  # or autograd.Variable of it, to have a gradient",
    "as_tensor": "np.asarray([1.0, 2.0])",
    "from_numpy": "x  # arrays are used as they are",
    "Tensor": "autograd.Variable",
    "is_tensor": "isinstance(x, autograd.Variable)",
    "zeros": "np.zeros(shape)",
    "ones": "np.ones(shape)",
    "full": "np.full(shape, value)",
    "empty": "np.empty(shape)",
    "zeros_like": "np.zeros_like(x)",
    "ones_like": "np.ones_like(x)",
    "eye": "np.eye(n)",
    "arange": "np.arange(n)",
    "linspace": "np.linspace(low, high, n)",
    "rand": "np.random.default_rng(0).random(shape)",
    "randn": "np.random.default_rng(0).normal(size=shape)",
    "randint": "np.random.default_rng(0).integers(0, 5, shape)",
    "randperm": "np.random.default_rng(0).permutation(n)",
    "manual_seed": "nn.manual_seed(0)",
    "cat": "autograd.concatenate([x, y], axis)",
    "argmax": "x.argmax(axis)",
    "argsort": "np.argsort(x.data, axis)",
    "isfinite": "np.isfinite(x.data)",
    "allclose": "np.allclose(x.data, y.data)",
    "equal": "np.array_equal(x.data, y.data)",
    "set_grad_enabled": "autograd.no_grad()  # or autograd.enable_grad()",
    "inference_mode": "autograd.no_grad()",
    "save": "nn.save(model.state_dict(), path)",
    "load": "model.load_state_dict(nn.load(path))",
    "nn": "import nn",
    "optim": "import optim",
}


def of_the_module(name: str) -> AttributeError:
    """The error of a name that the package has not."""
    if way := TORCH.get(name) or TENSORS.get(name):
        return AttributeError(_sentence("module 'autograd'", name, way), name=name)
    return AttributeError(f"module 'autograd' has no attribute {name!r}")


FUNCTIONS = {
    "forward": "  # define forward(self, x, ...), which takes arrays and returns one, or a tuple of several",
    "backward": "  # define backward(self, gy, ...), from the gradient of the output to one per input",
    "apply": "Class()(x)  # a new instance for every call",
}


def no_backward(node: Function, y: Any, xs: Any) -> NoReturn:
    """What a call does that would have to be recorded."""
    raise TypeError(
        f"{node.label} has a forward and no backward: define backward(self, gy, ...), which returns one"
        " gradient per input, or call it under no_grad()"
    )


def bind() -> None:
    """Give the hints to the classes of the engine."""
    hint(Variable, TENSORS)
    hint(Function, FUNCTIONS)
    Function._pick = staticmethod(no_backward)  # until a subclass has both methods
