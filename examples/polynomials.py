"""Convolution is how polynomials multiply, and its gradient divides them.

    python -m examples.polynomials            # seconds
    python -m examples.polynomials --quick    # less than one

(1 + 2z + 3z²)(4 + 5z + 6z²): the coefficient of z² is 1·6 + 2·5 + 3·4, every pair of numbers whose places
add up to two. Sliding one list backwards along the other does exactly that, for all places at once; that is
a convolution. What layers call by that name slides it forwards (Goodfellow et al. 2016, section 9.1).
"""

import numpy as np

import autograd as ag
import optim
from autograd import Variable
from examples.shared.measure import Figures, report
from examples.shared.options import arguments


def by_hand(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of two polynomials, as at school."""
    product = np.zeros(len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            product[i + j] += x * y
    return product


def by_fft(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Evaluate both at the roots of unity, multiply the values, interpolate: n log n instead of n²."""
    n = len(a) + len(b) - 1
    return np.fft.irfft(np.fft.rfft(a, n) * np.fft.rfft(b, n), n)


def main(argv: list[str] | None = None) -> Figures:
    options = arguments(argv, "polynomials", __doc__, quick="fewer updates")
    updates = 150 if options.quick else 3000

    a, b = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    product = np.convolve(Variable(a), b)  # NumPy's own function, on a Variable
    print(f"(1, 2, 3) * (4, 5, 6)     = {product.data}")
    print(f"at school                 = {by_hand(a, b)}")
    print(f"through Fourier transform = {by_fft(a, b).round(12)}")

    # A layer correlates: with the same weights it gives other numbers, with flipped ones the same.
    x, w = Variable(a[None, None]), b[None, None]
    print(f"conv1d with (4, 5, 6)     = {ag.conv1d(x, w, padding=2).data.ravel()}")
    print(f"conv1d with (6, 5, 4)     = {ag.conv1d(x, np.flip(w, 2), padding=2).data.ravel()}")

    # Evaluating at z is linear, and turns the product into one of numbers.
    z = 0.7 ** np.arange(5)
    print(f"at z = 0.7: {a @ z[:3]:.4f} * {b @ z[:3]:.4f} = {float((product.data * z).sum()):.4f}")

    # The gradient of a convolution with respect to one of its factors is a correlation with the other.
    u, g = Variable(a), np.array([1.0, 0.0, 0.0, 2.0, 0.0])
    np.convolve(u, b).backward(g)
    print(f"gradient of (1, 2, 3): {u.grad.data}, by correlation {np.correlate(g, b, 'valid')}")

    # So a division can be learned: which q, times b, is p? There is noise on p, and b has a root on
    # either side of the unit circle; long division starts at one end and lets every error grow.
    rng = np.random.default_rng(options.seed)
    true, b = rng.normal(size=20), np.array([1.0, -2.2, 0.5])
    p = np.convolve(true, b) + 0.001 * rng.normal(size=22)
    q = ag.Parameter(np.zeros(20))
    optimizer = optim.Adam([q], lr=0.05)
    for k in range(updates):
        optimizer.zero_grad()
        loss = ((np.convolve(q, b) - p) ** 2).sum()
        loss.backward()
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - k / updates)
        optimizer.step()
    matrix = np.array([np.convolve(row, b) for row in np.eye(20)]).T  # the same convolution, as a matrix
    best = np.linalg.lstsq(matrix, p)[0]
    divided, _ = np.polynomial.polynomial.polydiv(p, b)
    ascending, _ = np.polydiv(p, b)
    quotients = {
        "gradient descent": q.data,
        "least squares, the best there is": best,
        "long division from the highest power": divided,
        "long division from the lowest power": ascending,
        "all zeros": np.zeros(20),
    }
    errors = {name: float(np.sqrt(np.mean((found - true) ** 2))) for name, found in quotients.items()}
    print()
    return report(f"division with noise of 0.001, {updates} updates", {"error in the quotient": errors})


if __name__ == "__main__":
    main()
