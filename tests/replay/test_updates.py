"""Whole training steps, with the optimizer captured: the numbers of the separate calls, bit by bit."""

import copy
import math
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import autograd as ag
import nn
import optim
from autograd import Parameter, Variable, capture, no_grad

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, 0.1),
    "SGD, decay": lambda p: optim.SGD(p, 0.1, weight_decay=0.1),
    "momentum": lambda p: optim.SGD(p, 0.1, 0.9, 0.2, 0.01),
    "Nesterov": lambda p: optim.SGD(p, 0.1, 0.9, nesterov=True),
    "Adagrad": lambda p: optim.Adagrad(p, 0.1, 0.05, 0.01, 0.1),
    "Adadelta": lambda p: optim.Adadelta(p, weight_decay=0.1),
    "RMSprop": lambda p: optim.RMSprop(p, weight_decay=0.1),
    "RMSprop, all": lambda p: optim.RMSprop(p, 0.01, 0.9, 1e-8, 0.1, 0.5, True),
    "Adam": lambda p: optim.Adam(p, 0.1),
    "Adam, decay": lambda p: optim.Adam(p, 0.1, weight_decay=0.1),
    "Adam, all": lambda p: optim.Adam(p, 0.1, (0.8, 0.9), 1e-6, 0.1, True, maximize=True),
    "NAdam": lambda p: optim.NAdam(p, 0.1, weight_decay=0.1),
    "NAdam, decoupled": lambda p: optim.NAdam(p, 0.1, weight_decay=0.1, decoupled_weight_decay=True),
    "AdamW": lambda p: optim.AdamW(p, 0.1, weight_decay=0.1),
}
EXPONENTIAL = optim.lr_scheduler.ExponentialLR


class Scale(nn.Module):
    """A model with a parameter of no axes, one in float64, and one that no loss reaches."""

    def __init__(self):
        self.inner, self.wide = nn.Linear(3, 4), Parameter(np.arange(4.0))
        self.scale, self.aside = Parameter(np.array(1.5, "f")), Parameter(np.ones(2))

    def forward(self, x):
        return ((np.tanh(self.inner(x) * self.scale) - self.wide) ** 2).mean()


class Run:
    """A model, an optimizer and steps by separate calls or by one captured call."""

    def __init__(self, captured, make, max_norm=None, model=Scale):
        nn.manual_seed(0)
        self.rng, self.model, self.max_norm = np.random.default_rng(0), model(), max_norm
        self.params = list(self.model.parameters())
        self.optimizer = make(self.params)
        self.captured = capture(self.model, self.optimizer, max_norm) if captured else None

    def step(self, rows=5):
        x = self.rng.normal(size=(rows, 3)).astype("f")
        if self.captured is not None:
            return self.captured(x).data
        self.optimizer.zero_grad()
        loss = self.model(x)
        loss.backward()
        if self.max_norm is not None:
            optim.clip_grad_norm_(self.params, self.max_norm)
        self.optimizer.step()
        return loss.data


def assert_same(a, b):
    """Bit by bit: parameters, their gradients, and the memory of the optimizers."""
    for p, q in zip(a.params, b.params, strict=True):
        assert_array_equal(p.data, q.data, strict=True)
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            assert_array_equal(p.grad.data, q.grad.data, strict=True)
    assert a.optimizer.state.keys() == b.optimizer.state.keys()
    for n, state in a.optimizer.state.items():
        assert state.keys() == b.optimizer.state[n].keys()
        for name, value in state.items():
            assert_array_equal(value, b.optimizer.state[n][name], strict=isinstance(value, np.ndarray))
    groups = [[{**g, "params": 0} for g in run.optimizer.param_groups] for run in (a, b)]
    assert groups[0] == groups[1]


def agree(runs, steps, *, replays=None, rows=(5,), after=lambda run: None):
    """Let both take steps, with ``after(run)`` behind each, and compare after every step."""
    for k in range(steps):
        losses = [run.step(rows[k % len(rows)]) for run in runs]
        assert_array_equal(*losses, strict=True)
        assert_same(*runs)
        for run in runs:
            after(run)
    if replays is not None:
        assert runs[1].captured.updates.replays == replays


def pair(make, max_norm=None, model=Scale):
    return [Run(captured, make, max_norm, model) for captured in (False, True)]


@pytest.mark.parametrize("max_norm", [None, 0.05, 1e6])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name, max_norm):
    runs = pair(OPTIMIZERS[name], max_norm)
    first = 2 if name in ("momentum", "Nesterov") else 1  # which makes its arrays in the first step
    agree(runs, 8, replays=8 - first)
    assert runs[1].model.aside.grad is None


@pytest.mark.parametrize("name", ["momentum", "Adagrad", "RMSprop", "AdamW"])
def test_a_schedule_changes_the_rate(name):
    runs = pair(OPTIMIZERS[name], 0.5)
    schedules = {id(run): EXPONENTIAL(run.optimizer, 0.7) for run in runs}
    agree(runs, 10, after=lambda run: schedules[id(run)].step())
    assert runs[1].captured.updates.replays >= 8
    assert runs[1].captured.made == 1


def test_an_optimizer_that_changes_its_rule_is_called_as_it_is():
    agree(pair(lambda p: optim.RAdam(p, 0.1), 0.5), 9, replays=0)


def test_shapes_share_the_program_of_the_optimizer():
    agree(pair(OPTIMIZERS["Adam"]), 12, rows=(5, 2, 3), replays=11)


def test_parameters_that_move_are_found_again():
    runs = pair(OPTIMIZERS["Adam"])
    agree(runs, 3)
    for run in runs:
        for p in run.params:
            p.data = p.data.copy()
    agree(runs, 3)


def groups(params):
    inner, rest = params[:2], params[2:]
    return optim.AdamW([{"params": inner, "lr": 0.2, "weight_decay": 0.0}, {"params": rest}], lr=0.01)


def test_groups_and_their_settings():
    runs = pair(groups, 0.5)
    agree(runs, 4, replays=3)

    def decay(run):
        run.optimizer.param_groups[0]["weight_decay"] += 0.1
        run.optimizer.param_groups[1]["lr"] *= 0.5

    agree(runs, 3, after=decay)
    assert runs[1].captured.updates.replays == 6  # the number of AdamW's decay, too, may change

    def smooth(run):
        run.optimizer.param_groups[0]["betas"] = (0.8, 0.99)

    agree(runs, 2, after=smooth)
    agree(runs, 2)
    new = [Parameter(np.ones(2)) for _ in runs]
    for run, p in zip(runs, new, strict=True):
        run.optimizer.add_param_group({"params": [p]})
        run.model.more = p
    agree(runs, 2)


def test_frozen_parameters():
    runs = pair(OPTIMIZERS["momentum"])
    for frozen in (False, True, False):
        for run in runs:
            run.model.inner.weight.requires_grad = not frozen
        agree(runs, 4)
        assert (runs[1].model.inner.weight.grad is None) == frozen
    assert runs[1].captured.updates.replays > 6


@pytest.mark.parametrize("name", ["momentum", "Adam"])
def test_checkpoints_between_steps(name):
    runs = pair(OPTIMIZERS[name])
    agree(runs, 4)
    saved = [(run.model.state_dict(), run.optimizer.state_dict()) for run in runs]
    agree(runs, 3)
    for run, (model, optimizer) in zip(runs, saved, strict=True):
        run.model.load_state_dict(model)
        run.optimizer.load_state_dict(optimizer)
    agree(runs, 4)
    assert runs[1].captured.updates.replays >= 7
    for run in runs:  # other memory for the optimizer, and for a parameter
        for entries in run.optimizer.state.values():
            entries |= {name: 0.5 * x for name, x in entries.items() if isinstance(x, np.ndarray)}
    agree(runs, 3)
    for run in runs:
        run.model.inner.weight.data = run.model.inner.weight.data * 0.5
    agree(runs, 3)


# --- optimizers of users --------------------------------------------------------------------------


class Custom(optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {"lr": 0.1})
        self.factor, self.rng = 1.0, np.random.default_rng(0)

    def start(self, p, group):
        return {"step": 0, "sum": np.zeros_like(p)}

    def update(self, p, g, state, group):
        p -= group["lr"] * np.sign(g)


class Counts(Custom):
    def update(self, p, g, state, group):
        state["step"] += 1
        p -= g * (group["lr"] / state["step"])


class CountsElsewhere(Custom):
    def update(self, p, g, state, group):
        self.factor *= 0.9
        p -= g * self.factor


class Rounds(Custom):
    def update(self, p, g, state, group):
        p -= g * (1 + group["lr"]) ** 7


class Decides(Custom):
    def update(self, p, g, state, group):
        p -= g if abs(g).sum() > 0.01 else 0.5 * g


class Noisy(Custom):
    def update(self, p, g, state, group):
        p -= g * float(self.rng.normal())


class Keeps(Custom):
    def update(self, p, g, state, group):
        state["sum"] = state["sum"] + g
        p -= group["lr"] * state["sum"]


class ReadsMemory(Custom):
    def update(self, p, g, state, group):
        p -= group["lr"] * (np.asarray(g) / np.asarray(p).size)


class WritesGradients(Custom):
    def update(self, p, g, state, group):
        g *= group["lr"]
        p -= g


class OwnStep(Custom):
    def step(self):
        super().step()
        super().step()


class Fails(Custom):
    def update(self, p, g, state, group):
        if type(p) is not np.ndarray:
            raise KeyError(p)
        p -= group["lr"] * g


class Moves(Custom):
    def numbers(self, state, group):
        state["step"] += 1
        return {"lr": group["lr"] / math.sqrt(state["step"]), "old": self.factor}

    def update(self, p, g, state, group):
        s = state["sum"]
        s *= group["old"]
        state["sum"] += g
        p -= group["lr"] * s


def test_optimizers_of_users_that_replay():
    for kind in (Custom, Moves):
        agree(pair(kind, 0.5), 6, replays=5)


EAGER = [Counts, CountsElsewhere, Rounds, Decides, Noisy, Keeps, ReadsMemory, WritesGradients, OwnStep, Fails]


@pytest.mark.parametrize("kind", EAGER)
def test_optimizers_of_users_that_do_not_are_called_as_they_are(kind):
    agree(pair(kind), 8, replays=0)


def test_an_attribute_of_the_optimizer_is_a_setting():
    class Scaled(Custom):
        def update(self, p, g, state, group):
            p -= g * self.factor

    runs = pair(Scaled)
    agree(runs, 4, replays=3)
    for run in runs:
        run.optimizer.factor = 0.5
    agree(runs, 3)


# --- around a step --------------------------------------------------------------------------------


def test_leaves_without_the_optimizer_sum_their_gradients():
    w, v = Parameter(np.ones(3)), Parameter(np.ones(3))
    step = capture(lambda x: (w * v * x).sum(), optim.SGD([w], 0.0))
    for k in range(1, 4):
        step(np.full(3, 2.0))
        assert_array_equal(w.grad.data, np.full(3, 2.0))
        assert_array_equal(v.grad.data, np.full(3, 2.0 * k))


def test_gradients_are_the_callers_own_and_hooks_count():
    w, seen = Parameter(np.ones(3)), []
    w.register_hook(lambda g: seen.append(1) or g * 3.0)
    optimizer = optim.SGD([w], 1.0)
    step = capture(lambda x: (w * x).sum(), optimizer)
    for k in range(1, 5):
        step(np.full(3, float(k)))
        kept = w.grad
        assert_array_equal(kept.data, np.full(3, 3.0 * k))
    step(np.ones(3))
    assert_array_equal(kept.data, np.full(3, 12.0))
    assert_array_equal(w.data, np.full(3, 1 - 3.0 * (1 + 2 + 3 + 4 + 1)))
    assert len(seen) == 5 == step.updates.replays + 1


def test_a_step_is_noticed_by_graphs_that_need_the_old_values():
    w = Parameter(np.ones(3))
    step = capture(lambda x: (w * x).sum(), optim.SGD([w], 0.1))
    for _ in range(3):
        loss = (w * w).sum()
        step(np.ones(3))
        with pytest.raises(RuntimeError, match="changed"):
            loss.backward()


def test_without_gradients_there_is_no_step_and_under_instruments_there_is():
    runs = pair(OPTIMIZERS["Adam"], 0.1)
    agree(runs, 3)
    before = runs[1].params[0].data.copy()
    with no_grad():
        runs[1].captured(np.ones((5, 3), "f"))
    assert_array_equal(runs[1].params[0].data, before)
    with ag.watch():
        agree(runs, 2)
    agree(runs, 2, replays=6)


def test_warnings_come_once():
    w = Parameter(np.ones(3, "f"))
    step = capture(lambda x: (w * x).sum(), optim.Adagrad([w], 0.1))
    for _ in range(3):  # recorded, then replayed
        with pytest.warns(RuntimeWarning, match="overflow") as caught:
            step(np.full(3, 1e30, "f"))
        assert len([c for c in caught if "overflow" in str(c.message)]) == 1
        w.data[...] = 1.0


def test_copies_have_an_optimizer_of_their_own():
    w = Parameter(np.ones(2))
    holder = {"step": capture(Weighted(w), optim.SGD([w], 0.5), 100.0)}
    holder["step"](np.ones(2))
    for twin in (copy.deepcopy(holder), pickle.loads(pickle.dumps(holder))):
        step = twin["step"]
        assert step.max_norm == 100.0
        step(np.ones(2))
        assert_array_equal(step.fn.w.data, np.zeros(2))
        assert_array_equal(w.data, np.full(2, 0.5))


class Weighted:
    def __init__(self, w):
        self.w = w

    def __call__(self, x):
        return (self.w * x).sum()


def test_max_norm_needs_an_optimizer():
    with pytest.raises(TypeError, match="max_norm without the optimizer"):
        capture(lambda x: x, max_norm=1.0)
    with pytest.raises(TypeError, match="an optimizer of optim, got float"):
        capture(lambda x: x, 0.1)


def test_the_optimizer_inside_is_still_refused():
    w = Variable(np.ones(2))
    optimizer = optim.SGD([w], 0.1)

    def whole(x):
        optimizer.zero_grad()
        return (w * x).sum()

    step = capture(whole, optimizer)
    with pytest.raises(ag.CaptureError, match="optimizer"):
        step(np.ones(2))
