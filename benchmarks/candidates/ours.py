"""This project: `nn.LSTM`, `nn.GRU`, `nn.RNN` as everybody uses them.

Variants: "capture" replays what `autograd.capture` has recorded as NumPy calls, "table" as a table of NumPy's
inner loops, where that is to be had; "pause-gc" does the work under `autograd.pause_gc()`, "create-graph"
records the backward pass.
"""

import platform
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

import autograd
import nn
import optim
from autograd import Variable
from autograd.replay import program
from benchmarks.cases import CHARACTERS, PARAMETERS, TRAINING, Arrays, Case, Task
from benchmarks.machine import blas
from nn.functional import cross_entropy, mse_loss


def start(threads: int) -> dict[str, str]:
    autograd.keep_freed_memory()
    return {"Python": platform.python_version(), "NumPy": np.__version__, "BLAS": blas()}


def replays_tables() -> bool:
    """Do replays run as tables here? Then `capture` says so."""
    w = Variable(np.ones(2))
    step = autograd.capture(lambda x: (w * x).sum())
    for _ in range(3):
        step(np.ones(2))
    return getattr(step, "how", None) == "table"


def captured(fn: Callable[..., Any], variant: str, *optimizer: Any) -> Callable[..., Any]:
    """``autograd.capture(fn, *optimizer)``, whose replays are what the variant is called."""
    if variant:  # a worker has one variant
        vars(program)["TABLES"] = variant == "table"
    step = autograd.capture(fn, *optimizer)

    def replayed(*args: Any) -> Any:
        result = step(*args)
        if variant == "table" and step.how != "table":  # type: ignore[attr-defined]
            raise RuntimeError(f"this was to be replayed as a table, and capture(...).how is {step.how!r}")
        return result

    return replayed


def build(variant: str, case: Case, arrays: Arrays) -> Task:
    replays = variant in ("capture", "table")
    if case.kind == "chain":
        return chain(case, arrays)
    if case.kind == "training":
        return training(case, arrays, variant if replays else "")
    if case.kind == "sums":
        return sums(case, arrays, variant if replays else "")
    if case.kind == "conv":
        return convolution(arrays, variant if replays else "")
    _, _, I, H = case.size  # noqa: E741
    layer = nn.ConvLSTM2d(I, 2 * I, 3) if case.kind == "convlstm" else getattr(nn, case.cell)(I, H)
    parameters = dict(zip(PARAMETERS, layer.parameters(), strict=True))
    for name, p in parameters.items():
        p.data = arrays[name]
    x, gy = arrays["x"], arrays["gy"]

    def forward() -> Variable:
        return layer(x)[0]

    if case.kind == "inference":
        predict = captured(lambda x: layer(x)[0], variant)
        infer = autograd.no_grad()((lambda: predict(x)) if replays else forward)
        return Task(infer, lambda: {"y": infer().data})

    if case.kind == "second":
        create_graph = variant == "create-graph"

        def back(y: Variable) -> Any:
            return autograd.grad(y, list(parameters.values()), gy, create_graph=create_graph)

        return Task(
            back, lambda: {k: g.data for k, g in zip(PARAMETERS, back(forward()), strict=True)}, forward
        )

    weights = gy if case.kind != "convlstm" else channels_last(gy, 2)
    replay = captured(lambda x: (layer(x)[0] * weights).sum(), variant)

    def step() -> None:
        with autograd.pause_gc() if variant == "pause-gc" else nullcontext():
            layer.zero_grad()
            if replays:
                replay(x)
            else:
                forward().backward(gy)

    def results() -> Arrays:
        step()
        return {name: p.grad.data for name, p in parameters.items()}

    return Task(step, results)


def chain(case: Case, arrays: Arrays) -> Task:
    """y = a b, then times a and plus b in turns; back to a and b."""
    a, b = Variable(arrays["a"]), Variable(arrays["b"])
    length = case.size[0]

    def step() -> None:
        a.grad = b.grad = None
        y = a * b
        for _ in range(length // 2):
            y = y * a + b
        y.backward()

    def results() -> Arrays:
        step()
        return {"a": a.grad.data, "b": b.grad.data}

    return Task(step, results, calls=max(1, 1000 // length))


def channels_last(a: np.ndarray, axis: int) -> np.ndarray:
    """The same array with its channels last in memory, as our own results are."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, axis, -1)), -1, axis)


def convolution(arrays: Arrays, variant: str) -> Task:
    x, w = Variable(channels_last(arrays["x"], 1)), Variable(arrays["weight"])
    gy = channels_last(arrays["gy"], 1)
    replay = captured(lambda: (autograd.conv2d(x, w, padding="same") * gy).sum(), variant)

    def step() -> list[Variable]:
        if not variant:
            return autograd.grad(autograd.conv2d(x, w, padding="same"), [x, w], gy)
        x.grad = w.grad = None
        replay()
        return [x.grad, w.grad]

    return Task(step, lambda: {k: g.data for k, g in zip(("x", "weight"), step(), strict=True)})


class CharLM(nn.Module):
    def __init__(self, characters: int, embedding: int, hidden: int):
        self.embedding = nn.Embedding(characters, embedding)
        self.lstm = nn.LSTM(embedding, hidden)
        self.linear = nn.Linear(hidden, characters)

    def forward(self, x: np.ndarray) -> Variable:
        return self.linear(self.lstm(self.embedding(x))[0])


def training(case: Case, arrays: Arrays, variant: str) -> Task:
    _, _, E, H = case.size
    model = CharLM(CHARACTERS, E, H)
    names = ("embedding", *PARAMETERS, "weight", "bias")
    parameters = dict(zip(names, model.parameters(), strict=True))
    for name, p in parameters.items():
        p.data = np.array(arrays[name])
    optimizer = optim.Adam(model.parameters(), TRAINING["lr"])
    x, target = arrays["text"][:-1], arrays["text"][1:].reshape(-1)

    def loss_of(x: np.ndarray, target: np.ndarray) -> Variable:
        return cross_entropy(model(x).reshape(target.size, -1), target)

    replay = captured(loss_of, variant)

    def step() -> float:
        optimizer.zero_grad()
        if variant:
            loss = replay(x, target)
        else:
            loss = loss_of(x, target)
            loss.backward()
        optim.clip_grad_norm_(model.parameters(), TRAINING["clip"])
        optimizer.step()
        return loss.item()

    def results() -> Arrays:
        first = step()
        gradients = {name: np.array(p.grad.data) for name, p in parameters.items()}
        return {**gradients, "losses": np.array([first, step(), step()])}

    return Task(step, results)


def sums(case: Case, arrays: Arrays, variant: str) -> Task:
    """The example of docs/training.md: captured, the optimizer's part of the step is as well."""
    _, _, I, H = case.size  # noqa: E741
    lstm, head = nn.LSTM(I, H), nn.Linear(H, 1)
    named = dict(zip((*PARAMETERS, "weight", "bias"), [*lstm.parameters(), *head.parameters()], strict=True))
    for name, p in named.items():
        p.data = np.array(arrays[name])
    optimizer = optim.Adam(named.values(), TRAINING["lr"])
    x, y = arrays["x"], arrays["y"]

    def loss_of(x: np.ndarray, y: np.ndarray) -> Variable:
        return mse_loss(head(lstm(x)[0][-1]), y)

    replay = captured(loss_of, variant, optimizer, TRAINING["clip"])

    def step() -> float:
        if variant:
            return replay(x, y).item()
        optimizer.zero_grad()
        loss = loss_of(x, y)
        loss.backward()
        optim.clip_grad_norm_(named.values(), TRAINING["clip"])
        optimizer.step()
        return loss.item()

    def results() -> Arrays:
        first = step()
        gradients = {name: np.array(p.grad.data) for name, p in named.items()}
        return {**gradients, "losses": np.array([first, step(), step()])}

    return Task(step, results)
