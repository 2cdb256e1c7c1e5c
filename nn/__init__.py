"""Recurrent layers from autograd primitives: modules, cells, loops over time, losses. No backward anywhere."""

from . import functional, init
from .cells import GRUCell, LSTMCell, RNNCell
from .io import load, save
from .layers import Dropout, Embedding, Linear
from .module import Module
from .random import default_rng, get_rng_state, manual_seed, set_rng_state
from .recurrent import Bidirectional, Cell, Recurrent, Stacked, detach
from .rnn import GRU, LSTM, RNN

from autograd import Parameter  # isort: skip  (it belongs here for those who know PyTorch)

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Bidirectional",
    "Cell",
    "Dropout",
    "Embedding",
    "GRUCell",
    "LSTMCell",
    "Linear",
    "Module",
    "Parameter",
    "RNNCell",
    "Recurrent",
    "Stacked",
    "default_rng",
    "detach",
    "functional",
    "get_rng_state",
    "init",
    "load",
    "manual_seed",
    "save",
    "set_rng_state",
]
