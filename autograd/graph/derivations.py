"""Checking derivatives that somebody derived by hand: formula by formula, step by step, with a reason.

An `Exercise` is the forward pass of one step with a name for everything; a solution is a dict from names
like ``dWaa`` to formulas, functions of the named values ``v``:

    check(RNN, {"dtanh": lambda v: (1 - v.a_next**2) * v.da_next,
                "dWaa": lambda v: v.dtanh @ v.a_prev.T, ...})

The right values come from the engine. Each formula sees right values of everything else, so that one
mistake is reported once, and is tried again with one thing changed to find the reason.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import modes
from ..core import Variable
from ..engine import grad
from ..ops import concatenate, matmul, reshape, sigmoid, tanh

Formula = Callable[[Any], Any]
Values = dict[str, np.ndarray]


@dataclass(frozen=True)
class Exercise:
    """The forward pass of one step, in columns: x (n_x, m), states (n_a, m) for a batch of m.

    Attributes:
        step: ``step(v)`` reads inputs from ``v`` and puts on it everything that has a name, Variables.
        state: for every state the input that it becomes in the next step: {"a_next": "a_prev"}. The
            gradient ``da_next`` is what arrives from outside of the step.
        shapes: ``shapes(n_x, n_a, m)``, the shape of every input by name.
        params: the names of those inputs that are shared by all steps.
        also: other names for gradients: {"dtanh": "dz"}.
    """

    step: Callable[[Any], None]
    state: Mapping[str, str]
    shapes: Callable[[int, int, int], Mapping[str, tuple[int, ...]]]
    params: Sequence[str]
    also: Mapping[str, str]


@dataclass(frozen=True)
class Mistake:
    """One formula that gives a wrong value: which, at which steps, likely why, and both values."""

    name: str
    steps: list[int]
    reason: str
    got: Any
    expected: np.ndarray

    def __str__(self) -> str:
        return f"{self.name} is wrong at step {', '.join(map(str, self.steps))}: {self.reason}"


@dataclass(frozen=True)
class Verdict:
    """The outcome of `check`: the mistakes in the order of the solution, and what was right."""

    mistakes: list[Mistake]
    right: list[str]

    @property
    def ok(self) -> bool:
        return not self.mistakes

    def __str__(self) -> str:
        if self.ok:
            return f"all {len(self.right)} formulas are right: {', '.join(self.right)}"
        return "\n".join([str(m) for m in self.mistakes] + [f"right: {', '.join(self.right) or 'none'}"])


def check(
    exercise: Exercise,
    solution: Mapping[str, Formula],
    *,
    T: int = 3,
    n_x: int = 3,
    n_a: int = 4,
    m: int = 5,
    rng: np.random.Generator | None = None,
) -> Verdict:
    """Compare every formula of a solution with the engine, at every step of a random sequence.

    A formula gets ``v`` with the values of one step as arrays: inputs, everything that the exercise names,
    and under ``d...`` the gradients of all of it. The gradient of a parameter is that of this step alone.

    Raises:
        ValueError: a name that is no gradient of the exercise; the message lists those that are.
    """
    truth = _run(exercise, T, n_x, n_a, m, np.random.default_rng(0) if rng is None else rng)
    known = [name for name in truth[0].values if name.startswith("d") and name[1:] in truth[0].values]
    known += [name for name in exercise.also if name not in known]
    for name in solution:
        if name not in known:
            raise ValueError(f"check does not know {name!r}: this exercise has {', '.join(known)}")
    mistakes, right = [], []
    for name, formula in solution.items():
        answers = [_evaluate(formula, at.values) for at in truth]
        expected = [at.values[name] for at in truth]
        wrong = [t for t in range(T) if not _same(answers[t], expected[t])]
        if wrong:
            t = wrong[-1]  # where the way back begins
            reason = _reason(name, formula, [truth[t] for t in wrong])
            mistakes.append(Mistake(name, wrong, reason, answers[t], expected[t]))
        else:
            right.append(name)
    return Verdict(mistakes, right)


# --- the right values -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Truth:
    """All values of one step, and the part of a gradient that came by way of one named quantity."""

    values: Values
    inputs: list[str]
    inner: list[str]
    through: Callable[[str, str], np.ndarray | None]
    shared: list[str]


def _run(exercise: Exercise, T: int, n_x: int, n_a: int, m: int, rng: np.random.Generator) -> list[_Truth]:
    """Run forward and back, and take everything down."""
    shapes = exercise.shapes(n_x, n_a, m)
    shared = {name: Variable(rng.normal(size=shapes[name])) for name in exercise.params}
    carried = {into: Variable(rng.normal(size=shapes[into])) for into in exercise.state.values()}
    spaces, outputs = [], []
    total: Any = 0.0
    for t in range(T):
        own = {name: Variable(rng.normal(size=s)) for name, s in shapes.items() if name not in carried}
        own.update(shared)
        with modes.step(t):
            # an own copy of every input and output, whose gradient is that of this step alone
            v = SimpleNamespace(**{name: _copy(x) for name, x in (own | carried).items()})
            exercise.step(v)
            outs = {name: _copy(getattr(v, name)) for name in exercise.state}
        for out in outs.values():
            total = total + (out * rng.normal(size=out.shape)).sum()
        carried = {into: outs[name] for name, into in exercise.state.items()}
        spaces.append(v)
        outputs.append(outs)
    result = []
    for v, outs in zip(spaces, outputs, strict=True):
        named = {name: x for name, x in vars(v).items() if isinstance(x, Variable)}
        wanted = {**named, **outs}
        gs = grad(total, list(wanted.values()), retain_graph=True)
        values = {name: x.data for name, x in named.items()}
        values.update({f"d{name}": g.data for name, g in zip(wanted, gs, strict=True)})
        values.update({other: values[name] for other, name in exercise.also.items()})
        inner = [name for name in named if name not in shapes]

        def through(
            by: str, to: str, named: dict[str, Variable] = named, values: Values = values
        ) -> np.ndarray | None:
            x = named.get(exercise.also.get(to, to).removeprefix("d"))
            if x is None or by not in named or x is named[by]:
                return None
            seed = values["d" + by]
            g = grad(named[by], x, gradients=seed, retain_graph=True, allow_unused=True)
            return None if g is None else g.data

        result.append(_Truth(values, list(shapes), inner, through, list(exercise.params)))
    return result


def _copy(x: Variable) -> Variable:
    return reshape(x, x.shape)


# --- comparing, and looking for the reason --------------------------------------------------------


def _evaluate(formula: Formula, values: Values) -> Any:
    """What a formula gives for copies of the values; an exception is an answer as well."""
    try:
        with np.errstate(all="ignore"):
            return np.asarray(formula(SimpleNamespace(**{k: np.array(x) for k, x in values.items()})), float)
    except Exception as error:  # whatever a student's formula raises belongs into the report
        return error


def _same(a: Any, b: Any) -> bool:
    return isinstance(a, np.ndarray) and a.shape == b.shape and np.allclose(a, b, rtol=1e-7, atol=1e-10)


def _reason(name: str, formula: Formula, steps: list[_Truth]) -> str:
    """The first guess that explains the answers of all wrong steps."""
    answers = [_evaluate(formula, at.values) for at in steps]
    rights = [at.values[name] for at in steps]
    if isinstance(answers[0], Exception):
        return f"the formula raises {type(answers[0]).__name__}: {answers[0]}"
    for reason, guess in _guesses(name, formula, steps[0]):
        if all(_fits(guess, a, at, right) for a, at, right in zip(answers, steps, rights, strict=True)):
            return reason
    if answers[0].shape != rights[0].shape:
        return f"it has shape {answers[0].shape}, expected {rights[0].shape}"
    return f"no simple reason found; off by {np.abs(answers[-1] - rights[-1]).max():.3g}"


def _fits(guess: "Guess", answer: Any, at: _Truth, right: np.ndarray) -> bool:
    """Does undoing the mistake that is guessed give the right value? Shapes may well not fit."""
    try:
        with np.errstate(all="ignore"):
            return _same(guess(answer, at), right)
    except ValueError:
        return False


Guess = Callable[[Any, _Truth], Any]  # the answer and the step -> what would be right
Factor = Callable[[Values], Any]


def _guesses(name: str, formula: Formula, at: _Truth) -> Iterator[tuple[str, Guess]]:
    """Common mistakes, the plainest first: what to say, and how to undo it."""
    batch = at.values[at.inputs[0]].shape[-1]
    yield "it is transposed", lambda a, at: a.T
    yield "the sign is wrong", lambda a, at: -a
    yield "the sum over the batch is missing", lambda a, at: a.sum(axis=-1, keepdims=True)
    yield "it is summed over the batch, but without keepdims", lambda a, at: a[..., None]
    yield "it is the mean over the batch instead of the sum", lambda a, at: a * batch
    factors = list(_factors(at))
    for what, factor in factors:
        yield f"the factor {what} is missing", partial(_times, factor)
    for what, factor in factors:
        yield f"the factor {what} is one too many", partial(_over, factor)
    for by in at.inner:
        yield f"the path through {by} is missing", partial(_with_path, by, name)
    used = [n for n in _used(formula, at.values) if n in at.values]
    for wrong in used:
        for right, value in at.values.items():
            if right != wrong and value is not at.values[name] and value.shape == at.values[wrong].shape:
                yield f"it uses {wrong} where {right} belongs", partial(_swapped, formula, wrong, right)
    for wrong in used:
        if at.values[wrong].ndim == 2 and len(set(at.values[wrong].shape)) == 1:
            yield f"{wrong} has to be transposed", partial(_transposed, formula, wrong)
    for changed in used:
        for what, factor in factors:
            yield f"the factor {what} is missing at {changed}", partial(_scaled, formula, changed, factor)


def _times(factor: Factor, answer: Any, at: _Truth) -> Any:
    return answer * factor(at.values)


def _over(factor: Factor, answer: Any, at: _Truth) -> Any:
    return answer / factor(at.values)


def _with_path(by: str, to: str, answer: Any, at: _Truth) -> Any:
    part = at.through(by, to)
    return answer + part if part is not None and answer.shape == part.shape else None


def _swapped(formula: Formula, wrong: str, right: str, answer: Any, at: _Truth) -> Any:
    return _evaluate(formula, at.values | {wrong: at.values[right]})


def _transposed(formula: Formula, wrong: str, answer: Any, at: _Truth) -> Any:
    return _evaluate(formula, at.values | {wrong: at.values[wrong].T})


def _scaled(formula: Formula, changed: str, factor: Factor, answer: Any, at: _Truth) -> Any:
    return _evaluate(formula, at.values | {changed: at.values[changed] * factor(at.values)})


def _factors(at: _Truth) -> Iterator[tuple[str, Factor]]:
    """What derivatives are made of: the named values themselves, and slopes of tanh and of σ in them."""
    names = [*at.inner, *[name for name in at.inputs if name not in at.shared]]
    for form, function in FACTORS.items():
        for q in names:
            yield form.format(q), partial(_of, function, q)


def _of(function: Callable[[np.ndarray], np.ndarray], name: str, values: Values) -> np.ndarray:
    return function(values[name])


FACTORS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "{}": lambda q: q,
    "(1 - {})": lambda q: 1 - q,
    "{0} (1 - {0})": lambda q: q * (1 - q),
    "(1 - {}²)": lambda q: 1 - q**2,
    "(1 - tanh²({}))": lambda q: 1 - np.tanh(q) ** 2,
    "tanh({})": np.tanh,
}


def _used(formula: Formula, values: Values) -> list[str]:
    """The names that a formula reads."""
    read: dict[str, None] = {}

    class Spy:
        def __getattr__(self, name: str) -> np.ndarray:
            read[name] = None
            if name not in values:
                raise AttributeError(name)
            return np.array(values[name])

    try:
        formula(Spy())
    except Exception:  # it was evaluated before, and answered with an array
        return list(read)
    return list(read)


# --- the exercises of the courses -----------------------------------------------------------------


def _rnn(v: Any) -> None:
    v.z = matmul(v.Wax, v.x) + matmul(v.Waa, v.a_prev) + v.ba
    v.a_next = tanh(v.z)


RNN = Exercise(
    step=_rnn,
    state={"a_next": "a_prev"},
    shapes=lambda n_x, n_a, m: {
        "x": (n_x, m),
        "a_prev": (n_a, m),
        "Wax": (n_a, n_x),
        "Waa": (n_a, n_a),
        "ba": (n_a, 1),
    },
    params=("Wax", "Waa", "ba"),
    also={"dtanh": "dz"},
)
"""a_next = tanh(Wax x + Waa a_prev + ba); dtanh, or dz, is the gradient in front of the tanh."""


def _lstm(v: Any) -> None:
    v.concat = concatenate([v.a_prev, v.x])
    v.zf, v.zi, v.zc, v.zo = (matmul(W, v.concat) + b for W, b in _gates(v))
    v.f, v.i, v.o = sigmoid(v.zf), sigmoid(v.zi), sigmoid(v.zo)
    v.cct = tanh(v.zc)
    v.c = v.f * v.c_prev + v.i * v.cct
    v.c_next = _copy(v.c)
    v.a_next = v.o * tanh(v.c)


def _gates(v: Any) -> list[tuple[Any, Any]]:
    return [(v.Wf, v.bf), (v.Wi, v.bi), (v.Wc, v.bc), (v.Wo, v.bo)]


LSTM = Exercise(
    step=_lstm,
    state={"a_next": "a_prev", "c_next": "c_prev"},
    shapes=lambda n_x, n_a, m: {
        "x": (n_x, m),
        "a_prev": (n_a, m),
        "c_prev": (n_a, m),
        **{f"W{gate}": (n_a, n_a + n_x) for gate in "fico"},
        **{f"b{gate}": (n_a, 1) for gate in "fico"},
    },
    params=("Wf", "Wi", "Wc", "Wo", "bf", "bi", "bc", "bo"),
    also={"dgamma_f": "dzf", "dgamma_u": "dzi", "dgamma_o": "dzo", "dp_c": "dzc"},
)
"""Gates f, i, o = σ(z) and candidate cct = tanh(zc) of z = W [a_prev; x] + b; c = f c_prev + i cct;
a_next = o tanh(c). dzf is the gradient in front of the gate's σ, df behind it, dc the whole gradient of c,
and dc_next the part of it that arrives from the next step."""


def _gru(v: Any) -> None:
    v.zr = matmul(v.Wr, v.x) + matmul(v.Ur, v.a_prev) + v.br
    v.zz = matmul(v.Wz, v.x) + matmul(v.Uz, v.a_prev) + v.bz
    v.r, v.z = sigmoid(v.zr), sigmoid(v.zz)
    v.ra = v.r * v.a_prev
    v.zn = matmul(v.Wn, v.x) + matmul(v.Un, v.ra) + v.bn
    v.n = tanh(v.zn)
    v.a_next = v.z * v.a_prev + (1.0 - v.z) * v.n


GRU = Exercise(
    step=_gru,
    state={"a_next": "a_prev"},
    shapes=lambda n_x, n_a, m: {
        "x": (n_x, m),
        "a_prev": (n_a, m),
        **{f"W{gate}": (n_a, n_x) for gate in "rzn"},
        **{f"U{gate}": (n_a, n_a) for gate in "rzn"},
        **{f"b{gate}": (n_a, 1) for gate in "rzn"},
    },
    params=("Wr", "Wz", "Wn", "Ur", "Uz", "Un", "br", "bz", "bn"),
    also={},
)
"""r, z = σ(W x + U a_prev + b), n = tanh(Wn x + Un (r a_prev) + bn), a_next = z a_prev + (1 - z) n; dzr, dzz
and dzn are the gradients in front of the gates' σ and of the tanh."""
