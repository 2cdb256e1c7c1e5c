"""The pages of formulas: right in every line, complete, NumPy alone; a wrong sign in any line is named."""

import ast
import importlib.util
import inspect
import re

import numpy as np
import pytest

from autograd.bptt import formulas
from autograd.bptt.derivations import GRU, LSTM, RNN, check, equations

PAGES = [(RNN, formulas.rnn), (LSTM, formulas.lstm), (GRU, formulas.gru)]
NAMES = ["rnn", "lstm", "gru"]


def text_of(page):
    return inspect.getsource(page)


def loaded(text, folder):
    """The function of a page with another text, from a file as a student would have it."""
    path = folder / "page.py"
    path.write_text(f"import numpy as np\nfrom autograd.bptt.formulas import sigmoid, tanh\n\n\n{text}")
    spec = importlib.util.spec_from_file_location("page", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return next(f for name, f in vars(module).items() if name in NAMES)


# --- right ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [{}, {"n_x": 5, "n_a": 2, "m": 1}, {"T": 1, "n_x": 1, "n_a": 1, "m": 3}])
@pytest.mark.parametrize("exercise, page", PAGES, ids=NAMES)
def test_every_line_is_what_the_engine_computes(exercise, page, sizes):
    verdict = check(exercise, page, **sizes)
    assert verdict.ok, str(verdict)
    assert verdict.right == [name for name in equations(page) if name != "n_a"]


@pytest.mark.parametrize("exercise, page", PAGES, ids=NAMES)
def test_a_page_by_itself_against_finite_differences(exercise, page, rng):
    """NumPy alone: the gradient of what arrives times the new states, by every element of every input."""
    shapes = exercise.shapes(3, 2, 4)
    values = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    arriving = {f"d{s}": rng.normal(size=shapes[into]) for s, into in exercise.state.items()}
    assert {*inspect.signature(page).parameters} == {*values, *arriving}

    def objective(**changed):
        v = page(**{**values, **changed}, **arriving)
        return sum((v[s] * arriving[f"d{s}"]).sum() for s in exercise.state)

    g = page(**values, **arriving)
    for name, x in values.items():
        assert g[f"d{name}"].shape == x.shape
        for i in np.ndindex(x.shape):
            step = np.zeros_like(x)
            step[i] = 1e-5
            numeric = (objective(**{name: x + step}) - objective(**{name: x - step})) / 2e-5
            assert abs(numeric - g[f"d{name}"][i]) < 1e-8 * max(1.0, abs(numeric)), (name, i)


def test_equations_7_to_21_stand_in_their_order():
    numbers = re.findall(r"^    (\w+) = .*  # \((\d+)\)$", text_of(formulas.lstm), re.M)
    assert [int(number) for _, number in numbers] == list(range(7, 22))
    names = " ".join([name for name, _ in numbers])
    assert names == "dgamma_o dp_c dgamma_u dgamma_f dWf dWi dWc dWo dbf dbi dbc dbo da_prev dc_prev dx"


def test_a_page_needs_numpy_alone():
    text = inspect.getsource(formulas)
    assert re.findall(r"^(?:import|from) .*", text, re.M) == ["import numpy as np"]


# --- wrong ----------------------------------------------------------------------------------------


def signs(page):
    """Every + and - of a page: the name of the line, and the position of the operator in the text."""
    (function,) = ast.parse(text_of(page)).body
    starts = np.cumsum([0, *[len(line.encode()) + 1 for line in text_of(page).split("\n")]])
    for line in function.body:
        for node in ast.walk(line):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
                after = starts[node.left.end_lineno - 1] + node.left.end_col_offset
                sign = "+" if isinstance(node.op, ast.Add) else "-"
                yield line.targets[0].id, text_of(page).encode().index(sign.encode(), after)


SIGNS = [(e, p, name, at) for e, p in PAGES for name, at in signs(p)]


def test_the_signs_of_all_lines_are_found():
    by_page = {page.__name__: [name for _, p, name, _ in SIGNS if p is page] for _, page in PAGES}
    assert by_page["rnn"] == ["a_next", "a_next", "dtanh"]
    assert by_page["lstm"].count("dgamma_f") == 3 and by_page["lstm"].count("dx") == 3
    assert {*by_page["gru"]} == {"r", "z", "n", "a_next", "dzz", "dzn", "dzr", "da_prev", "dx"}


@pytest.mark.parametrize(
    "exercise, page, name, at", SIGNS, ids=[f"{p.__name__} {name} {at}" for _, p, name, at in SIGNS]
)
def test_a_wrong_sign_in_any_line_is_named(exercise, page, name, at, tmp_path):
    text = bytearray(text_of(page).encode())
    text[at : at + 1] = b"-" if text[at : at + 1] == b"+" else b"+"
    verdict = check(exercise, loaded(text.decode(), tmp_path), T=2, n_x=2, n_a=3, m=2)
    assert [mistake.name for mistake in verdict.mistakes] == [name]


@pytest.mark.parametrize(
    "exercise, page, name",
    [(e, p, name) for e, p in PAGES for name in equations(p) if name.startswith("d")],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_gradient_with_the_opposite_sign_is_named(exercise, page, name):
    verdict = check(exercise, {name: lambda v: -equations(page)[name](v)})
    (mistake,) = verdict.mistakes
    assert (mistake.name, mistake.reason) == (name, "the sign is wrong")


def test_a_mistake_of_the_forward_pass_is_named(tmp_path):
    text = text_of(formulas.lstm).replace("i = sigmoid(Wi @", "i = sigmoid(Wf @")
    (mistake,) = check(LSTM, loaded(text, tmp_path)).mistakes
    assert (mistake.name, mistake.reason) == ("i", "it uses Wf where Wi belongs")


# --- pages of others ------------------------------------------------------------------------------

SLOPE = 1.0


def test_names_of_its_own():
    """Parts of formulas, names around the function, comprehensions. A wrong part shows where it is used."""

    def rnn(x, a_prev, Wax, Waa, ba, da_next):
        """A docstring."""
        z = sum(W @ h for W, h in [(Wax, x), (Waa, a_prev)]) + ba
        bend = slope - np.tanh(z) ** 2
        dz = bend * da_next
        dWaa = dz @ a_prev.T
        return dz, dWaa

    slope = SLOPE
    assert check(RNN, rnn).right == ["z", "dz", "dWaa"]
    slope = 2.0
    verdict = check(RNN, rnn)
    assert [mistake.name for mistake in verdict.mistakes] == ["dz"] and verdict.right == ["z", "dWaa"]


def test_a_misspelt_gradient_is_no_name_of_its_own():
    def page(da_next, a_next):
        dtahn = da_next * (1 - a_next**2)
        return dtahn

    with pytest.raises(ValueError, match="does not know 'dtahn': this exercise has dtanh, "):
        check(RNN, page)


def test_a_name_that_is_nowhere():
    def page(da_next, a_nxt):
        dtanh = da_next * (1 - a_nxt**2)
        return dtanh

    (mistake,) = check(RNN, page).mistakes
    assert mistake.reason.startswith(
        "the formula raises AttributeError: v has no 'a_nxt': there are a_next, "
    )


def loops(x):
    for _ in range(2):
        x = x + x
    return x


def adds(da_next):
    dz = da_next
    dz += da_next
    return dz


def repeats(da_next):
    dz = da_next
    dz = 2 * dz
    return dz


def takes_apart(cache):
    a, b = cache
    return a, b


@pytest.mark.parametrize(
    "page, text",
    [
        (loops, r"equations expected lines `name = formula`, every name once, got 'for _ in .* in loops"),
        (adds, "got 'dz \\+= da_next' in adds"),
        (repeats, "got 'dz = 2 \\* dz' in repeats"),
        (takes_apart, "got '\\(?a, b\\)? = cache' in takes_apart"),
        (len, "equations cannot read the text of len: define it with def, in a file"),
    ],
)
def test_pages_that_cannot_be_read_line_by_line(page, text):
    with pytest.raises(ValueError, match=re.compile(text, re.S)):
        equations(page)


def test_a_lambda_is_no_page():
    page = lambda da_next: da_next  # noqa: E731
    with pytest.raises(ValueError, match="equations expected a function defined with def, got 'page = la"):
        equations(page)
    pages = {
        "dz": lambda da_next: da_next,
    }
    with pytest.raises(ValueError, match="equations cannot read the text of <lambda>: define it with def"):
        equations(pages["dz"])
