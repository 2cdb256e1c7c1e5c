"""jax: `lax.scan` over time, compiled ahead as one function of parameters and inputs."""

import os
import platform
from typing import Any

import numpy as np

from benchmarks.cases import TRAINING, Arrays, Case, Task


def start(threads: int) -> dict[str, str]:
    # XLA takes its number of threads from the cores it may run on, which the worker has set
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax

    return {"jax": jax.__version__, "NumPy": np.__version__, "Python": platform.python_version()}


def build(variant: str, case: Case, arrays: Arrays) -> Task:
    import jax
    from jax import numpy as jnp
    from jax.nn import sigmoid

    H = case.size[3]

    def lstm(p: Any, state: Any, z: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(z + h @ p["weight_hh"].T, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        h = sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def gru(p: Any, state: Any, z: Any) -> Any:
        (h,) = state
        x_rz, x_n = z[:, : 2 * H], z[:, 2 * H :]
        a = h @ p["weight_hh"].T + p["bias_hh"]
        r, z = jnp.split(sigmoid(x_rz + a[:, : 2 * H]), 2, axis=1)
        n = jnp.tanh(x_n + r * a[:, 2 * H :])
        h = n + z * (h - n)
        return (h,), h

    def rnn(p: Any, state: Any, z: Any) -> Any:
        h = jnp.tanh(z + state[0] @ p["weight_hh"].T)
        return (h,), h

    cell = {"LSTM": lstm, "GRU": gru, "RNN": rnn}[case.cell]

    def layer(p: Any, x: Any) -> Any:
        bias = p["bias_ih"] if case.cell == "GRU" else p["bias_ih"] + p["bias_hh"]
        zero = jnp.zeros((x.shape[1], H), x.dtype)
        state = (zero, zero) if case.cell == "LSTM" else (zero,)
        return jax.lax.scan(lambda s, z: cell(p, s, z), state, x @ p["weight_ih"].T + bias)[1]

    def compiled(fn: Any, *args: Any, **options: Any) -> Any:
        return jax.jit(fn, **options).lower(*args).compile()

    if case.kind == "training":
        return training(jax, jnp, compiled, layer, arrays)
    data = {k: jnp.asarray(v) for k, v in arrays.items()}
    x, gy = data.pop("x"), data.pop("gy")
    if case.kind == "inference":
        infer = compiled(layer, data, x)
        return Task(lambda: infer(data, x).block_until_ready(), lambda: {"y": np.asarray(infer(data, x))})

    def gradients(p: Any, x: Any, gy: Any) -> Any:
        return jax.vjp(lambda p: layer(p, x), p)[1](gy)[0]

    step = compiled(gradients, data, x, gy)
    return Task(
        lambda: jax.block_until_ready(step(data, x, gy)),
        lambda: {k: np.asarray(g) for k, g in step(data, x, gy).items()},
    )


def training(jax: Any, jnp: Any, compiled: Any, layer: Any, arrays: Arrays) -> Task:
    """The whole step is one compiled function; parameters and Adam's memory are updated in place."""
    p = {k: jnp.asarray(v) for k, v in arrays.items() if k != "text"}
    x, target = jnp.asarray(arrays["text"][:-1]), jnp.asarray(arrays["text"][1:])

    def loss_of(p: Any) -> Any:
        scores = layer(p, p["embedding"][x]) @ p["weight"].T + p["bias"]
        picked = jnp.take_along_axis(scores, target[..., None], -1)[..., 0]
        return jnp.mean(jax.nn.logsumexp(scores, -1) - picked)

    def update(p: Any, m: Any, v: Any, count: Any) -> Any:
        loss, g = jax.value_and_grad(loss_of)(p)
        norm = jnp.sqrt(sum(jnp.vdot(a, a) for a in g.values()))
        g = {k: a * jnp.minimum(1, TRAINING["clip"] / (norm + 1e-6)) for k, a in g.items()}
        m = {k: 0.9 * m[k] + 0.1 * g[k] for k in g}
        v = {k: 0.999 * v[k] + 0.001 * g[k] ** 2 for k in g}
        root = jnp.sqrt(1 - 0.999**count)
        lr = TRAINING["lr"] / (1 - 0.9**count)
        p = {k: p[k] - lr * m[k] / (jnp.sqrt(v[k]) / root + 1e-8) for k in g}
        return loss, g, p, m, v, count + 1

    zeros = {k: jnp.zeros_like(a) for k, a in p.items()}
    state = [p, zeros, {k: jnp.zeros_like(a) for k, a in p.items()}, jnp.float32(1)]
    compiled_update = compiled(update, *state, donate_argnums=(0, 1, 2))

    def step() -> tuple[float, Any]:
        loss, g, *new = compiled_update(*state)
        state[:] = new
        return float(loss), g

    def results() -> Arrays:
        first, g = step()
        gradients = {k: np.asarray(a) for k, a in g.items()}
        return {**gradients, "losses": np.array([first, step()[0], step()[0]])}

    return Task(step, results)
