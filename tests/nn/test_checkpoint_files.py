"""Whole checkpoints: exact resumption, and what damaged files and killed writers can do: nothing.

A file that was damaged, truncated, spliced or forged gives a ValueError, KeyError or OSError, and what it
was to be loaded into stays as it was. A writer killed at any moment leaves the old file or the new one.
"""

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import nn
import optim
from autograd import Variable
from nn.data import DataLoader
from nn.functional import mse_loss

ROOT = Path(__file__).resolve().parents[2]
CLEAR = (ValueError, KeyError, OSError)
FORMATS = [".npz", ".safetensors"]


class Kit:
    """Everything that a training run consists of, small."""

    def __init__(self, seed, hidden=3, batch=4):
        nn.manual_seed(seed)
        rng = np.random.default_rng(0)
        self.model = nn.Sequential(nn.Linear(2, hidden), nn.Dropout(0.3), nn.Linear(hidden, 1))
        self.optimizer = optim.Adam(self.model.parameters(), lr=0.1)
        self.scheduler = optim.lr_scheduler.StepLR(self.optimizer, 2)
        data = rng.normal(size=(10, 2)).astype(np.float32), rng.normal(size=(10, 1)).astype(np.float32)
        self.loader = DataLoader(data, batch, shuffle=True, rng=seed)

    def targets(self):
        return {name: getattr(self, name) for name in ("model", "optimizer", "scheduler", "loader")}

    def train(self, steps):
        """Yields after each step, in the midst of an epoch."""
        while steps > 0:
            for x, y in self.loader:
                loss = mse_loss(self.model(Variable(x, requires_grad=False)), y)
                self.optimizer.zero_grad()
                loss.backward()
                optim.clip_grad_norm_(self.model.parameters(), 1.0)
                self.optimizer.step()
                self.scheduler.step()
                steps -= 1
                yield loss.item()
                if steps == 0:
                    return

    def state(self):
        return {name: target.state_dict() for name, target in self.targets().items()}

    def restore(self, path):
        checkpoint = nn.load(path)
        for name, target in self.targets().items():
            target.load_state_dict(checkpoint[name])


def frozen(state):
    """A state as something that can be compared, bit by bit."""
    if isinstance(state, dict):
        return {k: frozen(v) for k, v in state.items()}
    if isinstance(state, list | tuple):
        return [frozen(v) for v in state]
    return (state.dtype.str, state.shape, state.tobytes()) if isinstance(state, np.ndarray) else state


def needed(suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("at", [1, 3, 7])
def test_a_resumed_run_is_the_same_run(at, suffix, tmp_path):
    needed(suffix)
    kit, path = Kit(1), tmp_path / f"c{suffix}"
    losses = []
    for k, loss in enumerate(kit.train(12), 1):
        losses.append(loss)
        if k == at:
            nn.save({**kit.state(), "rng": nn.get_rng_state(), "step": k}, path)
    other = Kit(2)
    other.restore(path)
    checkpoint = nn.load(path)
    nn.set_rng_state(checkpoint["rng"])
    assert checkpoint["step"] == at
    assert list(other.train(12 - at)) == losses[at:]
    assert frozen(other.state()) == frozen(kit.state())


def mutate(data, other, rng):
    """One to three random changes of the kinds that disks, networks and people make."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        i = rng.randrange(len(data) or 1)
        n = rng.choice([1, 1, 2, 4, 8, 64])
        kind = rng.randrange(9)
        if kind == 0:
            data[i : i + 1] = bytes([data[i] ^ 1 << rng.randrange(8)]) if data else b""
        elif kind == 1:
            data[i : i + n] = rng.randbytes(n)
        elif kind == 2:
            del data[i:]
        elif kind == 3:
            del data[i : i + n]
        elif kind == 4:
            data[i:i] = rng.randbytes(n)
        elif kind == 5:
            data[i : i + n] = rng.choice([b"\0", b"\xff", b"\x7f", b"9"]) * n
        elif kind == 6:
            j = rng.randrange(len(data) or 1)
            data[i : i + n] = data[j : j + n]
        elif kind == 7:
            data[i:] = other[i:]
        else:
            data[:i] = other[:i]
    return bytes(data)


def reseal(data, suffix, rng, other):
    """Change the contents of a file and make the outside fit again: a forgery."""
    if suffix == ".safetensors":
        n = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + n])
        header["__metadata__"].pop("crc32")
        if rng.random() < 0.5:
            header["__metadata__"]["__tree__"] = forged_json(header["__metadata__"]["__tree__"], rng)
            text = json.dumps(header).encode()
        else:
            text = mutate(json.dumps(header).encode(), other, rng)
        return len(text).to_bytes(8, "little") + text + data[8 + n :]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice([*entries, "__tree__.npy", "__tree__.npy", "__tree__.npy"])
    if name == "__tree__.npy" and rng.random() < 0.8:
        text = np.lib.format.read_array(io.BytesIO(entries[name])).tobytes().decode()
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.frombuffer(forged_json(text, rng).encode(), np.uint8))
        entries[name] = buffer.getvalue()
    else:
        entries[name] = mutate(entries[name], other, rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for key, value in entries.items():
            archive.writestr(key, value)
    return buffer.getvalue()


VALUES = [None, True, -1, 0, 1.5, 10**30, "x", {"list": []}, {"dict": []}, {"float": "nan"}, {"float": "inf"},
          {"array": "model/0.weight"}, {"array": "none"}, {"list": [1, {"tuple": []}]}]  # fmt: skip


def forged_json(text, rng):
    """The same JSON with one node replaced, removed or doubled."""
    tree, nodes = json.loads(text), []

    def walk(node):
        for place in node if isinstance(node, dict) else range(len(node)):
            nodes.append((node, place))
            if isinstance(node[place], dict | list):
                walk(node[place])

    walk(tree)
    node, place = rng.choice(nodes)
    kind = rng.randrange(3)
    if kind == 0 or isinstance(node, dict):
        node[place] = rng.choice(VALUES)
    elif kind == 1:
        del node[place]
    else:
        node.append(node[place])
    return json.dumps(tree)


@pytest.mark.parametrize("forged", [False, True])
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_thousand_damaged_files(suffix, forged, tmp_path):
    """Damage at random is always noticed. A forgery may fit; if it does not, nothing has changed."""
    needed(suffix)
    path, kit, rng = tmp_path / f"c{suffix}", Kit(1), random.Random(0)
    for _ in kit.train(5):
        state = kit.state()
    saved = frozen(state)
    nn.save(state, path)
    good = path.read_bytes()
    nn.save(Kit(3, hidden=4).state(), path)
    other = path.read_bytes()
    target = Kit(2)
    before, refused, tried, number = frozen(target.state()), 0, 0, 400 if forged else 1000
    while tried < number:
        bad = reseal(good, suffix, rng, other) if forged else mutate(good, other, rng)
        if bad in (good, other):
            continue
        tried += 1
        path.write_bytes(bad)
        try:
            target.restore(path)
        except CLEAR as error:
            refused += 1
            assert str(error), repr(error)
            after = frozen(target.state())
            if not forged:
                assert after == before
            if after != before:  # those loaded before the error: whole, in the order of `targets`
                changed = [after[name] != before[name] for name in after]
                assert changed == sorted(changed, reverse=True) and not changed[-1], changed
                target = Kit(2)
        else:
            if not forged:
                assert frozen(target.state()) == saved  # the damage was outside of the contents
            target = Kit(2)
    assert refused > number * (0.5 if forged else 0.9)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_checkpoint_of_another_model_is_refused_by_every_part(suffix, tmp_path):
    needed(suffix)
    big, kit = Kit(1, hidden=5, batch=1), Kit(2)
    for _ in big.train(8):
        big_state = big.state()
    nn.save(big_state, tmp_path / f"c{suffix}")
    checkpoint, before = nn.load(tmp_path / f"c{suffix}"), frozen(kit.state())
    for name in ("model", "optimizer", "loader"):
        with pytest.raises(CLEAR):
            kit.targets()[name].load_state_dict(checkpoint[name])
    for name, target in kit.targets().items():
        for wrong in big_state:
            if wrong != name:
                with pytest.raises(CLEAR):
                    target.load_state_dict(checkpoint[wrong])
    assert frozen(kit.state()) == before


WRITER = """
import os, sys, time
import numpy as np
import nn

path = sys.argv[1]
for _ in range(2):
    start = time.perf_counter()
    nn.save({"k": 0, "arrays": {"a": np.zeros(50_000), "b": np.zeros(15)}}, path)
print(time.perf_counter() - start, flush=True)
for line in sys.stdin:  # one writer per line; it writes until it is killed
    pid = os.fork()
    if not pid:
        k = int(line)
        while True:
            k += 1
            nn.save({"k": k, "arrays": {"a": np.full(50_000, k), "b": np.full(15, k)}}, path)
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("dead", flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs fork and kill -9")
@pytest.mark.parametrize("suffix", FORMATS)
def test_writers_killed_at_fifty_random_moments(suffix, tmp_path):
    needed(suffix)
    path, rng, k, torn = tmp_path / f"c{suffix}", random.Random(1), 0, 0
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, cwd=ROOT) as server:
        duration = float(server.stdout.readline())
        for _ in range(50):
            server.stdin.write(f"{k}\n")
            server.stdin.flush()
            pid = int(server.stdout.readline())
            time.sleep(rng.uniform(0, 4 * duration))
            os.kill(pid, signal.SIGKILL)
            assert server.stdout.readline() == "dead\n"
            for temporary in set(tmp_path.iterdir()) - {path}:
                torn += 1
                temporary.unlink()
            tree = nn.load(path)
            assert tree["k"] >= k
            duration *= 1.1 if tree["k"] == k else 1.0  # the machine may have become slower
            k = tree["k"]
            assert all((a == k).all() for a in tree["arrays"].values())
        server.stdin.close()
    assert k >= 10 and torn >= 5, (k, torn)  # they did write, and died in the middle of it
