"""What a type checker knows of the library: mypy checks these lines, and nothing runs them.

What stands on the left of an operator decides, and NumPy's own functions are NumPy's: of ``array * x`` and
``np.tanh(x)`` a checker believes that they are arrays. ``x * array`` and ``ag.tanh(x)`` are Variables to it.
"""

from collections.abc import Callable
from typing import Any, assert_type

import numpy as np

import autograd as ag
import nn
import nn.functional as F
import optim
from autograd import Parameter, Variable
from autograd.extend import Array, Operand, Value


def operators(x: Variable, p: Parameter, a: Array, value: Value) -> None:
    assert_type(x * 2.0, Variable)
    assert_type(2.0 * x, Variable)
    assert_type(x + x, Variable)
    assert_type(x - a, Variable)
    assert_type(x / p, Variable)
    assert_type(p @ x, Variable)
    assert_type(x @ [1.0, 2.0], Variable)
    assert_type(1.0 - x, Variable)
    assert_type(2.0 / x, Variable)
    assert_type(x**2, Variable)
    assert_type(2.0**x, Variable)
    assert_type(-p, Variable)
    assert_type(abs(x), Variable)
    assert_type(x[0], Variable)
    assert_type(x[..., None, 1:], Variable)
    assert_type(x > 0.0, Array)
    assert_type(x == x, Array)
    assert_type([y for y in x], list[Variable])


def methods(x: Variable, p: Parameter) -> None:
    assert_type(x.sum(), Variable)
    assert_type(x.sum(axis=0, keepdims=True), Variable)
    assert_type(p.mean((0, 1)), Variable)
    assert_type(x.tanh().relu().max(), Variable)
    assert_type(x.softmax(axis=-1), Variable)
    assert_type(x.clip(0.0, 1.0), Variable)
    assert_type(x.dot([1.0, 2.0]), Variable)
    assert_type(x.reshape(2, -1), Variable)
    assert_type(x.reshape((2, -1)), Variable)
    assert_type(x.transpose(1, 0), Variable)
    assert_type(x.T.mT.flatten(), Variable)
    assert_type(x.astype(np.float32), Variable)
    assert_type(x.detach(), Variable)
    assert_type(x.data, Array)
    assert_type(x.grad, Variable | None)
    x.backward()


def one_operand(x: Variable, p: Parameter, a: Array, value: Value, operand: Operand) -> None:
    assert_type(ag.tanh(x), Variable)
    assert_type(ag.tanh(p), Variable)
    assert_type(ag.tanh(a), Array)
    assert_type(ag.tanh(value), Value)
    assert_type(ag.tanh(operand), Value)
    assert_type(ag.tanh(0.5), Array)
    assert_type(ag.tanh([0.5, 1.0]), Array)
    assert_type(ag.sum(x, axis=(0, 1), keepdims=True), Variable)
    assert_type(ag.mean(x, 0), Variable)
    assert_type(ag.var(a, ddof=1), Array)
    assert_type(ag.log_softmax(value), Value)
    assert_type(ag.reshape(x, (2, -1)), Variable)
    assert_type(ag.transpose(a), Array)
    assert_type(ag.getitem(x, 0), Variable)
    assert_type(ag.max_pool2d(x, 2, stride=1), Variable)
    assert_type(ag.astype(a, np.float32), Array)


def several_operands(x: Variable, p: Parameter, a: Array, value: Value, operand: Operand) -> None:
    assert_type(ag.add(x, p), Variable)
    assert_type(ag.add(x, 1.0), Variable)
    assert_type(ag.add(a, x), Variable)
    assert_type(ag.add(1.0, x), Variable)
    assert_type(ag.add(a, 1.0), Array)
    assert_type(ag.add(a, a), Array)
    assert_type(ag.add(value, p), Variable)
    assert_type(ag.add(value, 1.0), Value)
    assert_type(ag.add(operand, operand), Value)
    assert_type(ag.matmul(a, p), Variable)
    assert_type(ag.tensordot(x, a, axes=1), Variable)
    assert_type(ag.where(a > 0.0, x, 0.0), Variable)
    assert_type(ag.where(a > 0.0, a, 0.0), Array)
    assert_type(ag.where(x > 0.0, 0.0, value), Value)
    assert_type(ag.lerp(0.0, 1.0, x), Variable)
    assert_type(ag.addmm(a, a, p), Variable)
    assert_type(ag.clip(x, 0.0), Variable)
    assert_type(ag.clip(a, 0.0, 1.0), Array)
    assert_type(ag.clip(a, a_max=x), Variable)
    assert_type(ag.index_update(x, 0, 1.0), Variable)
    assert_type(ag.index_update(a, 0, x), Variable)
    assert_type(ag.index_update(a, 0, 1.0), Array)
    assert_type(ag.convolve(a, x, mode="same"), Variable)


def weights(x: Variable, p: Parameter, a: Array, value: Value) -> None:
    assert_type(ag.linear(a, p), Variable)
    assert_type(ag.linear(value, p, p), Variable)
    assert_type(ag.linear(a, a), Array)
    assert_type(ag.linear(a, a, bias=x), Variable)
    assert_type(ag.conv2d(a, p, None, stride=(2, 1), padding="same", groups=2), Variable)
    assert_type(ag.conv1d(value, value), Value)
    assert_type(ag.conv_transpose1d(x, a, bias=p, output_padding=1), Variable)


def many_operands(x: Variable, p: Parameter, a: Array, value: Value) -> None:
    assert_type(ag.concatenate([x, p], axis=-1), Variable)
    assert_type(ag.stack([x] * 3), Variable)
    assert_type(ag.concatenate([x, a]), Value)  # of a mixture a Variable, which overloads cannot tell
    assert_type(ag.stack([value, value]), Value)
    assert_type(ag.split(x, 2), tuple[Variable, ...])
    assert_type(ag.split(a, [1]), tuple[Array, ...])
    assert_type(ag.unstack(x), tuple[Variable, ...])
    assert_type(ag.einsum("ij,jk", x, p), Variable)
    assert_type(ag.einsum("ij,jk", x, a), Value)


def gradients(x: Variable, p: Parameter, y: Variable, unused: bool) -> None:
    assert_type(ag.grad(y, x), Variable)
    assert_type(ag.grad([y, y], p, create_graph=True), Variable)
    assert_type(ag.grad(y, [x, p]), list[Variable])
    assert_type(ag.grad(y, (x, p), [1.0], True), list[Variable])
    assert_type(ag.grad(y, x, allow_unused=True), Variable | None)
    assert_type(ag.grad(y, [x, p], allow_unused=unused, without=[y]), list[Variable | None])


def functions(a: Array) -> None:
    def two(x: Variable) -> tuple[Variable, Variable]:
        return x.sum(), x * 2.0

    def product(x: Variable, y: Variable) -> Variable:
        return (x * y).sum()

    assert_type(ag.jacobian(lambda x: x * x, a), Variable)
    assert_type(ag.jacobian(two, a), tuple[Variable, Variable])
    assert_type(ag.jacobian(product, a, a), tuple[Variable, ...])
    assert_type(ag.hessian(lambda x: x.sum(), a, create_graph=True), Variable)
    assert_type(ag.hessian(product, a, a), tuple[tuple[Variable, ...], ...])
    assert_type(ag.vjp(lambda x: x * x, a), tuple[Variable, Callable[..., Variable]])
    assert_type(ag.vjp(product, a, a), tuple[Variable, Callable[..., tuple[Variable, ...]]])
    assert_type(ag.jvp(two, a, a), tuple[tuple[Variable, Variable], tuple[Variable, Variable]])
    assert_type(ag.hvp(lambda x: x.sum(), a, a), tuple[Variable, Variable])
    assert_type(ag.hvp(product, [a, a], [a, a]), tuple[Variable, tuple[Variable, ...]])
    assert_type(ag.checkpoint(product, a, a), Variable)
    assert_type(ag.checkpoint(two, a), tuple[Variable, Variable])
    with ag.watch() as seen, ag.detect_anomaly():
        assert_type(seen.uses(Variable(a)), list[ag.Use])
        assert_type(seen.gradient(Variable(a)), Array | None)


def untyped(anything: Any, x: Variable) -> None:
    assert_type(ag.tanh(anything), Any)
    assert_type(ag.add(anything, 1.0), Any)
    assert_type(ag.add(anything, x), Variable)


# --- nn and optim ---------------------------------------------------------------------------------


class Doubled(nn.Module):
    def forward(self, x: Variable, times: int = 1) -> tuple[Variable, int]:
        return x * 2.0, times


class Bare(nn.Module):
    def forward(self, x, times=1):  # type: ignore[no-untyped-def]
        return x * 2.0, times


def calls_of_modules(x: Variable, a: Array, any_module: nn.Module) -> None:
    assert_type(Doubled()(x), tuple[Variable, int])
    assert_type(Doubled()(x, times=3), tuple[Variable, int])
    Doubled()(x, 3, 4)  # type: ignore[call-arg]
    Doubled()("x")  # type: ignore[arg-type]
    assert_type(Bare()(x), Any)
    assert_type(any_module(x, "anything", at=all), Any)
    function: Callable[[Variable], Variable] = nn.Linear(2, 3)
    assert_type(function(x), Variable)


def layers(x: Variable, a: Array, value: Value) -> None:
    assert_type(nn.Linear(2, 3)(x), Variable)
    assert_type(nn.Linear(2, 3)(a), Variable)
    assert_type(nn.Embedding(2, 3)([0, 1]), Variable)
    assert_type(nn.Tanh()(x), Variable)
    assert_type(nn.Softmax(dim=0)(a), Array)
    assert_type(nn.Dropout(0.5)(value), Value)
    assert_type(nn.LayerNorm(3)(x), Variable)
    assert_type(nn.BatchNorm1d(3)(a), Value)
    assert_type(nn.WaveNet(1, 1)(a), Variable)
    assert_type(nn.EncoderDecoder(2, 2, 3, 3)([[1]], [[1]]), Variable)
    assert_type(nn.AdditiveAttention(2, 2, 3)(a, (x, x, a)), tuple[Variable, Variable])
    assert_type(nn.Linear(2, 3).eval().requires_grad_(False), nn.Linear)
    assert_type(nn.Linear(2, 3).state_dict(), dict[str, Array])


def losses(x: Variable, a: Array, value: Value) -> None:
    assert_type(nn.MSELoss()(x, a), Variable)
    assert_type(nn.MSELoss("none")(a, a), Value)
    assert_type(nn.CrossEntropyLoss()(x, [1, 2], mask=[True, False]), Variable)
    assert_type(nn.CrossEntropyLoss(batch_first=True)(x, [[1]], lengths=[1]), Variable)
    assert_type(nn.CTCLoss()(x, [[1]], [2], [1]), Variable)
    assert_type(nn.Perplexity(axis=-1).compute(), float)
    assert_type(F.mse_loss(x, a), Variable)
    assert_type(F.mse_loss(a, x), Variable)
    assert_type(F.mse_loss(x, a, lengths=[3, 1], batch_first=True), Variable)
    assert_type(F.mse_loss(a, a, reduction="sum"), Array)
    assert_type(F.cross_entropy(x, [1, 2], mask=[True, False]), Variable)
    assert_type(F.nll_loss(value, [1, 2]), Value)
    assert_type(F.ctc_loss(x, [[1]], [2], [1], blank=0), Variable)
    assert_type(F.dropout(x, 0.5), Variable)
    assert_type(F.layer_norm(x, 3), Variable)
    assert_type(F.embedding([1], x), Variable)
    assert_type(F.one_hot([1], 3), Array)
    assert_type(nn.pad_sequence([x, x]), Variable)
    assert_type(nn.pad_sequence([[1, 2], [3]]), Array)
    assert_type(nn.unpad_sequence(x, [1]), list[Variable])


def recurrent_layers(x: Variable, a: Array) -> None:
    y, (h, c) = nn.LSTM(2, 3)(a, lengths=[4, 1])
    assert_type((y, h, c), tuple[Variable, Variable, Variable])
    assert_type(nn.LSTM(2, 3)(x), tuple[Variable, tuple[Variable, Variable]])
    assert_type(nn.GRU(2, 3)(x), tuple[Variable, Variable])
    assert_type(nn.Recurrent(nn.GRUCell(2, 3))(a), tuple[Variable, tuple[Variable, ...]])
    assert_type(nn.detach((h, c)), tuple[Variable, Variable])


def data(a: Array) -> None:
    assert_type([x for x, y in nn.data.StreamLoader(a, 2, 3)], list[Array])
    assert_type(nn.data.Vocabulary.build("to be").encode("to"), Array)
    assert_type(nn.summary(nn.Linear(2, 3), (1, 2)).parameters, int)


def training(p: Parameter, model: nn.Module) -> None:
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    optim.SGD([{"params": [p], "lr": 0.1}, {"params": p}], lr=1.0)
    assert_type(optimizer.step(), None)
    assert_type(optimizer.state_dict(), dict[str, Any])
    assert_type(optim.clip_grad_norm_(model.parameters(), 1.0), float)
    assert_type(optim.GradientNorms(model.named_parameters()).record(), dict[str, float | None])
    assert_type(optim.lr_scheduler.StepLR(optimizer, 3).get_last_lr(), list[float])
