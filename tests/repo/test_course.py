"""The course: cells run, solutions pass their checks, wrong answers do not, and notebooks are written."""

import inspect
import json
import re
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import nn
from autograd import Variable
from docs import notebooks
from docs.slides import __main__ as lecture

CHAPTERS = notebooks.chapters()
CHECK = r"^check\(\"([\d.]+)\""
QUICK = ("01_graph", "02_reverse_mode")  # run in the ordinary suite
EVERY = [pytest.param(name, marks=() if name in QUICK else pytest.mark.full) for name in CHAPTERS]


@pytest.fixture
def course(monkeypatch):
    monkeypatch.syspath_prepend(str(notebooks.COURSE))
    import course

    monkeypatch.setattr(course, "results", [])
    yield course
    for name in ("course", "answers"):
        sys.modules.pop(name, None)


@cache
def texts() -> dict[str, list[notebooks.Cell]]:
    return {name: notebooks.cells(path) for name, path in CHAPTERS.items()}


def run(name: str) -> dict[str, Any]:
    """Run the cells of a chapter as a notebook does; what a cell ends in is shown as a notebook shows it."""
    pytest.importorskip("matplotlib").use("agg")
    names = {"__name__": "chapter"}
    for number, cell in enumerate(texts()[name]):
        if cell.kind == "code":
            file = f"<{name}, cell {number}>"
            inspect.linecache.cache[file] = (len(cell.source), None, cell.source.splitlines(True), file)
            exec(compile(cell.source, file, "exec"), names)
    return names


def wrong_ones(right: Any) -> list[Any]:
    """Answers that are near the right one, and are not it."""
    if isinstance(right, Callable):
        return [lambda *a, **k: None, lambda *a, **k: 0.0, lambda *a, **k: changed(right(*a, **k))]
    if isinstance(right, bool):
        return [not right]
    if isinstance(right, str):
        return [right + "x", "", 0]
    if isinstance(right, dict):
        return [{**right, key: wrong} for key, value in right.items() for wrong in wrong_ones(value)[:2]]
    if isinstance(right, list | tuple | set) and not all(isinstance(x, int | float) for x in right):
        return [type(right)([])]
    if isinstance(right, set):
        return [right | {1234}, set(list(right)[1:])]
    array = np.asarray(getattr(right, "data", right), float)
    return [None, "text", array + 1, 2 * array + 0.5, np.nan * array, array[..., None]]


def changed(value: Any) -> Any:
    return tuple(map(changed, value)) if isinstance(value, tuple | list) else value * value + 1.0


@pytest.mark.parametrize("name", EVERY)
def test_chapter(name, course, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nn.manual_seed(0)
    run(name)
    number = int(name[:2])
    asked = {key for key in course.EXERCISES if key.startswith(f"{number}.")}
    assert 3 <= len(asked) <= 5
    assert {result.number for result in course.results} == asked
    for result in list(course.results):
        assert result.ok, result
        for wrong in wrong_ones(result.answer):
            assert not course.check(result.number, wrong).ok, (result.number, wrong)


def hides(cell: notebooks.Cell) -> bool:
    return "hide-cell" in cell.tags


def test_cells_are_short_and_checks_have_solutions():
    for name, found in texts().items():
        for cell in found:
            assert len(cell.source.splitlines()) <= 15 or cell.kind == "markdown", (name, cell.source)
        open_, solved = [
            [n for cell in found if hides(cell) == hidden for n in re.findall(CHECK, cell.source, re.M)]
            for hidden in (False, True)
        ]
        assert open_ == solved == sorted(set(open_)) and 3 <= len(solved) <= 5, name


def test_reverse_mode_is_sixty_lines():
    lines = [cell.source for cell in texts()["02_reverse_mode"] if "engine" in cell.tags]
    assert len(lines) >= 4 and len("\n".join(lines).splitlines()) <= 60


def test_notebooks(tmp_path):
    notebooks.main([str(tmp_path / "out")])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "answers.py",
        "course.py",
        *[f"{name}.ipynb" for name in CHAPTERS],
    }
    for name in CHAPTERS:
        written = json.loads((tmp_path / "out" / f"{name}.ipynb").read_text(encoding="utf-8"))
        assert [cell["source"] for cell in written["cells"]] == [cell.source for cell in texts()[name]]
        assert "{code-cell}" not in str(written)
        assert written["cells"][0]["source"].startswith("# ")
        assert written["cells"][-1]["source"].startswith("## Further reading")


def test_slides(tmp_path):
    lecture.main([str(tmp_path)])
    text = (tmp_path / "bptt.html").read_text(encoding="utf-8")
    assert 22 <= text.count("<section") == text.count("<h1") + text.count("<h2") <= 28
    shown = re.findall(r'src="(.*?)"', text)
    assert {"film.html", "live.html"} < set(shown) and "<script" not in text
    for name in shown:
        assert (tmp_path / name).stat().st_size > 1000, name
    pages = [(tmp_path / name).read_text(encoding="utf-8") for name in ("film.html", "live.html")]
    assert "http:" not in re.sub(r"http://www\.w3\.org/\S*", "", text + "".join(pages))


def test_an_unknown_exercise_and_an_open_one(course):
    with pytest.raises(ValueError, match="expected the number of an exercise"):
        course.check("99.1", 0)
    assert repr(course.check("1.1", ...)) == "1.1: put your answer in place of the dots."
    assert repr(course.check("1.4", lambda x: ...)) == "1.4: put your answer in place of the dots."
    assert not course.results


@pytest.mark.parametrize(
    ("number", "answer", "says"),
    [
        ("3.3", 0.286, "It is near. Give more digits, or the expression itself."),
        ("4.4", [5 / 3], "Expected one number, got an array of shape (1,)."),
        ("5.1", [[1], [2, 2], [4, 4, 4]], "Expected rows of one length."),
        ("5.3", 5, "Expected a function, got int."),
        ("6.1", np.log(1e-6) / np.log(0.9), "Only whole steps count."),
        (
            "6.2",
            lambda h_next, W: (h_next > 0)[:, None] * W,
            "Which entry of W does h_i meet on its way to h'_j?",
        ),
        ("6.4", [[0.3j, 100], [0, 0.3]], "Expected real numbers."),
        ("7.1", 0.995, ""),  # not near: to the power of 100 it is 0.61
    ],
)
def test_a_wrong_answer_is_told_why(number, answer, says, course):
    assert repr(course.check(number, answer)) == f"{number} is not right yet. {says}".rstrip()


def test_other_forms_of_a_right_answer_are_right(course):
    def jacobian(h_next, W):
        return (h_next > 0)[:, None] * W.T

    assert course.check("6.2", lambda h_next, W: jacobian(h_next, W).astype("f")).ok
    assert course.check("6.2", lambda h_next, W: jacobian(h_next, W).tolist()).ok
    assert course.check("6.4", Variable([[0.5, 0.0], [100.0, 0.5]])).ok
    assert course.check("3.3", Variable(50 * 0.9**49)).ok
