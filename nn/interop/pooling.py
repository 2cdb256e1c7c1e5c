"""Max pooling as ONNX's operator: what a graph records is where the maxima were, for this input alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from autograd.extend import data_of, per_axis

from ..conv import MaxPool1d, MaxPool2d
from ..module import Module
from .scan import Writer, fresh

AXES = {MaxPool1d: 1, MaxPool2d: 2}


@contextmanager
def pools_written(model: Module, writer: Writer) -> Iterator[None]:
    """Inside, the MaxPool1d and MaxPool2d of ``model`` write one operator each."""
    pools = [pool for pool in model.modules() if type(pool) in AXES and "forward" not in vars(pool)]
    for pool in pools:
        object.__setattr__(pool, "forward", partial(_write, writer, pool))
    try:
        yield
    finally:
        for pool in pools:
            object.__delattr__(pool, "forward")


def _write(writer: Writer, pool: Any, x: Any) -> Any:
    """What the pool gives, and its operator."""
    n, who, g = AXES[type(pool)], type(pool).__name__, writer.graph
    with writer.silence():
        result = type(pool).forward(pool, x)
    if not writer.depends(data_of(x)):
        return result
    y, padding = fresh(data_of(result)), per_axis(who, "padding", n, pool.padding, 0)
    single = y.ndim == n + 1  # an image without a batch axis
    image = g.add("Unsqueeze", writer.of(x), g.ints(0)) if single else writer.of(x)
    name = g.add(
        "MaxPool",
        image,
        kernel_shape=list(per_axis(who, "kernel_size", n, pool.kernel_size, 1)),
        strides=list(per_axis(who, "stride", n, pool.stride, 1)),
        dilations=list(per_axis(who, "dilation", n, pool.dilation, 1)),
        pads=[*padding, *padding],
        ceil_mode=int(pool.ceil_mode),
    )
    writer.bind(y.data, g.add("Squeeze", name, g.ints(0)) if single else name)
    return y
