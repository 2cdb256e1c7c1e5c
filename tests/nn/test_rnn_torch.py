"""RNN, GRU, LSTM and their cells equal PyTorch's: outputs, states and all gradients over a grid of arguments.

Skipped where PyTorch is not installed. `python -m tests.nn.test_rnn_torch` prints the grid.
"""

import inspect
from itertools import product

import numpy as np
import pytest

import nn
from tests.nn.test_cells import F64, B, H, I, random_state
from tests.nn.test_rnn import CASES, LENGTHS, TOLERANCE, difference, golden, run_ours

torch = pytest.importorskip("torch")


def row(name, layers, bidirectional, dtype):
    """One row of the grid: the largest difference over batch_first x bias x lengths."""
    worst = 0.0
    for batch_first, bias, lengths in product((False, True), (True, False), (None, LENGTHS)):
        kinds = {"num_layers": layers, "bidirectional": bidirectional}
        kinds |= {"batch_first": batch_first, "bias": bias}
        values = golden.arrays(name, dtype=dtype, seed=layers, **kinds)
        got, want = (run(name, values, lengths=lengths, **kinds) for run in (run_ours, golden.run_torch))
        worst = max(worst, difference(got, want))
    return worst


GRID = list(product(CASES, (1, 2), (False, True), (np.float32, np.float64)))


@pytest.mark.parametrize(("name", "layers", "bidirectional", "dtype"), GRID)
def test_equals_torch(name, layers, bidirectional, dtype):
    worst = row(name, layers, bidirectional, dtype)
    assert worst < TOLERANCE[dtype]


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_arguments_defaults_and_state_dict_keys_are_torchs(name):
    ours = inspect.signature(getattr(nn, name)).parameters
    theirs = inspect.signature(getattr(torch.nn, name).__init__).parameters
    if "input_size" not in theirs:  # (self, *args, **kwargs): read the defaults off an instance
        module = getattr(torch.nn, name)(2, 3)
        for argument, parameter in ours.items():
            if argument not in ("input_size", "hidden_size", "dtype", "cell_options"):
                assert getattr(module, argument) == parameter.default, argument
    for layers, bias, bidirectional in product((1, 2), (True, False), (True, False)):
        a = getattr(torch.nn, name)(2, 3, layers, bias=bias, bidirectional=bidirectional)
        b = getattr(nn, name)(2, 3, layers, bias=bias, bidirectional=bidirectional)
        assert [(k, tuple(v.shape)) for k, v in a.state_dict().items()] == [
            (k, v.shape) for k, v in b.state_dict().items()
        ]
        a.load_state_dict({k: torch.from_numpy(v) for k, v in b.state_dict().items()})  # and back


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", ["RNNCell", "GRUCell", "LSTMCell"])
def test_cells_equal_torch(name, bias, rng):
    theirs = getattr(torch.nn, name)(I, H, bias=bias, dtype=torch.float64)
    ours = getattr(nn, name)(I, H, bias=bias, **F64)
    assert {k: tuple(v.shape) for k, v in theirs.state_dict().items()} == {
        k: v.shape for k, v in ours.state_dict().items()
    }
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x, state = rng.normal(size=(B, I)), random_state(ours, rng)
    hx = state if len(state) > 1 else state[0]
    for given in (hx, None):
        as_torch = torch.tensor if len(state) == 1 else lambda t: tuple(map(torch.tensor, t))
        want = theirs(torch.tensor(x), None if given is None else as_torch(given))
        got = ours(x, given)
        for g, w in zip(*[v if isinstance(v, tuple) else (v,) for v in (got, want)], strict=True):
            np.testing.assert_allclose(g.data, w.detach().numpy(), rtol=0, atol=1e-14)


if __name__ == "__main__":
    for case in GRID:
        name, layers, bidirectional, dtype = case
        shown = f"{name:10} layers={layers} bidirectional={bidirectional!s:5} {dtype.__name__}"
        print(f"{shown}: {row(*case):.1e}")
