"""Writes torch_*.npz beside this file: what PyTorch computes, for test runs without PyTorch.

Run it again (python -m tests.golden.make_torch_golden) only when a case is added; the numbers depend on
nothing but PyTorch and the seeds. ``run_torch`` is also what the parity grid compares with directly.
"""

from pathlib import Path

import numpy as np

T, B, I, H = 7, 3, 3, 4  # noqa: E741
LENGTHS = [4, 7, 1]

CASES = {
    "rnn_tanh": ("RNN", {}),
    "rnn_relu": ("RNN", {"nonlinearity": "relu"}),
    "gru": ("GRU", {}),
    "lstm": ("LSTM", {}),
    "lstm_proj": ("LSTM", {"proj_size": 2}),
}


def options(num_layers, bidirectional, **more):
    return {"num_layers": num_layers, "bidirectional": bidirectional, **more}


def arrays(name, *, num_layers, bidirectional, batch_first=False, bias=True, dtype=np.float64, seed=0):
    """Parameters by name, input, initial states and the gradients to start from, all from one seed."""
    import nn

    kind, extra = CASES[name]
    rng = np.random.default_rng(seed)
    module = getattr(nn, kind)(I, H, num_layers, bias=bias, bidirectional=bidirectional, **extra)
    parameters = {k: rng.normal(0, 0.4, v.shape).astype(dtype) for k, v in module.state_dict().items()}
    cells, out = num_layers * (1 + bidirectional), extra.get("proj_size") or H
    x = rng.normal(size=(B, T, I) if batch_first else (T, B, I)).astype(dtype)
    sizes = (out, H) if kind == "LSTM" else (H,)
    state = tuple(rng.normal(size=(cells, B, n)).astype(dtype) for n in sizes)
    gy = rng.normal(size=(*x.shape[:2], out * (1 + bidirectional))).astype(dtype)
    return parameters, x, state, (gy, *(rng.normal(size=s.shape).astype(dtype) for s in state))


def run_torch(name, given, *, lengths=None, batch_first=False, bias=True, num_layers=1, bidirectional=False):
    """{"y", "state0", ..., "grad x", "grad state0", ..., "grad weight_ih_l0", ...} as arrays."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    parameters, x, state, gradients = given
    kind, extra = CASES[name]
    dtype = torch.from_numpy(x).dtype
    module = getattr(torch.nn, kind)(
        I,
        H,
        num_layers,
        bias=bias,
        batch_first=batch_first,
        bidirectional=bidirectional,
        dtype=dtype,
        **extra,
    )
    module.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in parameters.items()})
    x = torch.from_numpy(x.copy()).requires_grad_()
    state = [torch.from_numpy(s.copy()).requires_grad_() for s in state]
    hx = tuple(state) if len(state) > 1 else state[0]
    mkldnn = torch.backends.mkldnn
    before, mkldnn.enabled = mkldnn.enabled, False  # it takes seconds to warm up for each shape
    try:
        if lengths is None:
            y, last = module(x, hx)
        else:
            packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first, enforce_sorted=False)
            packed, last = module(packed, hx)
            y, _ = pad_packed_sequence(packed, batch_first, total_length=T)
        last = last if isinstance(last, tuple) else (last,)
        torch.autograd.backward([y, *last], [torch.from_numpy(g) for g in gradients])
    finally:
        mkldnn.enabled = before
    result = {"y": y, **{f"state{i}": s for i, s in enumerate(last)}, "grad x": x.grad}
    result |= {f"grad state{i}": s.grad for i, s in enumerate(state)}
    result |= {f"grad {k}": p.grad for k, p in module.named_parameters()}
    return {k: v.detach().numpy() for k, v in result.items()}


def recurrent(name):
    """A stored case: two layers, both directions, rows of different lengths."""
    kinds = {"num_layers": 2, "bidirectional": True}
    given = arrays(name, **kinds)
    parameters, x, state, gradients = given
    result = {f"parameter {k}": v for k, v in parameters.items()} | {"x": x}
    result |= {f"hx{i}": s for i, s in enumerate(state)} | {f"gy{i}": g for i, g in enumerate(gradients)}
    return result | {f"result {k}": v for k, v in run_torch(name, given, lengths=LENGTHS, **kinds).items()}


def main():
    here = Path(__file__).parent
    for name in CASES:
        np.savez_compressed(here / f"torch_{name}.npz", **recurrent(name))
    np.savez_compressed(here / "torch_layers.npz", **layers())
    np.savez_compressed(here / "torch_ops.npz", **operations())


def layers():
    """LayerNorm, BatchNorm1d (two training steps, then evaluation) and cross-entropy."""
    import torch

    rng = np.random.default_rng(0)
    x, weight, bias, gy = (rng.normal(size=s) for s in [(5, 2, 6), (6,), (6,), (5, 2, 6)])
    result = {"x": x, "weight": weight, "bias": bias, "gy": gy}
    for name, shape in {"layer_norm": (5, 2, 6), "batch_norm": (10, 6)}.items():
        t = torch.tensor(x.reshape(shape), requires_grad=True)
        if name == "layer_norm":
            module = torch.nn.LayerNorm(6, dtype=torch.float64)
        else:
            module = torch.nn.BatchNorm1d(6, dtype=torch.float64)
        module.load_state_dict(
            {"weight": torch.tensor(weight), "bias": torch.tensor(bias)}, strict=name == "layer_norm"
        )
        module(2 * t)
        y = module(t)
        y.backward(torch.tensor(gy.reshape(shape)))
        result |= {f"{name} y": y, f"{name} grad x": t.grad}
        result |= {f"{name} grad {k}": p.grad for k, p in module.named_parameters()}
        result |= {f"{name} buffer {k}": b for k, b in module.named_buffers()}
        result[f"{name} eval"] = module.eval()(t)
    t = torch.tensor(x[:, 0], requires_grad=True)
    target = np.array([0, 5, -100, 2, 2])
    loss = torch.nn.functional.cross_entropy(t, torch.tensor(target))
    loss.backward()
    result |= {"target": target, "cross_entropy y": loss, "cross_entropy grad x": t.grad}
    return {k: v.detach().numpy() if isinstance(v, torch.Tensor) else v for k, v in result.items()}


def operations():
    """Every row of `op_cases` that PyTorch has, in one vector: its inputs, results and first gradients."""
    import torch

    from tests.cases.op_cases import CASES as rows

    rows = [row for row in rows if row.torch is not None]
    parts = []
    for row in rows:
        inputs = row.inputs(seed=17)
        xs = [torch.tensor(x, requires_grad=True) for x in inputs]
        ys = row.torch(torch, *xs)
        ys = list(ys) if isinstance(ys, tuple | list) else [ys]
        gradients = torch.autograd.grad(ys, xs, [torch.tensor(seed_of(y.shape)) for y in ys])
        parts.append([*inputs, *[t.detach().numpy() for t in (*ys, *gradients)]])
    flat = [np.concatenate([a.ravel() for a in part]) for part in parts]
    ends = np.cumsum([len(f) for f in flat])
    return {"names": np.array([row.name for row in rows]), "ends": ends, "values": np.concatenate(flat)}


def seed_of(shape):
    """The gradient that a result gets, some numbers of either sign."""
    return np.cos(np.arange(1.0, 1.0 + np.prod(shape, dtype=int))).reshape(shape)


if __name__ == "__main__":
    main()
