"""What a type checker knows of modules, losses and optimizers: mypy checks these lines, nothing runs them.

A call has the arguments and the result of the ``forward`` that it reaches.
"""

from collections.abc import Callable
from typing import Any, assert_type

import nn
from autograd import Variable
from autograd.extend import Array


class Doubled(nn.Module):
    def forward(self, x: Variable, times: int = 1) -> tuple[Variable, int]:
        return x * 2.0, times


class Bare(nn.Module):
    def forward(self, x, times=1):  # type: ignore[no-untyped-def]
        return x * 2.0, times


def calls(x: Variable, a: Array, any_module: nn.Module) -> None:
    assert_type(Doubled()(x), tuple[Variable, int])
    assert_type(Doubled()(x, times=3), tuple[Variable, int])
    Doubled()(x, 3, 4)  # type: ignore[call-arg]
    Doubled()("x")  # type: ignore[arg-type]
    assert_type(Bare()(x), Any)
    assert_type(any_module(x, "anything", at=all), Any)
    assert_type(nn.Linear(2, 3)(x), Variable)
    assert_type(nn.Linear(2, 3)(a), Variable)
    function: Callable[[Variable], Variable] = nn.Linear(2, 3)
    assert_type(function(x), Variable)
