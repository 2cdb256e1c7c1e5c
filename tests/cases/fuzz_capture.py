"""Random functions that read leaves, draw random numbers and decide, captured and run side by side.

    python -m tests.cases.fuzz_capture --count 20000

Every function is called several times; in between its leaves, the arrays and settings of its module and the
names around it change. A captured call must bring what a run brings, with all gradients and from the same
random numbers, or refuse with a CaptureError.
"""

import argparse
import warnings
from collections import Counter

import numpy as np

import autograd as ag
import nn
from autograd import CaptureError, Parameter, Variable, capture


class Kit(nn.Module):
    """What a function may use."""

    def __init__(self, rng):
        self.w = Parameter(rng.normal(size=3))
        self.frozen = Parameter(rng.normal(size=3))
        self.frozen.requires_grad = False
        self.table = rng.normal(size=3)
        self.norm = nn.BatchNorm1d(3, dtype=np.float64).eval()
        self.scale = 1.5

    def forward(self, x, program):
        return program(self, x)


OPERANDS = {  # what is multiplied or added
    "leaf": lambda s, x: s.kit.w,
    "frozen": lambda s, x: s.kit.frozen,
    "free leaf": lambda s, x: s.free,
    "data": lambda s, x: s.kit.w.data,
    "detached": lambda s, x: s.free.detach(),
    "compared": lambda s, x: s.free > 0.2,
    "element": lambda s, x: s.aside.data[1],
    "item": lambda s, x: s.aside.data[2].item(),
    "argmax": lambda s, x: s.aside.argmax() + 0.5,
    "sorted": lambda s, x: np.sort(s.kit.frozen.data),
    "table": lambda s, x: np.tanh(s.kit.table),
    "setting": lambda s, x: s.kit.scale,
    "around": lambda s, x: s.factor,
    "argument": lambda s, x: x[0],
    "aside": lambda s, x: s.aside,
    "truth": lambda s, x: 2.0 if s.aside.data[0] > 0 else 3.0,
    "number": lambda s, x: float(np.round(np.abs(s.free.data[0])) + 1.0 > 1.5),
    "wherever": lambda s, x: np.where(s.aside.data > x[1], 1.0, s.kit.frozen.data),
}
STEPS = {
    "times": lambda s, x, h, a: h * a,
    "plus": lambda s, x, h, a: h + a,
    "tanh": lambda s, x, h, a: np.tanh(h),
    "norm": lambda s, x, h, a: s.kit.norm(h[None])[0],
    "dropout": lambda s, x, h, a: nn.functional.dropout(h, 0.4, True, s.generator),
    "by argument": lambda s, x, h, a: h * a if x.sum() > 0 else h - a,
    "by leaf": lambda s, x, h, a: h * a if s.kit.w.data[0] > 0 else h + a,
    "by result": lambda s, x, h, a: h * 0.5 if (h > 1).any() else h * a,
    "masked": lambda s, x, h, a: h * (s.kit.w.data > s.aside.data),
    "hook": lambda s, x, h, a: hooked(h * 1.0, lambda g: g * a),
    "by chance": lambda s, x, h, a: h if s.generator.random() < 0.9 else h * a,
    "by old chance": lambda s, x, h, a: h if s.old.rand() < 0.9 else h * a,
    "inner gradient": lambda s, x, h, a: ag.grad((h * h).sum(), h, create_graph=True) * a,
    "checkpoint": lambda s, x, h, a: ag.checkpoint(lambda h: np.tanh(h * s.kit.w), h),
    "without a graph": lambda s, x, h, a: h + quietly(s.kit.w, s.free),
    "drawn noise": lambda s, x, h, a: h + s.generator.normal(size=3),
}
RARE = {"by chance", "by old chance", "drawn noise"}  # what has to be refused


def hooked(h, hook):
    h.register_hook(hook)
    return h


def quietly(a, b):
    with ag.no_grad():
        return a * b


class Story:
    """One function, everything around it, and what may change between its calls."""

    def __init__(self, seed):
        self.rng = rng = np.random.default_rng(seed)
        self.kit, self.factor = Kit(rng), 2.0
        self.free = Variable(rng.normal(size=3))
        self.aside = Variable(rng.normal(size=3), requires_grad=False)
        self.generator, self.old = np.random.default_rng(seed), np.random.RandomState(seed % 2**32)
        usual = [name for name in STEPS if name not in RARE]
        names = rng.choice(usual, rng.integers(2, 6)).tolist()
        if rng.random() < 0.15:
            names.append(str(rng.choice(sorted(RARE))))
        self.names = [(name, str(rng.choice(sorted(OPERANDS)))) for name in rng.permutation(names)]
        self.changes = [
            lambda: np.multiply(self.kit.w.data, -1.0, out=self.kit.w.data),
            lambda: self.kit.frozen.data.fill(rng.normal()),
            lambda: setattr(self.kit.w, "data", rng.normal(size=3)),
            lambda: setattr(self.free, "data", rng.normal(size=3)),
            lambda: np.negative(self.aside.data, out=self.aside.data),
            lambda: setattr(self.aside, "data", rng.normal(size=3)),
            lambda: self.kit.table.fill(rng.normal()),
            lambda: setattr(self.kit, "table", rng.normal(size=3)),
            lambda: setattr(self.kit, "scale", float(rng.normal())),
            lambda: setattr(self, "factor", float(rng.normal())),
            lambda: setattr(self.kit, "w", Parameter(rng.normal(size=3))),
            lambda: self.kit.norm.load_state_dict(
                self.kit.norm.state_dict()
                | {"running_mean": rng.normal(size=3), "running_var": rng.random(3) + 1}
            ),
            lambda: None,
        ]

    def __call__(self, x):
        return self.kit(x, self.program)

    def program(self, kit, x):
        h = kit.w * x[0]
        for name, operand in self.names:
            h = STEPS[name](self, x, h, OPERANDS[operand](self, x))
        return (h * h).sum(), h

    def leaves(self):
        return [*self.kit.parameters(), self.free]

    def outcome(self, call, x):
        """What a call brings: numbers, gradients, and where it leaves the generators."""
        for leaf in self.leaves():
            leaf.grad = None
        loss, h = call(x)
        if loss.requires_grad:
            loss.backward()
        gradients = [None if leaf.grad is None else leaf.grad.data for leaf in self.leaves()]
        return [loss.data, h.data, *gradients], (self.generator.bit_generator.state, self.old.get_state()[2])


def same(a, b):
    if a is None or b is None:
        return a is b
    return np.allclose(a, b, 1e-9, 1e-11, equal_nan=True)


def tell(seed):
    """Call one function often: "refused", "replayed", or what went wrong."""
    story = Story(seed)
    step = capture(story)
    calls = 6
    for _ in range(calls):
        x = story.rng.normal(size=(2, 3))
        states = story.generator.bit_generator.state, story.old.get_state()
        try:
            found, after = story.outcome(step, x)
        except CaptureError:
            return "refused"
        story.generator.bit_generator.state = states[0]
        story.old.set_state(states[1])
        expected, afterwards = story.outcome(story, x)
        if not all(map(same, found, expected)):
            return f"seed {seed}: {story.names} brought {found}, expected {expected}"
        if after != afterwards:
            return f"seed {seed}: {story.names} left the generators elsewhere"
        for change in story.rng.choice(story.changes, 2):
            change()
    return "replayed" if step.made < calls else "recorded at every call"


def run(seeds):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # overflows are as good as other numbers
        return Counter(map(tell, seeds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20000)
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
