"""Recurrent networks over sequences of images: layers of the cells in `cells.conv`.

`Recurrent`, `Stacked` and `Bidirectional` unroll, stack and join them, as any cell.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autograd import Variable
from autograd.extend import Size

from .cells.conv import ConvGRUCell, ConvLSTMCell, ConvRNNCell
from .rnn import Layers, Packed


class ConvLayers(Layers[Packed]):
    """Base of the nine: layers of one cell over ``dims`` axes of space, stacked as in `RNN`."""

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
        dtype: DTypeLike = np.float32,
        **cell_options: Any,
    ):
        options = {"kernel_size": kernel_size, "dims": self.dims, "dtype": dtype, **cell_options}
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **options
        )


class ConvRNN1d(ConvLayers[Variable]):
    """Elman network of convolutions over sequences of rows, x (T, B, C, L): `ConvRNNCell`.

    Arguments, call and errors are those of `ConvLSTM2d`, with h as the only state.

    >>> y, h = nn.ConvRNN1d(3, 4)(np.zeros((5, 2, 3, 8), "f"))
    >>> y.shape, h.shape
    ((5, 2, 4, 8), (1, 2, 4, 8))
    """

    cell_type, dims = ConvRNNCell, 1


class ConvRNN2d(ConvLayers[Variable]):
    """Elman network of convolutions over sequences of images, x (T, B, C, H, W): `ConvRNNCell`.

    Arguments, call and errors are those of `ConvLSTM2d`, with h as the only state.

    >>> y, h = nn.ConvRNN2d(3, 4)(np.zeros((5, 2, 3, 8, 6), "f"))
    >>> y.shape, h.shape
    ((5, 2, 4, 8, 6), (1, 2, 4, 8, 6))
    """

    cell_type, dims = ConvRNNCell, 2


class ConvRNN3d(ConvLayers[Variable]):
    """Elman network of convolutions over sequences of volumes, x (T, B, C, D, H, W): `ConvRNNCell`.

    Arguments, call and errors are those of `ConvLSTM2d`, with h as the only state.

    >>> y, h = nn.ConvRNN3d(3, 4)(np.zeros((5, 2, 3, 4, 8, 6), "f"))
    >>> y.shape, h.shape
    ((5, 2, 4, 4, 8, 6), (1, 2, 4, 4, 8, 6))
    """

    cell_type, dims = ConvRNNCell, 3


class ConvGRU1d(ConvLayers[Variable]):
    """Gated recurrent unit of convolutions over sequences of rows, x (T, B, C, L): `ConvGRUCell`.

    Arguments, call and errors are those of `ConvLSTM2d`, with h as the only state.

    >>> y, h = nn.ConvGRU1d(3, 4)(np.zeros((5, 2, 3, 8), "f"))
    >>> y.shape, h.shape
    ((5, 2, 4, 8), (1, 2, 4, 8))
    """

    cell_type, dims = ConvGRUCell, 1


class ConvGRU2d(ConvLayers[Variable]):
    """Gated recurrent unit of convolutions over sequences of images, x (T, B, C, H, W): `ConvGRUCell`.

    Arguments, call and errors are those of `ConvLSTM2d`, with h as the only state.

    >>> y, h = nn.ConvGRU2d(3, 4)(np.zeros((5, 2, 3, 8, 6), "f"))
    >>> y.shape, h.shape
    ((5, 2, 4, 8, 6), (1, 2, 4, 8, 6))
    """

    cell_type, dims = ConvGRUCell, 2


class ConvGRU3d(ConvLayers[Variable]):
    """Gated recurrent unit of convolutions over sequences of volumes, x (T, B, C, D, H, W): `ConvGRUCell`.

    Arguments, call and errors are those of `ConvLSTM2d`, with h as the only state.

    >>> y, h = nn.ConvGRU3d(3, 4)(np.zeros((5, 2, 3, 4, 8, 6), "f"))
    >>> y.shape, h.shape
    ((5, 2, 4, 4, 8, 6), (1, 2, 4, 4, 8, 6))
    """

    cell_type, dims = ConvGRUCell, 3


class ConvLSTM1d(ConvLayers[tuple[Variable, Variable]]):
    """Long short-term memory of convolutions over sequences of rows, x (T, B, C, L): `ConvLSTMCell`.

    Arguments, call and errors are those of `ConvLSTM2d`.

    >>> y, (h, c) = nn.ConvLSTM1d(3, 4)(np.zeros((5, 2, 3, 8), "f"))
    >>> y.shape, h.shape
    ((5, 2, 4, 8), (1, 2, 4, 8))
    """

    cell_type, dims = ConvLSTMCell, 1


class ConvLSTM2d(ConvLayers[tuple[Variable, Variable]]):
    """Long short-term memory of convolutions over sequences of images, x (T, B, C, H, W): `ConvLSTMCell`.

    Call: ``output, (h, c) = layer(x, (h, c)=None, lengths=None, starts=None)``

    x (T, B, C, H, W) or (T, C, H, W) -> output (T, B, D*O, H, W); states (L*D, B, O, H, W). With lengths (B),
    integers, a row that has reached its length keeps its state and gives zeros. With starts (T, B), booleans,
    another sequence starts where it is True, see `Recurrent`.

    Args:
        input_size, hidden_size: C and O, the channels of the input and of the state.
        kernel_size: of the convolution of the input; ``state_kernel_size=`` of that of the state.
        num_layers: L, layers on top of each other.
        bias: add the biases?
        batch_first: x and output are (B, T, ...) instead of (T, B, ...); states never are.
        dropout: probability of zeroing an output between two layers.
        bidirectional: D = 2 directions per layer, their channels one after the other; else D = 1.
        cell_options: other keywords of the cell.

    Raises:
        ValueError: a size, shape or length does not fit. TypeError: a dtype does not.

    >>> y, (h, c) = nn.ConvLSTM2d(3, 4)(np.zeros((5, 2, 3, 8, 6), "f"))
    >>> y.shape, h.shape
    ((5, 2, 4, 8, 6), (1, 2, 4, 8, 6))
    """

    cell_type, dims = ConvLSTMCell, 2


class ConvLSTM3d(ConvLayers[tuple[Variable, Variable]]):
    """Long short-term memory of convolutions over sequences of volumes, x (T, B, C, D, H, W): `ConvLSTMCell`.

    Arguments, call and errors are those of `ConvLSTM2d`.

    >>> y, (h, c) = nn.ConvLSTM3d(3, 4)(np.zeros((5, 2, 3, 4, 8, 6), "f"))
    >>> y.shape, h.shape
    ((5, 2, 4, 4, 8, 6), (1, 2, 4, 4, 8, 6))
    """

    cell_type, dims = ConvLSTMCell, 3
