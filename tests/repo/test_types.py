"""What mypy lets pass is looked at here; what it knows of the library is in `types_that_tell.py`."""

import inspect
import typing

import pytest

import autograd as ag


@pytest.mark.parametrize("name", ag.ops.__all__)
def test_public_operations_are_annotated(name):
    """mypy allows bare definitions in `autograd.ops`, for forward and backward alone."""
    signature = inspect.signature(getattr(ag.ops, name))
    assert all(p.annotation is not p.empty for p in signature.parameters.values())
    assert signature.return_annotation not in (signature.empty, typing.Any)
