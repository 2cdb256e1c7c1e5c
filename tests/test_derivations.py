"""The checker of hand derivations: right solutions pass, and planted mistakes are named for what they are."""

from types import SimpleNamespace

import numpy as np
import pytest

import nn
from autograd import Variable
from autograd.graph.derivations import GRU, LSTM, RNN, check


def slope(v):
    return v.o * (1 - np.tanh(v.c_next) ** 2) * v.da_next


def batch_sum(a):
    return a.sum(axis=1, keepdims=True)


RNN_SOLUTION = {
    "dtanh": lambda v: (1 - v.a_next**2) * v.da_next,
    "dx": lambda v: v.Wax.T @ v.dtanh,
    "dWax": lambda v: v.dtanh @ v.x.T,
    "da_prev": lambda v: v.Waa.T @ v.dtanh,
    "dWaa": lambda v: v.dtanh @ v.a_prev.T,
    "dba": lambda v: batch_sum(v.dtanh),
}
LSTM_SOLUTION = {
    "dgamma_o": lambda v: v.da_next * np.tanh(v.c_next) * v.o * (1 - v.o),
    "dp_c": lambda v: (v.dc_next + slope(v)) * v.i * (1 - v.cct**2),
    "dgamma_u": lambda v: (v.dc_next + slope(v)) * v.cct * v.i * (1 - v.i),
    "dgamma_f": lambda v: (v.dc_next + slope(v)) * v.c_prev * v.f * (1 - v.f),
    "do": lambda v: v.da_next * np.tanh(v.c_next),
    "dc": lambda v: v.dc_next + slope(v),
    "dWf": lambda v: v.dgamma_f @ v.concat.T,
    "dWi": lambda v: v.dgamma_u @ np.concatenate([v.a_prev, v.x]).T,
    "dWc": lambda v: v.dp_c @ v.concat.T,
    "dWo": lambda v: v.dgamma_o @ v.concat.T,
    "dbf": lambda v: batch_sum(v.dgamma_f),
    "dbo": lambda v: batch_sum(v.dgamma_o),
    "da_prev": lambda v: sum(
        W[:, :4].T @ d for W, d in [(v.Wf, v.dzf), (v.Wi, v.dzi), (v.Wc, v.dzc), (v.Wo, v.dzo)]
    ),
    "dx": lambda v: sum(
        W[:, 4:].T @ d for W, d in [(v.Wf, v.dzf), (v.Wi, v.dzi), (v.Wc, v.dzc), (v.Wo, v.dzo)]
    ),
    "dc_prev": lambda v: (v.dc_next + slope(v)) * v.f,
}
GRU_SOLUTION = {
    "dzz": lambda v: v.da_next * (v.a_prev - v.n) * v.z * (1 - v.z),
    "dzn": lambda v: v.da_next * (1 - v.z) * (1 - v.n**2),
    "dzr": lambda v: (v.Un.T @ v.dzn) * v.a_prev * v.r * (1 - v.r),
    "dUn": lambda v: v.dzn @ (v.r * v.a_prev).T,
    "dWr": lambda v: v.dzr @ v.x.T,
    "dbz": lambda v: batch_sum(v.dzz),
    "da_prev": lambda v: v.da_next * v.z + v.Uz.T @ v.dzz + v.Ur.T @ v.dzr + v.r * (v.Un.T @ v.dzn),
}


@pytest.mark.parametrize(
    "exercise, solution", [(RNN, RNN_SOLUTION), (LSTM, LSTM_SOLUTION), (GRU, GRU_SOLUTION)]
)
def test_a_right_solution_passes(exercise, solution):
    verdict = check(exercise, solution)
    assert verdict.ok, str(verdict)
    assert verdict.right == list(solution)
    assert str(verdict).startswith(f"all {len(solution)} formulas are right")


PLANTED = [  # exercise, name, the wrong formula, what is said about it
    (RNN, "dWaa", lambda v: v.a_prev @ v.dtanh.T, "it is transposed"),
    (RNN, "da_prev", lambda v: v.Waa @ v.dtanh, "Waa has to be transposed"),
    (RNN, "dba", lambda v: v.dtanh, "the sum over the batch is missing"),
    (RNN, "dba", lambda v: v.dtanh.mean(axis=1, keepdims=True), "the mean over the batch instead of the sum"),
    (RNN, "dba", lambda v: v.dtanh.sum(axis=1), "without keepdims"),
    (RNN, "dWaa", lambda v: v.dtanh @ v.a_next.T, "it uses a_next where a_prev belongs"),
    (RNN, "dtanh", lambda v: v.da_next, "the factor (1 - a_next²) is missing"),
    (RNN, "dtanh", lambda v: (1 - np.tanh(v.a_next) ** 2) * v.da_next, "it uses a_next where z belongs"),
    (RNN, "dx", lambda v: -v.Wax.T @ v.dtanh, "the sign is wrong"),
    (LSTM, "dc_prev", lambda v: v.dc_next + slope(v), "the factor f is missing"),
    (LSTM, "dc_prev", lambda v: slope(v) * v.f, "the path through c_next is missing"),
    (LSTM, "dc_prev", lambda v: v.dc_next * v.f, "the path through a_next is missing"),
    (LSTM, "dgamma_f", lambda v: v.dc * v.c_prev * (1 - v.f), "the factor f is missing"),
    (LSTM, "dgamma_f", lambda v: v.dc * v.c_prev, "the factor f (1 - f) is missing"),
    (LSTM, "dgamma_f", lambda v: v.dc * v.c * v.f * (1 - v.f), "it uses c where c_prev belongs"),
    (LSTM, "dgamma_u", lambda v: v.dc * v.cct * v.f * (1 - v.f), "it uses f where i belongs"),
    (
        LSTM,
        "da_prev",
        lambda v: v.Wf[:, :4].T @ v.dzf + v.Wi[:, :4].T @ v.dzi + v.Wc[:, :4].T @ v.dzc,
        "the path through zo is missing",
    ),
    (LSTM, "dWf", lambda v: (v.dc * v.c_prev) @ v.concat.T, "the factor f (1 - f) is missing at"),
    (GRU, "dzz", lambda v: v.da_next * (v.n - v.a_prev) * v.z * (1 - v.z), "the sign is wrong"),
    (GRU, "da_prev", lambda v: v.Uz.T @ v.dzz + v.Ur.T @ v.dzr + v.Un.T @ v.dzn, "no simple reason"),
    (GRU, "dUn", lambda v: v.dzn @ v.a_prev.T, "it uses a_prev where ra belongs"),
    (GRU, "dUn", lambda v: v.dzn @ v.x.T, "it has shape (4, 3), expected (4, 4)"),
    (GRU, "dWr", lambda v: v.dzr @ v.x, "the formula raises ValueError"),
    (GRU, "dWr", lambda v: v.dzr @ v.xt.T, "the formula raises AttributeError"),
]


@pytest.mark.parametrize("exercise, name, formula, reason", PLANTED)
def test_planted_mistakes_are_named(exercise, name, formula, reason):
    solution = RNN_SOLUTION if exercise is RNN else LSTM_SOLUTION if exercise is LSTM else GRU_SOLUTION
    verdict = check(exercise, {**solution, name: formula})
    (mistake,) = verdict.mistakes
    assert mistake.name == name
    assert reason in mistake.reason, mistake.reason
    assert mistake.steps[-1] == 2
    assert len(verdict.right) == len(solution) - (name in solution)


def test_a_mistake_that_shows_at_some_steps_only():
    """The last step of a sequence hides what arrives from the next one; here the first hides a state."""
    verdict = check(RNN, {"dWaa": lambda v: v.dtanh @ v.a_prev.T * (1 if v.a_prev[0, 0] > 0 else 2)}, T=6)
    (mistake,) = verdict.mistakes
    assert 0 < len(mistake.steps) < 6
    assert str(mistake).startswith(f"dWaa is wrong at step {', '.join(map(str, mistake.steps))}: ")


def test_formulas_cannot_spoil_the_values():
    def spoils(v):
        v.da_next[:] = 0
        return (1 - v.a_next**2) * v.da_next

    verdict = check(RNN, {"dtanh": spoils, "dz": RNN_SOLUTION["dtanh"]})
    assert [m.name for m in verdict.mistakes] == ["dtanh"]
    assert verdict.right == ["dz"]


def test_unknown_names_are_answered_with_the_known():
    with pytest.raises(ValueError, match=r"does not know 'dW': this exercise has .*dWax, .*dtanh"):
        check(RNN, {"dW": lambda v: 0})


def test_the_exercises_are_the_layers(rng):
    """RNN and LSTM of the courses are `nn`'s cells, in columns and with the weights side by side."""
    n_x, n_a, m = 3, 4, 5
    values = {k: Variable(rng.normal(size=s)) for k, s in LSTM.shapes(n_x, n_a, m).items()}
    cell = nn.LSTMCell(n_x, n_a, dtype=np.float64)
    W = np.concatenate([values[f"W{gate}"].data for gate in "fico"]).reshape(4, n_a, n_a + n_x)[[1, 0, 2, 3]]
    b = np.stack([values[f"b{gate}"].data for gate in "ifco"])
    cell.weight_hh.data, cell.weight_ih.data = W[..., :n_a].reshape(-1, n_a), W[..., n_a:].reshape(-1, n_x)
    cell.bias_ih.data, cell.bias_hh.data = b.ravel(), 0 * b.ravel()
    v = SimpleNamespace(**values)
    LSTM.step(v)
    h, c = cell(Variable(v.x.data.T), (Variable(v.a_prev.data.T), Variable(v.c_prev.data.T)))
    np.testing.assert_allclose(h.data.T, v.a_next.data, rtol=1e-12)
    np.testing.assert_allclose(c.data.T, v.c_next.data, rtol=1e-12)
