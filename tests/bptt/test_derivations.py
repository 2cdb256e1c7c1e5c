"""The checker of hand derivations: right solutions pass, and planted mistakes are named for what they are."""

from types import SimpleNamespace

import numpy as np
import pytest

import nn
from autograd import Variable
from autograd.bptt import formulas
from autograd.bptt.derivations import (
    GRU,
    LSTM,
    RNN,
    RNN_CLASSIFIER,
    RNN_REGRESSOR,
    Exercise,
    check,
    equations,
)


def slope(v):
    return v.o * (1 - np.tanh(v.c_next) ** 2) * v.da_next


def batch_sum(a):
    return a.sum(axis=1, keepdims=True)


CLASSIFIER_SOLUTION = {  # Goodfellow et al., 10.18 to 10.28
    "dL": lambda v: 1.0,
    "dy": lambda v: -v.target / v.y,
    "do": lambda v: v.y - v.target,
    "dc": lambda v: batch_sum(v.do),
    "dV": lambda v: v.do @ v.h.T,
    "dh": lambda v: v.V.T @ v.do + v.dh_next,
    "da": lambda v: (1 - v.h**2) * v.dh,
    "db": lambda v: batch_sum(v.da),
    "dW": lambda v: v.da @ v.h_prev.T,
    "dU": lambda v: v.da @ v.x.T,
    "dh_prev": lambda v: v.W.T @ v.da,
    "dx": lambda v: v.U.T @ v.da,
}
REGRESSOR_SOLUTION = {**CLASSIFIER_SOLUTION, "dy": lambda v: v.y - v.target}
RNN_SOLUTION, LSTM_SOLUTION, GRU_SOLUTION = map(equations, (formulas.rnn, formulas.lstm, formulas.gru))
del LSTM_SOLUTION["n_a"]  # no value of the exercise, only a name of the page
SOLUTIONS = [
    (RNN, RNN_SOLUTION),
    (LSTM, LSTM_SOLUTION),
    (GRU, GRU_SOLUTION),
    (RNN_CLASSIFIER, CLASSIFIER_SOLUTION),
    (RNN_REGRESSOR, REGRESSOR_SOLUTION),
]


def solution_of(exercise):
    (solution,) = [s for e, s in SOLUTIONS if e is exercise]
    return solution


def values_of(exercise, **sizes):
    """What formulas are given at every step."""
    seen = []
    check(exercise, {"dx": seen.append}, **sizes)
    return seen[: sizes.get("T", 3)]


@pytest.mark.parametrize("exercise, solution", SOLUTIONS)
def test_a_right_solution_passes(exercise, solution):
    verdict = check(exercise, solution)
    assert verdict.ok, str(verdict)
    assert verdict.right == list(solution)
    assert str(verdict).startswith(f"all {len(solution)} formulas are right")


@pytest.mark.parametrize("exercise, _", SOLUTIONS)
def test_the_right_values_are_those_of_finite_differences(exercise, _):
    """Of one step: its loss, and what arrives from the next step times the states that it leaves."""
    for v in values_of(exercise, T=2, m=3):
        inputs = exercise.shapes(3, 4, 3)

        def objective(name, x, v=v, inputs=inputs):
            w = SimpleNamespace(**{n: Variable(x if n == name else getattr(v, n)) for n in inputs})
            exercise.step(w)
            total = float(getattr(w, exercise.loss).data) if exercise.loss else 0.0
            return total + sum((getattr(w, s).data * getattr(v, "d" + s)).sum() for s in exercise.state)

        for name in set(inputs) - {"target"}:
            x, g = getattr(v, name), getattr(v, "d" + name)
            for i in np.ndindex(x.shape):
                up, down = x.copy(), x.copy()
                up[i] += 1e-5
                down[i] -= 1e-5
                numeric = (objective(name, up) - objective(name, down)) / 2e-5
                assert abs(numeric - g[i]) < 1e-7 * max(1.0, abs(g[i])), (name, i)


def test_the_losses_are_what_they_are_called():
    for v in values_of(RNN_CLASSIFIER):
        h = np.tanh(v.U @ v.x + v.W @ v.h_prev + v.b)
        e = np.exp(v.V @ h + v.c)
        np.testing.assert_allclose(v.y, e / e.sum(axis=0), rtol=1e-12)
        assert set(np.unique(v.target)) == {0.0, 1.0} and (v.target.sum(axis=0) == 1).all()
        right = [v.y[k, b] for b, k in enumerate(v.target.argmax(axis=0))]
        np.testing.assert_allclose(v.L, -np.log(right).sum(), rtol=1e-12)
    for v in values_of(RNN_REGRESSOR):
        np.testing.assert_allclose(v.y, v.V @ v.h + v.c, rtol=1e-12)
        np.testing.assert_allclose(v.L, 0.5 * ((v.y - v.target) ** 2).sum(), rtol=1e-12)
        assert not hasattr(v, "dtarget")


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
    (GRU, "dWr", lambda v: v.dzr @ v.x, "x has to be transposed (x is (3, 5))"),
    (GRU, "dWr", lambda v: v.dzr @ v.Wr, "(dzr is (4, 5); Wr is (4, 3))"),
    (GRU, "dWr", lambda v: v.dzr @ v.xt.T, "the formula raises AttributeError: v has no 'xt': there are x, "),
    (
        GRU,
        "da_prev",
        lambda v: v.da_next * v.z + v.Uz @ v.dzz + v.Ur @ v.dzr + v.r * (v.Un @ v.dzn),
        "Uz and Ur and Un have to be transposed",
    ),
    (LSTM, "dc", lambda v: v.dc_next, "the path through a_next is missing"),
    (RNN_CLASSIFIER, "do", lambda v: v.target - v.y, "the sign is wrong"),
    (RNN_CLASSIFIER, "do", lambda v: v.y, "the term -target is missing"),
    (RNN_CLASSIFIER, "do", lambda v: (v.y - v.target) / 5, "the mean over the batch instead of the sum"),
    (
        RNN_CLASSIFIER,
        "do",
        lambda v: (v.y - v.target) * v.y * (1 - v.y),
        "the factor y (1 - y) is one too many",
    ),
    (RNN_CLASSIFIER, "dV", lambda v: v.h @ v.do.T, "it is transposed"),
    (RNN_CLASSIFIER, "dV", lambda v: v.do @ v.h, "h has to be transposed (h is (4, 5))"),
    (
        RNN_CLASSIFIER,
        "dV",
        lambda v: v.do.T @ v.h,
        "h has to be transposed (h is (4, 5)), do must not be transposed (do is (3, 5))",
    ),
    (RNN_CLASSIFIER, "dV", lambda v: v.do @ v.h_prev.T, "it uses h_prev where h belongs"),
    (RNN_CLASSIFIER, "dV", lambda v: v.dy @ v.h.T, "it uses dy where do belongs"),
    (RNN_CLASSIFIER, "dc", lambda v: v.do, "the sum over the batch is missing"),
    (RNN_CLASSIFIER, "dh", lambda v: v.V @ v.do + v.dh_next, "V has to be transposed (V is (3, 4))"),
    (RNN_CLASSIFIER, "dh", lambda v: v.V.T @ v.do, "the path through h_next is missing"),
    (RNN_CLASSIFIER, "dh", lambda v: v.dh_next, "the path through o is missing"),
    (RNN_CLASSIFIER, "da", lambda v: (1 - v.h**2) * v.dh_next, "the path through o is missing"),
    (RNN_CLASSIFIER, "dV", lambda v: np.transpose(v.do) @ v.h.T, "do must not be transposed (do is (3, 5))"),
    (RNN_CLASSIFIER, "dh_prev", lambda v: v.W.T @ v.da.T, "da must not be transposed (da is (4, 5))"),
    (RNN_CLASSIFIER, "dx", lambda v: v.U[:, :] @ v.da, "U has to be transposed (U is (4, 3))"),
    (RNN_REGRESSOR, "dy", lambda v: 2 * (v.y - v.target), "it is twice what it should be"),
    (RNN_REGRESSOR, "dy", lambda v: (v.y - v.target) / 2, "it is half of what it should be"),
]


@pytest.mark.parametrize("exercise, name, formula, reason", PLANTED)
def test_planted_mistakes_are_named(exercise, name, formula, reason):
    solution = solution_of(exercise)
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


def test_a_formula_that_fails_at_some_steps_only():
    def formula(v):
        return v.dtanh @ v.a_prev.T if v.a_prev[0, 0] > 0 else v.dtanh @ v.a_prev

    (mistake,) = check(RNN, {"dWaa": formula}, T=6).mistakes
    assert 0 < len(mistake.steps) < 6 and mistake.reason == "a_prev has to be transposed (a_prev is (4, 5))"
    (mistake,) = check(RNN, {"dWaa": lambda v: formula(v) * (2 if v.a_prev[0, 0] > 0 else 1)}, T=6).mistakes
    assert len(mistake.steps) == 6


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
    for wrong, meant in {"dgama_f": "dgamma_f", "dhnext": "dh_next", "DV": "dV"}.items():
        with pytest.raises(ValueError, match=f"does not know '{wrong}': this exercise has {meant}, "):
            check(LSTM if wrong == "dgama_f" else RNN_CLASSIFIER, {wrong: lambda v: 0})


def test_names_that_an_exercise_itself_has_misspelt():
    def made(**changes):
        parts = {name: getattr(RNN, name) for name in ("step", "state", "shapes", "params", "also", "loss")}
        return Exercise(**(parts | changes))

    def step(v):
        v.a_next = v.Wax @ v.x + v.Waa @ v.aprev

    for changes, error, text in (
        (
            {"params": ("Wax", "Wa", "ba")},
            ValueError,
            "params has 'Wa', which shapes has not: it has Wa[ax], Wa",
        ),
        (
            {"state": {"a_next": "aprev"}},
            ValueError,
            "state has 'aprev', which shapes has not: it has a_prev, ",
        ),
        ({"state": {"a_nxt": "a_prev"}}, AttributeError, "v has no 'a_nxt': there are a_next, "),
        ({"also": {"dtanh": "dZ"}}, ValueError, "also has 'dZ', which is no gradient: there are dz, "),
        ({"loss": "L"}, AttributeError, "v has no 'L': there are "),
        ({"step": step}, AttributeError, "v has no 'aprev': there are a_prev, "),
    ):
        with pytest.raises(error, match=text):
            check(made(**changes), {"dx": lambda v: 0})


def test_a_mended_formula_is_right():
    """What the reasons ask for is what was missing: done, nothing is left to say."""
    mended = {
        "dV": lambda v: v.do @ v.h.T,  # h has to be transposed, do must not be
        "dh": lambda v: v.V.T @ v.do + v.dh_next,  # V has to be transposed
        "dh_prev": lambda v: v.W.T @ v.da,  # da must not be transposed
        "do": lambda v: v.y + -v.target,  # the term -target is missing
    }
    assert check(RNN_CLASSIFIER, mended).ok


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


@pytest.mark.parametrize("exercise, solution", SOLUTIONS)
def test_what_is_off_by_little_is_wrong_and_rounding_is_not(exercise, solution):
    """One part in a million, or a millionth: hardly any digit of a formula is left to chance."""
    for name, formula in solution.items():
        for changed in (lambda v, f=formula: f(v) * (1 + 1e-6), lambda v, f=formula: f(v) + 1e-6):
            (mistake,) = check(exercise, {name: changed}).mistakes
            assert mistake.name == name and "no simple reason found; off by" in mistake.reason
        assert check(exercise, {name: lambda v, f=formula: f(v) * (1 + 1e-12)}).ok
