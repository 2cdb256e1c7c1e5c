"""Linear recurrences: the operation, by steps and in pictures, and the algorithms that are composed."""

import math
import queue
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

import autograd as ag
from autograd import Variable, capture, graph, stepwise
from autograd.bptt import scans
from autograd.graph.reading import Reading, results_of

LENGTHS = [1, 2, 3, 7, 8, 33, 400]


def by_hand(a, b, h):
    states = []
    for a_t, b_t in zip(a, b, strict=True):
        h = a_t * h + b_t
        states.append(h)
    return np.array(states)


def nodes(y):
    """All nodes of the graph that y was computed by, in the order of their calls."""
    return sorted(Reading(results_of(y)).sources, key=lambda node: node.number)


def inputs(T, rng, *row):
    return rng.uniform(-1.1, 1.1, (T, *row)), rng.normal(size=(T, *row)), rng.normal(size=row)


@pytest.mark.parametrize("T", LENGTHS)
@pytest.mark.parametrize("way", [ag.linear_scan, *scans.WAYS.values()], ids=lambda way: way.__name__)
def test_every_way_gives_the_loop_and_its_gradients(way, T, rng):
    arrays = inputs(T, rng, 2, 3)
    np.testing.assert_allclose(way(*arrays), by_hand(*arrays), rtol=0, atol=1e-12)
    weights = rng.normal(size=(T, 2, 3))
    a, b, h0 = map(Variable, arrays)
    got = ag.grad((way(a, b, h0) * weights).sum(), [a, b, h0])
    λ = np.zeros((T + 1, 2, 3))  # the gradient by its own recurrence
    for t in range(T)[::-1]:
        λ[t] = weights[t] + (arrays[0][t + 1] * λ[t + 1] if t + 1 < T else 0)
    before = np.concatenate([arrays[2][None], by_hand(*arrays)[:-1]])
    for g, want in zip(got, (λ[:-1] * before, λ[:-1], arrays[0][0] * λ[0]), strict=True):
        np.testing.assert_allclose(g.data, want, rtol=0, atol=1e-11)


@pytest.mark.parametrize("size", [1, 4, 5, 50])
def test_chunks_of_every_size(size, rng):
    arrays = inputs(20, rng, 3)
    np.testing.assert_allclose(scans.chunks(*arrays, size=size), by_hand(*arrays), rtol=0, atol=1e-12)


def products_and_depth(way, T):
    """How many products there are per step and unit, and how many stand on the longest path."""
    y = way(*map(Variable, inputs(T, np.random.default_rng(0))))
    depth, work = {}, 0
    for node in nodes(y):
        product = node.label == "Mul"
        work += math.prod(node.out_shape) if product else 0
        before = [depth.get(getattr(edge, "node", edge), 0) for edge in node.edges]
        depth[node] = product + max(before, default=0)
    return work / T, max(depth.values())


def test_work_and_depth_are_what_the_page_says():
    T = 256
    found = {name: products_and_depth(way, T) for name, way in scans.WAYS.items()}
    assert found["loop"] == (1, T)
    work, depth = found["Hillis-Steele"]
    assert depth == 1 + math.log2(T) and 13 < work < 2 * math.log2(T) + 0.1
    work, depth = found["Blelloch"]
    assert depth == 1 + 2 * math.log2(T) and 2.9 < work < 3.1
    work, depth = found["chunks"]
    assert depth <= 16 + T // 16 + 1 and 2.9 < work < 3.1


@pytest.mark.parametrize("way", scans.WAYS.values(), ids=lambda way: way.__name__)
def test_work_and_depth_are_counted(way):
    per_step, depth = products_and_depth(way, 50)
    assert scans.work_and_depth(way, 50) == (round(per_step * 50), depth)


def test_chunks_need_a_step():
    with pytest.raises(ValueError, match="chunks expected a size of at least 1 step, got 0"):
        scans.chunks(np.ones(2), np.ones(2), size=0)


# --- the operation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
def test_by_steps_it_is_the_same_with_every_operation_in_its_step(axis, reverse, rng):
    a, b, h0 = (Variable(rng.normal(size=shape)) for shape in ((5, 5, 2), (5, 5, 2), (5, 2)))
    whole = ag.linear_scan(a, b, h0, axis, reverse)
    with stepwise():
        steps = ag.linear_scan(a, b, h0, axis, reverse)
    np.testing.assert_allclose(steps.data, whole.data, rtol=0, atol=1e-14)
    for g, want in zip(ag.grad(steps.sum(), [a, b, h0]), ag.grad(whole.sum(), [a, b, h0]), strict=True):
        np.testing.assert_allclose(g.data, want.data, rtol=0, atol=1e-12)
    with stepwise():
        steps = ag.linear_scan(a, b, h0, axis, reverse)
    products = [node for node in nodes(steps) if node.label == "Mul"]
    assert [node.place.step for node in products] == list(range(5)[:: -1 if reverse else 1])


def test_complex_numbers_by_steps_and_at_once(rng):
    parts = [Variable(rng.normal(size=(6, 2))) for _ in range(4)]
    whole = ag.complex_linear_scan(parts[:2], parts[2:])
    with stepwise():
        steps = ag.complex_linear_scan(parts[:2], parts[2:])
    for one, other in zip(whole, steps, strict=True):
        np.testing.assert_allclose(one.data, other.data, rtol=0, atol=1e-13)


def test_no_step_under_stepwise():
    with stepwise():
        assert ag.linear_scan(Variable(np.ones((0, 2))), np.ones((0, 2))).shape == (0, 2)


def test_a_picture_has_one_vertex_for_it_and_by_steps_one_per_operation(rng):
    a, b = Variable(rng.normal(size=(4, 2)), name="a"), Variable(rng.normal(size=(4, 2)), name="b")
    source = graph.draw(ag.linear_scan(a, b)).source
    assert source.count('"scan"') == 1
    with stepwise():
        source = graph.draw(ag.linear_scan(a, b)).source
    assert '"scan"' not in source and source.count("∘") + source.count("*") + source.count("×") >= 4


def test_a_captured_scan_follows_its_inputs(rng):
    w = Variable(rng.uniform(size=3))

    def loss(b):
        re, im = ag.complex_linear_scan((w, 0.5 * w), (b, b))
        return (ag.linear_scan(w, b, reverse=True) ** 2).sum() + (re * im).sum()

    step = capture(loss)
    for _ in range(3):
        b = rng.normal(size=(6, 3))
        w.grad = None
        value, got = step(b), w.grad.data.copy()
        w.grad = None
        again = loss(b)
        again.backward()
        np.testing.assert_allclose(value.data, again.data, rtol=1e-14)
        np.testing.assert_allclose(got, w.grad.data, rtol=1e-12)


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda: ag.linear_scan(np.ones((4, 2)), np.ones((3, 2))), ValueError,
     r"linear_scan expected a and b of shapes that broadcast, got \(4, 2\), \(3, 2\)"),
    (lambda: ag.linear_scan(np.ones((4, 2)), np.ones((4, 2)), np.ones(3)), ValueError,
     r"linear_scan expected h0 of the shape of a step, \(2,\), got \(3,\)"),
    (lambda: ag.linear_scan(0.5, Variable(1.0)), ValueError, "with an axis of steps, got numbers"),
    (lambda: ag.linear_scan(np.ones(3), np.ones(3), axis=1), ValueError, "axis 1 is out of bounds"),
    (lambda: ag.complex_linear_scan(np.ones(3), (np.ones(3), np.ones(3))), TypeError,
     r"complex_linear_scan expected a as a pair \(real part, imaginary part\), got ndarray"),
])  # fmt: skip
def test_bad_input_says_who_expected_and_got(call, error, words):
    with pytest.raises(error, match=words):
        call()


class Threads:
    """A communicator of threads."""

    def __init__(self, rank, size, boxes):
        self.rank, self.size, self.boxes = rank, size, boxes

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return self.size

    def isend(self, x, dest, tag):
        self.boxes[self.rank, dest].put(x)
        return SimpleNamespace(wait=lambda: None)

    def recv(self, source, tag):
        return self.boxes[source, self.rank].get(timeout=20)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", [1, 2, 4, 7, 8])
def test_processes_scan_as_one(size, reverse, rng):
    """Values and gradients of 3 steps in each."""
    a, b, _ = inputs(3 * size, rng, 2)
    weights, boxes = rng.normal(size=b.shape), defaultdict(queue.Queue)

    def scanned(rank):
        part = slice(3 * rank, 3 * rank + 3)
        x = [Variable(a[part]), Variable(b[part])]
        y = ag.linear_scan_across(*x, Threads(rank, size, boxes), reverse=reverse)
        return [y.data, *(g.data for g in ag.grad((y * weights[part]).sum(), x))]

    with ThreadPoolExecutor(size) as pool:
        found = [np.concatenate(parts) for parts in zip(*pool.map(scanned, range(size)), strict=True)]
    whole = [Variable(a), Variable(b)]
    y = ag.linear_scan(*whole, reverse=reverse)
    want = [by_hand(a[::-1], b[::-1], 0.0)[::-1] if reverse else by_hand(a, b, 0.0)]
    want += [g.data for g in ag.grad((y * weights).sum(), whole)]
    for got, right in zip(found, want, strict=True):
        np.testing.assert_allclose(got, right, rtol=0, atol=1e-13)
    assert all(box.empty() for box in boxes.values())
