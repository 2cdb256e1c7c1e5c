"""Arrays of another type than NumPy's: a strict stand-in for those of a GPU.

`DeviceArray` speaks NumPy's two dispatch protocols and refuses whatever an array on a device cannot do, or
should not do unasked: `np.asarray` and all else that would copy it to the host, and operands and values that
are arrays of the host, those of 0 dimensions too. Its results are DeviceArrays without exception, where NumPy
would give scalars for some. As CuPy's do, it takes arrays of the host as indices and in functions that create
arrays ``like=`` it, and gives its numbers to the host by `get` alone.
"""

from typing import Any

import numpy as np

CREATION = {
    np.array, np.asarray, np.ascontiguousarray, np.arange, np.empty, np.zeros, np.ones, np.full, np.eye,
    np.tri,
}  # fmt: skip


class DeviceArray:
    """An array whose numbers NumPy cannot see; ``np.asarray(host, like=x)`` makes one."""

    __array_priority__ = 100

    def __init__(self, host: np.ndarray):
        assert isinstance(host, np.ndarray)
        self._host = host

    def get(self) -> np.ndarray:
        """The numbers, in memory of the host of their own."""
        return self._host.copy("K")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a device array would be copied to the host unasked: use x.get()")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        kinds = (DeviceArray, np.ndarray, np.generic)
        if any(hasattr(x, "__array_ufunc__") and not isinstance(x, kinds) for x in inputs):
            return NotImplemented  # another class answers, such as Variable
        if method == "at":
            target, index, *value = inputs
            return ufunc.at(target._host, _index(index), *_hosts(value))
        if out is None:
            return _device(getattr(ufunc, method)(*_hosts(inputs), **_hosts(kwargs)))
        getattr(ufunc, method)(*_hosts(inputs), out=_hosts(out), **_hosts(kwargs))
        return out[0] if len(out) == 1 else out

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if not all(issubclass(t, (DeviceArray, np.ndarray)) for t in types):
            return NotImplemented
        if function in CREATION:
            args = [x._host if isinstance(x, DeviceArray) else x for x in args]
            made = np.array if function is np.asarray else function  # never the host's own memory
            return _device(made(*args, **kwargs))
        return _device(function(*_hosts(args), **_hosts(kwargs)))

    def __getitem__(self, index: Any) -> Any:
        return _device(self._host[_index(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self._host[_index(index)] = _hosts(value)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Any:
        return iter([self[i] for i in range(len(self))])

    __hash__ = None  # type: ignore[assignment]
    T = property(lambda self: _device(self._host.T))
    mT = property(lambda self: _device(self._host.mT))
    real = property(lambda self: _device(self._host.real))
    imag = property(lambda self: _device(self._host.imag))
    base = property(lambda self: self._host)  # views of one array lead to the same memory


def _hosts(x: Any) -> Any:
    """What NumPy computes with; an array of the host among the operands is an error."""
    if isinstance(x, DeviceArray):
        return x._host
    if isinstance(x, np.ndarray):
        raise TypeError(
            f"an array of the host of shape {x.shape} meets a device array: np.asarray(a, like=x)"
        )
    if isinstance(x, tuple | list):
        return type(x)([_hosts(part) for part in x])
    return {k: _hosts(part) for k, part in x.items()} if isinstance(x, dict) else x


def _index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple([_index(part) for part in index])
    return index._host if isinstance(index, DeviceArray) else index


def _device(y: Any) -> Any:
    """Results with device arrays in place of arrays and NumPy's scalars."""
    if isinstance(y, np.ndarray | np.generic):
        return DeviceArray(np.asarray(y))
    if type(y) in (tuple, list):
        return type(y)([_device(part) for part in y])
    return type(y)(*[_device(part) for part in y]) if isinstance(y, tuple) else y


def _method(name: str) -> Any:
    return lambda self, *args, **kwargs: _device(getattr(self._host, name)(*_hosts(args), **_hosts(kwargs)))


def _number(name: str) -> Any:
    return lambda self, *args: getattr(self._host, name)(*args)


def _operator(name: str) -> Any:
    def operate(self: DeviceArray, *others: Any) -> Any:
        if any(hasattr(x, "__array_ufunc__") and not isinstance(x, DeviceArray | np.generic | np.ndarray)
               for x in others):  # fmt: skip
            return NotImplemented
        y = getattr(self._host, name)(*_hosts(others))
        return y if y is NotImplemented else self if name.startswith("__i") and others else _device(y)

    return operate


ANSWERED = "shape dtype ndim size flags nbytes itemsize strides"
METHODS = """
    all any argmax argmin argsort astype clip copy cumprod cumsum diagonal dot fill flatten max mean min
    nonzero prod ravel repeat reshape round sort squeeze std sum swapaxes take trace transpose var view
"""
NUMBERS = "item tolist __bool__ __float__ __int__ __index__ __complex__"  # the host waits for these
SIDED = "add sub mul truediv floordiv mod pow matmul and or xor"
OTHER = "lt le gt ge eq ne neg pos abs invert"
for _name in ANSWERED.split():
    setattr(DeviceArray, _name, property(lambda self, name=_name: getattr(self._host, name)))
for _name in METHODS.split():
    setattr(DeviceArray, _name, _method(_name))
for _name in NUMBERS.split():
    setattr(DeviceArray, _name, _number(_name))
for _name in [*OTHER.split(), *[side + name for side in ("", "r", "i") for name in SIDED.split()]]:
    setattr(DeviceArray, f"__{_name}__", _operator(f"__{_name}__"))


class DeviceGenerator:
    """A source of randomness on the device."""

    def __init__(self, seed: int):
        self._rng = np.random.default_rng(seed)

    def random(self, shape: tuple[int, ...], dtype: Any = np.float64) -> DeviceArray:
        """Numbers from 0 to 1."""
        return DeviceArray(self._rng.random(shape, dtype=dtype))
