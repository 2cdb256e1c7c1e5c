"""What is right in the exercises of the course: a function for each, found by its number."""

import numpy as np
from course import exercise, same

import autograd as ag
import nn
from autograd import Variable, graph
from autograd.bptt import derivations

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


# --- 3: one weight, used T times ------------------------------------------------------------------


@exercise("3.1")
def weights_of_a_network(answer):
    return same(
        answer, 620, {600: "And the bias?", 620_000: "Do the weights change from step to step?"}, rtol=0
    )


@exercise("3.2")
def paths_of_ten_steps(answer):
    hints = {
        10: "That is for one loss, in the last step.",
        45: "Does a use reach the loss of its own step?",
        100: "Can step 7 reach loss 3?",
    }
    return same(answer, 55, hints, rtol=0)


@exercise("3.3")
def scalar_power(answer):
    return same(
        answer,
        50 * 0.9**49,
        {50 * 0.9**50: "How many other factors are there?", 0.9**49: "One use of how many?"},
    )


@exercise("3.4")
def half_detached(answer):
    return same(answer, 2 * 0.5**3, {4 * 0.5**3: "That would be the gradient without detach."})


@exercise("3.5")
def sum_over_uses(answer):
    rng = np.random.default_rng(0)
    hs, gz = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 2, 5))
    return same(answer(list(hs), list(gz)), np.einsum("tbi,tbj->ij", hs, gz))


# --- 4: BPTT by hand ------------------------------------------------------------------------------


def page_of(exercise, names, answer):
    """What `derivations.check` says of formulas by name, of which all `names` have to be there."""
    if not isinstance(answer, dict) or set(answer) != set(names):
        return f"Expected a dict with the names {', '.join(names)}."
    verdict = derivations.check(exercise, answer)
    if any(isinstance(mistake.got, NotImplementedError) for mistake in verdict.mistakes):
        raise NotImplementedError
    return None if verdict.ok else str(verdict)


@exercise("4.1")
def three_of_a_page(answer):
    return page_of(derivations.RNN, ("dba", "dx", "da_prev"), answer)


@exercise("4.2")
def softmax_and_loss(answer):
    rng = np.random.default_rng(0)
    o, c = rng.normal(size=(4, 5)), rng.integers(4, size=5)
    scores = Variable(o)
    (ag.logsumexp(scores, axis=0) - scores[c, np.arange(5)]).sum().backward()
    right, got = scores.grad.data, answer(o.copy(), c)
    if np.shape(got) == (4, 5) and np.allclose(got, right / 5):
        return "That is the gradient of the mean over the batch."
    if np.shape(got) == (4, 5) and np.allclose(got, ag.softmax(o, axis=0)):
        return "Is the right class like all others?"
    return same(got, right)


def leaky_step(v):
    v.z = v.W @ v.h_prev + v.U @ v.x
    v.n = ag.tanh(v.z)
    v.h_next = (1.0 - v.k) * v.h_prev + v.k * v.n


def leaky_shapes(n_x, n_a, m):
    return {"x": (n_x, m), "h_prev": (n_a, m), "W": (n_a, n_a), "U": (n_a, n_x), "k": ()}


LEAKY = derivations.Exercise(leaky_step, {"h_next": "h_prev"}, leaky_shapes, ["W", "U", "k"], {})


@exercise("4.3")
def leaky(answer):
    return page_of(LEAKY, ("dz", "dh_prev", "dk"), answer)


@exercise("4.4")
def work_of_the_way_back(answer):
    return same(answer, 25 / 15, {2.0: "Are all three products needed as often as on the way forward?"})


# --- 5: where does the gradient come from ---------------------------------------------------------


@exercise("5.1")
def table_of_two(answer):
    hints = {
        ((1, 0, 0), (1, 2, 0), (1, 2, 4)): "Row 2 belongs to L_2 = w w: what is its derivative by each w?"
    }
    return same(answer, [[1, 0, 0], [2, 2, 0], [4, 4, 4]], hints)


@exercise("5.2")
def half_of_a_table(answer):
    return same(answer, 5050, {10_000: "Can loss 3 depend on use 70?", 4950: "And the diagonal?"}, rtol=0)


@exercise("5.3")
def by_lag(answer):
    G = np.tril(np.random.default_rng(0).normal(size=(5, 5)))
    right = np.zeros(5)
    for t in range(5):
        for k in range(t + 1):
            right[t - k] += G[t, k]
    return same(answer(G), right)


@exercise("5.4")
def without_the_plus(answer):
    return same(answer, 5.0, {9.0: "Write the sum for t = 2 first.", 45.0: "What is the right sum?"})


# --- 6: vanishing, exploding, and the cliff -------------------------------------------------------


@exercise("6.1")
def steps_to_a_millionth(answer):
    hints = {131: "After 131 steps it is 1.01e-6.", np.log(1e-6) / np.log(0.9): "Only whole steps count."}
    return same(answer, 132, hints, rtol=0)


@exercise("6.2")
def jacobian_of_relu(answer):
    rng = np.random.default_rng(0)
    xU, h, W = rng.normal(size=4), rng.normal(size=4), rng.normal(size=(4, 4))
    right = ag.jacobian(lambda h: ag.relu(xU + h @ W), h).data
    got = answer(np.maximum(xU + h @ W, 0), W)
    if np.shape(got) == (4, 4) and np.allclose(np.transpose(got), right):
        return "It is transposed: rows belong to h', columns to h."
    if np.shape(got) == (4, 4) and np.allclose(got, right.any(axis=1)[:, None] * W):
        return "Which entry of W does h_i meet on its way to h'_j?"
    return same(got, right)


@exercise("6.3")
def turned(answer):
    degrees = np.degrees(np.arccos(7 / np.sqrt(50)))
    return same(answer, degrees, {np.radians(degrees): "That is in radians."})


@exercise("6.4")
def grows_before_it_shrinks(answer):
    A = np.asarray(getattr(answer, "data", answer))
    if A.dtype.kind not in "iuf":
        return "Expected real numbers."
    if A.shape != (2, 2):
        return f"Expected the shape (2, 2), got {A.shape}."
    radius, norm = np.abs(np.linalg.eigvals(A)).max(), np.linalg.norm(np.linalg.matrix_power(A, 5), 2)
    return (
        None
        if radius < 0.6 and norm > 10
        else f"The largest eigenvalue is {radius:.3g}, the norm {norm:.3g}."
    )


# --- 7: gates -------------------------------------------------------------------------------------

HALF = 0.5 ** (1 / 100)


@exercise("7.1")
def gate_of_half(answer):
    return same(answer, HALF, {0.5: "That leaves half after one step."}, rtol=1e-4)


@exercise("7.2")
def bias_of_half(answer):
    return same(answer, np.log(HALF / (1 - HALF)), {HALF: "That is the gate. What does σ have to get?"})


@exercise("7.3")
def memory_of_an_lstm(answer):
    return page_of(derivations.LSTM, ("dc_prev", "dgamma_f"), answer)


@exercise("7.4")
def keeper(answer):
    cell = nn.LSTMCell(1, 3, dtype=float)
    for p in cell.parameters():
        p.data = np.zeros_like(p.data)
    answer(cell)
    for name in ("weight_ih", "weight_hh"):
        if getattr(cell, name).data.any():
            return "The weights have to stay 0."
    c = start = Variable(np.full((1, 3), 0.5))
    h = np.zeros((1, 3))
    for _ in range(1000):
        h, c = cell(np.zeros((1, 1)), (h, c))
    kept = ag.grad(c.sum(), start).data
    if not (kept > 0.99).all():
        return f"It keeps {kept.min():.3g} of a gradient."
    return None if np.allclose(c.data, 0.5, atol=0.01) else "The gradient stays. Does the memory itself?"


# --- 8: truncation --------------------------------------------------------------------------------


@exercise("8.1")
def band(answer):
    G = np.random.default_rng(0).normal(size=(6, 6, 2, 3))
    for k2 in (1, 3, 6):
        right = sum(G[t, k] for t in range(6) for k in range(6) if 0 <= t - k < k2)
        wrong = same(answer(G.copy(), k2), right)
        if wrong is not None:
            return f"For k2 = {k2}: {wrong or 'the numbers differ.'}"
    return None


@exercise("8.2")
def triangles(answer):
    return same(answer, 60, {100: "And above the diagonal?", 15: "That is one window."}, rtol=0)


@exercise("8.3")
def share_that_sees(answer):
    return same(
        answer, 0.2, {0.3: "Does the loss at place 7 of a window see place -1?", 0.8: "Or those that cannot?"}
    )


@exercise("8.4")
def horizon(answer):
    hints = {
        9: "That is enough for the newest of the four losses.",
        11: "Over how many steps does one go back to see a lag of 8?",
        13: "One less will do.",
    }
    return same(answer, 12, hints, rtol=0)


# --- 9: two directions, many layers, and attention ------------------------------------------------


@exercise("9.1")
def seen_by_the_second_layer(answer):
    return same(answer, 10, {4: "What does its input know?", 7: "What does its input know?"}, rtol=0)


@exercise("9.2")
def arrows(answer):
    return same(answer, 34, {35: "From the first word to the thirtieth there are 29 arrows."}, rtol=0)


@exercise("9.3")
def attend(answer):
    rng = np.random.default_rng(0)
    e, m = rng.normal(size=5), rng.normal(size=(5, 3))
    weights = np.exp(e) / np.exp(e).sum()
    if (wrong := same(answer(e, m), np.einsum("s,sn->n", weights, m), rtol=1e-8)) is not None:
        return wrong
    with np.errstate(all="ignore"):
        big = answer(e + 1000, m)
    return None if np.allclose(big, weights @ m) else "Right for small scores, but exp(1000) is infinite."


@exercise("9.4")
def back_through_attention(answer):
    rng = np.random.default_rng(0)
    e, m, g = Variable(rng.normal(size=5)), rng.normal(size=(5, 3)), rng.normal(size=3)
    alpha = ag.softmax(e, axis=0)
    right = ag.grad((g * (alpha @ m)).sum(), e).data
    return same(answer(g, alpha.data, m), right, rtol=1e-8)


# --- 10: linear recurrences and scans -------------------------------------------------------------


@exercise("10.1")
def three_steps(answer):
    steps = np.random.default_rng(0).normal(size=(3, 2))
    h = 1.7
    for a, b in steps:
        h = a * h + b
    got = answer(*steps)
    if len(got) != 2:
        return "Expected a pair (a, b)."
    if np.allclose(got[0], np.prod(steps[:, 0])) and not np.isclose(got[0] * 1.7 + got[1], h):
        return "a is right, b is not. Which of the three b are still multiplied?"
    return None if np.allclose(got[0], np.prod(steps[:, 0])) else ""


@exercise("10.2")
def halved(answer):
    return same(answer, 7, {6: "After 6 steps it is 0.53."}, rtol=0)


@exercise("10.3")
def back_through_a_scan(answer):
    rng = np.random.default_rng(0)
    a, b, g = Variable(rng.uniform(0.5, 1, 6)), Variable(rng.normal(size=6)), rng.normal(size=6)
    h = ag.linear_scan(a, b)
    right = [x.data for x in ag.grad((h * g).sum(), [a, b])]
    got = answer(a.data.copy(), h.data.copy(), g.copy())
    return same(np.stack(got), np.stack(right), rtol=1e-8)


@exercise("10.4")
def underflow(answer):
    hints = {
        1023: "Numbers below 2^-1022 lose digits, but they are not 0.",
        1074: "2^-1074 is the smallest number above 0.",
    }
    return same(answer, 1075, hints, rtol=0)


# --- 11: space and time ---------------------------------------------------------------------------


@exercise("11.1")
def weights_of_a_convlstm(answer):
    cell = nn.ConvLSTMCell(3, 16, 3)
    right = cell.weight_ih.size + cell.weight_hh.size + cell.bias_ih.size
    return same(answer, right, {right // 4: "That is one gate.", right + 64: "One bias, not two."}, rtol=0)


@exercise("11.2")
def width_of_the_cone(answer):
    hints = {
        17: "And the kernel of the input?",
        10: "That is the radius.",
        11: "To both sides?",
        20: "And the middle?",
    }
    return same(answer, 21, hints, rtol=0)


@exercise("11.3")
def back_through_a_kernel(answer):
    rng = np.random.default_rng(0)
    x, w, g = Variable(rng.normal(size=7)), rng.normal(size=3), rng.normal(size=7)
    (ag.conv1d(x[None, None], w[None, None], padding=1)[0, 0] * g).sum().backward()
    got, right = answer(g.copy(), w.copy()), x.grad.data
    if np.shape(got) == (7,) and np.allclose(got, np.correlate(np.pad(g, 1), w, "valid")):
        return "That is a convolution of g again. Which output uses x_j with w_0?"
    return same(got, right, rtol=1e-8)


@exercise("11.4")
def fast_things(answer):
    return same(answer, 7, {3: "A kernel of 3 reaches one place to each side."}, rtol=0)


# --- 12: a model that writes ----------------------------------------------------------------------


@exercise("12.1")
def bits_of_nothing(answer):
    return same(
        answer, 5.0, {np.log(32): "That is in natural units. Bits are log₂.", -5.0: "Which sign has a loss?"}
    )


@exercise("12.2")
def tempered(answer):
    scores = np.random.default_rng(0).normal(size=6)
    for temperature in (0.5, 1.0, 3.0):
        powers = (np.exp(scores) / np.exp(scores).sum()) ** (1 / temperature)
        wrong = same(answer(scores.copy(), temperature), powers / powers.sum(), rtol=1e-8)
        if wrong is not None:
            return f"At temperature {temperature}: {wrong or 'the numbers differ.'}"
    return None


@exercise("12.3")
def mean_of_a_batch(answer):
    return same(answer, 1.5, {2.0: "That is the mean of the means. Do all rows count the same in it?"})


@exercise("12.4")
def clipped_and_averaged(answer):
    return same(answer, (0.8, 1.0), {(1.0, 0.8): "The other way round?", (0.8, 4.0): "Is 4 below the limit?"})
