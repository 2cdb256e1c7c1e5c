"""Modules that hold modules or parameters: Sequential, ModuleList, ModuleDict, ParameterList, with PyTorch's
names in the state dict.

Plain lists and dicts of modules and parameters work as attributes too; the containers serve chains, and
models that are ported from PyTorch.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from autograd import Parameter
from autograd.extend import Array, isarray

from .module import Module, kind_of


class _Container(Module):
    """Base of the three: modules in order, each an attribute under its key."""

    def __init__(self, modules: Mapping[str, Module]):
        self._put(modules)

    def _put(self, modules: Mapping[str, Module]) -> None:
        """Replace all modules by these."""
        who = type(self).__name__
        for key, module in modules.items():
            if not isinstance(module, Module):
                raise TypeError(f"{who} expected modules, got {kind_of(module)} for {key!r}")
            if not isinstance(key, str) or not key or "." in key or hasattr(type(self), key):
                raise KeyError(f"{who} cannot use {key!r} as the name of a module")
        for key in dict(self.named_children()):
            delattr(self, key)
        for key, module in modules.items():
            setattr(self, key, module)
        self.rename(self._name)

    def __len__(self) -> int:
        return len(dict(self.named_children()))


class _Uncalled(_Container):
    """A container that is not called: its modules carry its name in their own."""

    def _put(self, modules: Mapping[str, Module]) -> None:
        for module in modules.values():
            if isinstance(module, Module) and any(m is self for m in module.modules()):
                raise ValueError(f"{type(self).__name__} cannot hold itself")
        super()._put(modules)

    def rename(self, name: str) -> None:
        super().rename(name)
        for key, module in self.named_children():
            module.rename(f"{name}.{key}" if name else key)


class _Numbered(_Container):
    """A container whose keys are "0", "1", ..."""

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, index: int | slice) -> Any:
        items = list(self)[index]
        return type(self)._of(items) if isinstance(items, list) else items

    def __setitem__(self, index: int, module: Module) -> None:
        items = list(self)
        items[index] = module
        self._number(items)

    def __delitem__(self, index: int | slice) -> None:
        items = list(self)
        del items[index]
        self._number(items)

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        return self.extend([module])

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        new = {str(len(self) + i): module for i, module in enumerate(modules)}
        self._put({**dict(self.named_children()), **new})
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add a module before ``index``."""
        items = list(self)
        items.insert(index, module)
        return self._number(items)

    @classmethod
    def _of(cls, modules: list[Module]) -> Any:
        return cls(modules)  # type: ignore[arg-type]

    def _number(self, modules: Iterable[Module]) -> Self:
        self._put({str(i): module for i, module in enumerate(modules)})
        return self


class Sequential(_Numbered):
    """Modules one after the other: ``Sequential(a, b)(x)`` is ``b(a(x))``. Takes modules or one dict.

    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    >>> model(np.ones((5, 4), "f")).shape, model[0]
    ((5, 2), Linear(4, 8, bias=True))
    """

    def __init__(self, *modules: Module | Mapping[str, Module]):
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            super().__init__(modules[0])
        else:
            self._number(modules)  # type: ignore[arg-type]  # a second dict is an error there

    @classmethod
    def _of(cls, modules: list[Module]) -> Any:
        return cls(*modules)

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x


class ModuleList(_Numbered, _Uncalled):
    """A list of modules.

    >>> layers = nn.ModuleList([nn.Linear(2, 2)]).append(nn.Linear(2, 3))
    >>> len(layers), list(layers.state_dict())
    (2, ['0.weight', '0.bias', '1.weight', '1.bias'])
    """

    def __init__(self, modules: Iterable[Module] = ()):
        self._number(modules)


class ModuleDict(_Uncalled):
    """A dict of modules; a key is part of its module's path, so it has no dots.

    >>> heads = nn.ModuleDict({"tag": nn.Linear(4, 9)})
    >>> heads["word"] = nn.Linear(4, 100)
    >>> heads.keys(), heads["tag"].weight.shape
    (['tag', 'word'], (9, 4))
    """

    def __init__(self, modules: Mapping[str, Module] | None = None):
        super().__init__(modules or {})

    def __getitem__(self, key: str) -> Module:
        return dict(self.named_children())[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.update({key: module})

    def __delitem__(self, key: str) -> None:
        modules = dict(self.items())
        del modules[key]
        self._put(modules)

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        """The names."""
        return [key for key, _ in self.named_children()]

    def values(self) -> list[Module]:
        """The modules."""
        return list(self.children())

    def items(self) -> list[tuple[str, Module]]:
        """Pairs of both."""
        return list(self.named_children())

    def update(self, modules: Mapping[str, Module]) -> None:
        """Add or replace modules."""
        self._put({**dict(self.items()), **modules})


class ParameterList(Module):
    """A list of parameters; arrays become some.

    >>> class Powers(nn.Module):
    ...     def __init__(self):
    ...         self.w = nn.ParameterList([np.array(2.0), np.array(3.0)])
    ...
    ...     def forward(self, x):
    ...         return sum(w * x**k for k, w in enumerate(self.w))
    >>> list(Powers().state_dict()), Powers()(Variable(10.0)).item()
    (['w.0', 'w.1'], 32.0)
    """

    def __init__(self, parameters: Iterable[Parameter | Array] = ()):
        self.extend(parameters)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Parameter]:
        return (p for _, p in self._own())

    def __getitem__(self, index: int | slice) -> Any:
        found = list(self)[index]
        return ParameterList(found) if isinstance(found, list) else found

    def __setitem__(self, index: int, parameter: Parameter | Array) -> None:
        setattr(self, str(range(len(self))[index]), self._made(parameter))

    def append(self, parameter: Parameter | Array) -> Self:
        """Add a parameter at the end."""
        setattr(self, str(len(self)), self._made(parameter))
        return self

    def extend(self, parameters: Iterable[Parameter | Array]) -> Self:
        """Add parameters at the end."""
        for parameter in list(map(self._made, parameters)):
            self.append(parameter)
        return self

    def rename(self, name: str) -> None:
        """Set the name in the scopes of nodes; parameters without a name of their own get one below it."""
        for key, p in self._own():
            if p.name == key:
                p.name = f"{name}.{key}"
        super().rename(name)

    @staticmethod
    def _made(parameter: Any) -> Parameter:
        """A Parameter as it is, an array as one."""
        if isinstance(parameter, Parameter):
            return parameter
        if not isarray(parameter):
            raise TypeError(f"ParameterList expected Parameters or arrays, got {kind_of(parameter)}")
        return Parameter(parameter)
