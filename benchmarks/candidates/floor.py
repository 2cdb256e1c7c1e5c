"""The floor: backpropagation through time written by hand in NumPy, as fast as we can write it.

What an engine cannot do is done here: all buffers are allocated once, every ufunc writes into one, σ of all
gates that have it is one series of calls, and the local derivatives are made for many steps at a time, so
that a step of the way back is five to seven calls. σ is computed as the library does, eˣ / (1 + eˣ), which
has all its digits where it is small; (1 + tanh(x/2)) / 2 takes less time and has none. Nothing is checked;
the sizes never change.
"""

import math
import platform
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.cases import CHARACTERS, PARAMETERS, TRAINING, Arrays, Case, Task
from benchmarks.machine import blas

SATURATED = 45.0  # x from which σ(x) rounds to 1
CACHE = 512 << 10  # bytes of gates whose derivatives are made together: what stays in a core's cache


def start(threads: int) -> dict[str, str]:
    return {"Python": platform.python_version(), "NumPy": np.__version__, "BLAS": blas()}


def empty(*shape: int) -> np.ndarray:
    return np.empty(shape, np.float32)


class Layer:
    """One recurrent layer: buffers, and what the three cells share.

    The gates lie side by side in the last axis, (T, B, G, H), in ``order`` (rows of the weights), the
    first ``sigmoids`` of them with σ. h[t] is the state before step t.
    """

    order: tuple[int, ...]
    sigmoids = 0

    def __init__(self, size: tuple[int, int, int, int], weights: Arrays):
        self.size = T, B, I, H = size  # noqa: E741
        self.weights = weights
        G = len(self.order)
        self.rows = np.concatenate([np.arange(H) + k * H for k in self.order])
        self.w_ih, self.w_hh = empty(I, G * H), empty(H, G * H)  # transposed, in our order
        self.w_back, self.bias = empty(G * H, H), empty(G * H)
        self.gates, self.d_gates = empty(T, B, G, H), empty(T, B, G, H)
        self.h = np.zeros((T + 1, B, H), np.float32)
        self.dh, self.product, self.next = empty(B, H), empty(B, G * H), empty(B, H)
        self.ones = np.ones(T * B, np.float32)
        k = max(1, CACHE // (4 * B * G * H))
        self.chunks = list(pairwise([*range(0, T, k), T]))
        self.factors = empty(min(k, T), B, G, H)
        self.one, self.top = np.ones((), np.float32), np.full((), SATURATED, np.float32)
        self.below = empty(B, self.sigmoids, H)

    def copy_weights(self) -> None:
        """The weights as the loop wants them; once per sequence, as training changes them."""
        w, rows = self.weights, self.rows
        np.copyto(self.w_ih, w["weight_ih"][rows].T)
        np.copyto(self.w_hh, w["weight_hh"][rows].T)
        np.take(w["weight_hh"], rows, axis=0, out=self.w_back, mode="clip")
        self.add_biases()

    def add_biases(self) -> None:
        w = self.weights
        np.take(w["bias_ih"] + w["bias_hh"], self.rows, out=self.bias, mode="clip")

    def project(self, x: np.ndarray) -> None:
        T, B, I, _ = self.size  # noqa: E741
        flat = self.gates.reshape(T * B, -1)
        np.matmul(x.reshape(T * B, I), self.w_ih, out=flat)
        np.add(flat, self.bias, out=flat)

    def sigmoid(self, s: np.ndarray) -> None:
        """σ of the gates s (B, sigmoids, H), in place."""
        np.minimum(s, self.top, out=s)
        np.exp(s, s)
        np.add(s, self.one, self.below)
        np.divide(s, self.below, s)

    def gradients(self, x: np.ndarray) -> Arrays:
        """The parameters' gradients from those of the gates, each one matrix product over all steps."""
        T, B, I, H = self.size  # noqa: E741
        d = self.d_gates.reshape(T * B, -1)
        by_rows = {
            "weight_ih": d.T @ x.reshape(T * B, I),
            "weight_hh": d.T @ self.h[:-1].reshape(T * B, H),
            "bias_ih": self.ones @ d,
        }
        by_rows["bias_hh"] = by_rows["bias_ih"]
        return self.back_in_order(by_rows)

    def back_in_order(self, by_rows: Arrays) -> Arrays:
        if self.order == tuple(range(len(self.order))):
            return by_rows
        result = {name: np.empty_like(g) for name, g in by_rows.items()}
        for name, g in by_rows.items():
            result[name][self.rows] = g
        return result

    def input_gradient(self) -> np.ndarray:
        T, B, _, _ = self.size
        return self.d_gates.reshape(T * B, -1) @ self.weights["weight_ih"][self.rows]

    def forward(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def backward(self, x: np.ndarray, gy: np.ndarray) -> Arrays:
        raise NotImplementedError


class LSTM(Layer):
    order, sigmoids = (3, 0, 1, 2), 3  # o i f g

    def __init__(self, size: tuple[int, int, int, int], weights: Arrays):
        super().__init__(size, weights)
        T, B, _, H = size
        self.c, self.tanh_c = np.zeros((T + 1, B, H), np.float32), empty(T, B, H)
        self.dc, self.out_factor = empty(B, H), empty(len(self.factors), B, H)
        g, c, h = self.gates, self.c, self.h
        self.steps = [
            (h[t], g[t].reshape(B, -1), g[t, :, :3], *g[t].swapaxes(0, 1), c[t], c[t + 1],
             self.tanh_c[t], h[t + 1])
            for t in range(T)
        ]  # fmt: skip

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.copy_weights()
        self.project(x)
        W, product, ig, sigmoid = self.w_hh, self.product, self.dh, self.sigmoid
        matmul, add, multiply, tanh = np.matmul, np.add, np.multiply, np.tanh
        for h, flat, s, o, i, f, g, c, c_new, tanh_c, h_new in self.steps:
            matmul(h, W, product)
            add(flat, product, flat)
            sigmoid(s)
            tanh(g, g)
            multiply(f, c, c_new)
            multiply(i, g, ig)
            add(c_new, ig, c_new)
            tanh(c_new, tanh_c)
            multiply(o, tanh_c, h_new)
        return self.h[1:]

    def backward(self, x: np.ndarray, gy: np.ndarray) -> Arrays:
        T, B, _, H = self.size
        dh, dc, dh_next, W = self.dh, self.dc, self.next, self.w_back
        matmul, add, multiply = np.matmul, np.add, np.multiply
        dc.fill(0)
        dh_next.fill(0)
        for start, end in reversed(self.chunks):
            p, q = self.local_derivatives(start, end)
            for t in range(end - 1, start - 1, -1):
                d, k = self.d_gates[t], t - start
                add(gy[t], dh_next, dh)
                multiply(dh, p[k, :, 0], d[:, 0])
                multiply(dh, q[k], dh)
                add(dc, dh, dc)
                multiply(p[k, :, 1:], dc[:, None], d[:, 1:])
                multiply(dc, self.gates[t, :, 2], dc)
                matmul(d.reshape(B, -1), W, dh_next)
        return self.gradients(x)

    def local_derivatives(self, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """p: of h' by o, and of c' by i, f, g before their activations; q: of h' by c'."""
        gates, tanh_c = self.gates[start:end], self.tanh_c[start:end]
        p, q = self.factors[: end - start], self.out_factor[: end - start]
        o, i, _, g = np.moveaxis(gates, 2, 0)
        s = gates[:, :, :3]
        np.subtract(self.one, s, out=p[:, :, :3])
        np.multiply(p[:, :, :3], s, out=p[:, :, :3])
        p[:, :, 0] *= tanh_c
        p[:, :, 1] *= g
        p[:, :, 2] *= self.c[start:end]
        np.multiply(g, g, out=p[:, :, 3])
        np.subtract(self.one, p[:, :, 3], out=p[:, :, 3])
        p[:, :, 3] *= i
        np.multiply(tanh_c, tanh_c, out=q)
        np.subtract(self.one, q, out=q)
        q *= o
        return p, q


class GRU(Layer):
    order, sigmoids = (0, 1, 2), 2  # r z n

    def __init__(self, size: tuple[int, int, int, int], weights: Arrays):
        super().__init__(size, weights)
        T, B, _, H = size
        self.a_n = empty(T, B, H)  # W_hn h + b_hn
        self.dh_all, self.n_factor = empty(T, B, H), empty(T, B, H)
        self.b_hn = empty(H)
        g, h, product = self.gates, self.h, self.product
        self.product_rz, self.product_n = product[:, : 2 * H], product[:, 2 * H :]
        self.steps = [
            (h[t], g[t].reshape(B, -1)[:, : 2 * H], g[t, :, :2], *g[t].swapaxes(0, 1), self.a_n[t], h[t + 1])
            for t in range(T)
        ]

    def add_biases(self) -> None:
        w, H = self.weights, self.size[3]
        self.bias[:] = w["bias_ih"]
        self.bias[: 2 * H] += w["bias_hh"][: 2 * H]
        self.b_hn[:] = w["bias_hh"][2 * H :]

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.copy_weights()
        self.project(x)
        W, product, b_hn, sigmoid = self.w_hh, self.product, self.b_hn, self.sigmoid
        product_rz, product_n, scratch = self.product_rz, self.product_n, self.dh
        matmul, add, subtract, multiply, tanh = np.matmul, np.add, np.subtract, np.multiply, np.tanh
        for h, flat, s, r, z, n, a_n, h_new in self.steps:
            matmul(h, W, product)
            add(flat, product_rz, flat)
            sigmoid(s)
            add(product_n, b_hn, a_n)
            multiply(r, a_n, scratch)
            add(n, scratch, n)
            tanh(n, n)
            subtract(h, n, scratch)
            multiply(z, scratch, scratch)
            add(n, scratch, h_new)
        return self.h[1:]

    def backward(self, x: np.ndarray, gy: np.ndarray) -> Arrays:
        T, B, I, H = self.size  # noqa: E741
        dh_next, scratch, W = self.next, self.dh, self.w_back
        matmul, add, multiply = np.matmul, np.add, np.multiply
        dh_next.fill(0)
        for start, end in reversed(self.chunks):
            p = self.local_derivatives(start, end)
            for t in range(end - 1, start - 1, -1):
                d, dh = self.d_gates[t], self.dh_all[t]
                add(gy[t], dh_next, dh)
                multiply(p[t - start], dh[:, None], d)
                matmul(d.reshape(B, -1), W, dh_next)
                multiply(dh, self.gates[t, :, 1], scratch)
                add(dh_next, scratch, dh_next)
        # d_gates holds the gradients of W_hh h + b_hh; those of W_ih x + b_ih differ in n, by r
        result = self.gradients(x)
        dn = np.multiply(self.dh_all, self.n_factor, out=self.dh_all).reshape(T * B, H)
        result["weight_ih"][2 * H :] = dn.T @ x.reshape(T * B, I)
        result["bias_ih"] = np.array(result["bias_ih"])
        result["bias_ih"][2 * H :] = self.ones @ dn
        return result

    def local_derivatives(self, start: int, end: int) -> np.ndarray:
        """Of h' by r, z, and n's recurrent part, before their activations."""
        gates, p, m = self.gates[start:end], self.factors[: end - start], self.n_factor[start:end]
        r, z, n = np.moveaxis(gates, 2, 0)
        s = gates[:, :, :2]
        np.multiply(n, n, out=m)
        np.subtract(self.one, m, out=m)
        np.subtract(self.one, s, out=p[:, :, :2])
        m *= p[:, :, 1]
        np.multiply(m, r, out=p[:, :, 2])
        np.multiply(p[:, :, :2], s, out=p[:, :, :2])
        p[:, :, 0] *= m
        p[:, :, 0] *= self.a_n[start:end]
        p[:, :, 1] *= self.h[start:end] - n
        return p


class RNN(Layer):
    order = (0,)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.copy_weights()
        self.project(x)
        W, product, all_h, gates = self.w_hh, self.product, self.h, self.gates[:, :, 0]
        for t in range(self.size[0]):
            np.matmul(all_h[t], W, product)
            np.add(gates[t], product, product)
            np.tanh(product, all_h[t + 1])
        return self.h[1:]

    def backward(self, x: np.ndarray, gy: np.ndarray) -> Arrays:
        dh, dh_next, W, d = self.dh, self.next, self.w_back, self.d_gates[:, :, 0]
        dh_next.fill(0)
        for start, end in reversed(self.chunks):
            p, h = self.factors[: end - start, :, 0], self.h[start + 1 : end + 1]
            np.multiply(h, h, out=p)
            np.subtract(self.one, p, out=p)
            for t in range(end - 1, start - 1, -1):
                np.add(gy[t], dh_next, dh)
                np.multiply(dh, p[t - start], d[t])
                np.matmul(d[t], W, dh_next)
        return self.gradients(x)


LAYERS: dict[str, type[Layer]] = {"LSTM": LSTM, "GRU": GRU, "RNN": RNN}


def build(variant: str, case: Case, arrays: Arrays) -> Task:
    if case.kind == "training":
        return training(case, arrays)
    layer = LAYERS[case.cell](case.size, arrays)
    x, gy = arrays["x"], arrays["gy"]
    if case.kind == "inference":
        return Task(lambda: layer.forward(x), lambda: {"y": layer.forward(x)})

    def step() -> Arrays:
        layer.forward(x)
        return layer.backward(x, gy)

    return Task(step, step)


def training(case: Case, arrays: Arrays) -> Task:
    """Embedding, LSTM, Linear, cross-entropy, clipping and Adam."""
    T, B, E, H = case.size
    N, V = T * B, CHARACTERS
    names = ("embedding", *PARAMETERS, "weight", "bias")
    p = {name: np.array(arrays[name]) for name in names}
    layer = LSTM(case.size, p)
    characters, target = arrays["text"][:-1].reshape(-1), arrays["text"][1:].reshape(-1)
    rows = np.arange(N)
    x, scores, gy, ones = empty(N, E), empty(N, V), empty(N, H), np.ones(N, np.float32)
    memory = {name: (np.zeros_like(a), np.zeros_like(a), np.empty_like(a)) for name, a in p.items()}
    count = 0

    def forward_backward() -> tuple[float, Arrays]:
        np.take(p["embedding"], characters, axis=0, out=x, mode="clip")
        h = layer.forward(x).reshape(N, H)
        np.matmul(h, p["weight"].T, out=scores)
        np.add(scores, p["bias"], out=scores)
        np.subtract(scores, scores.max(1, keepdims=True), out=scores)
        picked = scores[rows, target]
        np.exp(scores, out=scores)
        total = scores.sum(1, keepdims=True)
        loss = float(np.mean(np.log(total[:, 0]) - picked))
        np.divide(scores, total, out=scores)
        scores[rows, target] -= 1
        np.multiply(scores, np.float32(1 / N), out=scores)
        np.matmul(scores, p["weight"], out=gy)
        gradients = layer.backward(x, gy.reshape(T, B, H))
        order = np.argsort(characters, kind="stable")  # add up the rows of each character as one sum
        present, starts = np.unique(characters[order], return_index=True)
        gradients["embedding"] = np.zeros_like(p["embedding"])
        gradients["embedding"][present] = np.add.reduceat(layer.input_gradient()[order], starts)
        gradients["weight"], gradients["bias"] = scores.T @ h, ones @ scores
        return loss, gradients

    def update(gradients: Arrays) -> None:
        nonlocal count
        count += 1
        norm = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients.values()))
        clip = np.float32(min(1.0, TRAINING["clip"] / (norm + 1e-6)))
        gradients["bias_hh"] = np.array(gradients["bias_hh"])  # the same array as bias_ih until here
        for g in gradients.values():
            g *= clip
        lr = np.float32(TRAINING["lr"] / (1 - 0.9**count))
        second = np.float32(1 / math.sqrt(1 - 0.999**count))
        for name, g in gradients.items():
            m, v, scratch = memory[name]
            np.subtract(g, m, out=scratch)
            scratch *= np.float32(0.1)
            m += scratch
            np.multiply(g, g, out=scratch)
            scratch -= v
            scratch *= np.float32(0.001)
            v += scratch
            np.sqrt(v, out=scratch)
            scratch *= second
            scratch += np.float32(1e-8)
            np.divide(m, scratch, out=scratch)
            scratch *= lr
            p[name] -= scratch

    def step() -> tuple[float, Any]:
        loss, gradients = forward_backward()
        update(gradients)
        return loss, gradients

    def results() -> Arrays:
        first, gradients = step()
        gradients = {name: np.array(g) for name, g in gradients.items()}
        return {**gradients, "losses": np.array([first, step()[0], step()[0]])}

    return Task(step, results)
