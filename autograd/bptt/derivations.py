"""Derivatives derived by hand, checked against the engine: formula by formula, with the likely reason.

An `Exercise` is the forward pass of one step with a name for every value. A solution is a page of NumPy
like those in `formulas`, a function with one equation per line, or a dict from names to formulas, functions
of the named values ``v``:

    check(RNN, formulas.rnn)
    check(RNN, {"dtanh": lambda v: (1 - v.a_next**2) * v.da_next,
                "dWaa": lambda v: v.dtanh @ v.a_prev.T, ...})

Each formula is given the right values of everything else, so that one mistake is reported once. A wrong
formula is tried again with one thing changed, to find the reason.
"""

import ast
import html
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache, partial
from operator import attrgetter
from textwrap import dedent
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import modes
from ..core import Array, Variable
from ..engine import grad
from ..graph.tables import as_html
from ..ops import concatenate, log, matmul, reshape, sigmoid, softmax, square, tanh
from .plotting import row_of_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Formula = Callable[[Any], Any]
Page = Callable[..., Any]
Values = dict[str, Array]
MOST_LINES = 10  # of a verdict at a prompt


@dataclass(frozen=True)
class Exercise:
    """The forward pass of one step, in columns: x (n_x, m), states (n_a, m) for a batch of m.

    Attributes:
        step: ``step(v)`` reads inputs from ``v`` and sets every named value on it, as a Variable.
        state: for every state the input that it becomes in the next step: {"a_next": "a_prev"}. The
            gradient ``da_next`` is the one that arrives from outside of the step.
        shapes: ``shapes(n_x, n_a, m)``, the shape of every input by name.
        params: the names of those inputs that all steps share.
        also: other names for gradients: {"dtanh": "dz"}.
        loss: the name of the loss of the step, where it has one; gradients from later steps come on top.

    >>> from autograd.bptt.derivations import Exercise, check
    >>> def leaky(v):
    ...     v.h_next = v.k * v.h_prev + v.x
    >>> def shapes(n_x, n_a, m):
    ...     return {"x": (n_a, m), "h_prev": (n_a, m), "k": ()}
    >>> leak = Exercise(leaky, {"h_next": "h_prev"}, shapes, params=["k"], also={})
    >>> print(check(leak, {"dh_prev": lambda v: v.k * v.dh_next, "dk": lambda v: v.dh_next * v.h_prev}))
    dk is wrong at step 0, 1, 2: it has shape (4, 5), expected ()
    right: dh_prev
    """

    step: Callable[[SimpleNamespace], None]
    state: Mapping[str, str]
    shapes: Callable[[int, int, int], Mapping[str, tuple[int, ...]]]
    params: Sequence[str]
    also: Mapping[str, str]
    loss: str | None = None


@dataclass(frozen=True, repr=False)
class Mistake:
    """One formula that gives a wrong value: its name, the steps, the likely reason, and both values.

    >>> from autograd.bptt.derivations import RNN, check
    >>> (mistake,) = check(RNN, {"da_prev": lambda v: v.Waa @ v.dtanh}).mistakes
    >>> mistake.name, mistake.steps, mistake.got.shape, mistake.expected.shape
    ('da_prev', [0, 1, 2], (4, 5), (4, 5))
    >>> mistake.reason
    'Waa has to be transposed (Waa is (4, 4))'
    """

    name: str
    steps: list[int]
    reason: str
    got: Array | Exception
    expected: Array

    def __str__(self) -> str:
        return f"{self.name} is wrong at step {', '.join(map(str, self.steps))}: {self.reason}"

    def __repr__(self) -> str:
        return f"<Mistake: {self}>"

    def _panels(self) -> list[tuple[str, Array]]:
        """Yours, right, and where their shapes agree the difference, each as a matrix."""
        found = [("right", self.expected)]
        if isinstance(self.got, np.ndarray):
            found.insert(0, ("yours", self.got))
            if self.got.shape == self.expected.shape:
                found.append(("difference", self.got - self.expected))
        return [(words, values.reshape(len(values) if values.ndim else 1, -1)) for words, values in found]

    def _repr_html_(self) -> str:
        tables = [
            as_html(values, range(len(values)), range(values.shape[1]), words)
            for words, values in self._panels()
        ]
        cells = "".join([f'<td style="vertical-align:top">{table}</td>' for table in tables])
        return f"<p>{html.escape(str(self))}</p><table><tr>{cells}</tr></table>"

    def plot(
        self,
        axs: "Sequence[Axes] | None" = None,
        vmin: float | None = None,
        vmax: float | None = None,
    ) -> "Sequence[Axes]":
        """Heatmaps at the last wrong step: yours, right, difference, in one scale of colours, 0 being white.

        Args:
            axs: three matplotlib axes; by default those of a new figure.
            vmin, vmax: the ends of the scale; by default the largest value and its negative.

        Returns the axes. A formula without a value, or with one of another shape, has no difference.
        """
        axs = row_of_axes(3) if axs is None else axs
        panels = dict(self._panels())
        largest = max([float(np.nanmax(np.abs(values), initial=0.0)) for values in panels.values()]) or 1.0
        vmin, vmax = -largest if vmin is None else vmin, largest if vmax is None else vmax
        for ax, words in zip(axs, ("yours", "right", "difference"), strict=True):
            ax.set_title(f"{self.name}: {words}" if words in panels else f"{words}: none")
            ax.set_axis_off()
            if words in panels:
                image = ax.imshow(panels[words], cmap="RdBu_r", vmin=vmin, vmax=vmax, aspect="auto")
        axs[0].figure.colorbar(image, ax=list(axs))
        return axs


@dataclass(frozen=True, repr=False)
class Verdict:
    """The outcome of `check`: the mistakes, and the names of the right formulas, as the solution has them.

    >>> from autograd.bptt.derivations import RNN, check
    >>> verdict = check(RNN, {"dba": lambda v: v.dtanh, "dx": lambda v: v.Wax.T @ v.dtanh})
    >>> verdict.ok, verdict.right
    (False, ['dx'])
    >>> print(verdict.mistakes[0])
    dba is wrong at step 0, 1, 2: the sum over the batch is missing
    """

    mistakes: list[Mistake]
    right: list[str]

    @property
    def ok(self) -> bool:
        return not self.mistakes

    def __str__(self) -> str:
        if self.ok:
            return f"all {len(self.right)} formulas are right: {', '.join(self.right)}"
        return "\n".join([str(m) for m in self.mistakes] + [f"right: {', '.join(self.right) or 'none'}"])

    def __repr__(self) -> str:
        lines = str(self).split("\n")
        if len(lines) > MOST_LINES:
            left_out = len(lines) - MOST_LINES + 1
            lines[MOST_LINES - 2 : -1] = [f"⋯ and {left_out} more"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        right = html.escape(", ".join(self.right) or "none")
        return "".join([m._repr_html_() for m in self.mistakes]) + f"<p>right: {right}</p>"

    def plot(self, vmin: float | None = None, vmax: float | None = None) -> "list[Sequence[Axes]]":
        """A figure for every mistake, see `Mistake.plot`; returns their axes."""
        return [mistake.plot(vmin=vmin, vmax=vmax) for mistake in self.mistakes]


def check(
    exercise: Exercise,
    solution: Mapping[str, Formula] | Page,
    *,
    T: int = 3,
    n_x: int = 3,
    n_a: int = 4,
    m: int = 5,
    rng: np.random.Generator | None = None,
) -> Verdict:
    """Compare every formula of a solution with the engine, at every step of a random sequence.

    A formula gets ``v`` with the values of one step as arrays: inputs, every value that the exercise names,
    and under ``d...`` their gradients. The gradient of a parameter is that of this step alone.

    Args:
        solution: a dict from names to formulas, or a page, whose `equations` are taken. A page may give
            names of its own to parts of formulas, as long as they do not begin with d.
        T: the number of steps.
        n_x, n_a, m: elements of an input and of a state, and the size of the batch.
        rng: draws the inputs; by default they are the same every time.

    Raises:
        ValueError: a name that is no value of the exercise, or that the exercise itself has misspelt; the
            message lists the names that there are, the most similar first.

    >>> from autograd.bptt.derivations import RNN, check
    >>> print(check(RNN, bptt.formulas.rnn))
    all 7 formulas are right: a_next, dtanh, dWax, dWaa, dba, dx, da_prev
    >>> print(check(RNN, {"dtanh": lambda v: v.da_next}))
    dtanh is wrong at step 0, 1, 2: the factor (1 - a_next²) is missing
    right: none
    """
    truth = _run(exercise, T, n_x, n_a, m, np.random.default_rng(0) if rng is None else rng)
    known = [name for name in truth[0].values if name not in truth[0].inputs]
    if not isinstance(solution, Mapping):
        page = equations(solution)
        solution = {name: f for name, f in page.items() if name in known or name.startswith("d")}
    for name in solution:
        if name not in known:
            raise ValueError(f"check does not know {name!r}: this exercise has {_similar_first(name, known)}")
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


def equations(page: Page) -> dict[str, Formula]:
    """The lines ``name = formula`` of a function, by name, each as a formula of the values ``v``.

    A line that uses the name of another one takes the value from ``v``, where ``v`` has it.

    Raises:
        ValueError: the text of the function cannot be read, or it has other lines than these, a docstring
            and ``return``.

    >>> from autograd.bptt.derivations import RNN, check, equations
    >>> page = equations(bptt.formulas.rnn)
    >>> print(check(RNN, page | {"dx": lambda v: -page["dx"](v)}).mistakes[0])
    dx is wrong at step 0, 1, 2: the sign is wrong
    """
    who = getattr(page, "__name__", repr(page))
    try:
        (function,) = ast.parse(dedent(inspect.getsource(page))).body
    except (OSError, TypeError, SyntaxError) as error:  # SyntaxError: a part of a statement, as lambdas are
        raise ValueError(
            f"equations cannot read the text of {who}: define it with def, in a file or a notebook"
        ) from error
    if not isinstance(function, ast.FunctionDef):
        raise ValueError(f"equations expected a function defined with def, got {ast.unparse(function)!r}")
    lines: dict[str, ast.expr] = {}
    for line in function.body:
        match line:
            case ast.Expr(ast.Constant()) | ast.Return():
                pass
            case ast.Assign([ast.Name(name)], value) if name not in lines:
                lines[name] = value
            case _:
                raise ValueError(
                    f"equations expected lines `name = formula`, every name once, got {ast.unparse(line)!r}"
                    f" in {who}"
                )
    names = {node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)}.union(lines)
    scope = {**page.__globals__, **inspect.getclosurevars(page).nonlocals}
    formulas: dict[str, Formula] = {}
    for name, value in lines.items():
        found = [node for node in ast.walk(value) if isinstance(node, ast.Name) and node.id in names]
        read = dict.fromkeys([node.id for node in sorted(found, key=attrgetter("lineno", "col_offset"))])
        function_of = eval(f"lambda {', '.join(read)}: {ast.unparse(value)}", scope)
        formulas[name] = partial(_equation, function_of, list(read), formulas)
    return dict(formulas)


def _equation(function: Callable[..., Any], names: list[str], page: Mapping[str, Formula], v: Any) -> Any:
    """A line of a page for the values ``v``, with the page's own formulas for names that ``v`` lacks."""
    return function(*[page[n](v) if n in page and not hasattr(v, n) else getattr(v, n) for n in names])


# --- names ----------------------------------------------------------------------------------------


class _Named(SimpleNamespace):
    """The values of a step. The error for a name that is not there lists those that are."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"v has no {name!r}: there are {_similar_first(name, vars(self))}")


def _similar_first(name: str, known: Iterable[str]) -> str:
    return _sorted(name, tuple(known))


@lru_cache  # formulas ask again and again for the names that only their page has
def _sorted(name: str, known: tuple[str, ...]) -> str:
    def alike(other: str) -> tuple[float, float]:
        same = SequenceMatcher(None, name, other).ratio()
        return SequenceMatcher(None, name.lower(), other.lower()).ratio(), same

    return ", ".join(sorted(known, key=alike, reverse=True))


def _check_names(exercise: Exercise, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise if ``params`` or ``state`` of an exercise name inputs that ``shapes`` has not."""
    given = {"params": exercise.params, "state": exercise.state.values()}
    for what, names in given.items():
        for name in names:
            if name not in shapes:
                known = _similar_first(name, shapes)
                raise ValueError(f"Exercise: {what} has {name!r}, which shapes has not: it has {known}")


# --- the right values -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Truth:
    """All values of one step; ``through(by, to)`` is the part of the gradient of ``to`` by way of ``by``."""

    values: Values
    inputs: list[str]
    inner: list[str]
    through: Callable[[str, str], Array | None]
    shared: list[str]


def _run(exercise: Exercise, T: int, n_x: int, n_a: int, m: int, rng: np.random.Generator) -> list[_Truth]:
    """Run forward and back; returns the values of every step."""
    shapes = exercise.shapes(n_x, n_a, m)
    _check_names(exercise, shapes)
    shared = {name: Variable(rng.normal(size=shapes[name])) for name in exercise.params}
    carried = {into: Variable(rng.normal(size=shapes[into])) for into in exercise.state.values()}
    spaces, outputs = [], []
    total: Any = 0.0
    for t in range(T):
        own = {name: Variable(rng.normal(size=s)) for name, s in shapes.items() if name not in carried}
        own.update(shared)
        with modes.step(t):
            # every input and output as a copy, whose gradient is that of this step alone
            v = _Named(**{name: _copy(x) for name, x in (own | carried).items()})
            exercise.step(v)
            outs = {name: _copy(getattr(v, name)) for name in exercise.state}
        if exercise.loss is not None:
            total = total + getattr(v, exercise.loss).sum()
        for out in outs.values():
            total = total + (out * rng.normal(size=out.shape)).sum()
        carried = {into: outs[name] for name, into in exercise.state.items()}
        spaces.append(v)
        outputs.append(outs)
    result = []
    for v, outs in zip(spaces, outputs, strict=True):
        values = {name: x.data for name, x in vars(v).items() if isinstance(x, Variable)}
        named = {name: x for name, x in vars(v).items() if name in values and x.requires_grad}
        wanted = {**named, **outs}
        gs = grad(total, list(wanted.values()), retain_graph=True)
        gradients = {f"d{name}": g.data for name, g in zip(wanted, gs, strict=True)}
        for other, name in exercise.also.items():
            if name not in gradients:
                known = _similar_first(name, gradients)
                raise ValueError(f"Exercise: also has {name!r}, which is no gradient: there are {known}")
            values[other] = gradients[name]
        values.update(gradients)
        inner = [name for name in named if name not in shapes]

        def through(
            by: str, to: str, named: dict[str, Variable] = named, values: Values = values
        ) -> Array | None:
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


def _evaluate(formula: Formula, values: Values) -> Array | Exception:
    """The answer of a formula to copies of the values; an exception is an answer as well."""
    try:
        with np.errstate(all="ignore"):
            return np.asarray(formula(_Named(**{k: np.array(x) for k, x in values.items()})), float)
    except Exception as error:  # all exceptions of a student's formula belong into the report
        return error


def _same(a: Array | Exception | None, b: Array) -> bool:
    return isinstance(a, Array) and a.shape == b.shape and np.allclose(a, b, rtol=1e-7, atol=1e-10)


def _reason(name: str, formula: Formula, steps: list[_Truth]) -> str:
    """The first guess that explains the answers of all wrong steps."""
    answers = [_evaluate(formula, at.values) for at in steps]
    rights = [at.values[name] for at in steps]
    for reason, guess in _guesses(name, formula, answers[0], steps[0]):
        if all(_fits(guess, a, at, right) for a, at, right in zip(answers, steps, rights, strict=True)):
            return reason
    if isinstance(answers[0], Exception):
        used = _used(formula, steps[0].values)
        shapes = "; ".join([f"{n} is {steps[0].values[n].shape}" for n in used if n in steps[0].values])
        details = f" ({shapes})" if isinstance(answers[0], ValueError) else ""
        return f"the formula raises {type(answers[0]).__name__}: {answers[0]}{details}"
    if answers[0].shape != rights[0].shape:
        return f"it has shape {answers[0].shape}, expected {rights[0].shape}"
    return f"no simple reason found; off by {np.abs(answers[-1] - rights[-1]).max():.3g}"


def _fits(guess: "Guess", answer: Array | Exception, at: _Truth, right: Array) -> bool:
    """Does undoing the guessed mistake give the right value? Shapes may not even fit."""
    try:
        with np.errstate(all="ignore"):
            return _same(guess(answer, at), right)
    except (AttributeError, TypeError, ValueError):  # no answer at all, or one whose shape does not fit
        return False


Guess = Callable[[Any, _Truth], Any]  # (answer, values of the step) -> the value without the mistake
Factor = Callable[[Values], Array]


def _guesses(
    name: str, formula: Formula, answer: Array | Exception, at: _Truth
) -> Iterator[tuple[str, Guess]]:
    """Common mistakes, the plainest first: the words for each, and a function that undoes it.

    Shapes come before numbers: factors and signs are tried only if the answer has the right shape.
    """
    right = at.values[name]
    fits = isinstance(answer, Array) and answer.shape == right.shape
    factors = list(_factors(at)) if fits else []
    used = [n for n in _used(formula, at.values) if n in at.values]
    if isinstance(answer, Array):
        yield "it is transposed", lambda a, at: a.T
        yield "the sum over the batch is missing", lambda a, at: a.sum(axis=-1, keepdims=True)
        yield "it is summed over the batch, but without keepdims", lambda a, at: a[..., None]
    if fits:
        batch = at.values[at.inputs[0]].shape[-1]
        yield "the sign is wrong", lambda a, at: -a
        yield "it is the mean over the batch instead of the sum", lambda a, at: a * batch
        yield "it is twice what it should be", lambda a, at: a / 2
        yield "it is half of what it should be", lambda a, at: a * 2
    else:
        yield from _transpositions(formula, at.values)
    for what, factor in factors:
        yield f"the factor {what} is missing", partial(_times, factor)
    for what, factor in factors:
        yield f"the factor {what} is one too many", partial(_over, factor)
    if fits:
        for by in at.inner:
            yield f"the path through {by} is missing", partial(_with_path, by, name)
        for term, value in at.values.items():
            if value is not right and value.shape == right.shape:
                yield f"the term {term} is missing", partial(_plus, term, 1)
                yield f"the term -{term} is missing", partial(_plus, term, -1)
    for wrong in used:
        for other, value in at.values.items():
            if other != wrong and value is not right and value.shape == at.values[wrong].shape:
                yield f"it uses {wrong} where {other} belongs", partial(_swapped, formula, wrong, other)
    if fits:
        yield from _transpositions(formula, at.values)
    for changed in used:
        for what, factor in factors:
            yield f"the factor {what} is missing at {changed}", partial(_scaled, formula, changed, factor)


def _transpositions(formula: Formula, values: Values) -> Iterator[tuple[str, Guess]]:
    """Up to four matrices that have to be transposed, the fewest first.

    A formula may stop at the first product that does not fit: which matrices it reads later shows only when
    that product is mended.
    """
    waiting: list[tuple[str, ...]] = [()]
    seen = {frozenset[str]()}
    for names in waiting:
        already: set[str] = set()
        read = _used(formula, _with_transposed(values, names), already)
        if names:
            yield _transposition_words(names, already, values), partial(_transposed, formula, names)
        matrices = [n for n in read if n in values and values[n].ndim == 2 and n not in names]
        for key in [frozenset([*names, n]) for n in matrices if len(names) < 4]:
            if key not in seen:
                seen.add(key)
                waiting.append(tuple(n for n in (*names, *matrices) if n in key))


def _transposition_words(names: Sequence[str], already: set[str], values: Values) -> str:
    """The advice for matrices to transpose, or not to transpose if the formula has done so ``already``."""
    parts = []
    for some, verbs in (
        ([n for n in names if n not in already], ("has to be", "have to be")),
        ([n for n in names if n in already], ("must not be", "must not be")),
    ):
        if some:
            shapes = ", ".join([f"{n} is {values[n].shape}" for n in some])
            parts.append(f"{' and '.join(some)} {verbs[len(some) > 1]} transposed ({shapes})")
    return ", ".join(parts)


def _times(factor: Factor, answer: Array, at: _Truth) -> Array:
    return answer * factor(at.values)


def _over(factor: Factor, answer: Array, at: _Truth) -> Array:
    return answer / factor(at.values)


def _plus(term: str, sign: int, answer: Array, at: _Truth) -> Array:
    return answer + sign * at.values[term]


def _with_path(by: str, to: str, answer: Array, at: _Truth) -> Array | None:
    part = at.through(by, to)
    return answer + part if part is not None and answer.shape == part.shape else None


def _swapped(formula: Formula, wrong: str, right: str, answer: object, at: _Truth) -> Array | Exception:
    return _evaluate(formula, at.values | {wrong: at.values[right]})


def _transposed(formula: Formula, names: Sequence[str], answer: object, at: _Truth) -> Array | Exception:
    return _evaluate(formula, _with_transposed(at.values, names))


def _with_transposed(values: Values, names: Sequence[str]) -> Values:
    return values | {name: values[name].T for name in names}


def _scaled(formula: Formula, changed: str, factor: Factor, answer: object, at: _Truth) -> Array | Exception:
    return _evaluate(formula, at.values | {changed: at.values[changed] * factor(at.values)})


def _factors(at: _Truth) -> Iterator[tuple[str, Factor]]:
    """Factors of derivatives: the named values themselves, and the slopes of tanh and of σ by them."""
    names = [*at.inner, *[name for name in at.inputs if name not in at.shared]]
    for form, function in FACTORS.items():
        for q in names:
            yield form.format(q), partial(_of, function, q)


def _of(function: Callable[[Array], Array], name: str, values: Values) -> Array:
    return function(values[name])


FACTORS: dict[str, Callable[[Array], Array]] = {
    "{}": lambda q: q,
    "(1 - {})": lambda q: 1 - q,
    "{0} (1 - {0})": lambda q: q * (1 - q),
    "(1 - {}²)": lambda q: 1 - q**2,
    "(1 - tanh²({}))": lambda q: 1 - np.tanh(q) ** 2,
    "tanh({})": np.tanh,
}


class _ReportsTranspose(Array):
    """An array that calls ``taken`` when its transpose, or that of a part of it, is taken."""

    taken: Callable[[], None] = staticmethod(lambda: None)

    def transpose(self, *axes: Any) -> Any:
        self.taken()
        return np.asarray(self).transpose(*axes)

    @property
    def T(self) -> Any:
        return self.transpose()

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        if isinstance(part, _ReportsTranspose):
            part.taken = self.taken
        return part


def _used(formula: Formula, values: Values, transposed: set[str] | None = None) -> list[str]:
    """The names that a formula reads; names of arrays that it transposes are added to ``transposed``."""
    read: dict[str, None] = {}
    found = set[str]() if transposed is None else transposed

    class Spy:
        def __getattr__(self, name: str) -> Array:
            read[name] = None
            if name not in values:
                raise AttributeError(name)
            reporting = np.array(values[name]).view(_ReportsTranspose)
            reporting.taken = partial(found.add, name)
            return reporting

    try:
        with np.errstate(all="ignore"):
            formula(Spy())
    except Exception:  # `_evaluate` reports it
        return list(read)
    return list(read)


# --- the exercises of the courses -----------------------------------------------------------------


def _rnn(v: SimpleNamespace) -> None:
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


def _lstm(v: SimpleNamespace) -> None:
    v.concat = concatenate([v.a_prev, v.x])
    v.zf, v.zi, v.zc, v.zo = (matmul(W, v.concat) + b for W, b in _gates(v))
    v.f, v.i, v.o = sigmoid(v.zf), sigmoid(v.zi), sigmoid(v.zo)
    v.cct = tanh(v.zc)
    v.c = v.f * v.c_prev + v.i * v.cct
    v.c_next = _copy(v.c)
    v.a_next = v.o * tanh(v.c)


def _gates(v: SimpleNamespace) -> list[tuple[Variable, Variable]]:
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


def _gru(v: SimpleNamespace) -> None:
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


def _textbook(v: SimpleNamespace) -> None:
    v.a = matmul(v.U, v.x) + matmul(v.W, v.h_prev) + v.b
    v.h = tanh(v.a)
    v.h_next = _copy(v.h)
    v.o = matmul(v.V, v.h) + v.c


def _classifier(v: SimpleNamespace) -> None:
    v.target = Variable(np.eye(len(v.target))[v.target.data.argmax(axis=0)].T, requires_grad=False)
    _textbook(v)
    v.y = softmax(v.o, axis=0)
    v.L = -(v.target * log(v.y)).sum()


def _regressor(v: SimpleNamespace) -> None:
    v.target = v.target.detach()
    _textbook(v)
    v.y = _copy(v.o)
    v.L = square(v.y - v.target).sum() * 0.5


RNN_CLASSIFIER = Exercise(
    step=_classifier,
    state={"h_next": "h_prev"},
    shapes=lambda n_x, n_a, m: {
        "x": (n_x, m),
        "h_prev": (n_a, m),
        "target": (n_x, m),
        "U": (n_a, n_x),
        "W": (n_a, n_a),
        "b": (n_a, 1),
        "V": (n_x, n_a),
        "c": (n_x, 1),
    },
    params=("U", "W", "b", "V", "c"),
    also={},
    loss="L",
)
"""The page of formulas that courses end with (Goodfellow et al. 2016, 10.2.2), in columns, with as many
classes as inputs: h = tanh(U x + W h_prev + b), o = V h + c, y = softmax(o), and the cross-entropy
L = -Σ target log y of one-hot targets, summed over the batch. dh is the whole gradient of h, and dh_next the
part of it that arrives from the next step."""

RNN_REGRESSOR = Exercise(
    step=_regressor,
    state=RNN_CLASSIFIER.state,
    shapes=RNN_CLASSIFIER.shapes,
    params=RNN_CLASSIFIER.params,
    also={},
    loss="L",
)
"""`RNN_CLASSIFIER` with y = o and the squared error L = ½ Σ (y - target)²."""
