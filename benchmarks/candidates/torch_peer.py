"""PyTorch on the CPU. Variants: "fused" `torch.nn.LSTM`, "cell" a loop over `torch.nn.LSTMCell`, "ops" the
same operations as our cells, one by one; "-create-graph" after a name records the backward pass.
"""

import platform
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.cases import CHARACTERS, PARAMETERS, TRAINING, Arrays, Case, Task

Layer = Callable[[Tensor], Tensor]  # x (T, B, I) -> y (T, B, H)


def start(threads: int) -> dict[str, str]:
    torch.set_num_threads(threads)
    return {"torch": torch.__version__, "Python": platform.python_version()}


def make_layer(variant: str, case: Case, arrays: Arrays) -> tuple[Layer, dict[str, Tensor]]:
    T, B, I, H = case.size  # noqa: E741
    lstm = case.cell == "LSTM"
    if variant == "fused":
        module = getattr(torch.nn, case.cell)(I, H)
    else:
        module = getattr(torch.nn, case.cell + "Cell")(I, H)
    parameters = dict(zip(PARAMETERS, module.parameters(), strict=True))
    with torch.no_grad():
        for name, p in parameters.items():
            p.copy_(torch.from_numpy(arrays[name]))

    def fused(x: Tensor) -> Tensor:
        return module(x)[0]

    def cell(x: Tensor) -> Tensor:
        h = x.new_zeros(x.shape[1], H)
        state = (h, torch.zeros_like(h)) if lstm else h
        outputs = []
        for x_t in x.unbind():
            state = module(x_t, state)
            outputs.append(state[0] if lstm else state)
        return torch.stack(outputs)

    w_ih, w_hh, b_ih, b_hh = parameters.values()

    def lstm_ops(x: Tensor) -> Tensor:
        h = c = x.new_zeros(x.shape[1], H)
        w = w_hh.t().contiguous()
        outputs = []
        for z in F.linear(x, w_ih, b_ih + b_hh).unbind():
            i, f, g, o = torch.addmm(z, h, w).chunk(4, 1)
            i, f, o, g = i.sigmoid(), f.sigmoid(), o.sigmoid(), g.tanh()
            c = f * c + i * g
            h = o * c.tanh()
            outputs.append(h)
        return torch.stack(outputs)

    def gru_ops(x: Tensor) -> Tensor:
        h = x.new_zeros(x.shape[1], H)
        w = w_hh.t().contiguous()
        outputs = []
        rz, n = F.linear(x, w_ih, b_ih).split([2 * H, H], -1)
        for x_rz, x_n in zip(rz.unbind(), n.unbind(), strict=True):
            a_rz, a_n = torch.addmm(b_hh, h, w).split([2 * H, H], 1)
            r, z = (x_rz + a_rz).sigmoid().chunk(2, 1)
            new = (x_n + r * a_n).tanh()
            h = new + z * (h - new)
            outputs.append(h)
        return torch.stack(outputs)

    def rnn_ops(x: Tensor) -> Tensor:
        h = x.new_zeros(x.shape[1], H)
        w = w_hh.t().contiguous()
        outputs = []
        for z in F.linear(x, w_ih, b_ih + b_hh).unbind():
            h = torch.addmm(z, h, w).tanh()
            outputs.append(h)
        return torch.stack(outputs)

    ops = {"LSTM": lstm_ops, "GRU": gru_ops, "RNN": rnn_ops}[case.cell]
    return {"fused": fused, "cell": cell, "ops": ops}[variant], parameters


def build(variant: str, case: Case, arrays: Arrays) -> Task:
    if case.kind == "chain":
        return chain(case, arrays)
    if case.kind == "conv":
        return convolution(arrays)
    if case.kind == "convlstm":
        return conv_lstm(arrays)
    variant, _, create_graph = variant.partition("-")
    layer, parameters = make_layer(variant, case, arrays)
    if case.kind == "training":
        return training(layer, parameters, arrays)
    if case.kind == "sums":
        return sums(layer, parameters, arrays)
    x, gy = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["gy"])

    if case.kind == "inference":

        @torch.inference_mode()
        def infer() -> Tensor:
            return layer(x)

        return Task(infer, lambda: {"y": infer().numpy()})

    if case.kind == "second":

        def back(y: Tensor) -> Any:
            return torch.autograd.grad(y, list(parameters.values()), gy, create_graph=bool(create_graph))

        return Task(
            back,
            lambda: {k: g.detach().numpy() for k, g in zip(PARAMETERS, back(layer(x)), strict=True)},
            lambda: layer(x),
        )

    def step() -> None:
        for p in parameters.values():
            p.grad = None
        layer(x).backward(gy)

    def results() -> Arrays:
        step()
        return {name: p.grad.numpy() for name, p in parameters.items()}

    return Task(step, results)


def chain(case: Case, arrays: Arrays) -> Task:
    a, b = (torch.tensor(arrays[k], requires_grad=True) for k in "ab")
    length = case.size[0]

    def step() -> None:
        a.grad = b.grad = None
        y = a * b
        for _ in range(length // 2):
            y = y * a + b
        y.backward()

    def results() -> Arrays:
        step()
        return {"a": a.grad.numpy(), "b": b.grad.numpy()}

    return Task(step, results, calls=max(1, 1000 // length))


def convolution(arrays: Arrays) -> Task:
    x, w = (torch.tensor(arrays[name], requires_grad=True) for name in ("x", "weight"))
    gy = torch.from_numpy(arrays["gy"])

    def step() -> tuple[Tensor, ...]:
        return torch.autograd.grad(F.conv2d(x, w, padding="same"), (x, w), gy)

    return Task(step, lambda: {k: g.numpy() for k, g in zip(("x", "weight"), step(), strict=True)})


def conv_lstm(arrays: Arrays) -> Task:
    """One convolution of [x, h] in every step, which is faster in PyTorch than one of all x and one of h."""
    p = [torch.tensor(arrays[name], requires_grad=True) for name in PARAMETERS]
    x, gy = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["gy"])

    def step() -> tuple[Tensor, ...]:
        weight, bias = torch.cat([p[0], p[1]], 1), p[2] + p[3]
        h = c = torch.zeros_like(gy[0])
        outputs = []
        for x_t in x.unbind():
            i, f, g, o = F.conv2d(torch.cat([x_t, h], 1), weight, bias, padding=1).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return torch.autograd.grad(torch.stack(outputs), p, gy)

    return Task(step, lambda: {k: g.numpy() for k, g in zip(PARAMETERS, step(), strict=True)})


def training(layer: Layer, recurrent: dict[str, Tensor], arrays: Arrays) -> Task:
    more = {
        k: torch.nn.Parameter(torch.from_numpy(arrays[k].copy())) for k in ("embedding", "weight", "bias")
    }
    parameters = {**recurrent, **more}
    optimizer = torch.optim.Adam(parameters.values(), TRAINING["lr"])
    text = torch.from_numpy(arrays["text"])
    x, target = text[:-1], text[1:].reshape(-1)

    def step() -> float:
        optimizer.zero_grad()
        y = layer(F.embedding(x, more["embedding"]))
        scores = F.linear(y, more["weight"], more["bias"])
        loss = F.cross_entropy(scores.reshape(-1, CHARACTERS), target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), TRAINING["clip"])
        optimizer.step()
        return loss.item()

    def results() -> Arrays:
        first = step()
        gradients = {name: p.grad.numpy().copy() for name, p in parameters.items()}
        return {**gradients, "losses": torch.tensor([first, step(), step()]).numpy()}

    return Task(step, results)


def sums(layer: Layer, recurrent: dict[str, Tensor], arrays: Arrays) -> Task:
    more = {name: torch.nn.Parameter(torch.from_numpy(arrays[name].copy())) for name in ("weight", "bias")}
    parameters = {**recurrent, **more}
    optimizer = torch.optim.Adam(parameters.values(), TRAINING["lr"])
    x, target = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"])

    def step() -> float:
        optimizer.zero_grad()
        loss = F.mse_loss(F.linear(layer(x)[-1], more["weight"], more["bias"]), target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), TRAINING["clip"])
        optimizer.step()
        return loss.item()

    def results() -> Arrays:
        first = step()
        gradients = {name: p.grad.numpy().copy() for name, p in parameters.items()}
        return {**gradients, "losses": torch.tensor([first, step(), step()]).numpy()}

    return Task(step, results)
