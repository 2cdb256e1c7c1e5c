"""What is right in the exercises of the course: a function for each, found by its number."""

import numpy as np
from course import exercise, same

import autograd as ag
from autograd import Variable, graph

# --- 1: a graph is what ran -----------------------------------------------------------------------


def squared(x, limit=10.0):
    while x < limit:
        x = x * x
    return x


@exercise("1.1")
def products(answer):
    hints = {231: "That is the power of 1.01. Each squaring doubles it.", 7: "Is 1.01^128 at least 10?"}
    return same(answer, 8, hints)


@exercise("1.2")
def slope_of_g(answer):
    hints = {3 * 0.5**8: "That is g(0.5). Its derivative is asked for.", 8 * 0.5**7: "Do not forget the 3."}
    return same(answer, 24 * 0.5**7, hints)


@exercise("1.3")
def frozen(answer):
    if np.ndim(answer) or not 1 < answer < 10:
        return "For which numbers does f run its loop, and end?"
    x = Variable(float(answer))
    right, fixed = ag.grad(squared(x), x).item(), 4 * answer**3
    return None if right >= 100 * fixed else f"There the factor is {right / fixed:.3g}."


@exercise("1.4")
def six_paths(answer):
    x = Variable(1.1)
    count = graph.query.paths(x, answer(x))
    return None if count == 6 else f"This graph has {count} paths."


# --- 2: reverse mode in 60 lines ------------------------------------------------------------------


@exercise("2.1")
def two_products(answer):
    hints = {(6, 9): "x is used twice. You have one of the two uses."}
    return same(answer, (12, 9), hints)


@exercise("2.2")
def pull_of_sigma(answer):
    a, g = np.linspace(-3, 3, 7), np.arange(1.0, 8.0)
    y, e = 1 / (1 + np.exp(-a)), 1e-6
    slope = (1 / (1 + np.exp(-a - e)) - 1 / (1 + np.exp(-a + e))) / (2 * e)
    got = answer(g, y)
    if np.shape(got) == g.shape and np.allclose(got, slope, rtol=1e-5):
        return "That is the derivative. What arrives has to be multiplied by it."
    return same(got, g * slope, rtol=1e-5)


@exercise("2.3")
def overwritten(answer):
    return same(
        answer, 0.25, {0.75: "That is what the right engine says.", 0.5: "The factors of both later steps?"}
    )


@exercise("2.4")
def sum_to(answer):
    rng = np.random.default_rng(0)
    for of, shape in (((2, 5), (5,)), ((2, 5), (2, 1)), ((4, 2, 5), (1, 5)), ((2, 5), (2, 5)), ((3, 2), ())):
        g, b, e = rng.normal(size=of), rng.normal(size=shape), 1e-6
        right = np.zeros(shape)
        for i in np.ndindex(*shape):  # by moving one number of b
            moved = b.copy()
            moved[i] += e
            right[i] = (g * (moved - b)).sum() / e
        if (wrong := same(answer(g, shape), right, rtol=1e-4)) is not None:
            return f"From {of} to {shape}: {wrong or 'the numbers differ.'}"
    return None


@exercise("2.5")
def hour_of_pushing(answer):
    return same(
        answer, 30, {31: "The last doubling alone has 2^31 visits, and there are those before it."}, rtol=0
    )
