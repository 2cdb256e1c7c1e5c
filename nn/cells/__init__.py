"""Cells: one step of a recurrent network each, written as the equations stand in its docstring.

Shapes: x (B, I), h and c (B, H). Weights are fused over gates as in PyTorch, gates one after the other
along the first axis. The products with x are made by ``project``, for a whole sequence at once; what
``step`` sees as x is W_ih x + b_ih. Nothing here knows about time.
"""

from .base import GatedCell, RecurrentWeight
from .conv import ConvGRUCell, ConvLSTMCell, ConvRNNCell
from .elman import RNNCell
from .errata import RelevanceLSTMCell
from .gru import GRUCell
from .highway import Highway, RecurrentHighwayCell
from .linear import LinearGatedCell, LRUCell, MinGRUCell, MinLSTMCell, RGLRUCell, SelectiveSSMCell, SRUCell
from .literature import (
    ClockworkCell,
    DeepRNNCell,
    IRNNCell,
    JordanCell,
    SCRNCell,
    SkipRNNCell,
    StackedCells,
    TextbookCell,
)
from .lstm import LSTMCell
from .memory import CoupledLSTMCell, DeltaNetCell, LMUCell, SLSTMCell
from .minimal import IndRNNCell, MGUCell
from .normalised import LayerNormGRUCell, LayerNormLSTMCell, LayerNormRNNCell
from .peephole import PeepholeLSTMCell
from .wrappers import LearnedState, Residual, VariationalDropout, Wrapper, Zoneout

__all__ = [
    "ClockworkCell",
    "ConvGRUCell",
    "ConvLSTMCell",
    "ConvRNNCell",
    "CoupledLSTMCell",
    "DeepRNNCell",
    "DeltaNetCell",
    "GRUCell",
    "GatedCell",
    "Highway",
    "IRNNCell",
    "IndRNNCell",
    "JordanCell",
    "LMUCell",
    "LRUCell",
    "LSTMCell",
    "LayerNormGRUCell",
    "LayerNormLSTMCell",
    "LayerNormRNNCell",
    "LearnedState",
    "LinearGatedCell",
    "MGUCell",
    "MinGRUCell",
    "MinLSTMCell",
    "PeepholeLSTMCell",
    "RGLRUCell",
    "RNNCell",
    "RecurrentHighwayCell",
    "RecurrentWeight",
    "RelevanceLSTMCell",
    "Residual",
    "SCRNCell",
    "SLSTMCell",
    "SRUCell",
    "SelectiveSSMCell",
    "SkipRNNCell",
    "StackedCells",
    "TextbookCell",
    "VariationalDropout",
    "Wrapper",
    "Zoneout",
]
