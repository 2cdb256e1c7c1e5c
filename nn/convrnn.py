"""Recurrent networks over sequences of images: layers of the cells in `cells.conv`.

`Recurrent`, `Stacked` and `Bidirectional` unroll, stack and join them, as any cell.
"""

from typing import Any

import numpy as np

from autograd.extend import Size

from .cells.conv import ConvCell, ConvGRUCell, ConvLSTMCell, ConvRNNCell
from .rnn import _Layers


class _ConvLayers(_Layers):
    """What the nine have in common: how `RNN`, `GRU` and `LSTM` stack cells and pack states."""

    conv_cell: type[ConvCell]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        kernel_size: Size = 3,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = np.float32,
        **cell_options: Any,
    ):
        options = {"kernel_size": kernel_size, "dtype": dtype, **cell_options}
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **options
        )

    def cell_type(  # type: ignore[override]
        self, input_size: int, hidden_size: int, bias: bool, **options: Any
    ) -> ConvCell:
        return self.conv_cell(input_size, hidden_size, bias=bias, dims=self.dims, **options)


_DOC = """{what}, see `{cell}`; over {axes}.

    Args:
        input_size, hidden_size: C and H, the channels of the input and of the state.
        kernel_size: of the convolution of the input; ``state_kernel_size=`` of that of the state.
        num_layers: L, layers on top of each other.
        bias: add the biases?
        batch_first: x and output are (B, T, ...) instead of (T, B, ...); states never are.
        dropout: probability of zeroing an output between two layers.
        bidirectional: D = 2 directions per layer, their channels one after the other; else D = 1.

    Other keywords are those of the cell. Call: ``output, {state} = layer(x, {state}=None, lengths=None)``

    x (T, B, C, *S) or (T, C, *S) -> output (T, B, D*H, *S); states (L*D, B, H, *S). With lengths (B),
    integers, a row that has reached its length keeps its state and gives zeros.

    Raises:
        ValueError: a size, shape or length does not fit. TypeError: a dtype does not.
    """


def _doc(cell: type[ConvCell], what: str, state: str, dims: int) -> str:
    axes = ("sequences of rows", "sequences of images", "sequences of volumes")[dims - 1]
    return _DOC.format(what=what, cell=cell.__name__, axes=axes, state=state)


class ConvRNN1d(_ConvLayers):
    __doc__ = _doc(ConvRNNCell, "Elman network of convolutions", "h", 1)
    conv_cell, dims = ConvRNNCell, 1


class ConvRNN2d(_ConvLayers):
    __doc__ = _doc(ConvRNNCell, "Elman network of convolutions", "h", 2)
    conv_cell, dims = ConvRNNCell, 2


class ConvRNN3d(_ConvLayers):
    __doc__ = _doc(ConvRNNCell, "Elman network of convolutions", "h", 3)
    conv_cell, dims = ConvRNNCell, 3


class ConvGRU1d(_ConvLayers):
    __doc__ = _doc(ConvGRUCell, "Gated recurrent unit of convolutions", "h", 1)
    conv_cell, dims = ConvGRUCell, 1


class ConvGRU2d(_ConvLayers):
    __doc__ = _doc(ConvGRUCell, "Gated recurrent unit of convolutions", "h", 2)
    conv_cell, dims = ConvGRUCell, 2


class ConvGRU3d(_ConvLayers):
    __doc__ = _doc(ConvGRUCell, "Gated recurrent unit of convolutions", "h", 3)
    conv_cell, dims = ConvGRUCell, 3


class ConvLSTM1d(_ConvLayers):
    __doc__ = _doc(ConvLSTMCell, "Long short-term memory of convolutions", "(h, c)", 1)
    conv_cell, dims = ConvLSTMCell, 1


class ConvLSTM2d(_ConvLayers):
    __doc__ = _doc(ConvLSTMCell, "Long short-term memory of convolutions", "(h, c)", 2)
    conv_cell, dims = ConvLSTMCell, 2


class ConvLSTM3d(_ConvLayers):
    __doc__ = _doc(ConvLSTMCell, "Long short-term memory of convolutions", "(h, c)", 3)
    conv_cell, dims = ConvLSTMCell, 3
