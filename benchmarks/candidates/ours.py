"""This project: `nn.LSTM`, `nn.GRU`, `nn.RNN` as everybody uses them.

Variants: "capture" replays what `autograd.capture` has recorded, "pause-gc" does the work under
`autograd.pause_gc()`, "create-graph" records the backward pass.
"""

import platform
from contextlib import nullcontext
from typing import Any

import numpy as np

import autograd
import nn
import optim
from autograd import Variable
from benchmarks.cases import CHARACTERS, PARAMETERS, TRAINING, Arrays, Case, Task
from nn.functional import cross_entropy


def start(threads: int) -> dict[str, str]:
    autograd.keep_freed_memory()
    return {"Python": platform.python_version(), "NumPy": np.__version__}


def build(variant: str, case: Case, arrays: Arrays) -> Task:
    if case.kind == "chain":
        return chain(case, arrays)
    if case.kind == "training":
        return training(case, arrays, variant == "capture")
    if case.kind == "conv":
        return convolution(arrays, variant == "capture")
    _, _, I, H = case.size  # noqa: E741
    layer = nn.ConvLSTM2d(I, 2 * I, 3) if case.kind == "convlstm" else getattr(nn, case.cell)(I, H)
    parameters = dict(zip(PARAMETERS, layer.parameters(), strict=True))
    for name, p in parameters.items():
        p.data = arrays[name]
    x, gy = arrays["x"], arrays["gy"]

    def forward() -> Variable:
        return layer(x)[0]

    if case.kind == "inference":
        predict = autograd.capture(lambda x: layer(x)[0])
        infer = autograd.no_grad()((lambda: predict(x)) if variant == "capture" else forward)
        return Task(infer, lambda: {"y": infer().data})

    if case.kind == "second":
        create_graph = variant == "create-graph"

        def back(y: Variable) -> Any:
            return autograd.grad(y, list(parameters.values()), gy, create_graph=create_graph)

        return Task(
            back, lambda: {k: g.data for k, g in zip(PARAMETERS, back(forward()), strict=True)}, forward
        )

    weights = gy if case.kind != "convlstm" else channels_last(gy, 2)
    captured = autograd.capture(lambda x: (layer(x)[0] * weights).sum())

    def step() -> None:
        with autograd.pause_gc() if variant == "pause-gc" else nullcontext():
            layer.zero_grad()
            if variant == "capture":
                captured(x)
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


def convolution(arrays: Arrays, capture: bool) -> Task:
    x, w = Variable(channels_last(arrays["x"], 1)), Variable(arrays["weight"])
    gy = channels_last(arrays["gy"], 1)
    captured = autograd.capture(lambda: (autograd.conv2d(x, w, padding="same") * gy).sum())

    def step() -> list[Variable]:
        if not capture:
            return autograd.grad(autograd.conv2d(x, w, padding="same"), [x, w], gy)
        x.grad = w.grad = None
        captured()
        return [x.grad, w.grad]

    return Task(step, lambda: {k: g.data for k, g in zip(("x", "weight"), step(), strict=True)})


class CharLM(nn.Module):
    def __init__(self, characters: int, embedding: int, hidden: int):
        self.embedding = nn.Embedding(characters, embedding)
        self.lstm = nn.LSTM(embedding, hidden)
        self.linear = nn.Linear(hidden, characters)

    def forward(self, x: np.ndarray) -> Variable:
        return self.linear(self.lstm(self.embedding(x))[0])


def training(case: Case, arrays: Arrays, capture: bool) -> Task:
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

    captured = autograd.capture(loss_of)

    def step() -> float:
        optimizer.zero_grad()
        if capture:
            loss = captured(x, target)
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
