"""Random programs of NumPy calls, by tables and by the calls themselves, bit by bit.

    python -m tests.cases.fuzz_table --count 5000

Arrays are views of all kinds: transposed, with steps, backwards, broadcast, overlapping. A program is
recorded on some numbers, then both ways run on others, with infinities, NaN and denormals among them.
"""

import argparse
from collections import Counter, deque
from itertools import starmap
from operator import call

import numpy as np

from autograd.replay.calls import Tape
from autograd.replay.program import Program
from autograd.replay.traced import CaptureError

UNARY = [
    np.exp,
    np.tanh,
    np.sqrt,
    np.negative,
    np.absolute,
    np.square,
    np.log1p,
    np.sin,
    np.log,
    np.reciprocal,
    np.sign,
    np.floor,
    np.isnan,
    np.logical_not,
    np.positive,
]
BINARY = [
    np.add,
    np.subtract,
    np.multiply,
    np.divide,
    np.maximum,
    np.minimum,
    np.greater,
    np.less_equal,
    np.equal,
    np.logical_and,
    np.power,
]
DTYPES = np.float32, np.float32, np.float32, np.float64, np.int64, np.bool_


class Story:
    """One program: it keeps the arrays that it has, and makes more of them."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.tape = Tape()
        self.buffers = [self.numbers(self.shape(), self.rng.choice(DTYPES)) for _ in range(4)]
        self.arrays = [self.tape.watch(buffer) for buffer in self.buffers]
        self.own = []  # which may be written into
        for _ in range(self.rng.integers(4, 25)):
            step = getattr(self, str(self.rng.choice(STEPS)))
            try:
                with np.errstate(call=lambda *_: None, all="call"):
                    y = step()
            except (ValueError, TypeError, IndexError, CaptureError):  # what does not go together
                continue
            if y is not None and y.ndim < 6 and y.size < 5000:
                self.arrays.append(y)
                self.own.append(y)
        count = min(len(self.own), self.rng.integers(1, 6))
        wanted = [self.own[i] for i in self.rng.permutation(len(self.own))[:count]]
        self.program = Program(self.tape, wanted)

    def pick(self, options):
        return options[self.rng.integers(len(options))]

    def shape(self):
        return tuple(self.rng.choice([1, 2, 3, 5, 8, 17, 40], self.rng.integers(1, 4)).tolist())

    def numbers(self, shape, dtype, edges=0.0):
        x = np.asarray(self.rng.normal(size=shape) * self.pick([0.1, 1, 3]))
        odd = self.rng.choice([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-40, 1e30, 100.0], shape)
        x = np.where(self.rng.random(shape) < edges, odd, x)
        if dtype in (np.float32, np.float64):
            return x.astype(dtype)
        return (
            (np.nan_to_num(x, posinf=7, neginf=-7) > 0)
            if dtype == np.bool_
            else self.rng.integers(-4, 5, shape)
        )

    def some(self, own=False):
        """An array, or a view of it."""
        x = self.pick(self.own if own and self.own else self.arrays)
        for _ in range(self.rng.integers(0, 3)):
            axis = self.rng.integers(x.ndim) if x.ndim else 0
            kind = self.rng.integers(7)
            if kind == 0:
                x = x.T
            elif kind == 1 and x.ndim:
                x = np.moveaxis(x, axis, 0)[:: self.pick([1, 2, -1, -2])]
            elif kind == 2 and x.ndim and x.shape[axis] > 2:
                x = np.moveaxis(np.moveaxis(x, axis, 0)[1:], 0, axis)
            elif kind == 3 and x.ndim > 1:
                x = np.moveaxis(x, axis, 0)[0]
            elif kind == 4:
                x = np.expand_dims(x, axis)
            elif kind == 5 and x.ndim:
                x = x[..., : max(1, x.shape[-1] // 2)]
            elif kind == 6 and not own:
                x = np.broadcast_to(x, (2, *x.shape))
        return x

    def like(self, x):
        """An operand that goes together with x."""
        fitting = [y for y in self.arrays if y.shape == x.shape or (y.ndim and y.shape == x.shape[-y.ndim :])]
        if fitting and self.rng.random() < 0.8:
            return self.pick(fitting)
        return self.pick([2, 0.5, -1.5, x[..., ::-1] if x.ndim else x, x, x[..., :1] if x.ndim else x])

    # -- steps

    def unary(self):
        return self.pick(UNARY)(self.some())

    def binary(self):
        x = self.some()
        pair = [x, self.like(x)]
        return self.pick(BINARY)(*[pair[i] for i in self.rng.permutation(2)])

    def into(self):
        """Into one of the operands, or into what overlaps with one."""
        x = self.some(own=True)
        y = self.pick([x, self.like(x), x[..., ::-1] if x.ndim else x])
        self.pick([np.add, np.multiply, np.maximum])(x, y, out=x)

    def shifted(self):
        x = self.some(own=True)
        np.add(x[1:], x[:-1], out=x[1:])

    def product(self):
        a = self.some()
        for b in (self.some(), *self.arrays, *[x.T for x in self.arrays], a.swapaxes(-1, -2)):
            if a.shape[-1] == b.shape[-2 if b.ndim > 1 else 0] and a.dtype == b.dtype:
                return np.matmul(a, b)
        return None

    def joined(self):
        x, axis = self.some(), self.pick([0, -1, 1])
        parts = [x, *[y for y in self.arrays if y.shape == x.shape][:2], x[..., ::-1]]
        return self.pick([np.concatenate, np.stack])(parts, axis=axis)

    def chosen(self):
        x = self.some()
        return np.where(x > 0, x, self.pick([self.like(x), 0.0]))

    def reduced(self):
        x = self.some()
        axis = self.pick([None, -1, 0, tuple(range(x.ndim))[1:]])
        function = self.pick([np.sum, np.max, np.min, np.add.reduce, np.maximum.reduce])
        return function(x, axis=axis, keepdims=bool(self.rng.integers(2)))

    def copied(self):
        x = self.some()
        return self.pick([np.copy, np.zeros_like, np.ones_like, lambda x: x.astype(np.float32)])(x)

    def quiet(self):
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.divide(self.some(), 0.0)

    def taken(self):
        x = self.some()
        return np.take(x, [0, -1, 0], axis=0)


STEPS = [
    "unary",
    "binary",
    "binary",
    "into",
    "shifted",
    "product",
    "product",
    "joined",
    "chosen",
    "reduced",
    "copied",
    "quiet",
    "taken",
]


def tell(seed):
    """What runs the program of this seed: "table" or "calls", or what went wrong."""
    with np.errstate(all="ignore"):
        story = Story(seed)
        program = story.program
        try:
            program.run()
        except ValueError as error:
            return f"calls: {error}"
        if program.tables is None:
            return "calls: " + program.why.partition(" calls ")[0].partition("of ")[0]
        for edges in (0.0, 0.2):
            for buffer in story.buffers:
                buffer[...] = story.numbers(buffer.shape, buffer.dtype.type, edges)
            outcomes = []
            for way in (lambda: deque(starmap(call, program.calls), 0), program.tables.run):
                program.block.fill(255)
                try:
                    way()
                    outcomes.append([bits(a) for a in program.results])
                except ValueError as error:  # of integer powers
                    outcomes.append(str(error))
            if outcomes[0] != outcomes[1]:
                return f"seed {seed}: other numbers; {program.why}"
    return "table"


def bits(a):
    """The bits of an array, with one NaN for all."""
    return (
        np.where(np.isnan(a), np.array(np.nan, a.dtype), a).tobytes() if a.dtype.kind == "f" else a.tobytes()
    )


def run(seeds):
    return Counter(map(tell, seeds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    outcomes = run(range(options.seed, options.seed + options.count))
    wrong = [outcome for outcome in outcomes if outcome.startswith("seed")]
    print(*wrong[:20], sep="\n")
    print(
        {name: n for name, n in outcomes.items() if name not in wrong},
        f"wrong: {len(wrong)} of {options.count}",
    )
    raise SystemExit(bool(wrong))
