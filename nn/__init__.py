"""Recurrent layers from autograd primitives: cells, loops over time, layers, losses. No backward anywhere."""

from . import functional, init
from .activations import (
    ELU,
    GELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from .cells import GRUCell, LSTMCell, Product, RNNCell
from .cells_extra import LayerNormGRUCell, LayerNormLSTMCell, LayerNormRNNCell, PeepholeLSTMCell
from .containers import ModuleDict, ModuleList, Sequential
from .functional import pad_sequence, unpad_sequence
from .io import load, save
from .layers import BatchNorm1d, Dropout, Embedding, Flatten, Identity, LayerNorm, Linear
from .module import Module
from .random import default_rng, get_rng_state, manual_seed, set_rng_state
from .recurrent import Bidirectional, Cell, Recurrent, Stacked, detach
from .rnn import GRU, LSTM, RNN
from .wrappers import LearnedState, Residual, VariationalDropout, Zoneout

from autograd import Parameter  # isort: skip  (it belongs here for those who know PyTorch)

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "BatchNorm1d",
    "Bidirectional",
    "Cell",
    "Dropout",
    "Embedding",
    "Flatten",
    "GRUCell",
    "Identity",
    "LSTMCell",
    "LayerNorm",
    "LayerNormGRUCell",
    "LayerNormLSTMCell",
    "LayerNormRNNCell",
    "LeakyReLU",
    "LearnedState",
    "Linear",
    "LogSoftmax",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "PeepholeLSTMCell",
    "Product",
    "RNNCell",
    "ReLU",
    "Recurrent",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Stacked",
    "Tanh",
    "VariationalDropout",
    "Zoneout",
    "default_rng",
    "detach",
    "functional",
    "get_rng_state",
    "init",
    "load",
    "manual_seed",
    "pad_sequence",
    "save",
    "set_rng_state",
    "unpad_sequence",
]
