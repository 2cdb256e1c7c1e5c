"""What the site makes of docstrings; that all of it is built without a warning, `.ci/run` tries."""

import importlib
import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted((DOCS / "reference").glob("*.md"))


@pytest.fixture
def docstrings(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    yield importlib.import_module("docstrings")
    sys.modules.pop("docstrings", None)


def test_what_stands_indented_is_literal(docstrings):
    lines = ["A cell:", "", "    h' = a ∘ h", "    y = |h| * 2", "", "Then text."]
    assert docstrings.as_rest(lines) == ["A cell:", "", "::", "", *lines[2:]]


def test_stars_and_bars_mean_themselves_outside_of_code(docstrings):
    found = docstrings.as_rest(["Shape (N, *spatial), |x| of *Deep Learning*, ``*xs`` and `a|b`."])
    assert found == [r"Shape (N, \*spatial), \|x\| of *Deep Learning*, ``*xs`` and `a|b`."]


def test_sections_and_examples_stay(docstrings):
    lines = ["Text.", "", "Args:", "    x: an array", "        of two lines.", "    y: *one* more.", ""]
    lines += [">>> f(*x)", "    indented output", ""]
    assert docstrings.as_rest(lines) == [*lines[:5], r"    y: \*one\* more.", *lines[6:]]


def test_every_page_of_the_reference_is_on_the_site():
    listed = set(re.findall(r"^(reference/\w+)$", (DOCS / "index.md").read_text(encoding="utf-8"), re.M))
    assert listed == {f"reference/{page.stem}" for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_modules_of_the_reference_exist(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"^\.\. names:: (\S+)$", text, re.M) + re.findall(r"^   (\S+)$", text, re.M)
    assert named
    for name in named:
        importlib.import_module(name)
