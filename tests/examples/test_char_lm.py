"""The language model of the examples, walked as a user walks it: outputs, resuming, bad input, kill -9."""

import copy
import math
import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")

import nn
from examples import char_lm
from examples.shared import run as shared
from examples.shared import text as texts
from nn.data import StreamLoader
from tests.processes import mpiexec

TINY = ["--batch", "4", "--window", "8", "--hidden", "12", "--embedding", "5", "--length", "20"]


@pytest.fixture
def text(tmp_path):
    """A file with some structure to learn, in three alphabets."""
    rng = random.Random(0)
    words = ["time", "goes", "by", "über", "λόγος", "and", "back", "we", "go\n"]
    path = tmp_path / "text.txt"
    path.write_text(" ".join(rng.choice(words) for _ in range(400)), encoding="utf-8")
    return path


@pytest.fixture
def without_pictures(monkeypatch):
    monkeypatch.setattr(char_lm, "draw_graph", lambda *_: None)
    monkeypatch.setattr(char_lm, "draw_loss", lambda *_: None)


def contents(folder):
    """Every file below a folder, with its bytes and the time it was written."""
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in Path(folder).rglob("*") if p.is_file()}


def same(a, b):
    """Are two nests equal to the last bit?"""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    return a == b


# --- the whole way ------------------------------------------------------------------------------


def test_the_whole_way(text, tmp_path, capsys):
    out = tmp_path / "deep" / "out"
    options = ["--text", str(text), "--quick", "--out", str(out), "--steps", "24"]
    assert char_lm.main([*options, "--prompt", "we ", "--temperature", "0", "0.5", "--temperature", "2"]) == 0

    assert {p.name for p in out.iterdir()} == {
        "best.npz",
        "graph.svg",
        "last.npz",
        "loss.svg",
        "sample.txt",
    }
    for picture in ("graph.svg", "loss.svg"):
        assert "<svg" in (out / picture).read_text(encoding="utf-8")[:2000]
    samples = (out / "sample.txt").read_text(encoding="utf-8")
    assert samples.count("\nwe ") >= 3
    shown = capsys.readouterr()
    assert samples in shown.out
    for words in ("unigram", "bigram", "trigram", "LSTM", "temperature 0.5", "characters per second"):
        assert words in shown.out
    assert "loss" in shown.err and "bits/char" in shown.err and "char/s" in shown.err

    last = nn.load(out / "last.npz")
    assert last["step"] == 24 and len(last["training"]) == 24
    assert last["best"]["bits"] == min(bits for _, bits in last["validation"])
    assert last["validation"][-1][1] < last["validation"][0][1] < math.log2(30)
    assert same(nn.load(out / "best.npz"), last["best"]["model"])


def test_without_a_renderer_one_line_says_so(text, tmp_path, capsys, monkeypatch):
    def render(*_):
        raise RuntimeError("pip install it")

    monkeypatch.setattr(char_lm.graph, "render", render)
    out = tmp_path / "out"
    assert char_lm.main(["--text", str(text), *TINY, "--steps", "2", "--out", str(out)]) == 0
    assert "no graph.svg: pip install it\n" in capsys.readouterr().out
    assert not (out / "graph.svg").exists() and (out / "loss.svg").exists()


# --- resuming -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [1, 49, 100])
def test_interrupted_and_resumed_is_the_same_run(text, tmp_path, capsys, monkeypatch, without_pictures, stop):
    """Ctrl-C in the first, second and third pass through the text; dropout uses the random state."""
    options = ["--text", str(text), *TINY, "--layers", "2", "--dropout", "0.2", "--steps", "110"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert char_lm.main([*options, "--out", str(whole)]) == 0
    expected = capsys.readouterr().out.partition("\nvalidation ")[2].partition(" s in all")[0]

    with monkeypatch.context() as patch:
        train = char_lm.train

        def interrupted(run, training):
            for loss in train(run, training):
                if run.step == stop:
                    signal.raise_signal(signal.SIGINT)
                yield loss

        patch.setattr(char_lm, "train", interrupted)
        handler = signal.getsignal(signal.SIGINT)
        assert char_lm.main([*options, "--out", str(parts)]) == 130
        assert signal.getsignal(signal.SIGINT) is handler
    last = parts / "last.npz"
    assert nn.load(last)["step"] == stop
    assert f"--resume {last}\n" in capsys.readouterr().out

    assert char_lm.main(["--resume", str(last), "--length", "20"]) == 0
    assert same(nn.load(last), nn.load(whole / "last.npz"))
    shown = capsys.readouterr().out.partition("\nvalidation ")[2].partition(" s in all")[0]
    assert shown.rpartition("\n")[0] == expected.rpartition("\n")[0]


def test_a_finished_run_can_be_sampled_and_lengthened(text, tmp_path, capsys, without_pictures):
    out, other = tmp_path / "out", tmp_path / "other"
    char_lm.main(["--text", str(text), *TINY, "--steps", "10", "--out", str(out)])
    before = (out / "last.npz").read_bytes()
    resume = ["--resume", str(out / "last.npz"), "--length", "5", "--temperature", "1"]
    assert char_lm.main([*resume, "--prompt", "time"]) == 0
    assert (out / "last.npz").read_bytes() == before
    assert (out / "sample.txt").read_text(encoding="utf-8").splitlines()[1].startswith("time")
    assert char_lm.main([*resume, "--prompt", ""]) == 0  # out of nothing
    _, _, sampled = (out / "sample.txt").read_text(encoding="utf-8").partition("\n")
    assert len(sampled) == 5 + len("\n")
    assert char_lm.main([*resume, "--steps", "15", "--out", str(other)]) == 0
    assert (out / "last.npz").read_bytes() == before
    assert nn.load(other / "last.npz")["step"] == 15


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_killed_at_any_moment_the_last_checkpoint_loads(text, tmp_path):
    out, delay = tmp_path / "out", random.Random(1)
    last = out / "last.npz"
    command = [sys.executable, "-m", "examples.char_lm", "--out", str(out)]
    start = ["--text", str(text), *TINY, "--steps", "100000"]
    # a checkpoint after every step, so that the kill often comes while one is being written
    patched = "import examples.char_lm as e, examples.shared.run as r, sys; r.EVERY = 1;"
    patched += " sys.exit(e.main(sys.argv[1:]))"
    command[1:3] = ["-c", patched]
    root, step = Path(char_lm.__file__).parents[1], 0
    for arguments in (start, ["--resume", str(last)], ["--resume", str(last)]):
        written = last.stat().st_mtime_ns if last.exists() else 0
        process = subprocess.Popen(
            [*command, *arguments], cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            deadline = time.monotonic() + 600  # so that nothing waits for ever
            while not last.exists() or last.stat().st_mtime_ns == written:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.005)
            time.sleep(delay.uniform(0, 0.3))
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        saved = char_lm.Run.load(str(last))
        assert saved["step"] > step
        step = saved["step"]


# --- bad input ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a text and a finished run on it, for those who must not change it."""
    folder = tmp_path_factory.mktemp("finished")
    path = folder / "text.txt"
    path.write_text("the same again and again. " * 100, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(char_lm, "draw_graph", lambda *_: None)
        patch.setattr(char_lm, "draw_loss", lambda *_: None)
        assert char_lm.main(["--text", str(path), *TINY, "--steps", "3", "--out", str(folder / "run")]) == 0
    content = (folder / "run" / "last.npz").read_bytes()
    (folder / "half.npz").write_bytes(content[: len(content) // 2])
    flipped = bytearray(content)
    flipped[len(content) // 3] ^= 255
    (folder / "flipped.npz").write_bytes(flipped)
    (folder / "words.npz").write_text("no archive at all", encoding="utf-8")
    nn.save({"weight": np.zeros(3)}, folder / "array.npz")
    nn.save({"options": {"hidden": 12}, "digest": "", "optimizer": [], "best": 3}, folder / "options.npz")
    saved = nn.load(folder / "run" / "last.npz")
    saved["options"]["hidden"] = 13
    nn.save(saved, folder / "other_model.npz")
    (folder / "other.txt").write_text("something else entirely. " * 100, encoding="utf-8")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "latin.txt").write_bytes("größer ".encode("latin-1") * 500)
    (folder / "short.txt").write_text("much too short", encoding="utf-8")
    return folder


BAD = [
    ("--text missing.txt", "missing.txt cannot be read (No such file"),
    ("--text run", "run cannot be read"),
    ("--text empty.txt", "has 0 characters"),
    ("--text short.txt", "has 14 characters"),
    ("--text text.txt --batch 64 --window 64", "give a longer text, or a smaller --batch or --window"),
    ("--text latin.txt", "not UTF-8 (byte 2)"),
    ("--text text.txt --prompt then€", "--prompt has '€'"),
    ("--text text.txt --out text.txt", "--out text.txt cannot be written"),
    ("--text text.txt --out text.txt/below", "--out text.txt/below cannot be written"),
    ("--text text.txt --hidden 0", "--hidden must be an integer from 1 to 8192, got 0"),
    ("--text text.txt --hidden many", "--hidden: invalid int value: 'many'"),
    ("--text text.txt --dropout 1", "--dropout must be a number from 0 to 0.99, got 1.0"),
    ("--text text.txt --lr nan", "--lr must be a number from 0 to 100, got nan"),
    ("--text text.txt --temperature 1 -1", "--temperature must be a number from 0 to 1000, got -1.0"),
    ("--text text.txt --wide", "--wide"),
    ("--resume missing.npz", "missing.npz cannot be read"),
    ("--resume half.npz", "half.npz is damaged or no checkpoint"),
    ("--resume flipped.npz", "flipped.npz is damaged or no checkpoint"),
    ("--resume words.npz", "words.npz is damaged or no checkpoint"),
    ("--resume array.npz", "array.npz is damaged or no checkpoint"),
    ("--resume options.npz", "options.npz is damaged or no checkpoint"),
    ("--resume run/best.npz", "best.npz is damaged or no checkpoint"),
    ("--resume other_model.npz", "weights of another model"),
    ("--resume run/last.npz --hidden 24", "has --hidden 12, not 24: leave that option out"),
    ("--resume run/last.npz --layers 2", "has --layers 1, not 2"),
    ("--resume run/last.npz --steps 2", "goes to --steps 3: only more will do"),
    ("--resume run/last.npz --text other.txt", "learned another text than other.txt"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=[a for a, _ in BAD])
def test_bad_input_is_one_line_and_changes_nothing(finished, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(finished)
    before = contents(finished)
    if arguments.startswith("--text"):  # the folder in which earlier results would be overwritten
        arguments = "--out run " + " ".join(TINY) + " " + arguments
    assert char_lm.main(arguments.split()) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1 and shown.err.startswith("char_lm: ")
    assert words in shown.err
    assert contents(finished) == before


# --- several processes --------------------------------------------------------------------------

PROCESS = """
import signal, sys
from examples import char_lm

def train(run, text, train=char_lm.train, stop=int(sys.argv[1])):
    for loss in train(run, text):
        if run.step == stop and run.replicas.rank == 1:
            signal.raise_signal(signal.SIGINT)
        yield loss

char_lm.train, char_lm.draw_graph, char_lm.draw_loss = train, lambda *_: None, lambda *_: None
sys.exit(char_lm.main(sys.argv[2:]))
"""  # with the step in which Ctrl-C is pressed, and without pictures


def test_processes_train_the_same_model_and_go_on_as_one(text, tmp_path, without_pictures):
    """Up to the rounding of float32; two streams in each of two processes."""
    options = ["--text", str(text), *TINY, "--steps", "20"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert char_lm.main([*options, "--out", str(one)]) == 0
    said, shown, _ = mpiexec("-c", PROCESS, 0, "--replicas", *options, "--out", two)
    assert shown.count(" s in all") == 1 and "Traceback" not in said
    for step in (20, 25):
        a, b = nn.load(two / "last.npz"), nn.load(one / "last.npz")
        assert len(a["training"]) == step
        np.testing.assert_allclose(a["training"], b["training"], atol=2e-5)
        np.testing.assert_allclose(a["validation"], b["validation"], atol=2e-5)
        np.testing.assert_allclose(a["state"], b["state"], atol=1e-5)
        for folder in (one, two) if step == 20 else ():
            resume = ["--resume", str(folder / "last.npz"), "--steps", "25", "--length", "5"]
            assert char_lm.main(resume) == 0


def test_an_interrupt_in_one_process_stops_all_and_they_go_on_to_the_bit(text, tmp_path):
    """With dropout, whose masks are another in each process."""
    options = ["--text", text, *TINY, "--batch", "5", "--steps", "9", "--layers", "2", "--dropout", "0.3"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    mpiexec("-c", PROCESS, 0, "--replicas", *options, "--out", whole)
    _, shown, _ = mpiexec("-c", PROCESS, 6, "--replicas", *options, "--out", parts, check=False)
    last = parts / "last.npz"
    assert "stopped; to go on" in shown and nn.load(last)["step"] == 6
    mpiexec("-c", PROCESS, 0, "--replicas", "--resume", last, "--length", "5")
    a, b = nn.load(whole / "last.npz"), nn.load(parts / "last.npz")
    assert a["state"][0].shape == (2, 5, 12) and b["step"] == 9
    for part in ("model", "optimizer", "state", "training"):
        assert same(a[part], b[part]), part


def test_without_mpi_one_line_says_what_to_install(text, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert char_lm.main(["--text", str(text), *TINY, "--replicas"]) == 2
    assert "--replicas needs MPI, pip install -e '.[mpi]'" in capsys.readouterr().err


# --- hostile checkpoints ------------------------------------------------------------------------


def put(*path):
    """A change of the checkpoint: ``put("options", "hidden", value)``."""
    *places, last, value = path

    def change(saved):
        for place in places:
            saved = saved[place]
        saved[last] = value

    return change


def without(*path):
    *places, last = path

    def change(saved):
        for place in places:
            saved = saved[place]
        del saved[last]

    return change


NUMBERS = ("hidden", "layers", "embedding", "batch", "window", "steps", "seed")
FRACTIONS = ("dropout", "lr", "clip")
WRONG = ["abc", "", None, True, -1, 10**12, 10**30, math.nan, math.inf, [1], (), {}, {"a": 1}, np.zeros(2)]
TEXTS = ["/dev/zero", "/dev/null", "", "a\0b", "\ud800", "a\nb", "x" * 10**6, ".", "/proc/self/mem",
         3, 1.5, True, ["text.txt"], {}, np.zeros(3)]  # fmt: skip

HOSTILE = {f"{name}={value!r:.20}": put("options", name, value)
           for name in (*NUMBERS, *FRACTIONS) for value in WRONG}  # fmt: skip
HOSTILE |= {f"{name}={value!r}": put("options", name, value) for name in NUMBERS for value in (1.0, 2.5)}
HOSTILE |= {f"no {name}": without("options", name) for name in (*char_lm.FIXED, "steps", "text")}
HOSTILE |= {f"text={value!r:.20}": put("options", "text", value) for value in TEXTS}
HOSTILE |= {f"quick={value!r}": put("options", "quick", value) for value in ("yes", 1, 0, None, [])}
HOSTILE |= {f"{name}={value!r:.20}": put(name, value)
            for name in ("options", "digest", "model", "optimizer", "state", "random", "step", "training",
                         "validation", "best")
            for value in (None, "abc", -1, 10**12, math.nan, [], {}, (1, 2), np.zeros(3))}  # fmt: skip
HOSTILE |= {f"no {name} at all": without(name) for name in shared.CHECKPOINT}
HOSTILE |= {
    "more than there is": put("more", 1),
    "an option more": put("options", "length", 10**12),
    "an option of another kind": put("options", "out", "/"),
    "hidden is another": put("options", "hidden", 8000),
    "layers that are not there": put("options", "layers", 16),
    "embedding is another": put("options", "embedding", 8000),
    "a batch that the text is too short for": put("options", "batch", 10**6),
    "a window that the text is too short for": put("options", "window", 10**6),
    "a batch that the state is not of": put("options", "batch", 5),
    "steps before the last": put("options", "steps", 2),
    "step 2 of 3": put("step", 2),
    "step as text": put("step", "3"),
    "step 3.0": put("step", 3.0),
    "training too long": put("training", [1.0] * 4),
    "training of texts": put("training", ["a", "b", "c"]),
    "training below 0": put("training", [-1.0, 1.0, 1.0]),
    "training beyond measure": put("training", [1e308, 1.0, 1.0]),
    "validation of numbers": put("validation", [1.0]),
    "validation of triples": put("validation", [(1, 2.0, 3)]),
    "validation in words": put("validation", [("a", "b")]),
    "weights of another size": put("model", "linear.weight", np.zeros((3, 3), "f")),
    "weights of texts": put("model", "linear.bias", "abc"),
    "weights of nothing": put("model", "lstm.weight_hh_l0", np.zeros((0, 12), "f")),
    "weights in lists": put("model", "lstm.weight_ih_l0", [[1.0], [1.0, 2.0]]),
    "one weight less": without("model", "lstm.bias_ih_l0"),
    "one weight more": put("model", "other", np.zeros(2)),
    "the best has no bits": without("best", "bits"),
    "the best is text": put("best", "bits", "low"),
    "the best at no step": put("best", "step", 1.5),
    "the best has no model": put("best", "model", {}),
    "the best of another size": put("best", "model", "linear.weight", np.zeros((1, 1), "f")),
    "a state of one part": put("state", (np.zeros((1, 4, 12), "f"),)),
    "a state in float64": put("state", (np.zeros((1, 4, 12)),) * 2),
    "a state of objects": put("state", ("h", "c")),
    "a state of another batch": put("state", (np.zeros((1, 5, 12), "f"),) * 2),
    "no groups": put("optimizer", "param_groups", []),
    "groups of numbers": put("optimizer", "param_groups", [5]),
    "a wrong rate": lambda saved: saved["optimizer"]["param_groups"][0].update(lr="fast"),
    "an infinite rate": lambda saved: saved["optimizer"]["param_groups"][0].update(lr=math.inf),
    "moments of another size": lambda saved: saved["optimizer"]["state"][0].update(exp_avg=np.zeros(9)),
    "moments of a parameter that is not there": lambda saved: saved["optimizer"]["state"].update({99: {}}),
    "another generator": put("random", "bit_generator", "MT19937"),
    "a generator without a state": put("random", "state", {}),
    "a generator of texts": put("random", "state", "state", "x"),
    "a generator of huge numbers": put("random", "state", "inc", 2**200),
}  # fmt: skip


@pytest.fixture
def refused(finished, tmp_path, capsys, monkeypatch):
    """A function that resumes from a file: it has to be refused in one line, before anything is done."""

    def nowhere(*_):
        raise AssertionError("it trains, samples or makes a folder")

    for name in ("fit", "sample", "make_folder"):
        monkeypatch.setattr(char_lm, name, nowhere)
    monkeypatch.chdir(finished)

    def resume(path):
        assert char_lm.main(["--resume", str(path)]) == 2
        shown = capsys.readouterr()
        assert shown.out == "" and shown.err.startswith("char_lm: ") and shown.err.endswith("\n")
        assert 20 < len(shown.err) < 700 and shown.err[:-1].isprintable()

    return resume


@pytest.fixture(scope="module")
def checkpoint(finished):
    return nn.load(finished / "run" / "last.npz")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_checkpoint_is_one_line(refused, checkpoint, monkeypatch, name):
    saved = copy.deepcopy(checkpoint)
    HOSTILE[name](saved)
    monkeypatch.setattr(nn, "load", lambda _: saved)
    refused("last.npz")


@pytest.mark.parametrize("name", [
    "hidden='abc'", "layers=1000000000000", "text='/dev/zero'", "lr=nan", "dropout=None", "hidden is another",
    "batch=array([0., 0.])", "layers that are not there", "weights of nothing", "a state of objects",
    "no digest at all", "training=1000000000000", "an option more", "a generator of huge numbers",
])  # fmt: skip
def test_a_hostile_file_takes_no_memory_and_writes_nothing(refused, checkpoint, tmp_path, name):
    saved = copy.deepcopy(checkpoint)
    HOSTILE[name](saved)
    nn.save(saved, tmp_path / "last.npz")
    tracemalloc.start()
    try:
        refused(tmp_path / "last.npz")
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    assert [p.name for p in tmp_path.iterdir()] == ["last.npz"]


def test_what_is_hostile_in_a_file_is_so_on_the_command_line(finished, capsys, monkeypatch, refused):
    """One table for both."""
    assert len(HOSTILE) > 300
    for name, option in char_lm.OPTIONS.items():
        for value in ("abc", "-1", "1e30", "nan", "inf", "9" * 5000):
            assert char_lm.main(["--text", "text.txt", *TINY, f"--{name}", value]) == 2
            shown = capsys.readouterr().err
            assert shown.startswith((f"char_lm: --{name} must be ", f"char_lm: argument --{name}: invalid "))
            assert option.kind is int or value == "abc" or "must be a number from" in shown
    for text in [t for t in TEXTS if isinstance(t, str)]:
        assert char_lm.main(["--text", text]) == 2
        assert "cannot be read (" in capsys.readouterr().err
    refused("/dev/zero")


# --- the parts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3])
def test_ngrams_against_counting_by_hand(n, rng):
    text = "".join(rng.choice(list("abcd"), p=[0.6, 0.2, 0.1, 0.1]) for _ in range(300))
    cut, alphabet = 200, 5
    both = Counter(text[i : i + n] for i in range(cut - n + 1))
    before: Counter[str] = Counter()
    for gram, times in both.items():
        before[gram[:-1]] += times
    grams = [text[i - n + 1 : i + 1] for i in range(cut + 1, len(text))]
    bits = [-math.log2((both[g] + 1) / (before[g[:-1]] + alphabet)) for g in grams]
    numbers = np.array(["abcde".index(c) for c in text])
    ours = texts.ngram_bits(n, numbers[:cut], numbers[cut:], alphabet)
    assert ours == pytest.approx(sum(bits) / len(bits), rel=1e-12)


def uniform_model(characters):
    model = char_lm.CharLM(characters, 3, 4)
    model.linear.weight.data[...] = 0
    model.linear.bias.data[...] = 0
    return model


def test_a_uniform_model_needs_log2_of_the_alphabet(rng):
    assert char_lm.bits_per_character(uniform_model(37), rng.integers(0, 37, 5000)) == pytest.approx(
        math.log2(37), rel=1e-6
    )


def test_windows_carry_the_state_through_a_stream(rng):
    """Windows with the state carried cost as much as each stream read in one go."""
    model, numbers = char_lm.CharLM(9, 3, 8), rng.integers(0, 9, 32 * 150 + 1)
    streams = numbers[:-1].reshape(32, 150).T, numbers[1:].reshape(32, 150).T
    scores, _ = model(streams[0])
    expected = char_lm.loss_of(scores, streams[1]).item() / math.log(2)
    assert char_lm.bits_per_character(model, numbers) == pytest.approx(expected, rel=1e-5)


def test_windows_are_the_text_cut_into_streams():
    windows = list(StreamLoader(np.arange(24), 2, 4))
    assert [len(x) for x, _ in windows] == [4, 4, 3]
    assert np.concatenate([x for x, _ in windows]).T.tolist() == [[*range(11)], [*range(11, 22)]]
    assert all((y == x + 1).all() for x, y in windows)


def test_the_loop_carries_a_detached_state_and_begins_every_pass_anew(text):
    options = SimpleNamespace(**{name: option.default for name, option in char_lm.OPTIONS.items()})
    options.__dict__.update(char_lm.QUICK, text=str(text), quick=True, window=32, steps=20, replicas=False)
    run = char_lm.Run(options, texts.read_corpus(options))
    model, seen = run.model, []

    def spy(x, state):
        seen.append((x, state))
        return model(x, state)

    run.model = type("Spy", (), {"__call__": staticmethod(spy), "parameters": model.parameters})()
    losses = list(char_lm.train(run, run.corpus.training))
    assert len(losses) == len(seen) == run.step == 20
    in_a_pass = (len(run.corpus.training) - 1) // 8 // 32
    assert 1 < in_a_pass < 20
    for step, (x, state) in enumerate(seen):
        assert x.shape == (32, 8)
        assert (state is None) == (step % in_a_pass == 0)
        assert state is None or all(part.creator is None and part.data.any() for part in state)
    stream = np.concatenate([x[:, 0] for x, _ in seen[:in_a_pass]])
    assert (stream == run.corpus.training[: len(stream)]).all()
    assert run.optimizer.param_groups[0]["lr"] == pytest.approx(options.lr / 20)


def test_a_tenth_of_a_run_on_a_small_text_beats_the_trigram():
    size = ["--hidden", "96", "--embedding", "24", "--window", "32", "--lr", "0.01"]
    options, _ = char_lm.Run.read_options(["--quick", "--steps", "1200", *size])
    run = char_lm.Run(options, texts.read_corpus(options))
    corpus = run.corpus
    assert len(corpus.training) == 18_000
    for _ in char_lm.train(run, corpus.training):
        if run.step == options.steps // 10:
            break
    trigram = texts.ngram_bits(3, corpus.training, corpus.validation, len(corpus.vocabulary))
    assert char_lm.bits_per_character(run.model, corpus.validation) < 0.95 * trigram


@pytest.mark.full
def test_samples_follow_the_temperature():
    model = uniform_model(3)
    p = np.array([0.6, 0.3, 0.1])
    model.linear.bias.data[...] = np.log(p)
    rows = char_lm.sample(model, np.array([2, 2]), 3000, [1.0, 0.5, 0.0], seed=0)
    assert rows.shape == (3, 3002) and (rows[:, :2] == 2).all()
    share = np.stack([np.bincount(row[2:], minlength=3) / 3000 for row in rows])
    assert np.allclose(share, [p, p**2 / (p**2).sum(), [1, 0, 0]], atol=0.03)


def test_the_default_text_is_hundreds_of_kilobytes_and_always_the_same(monkeypatch):
    options = SimpleNamespace(text=None, quick=False, batch=64, window=64)
    corpus = texts.read_corpus(options)
    size = len(corpus.training) + len(corpus.validation)
    assert 300_000 < size < 2_000_000
    assert abs(len(corpus.validation) / size - 0.1) < 1e-3
    assert corpus.digest == texts.read_corpus(options).digest
    assert corpus.decode(corpus.encode("def main():\n")) == "def main():\n"
    monkeypatch.setattr(texts, "MODULES", "no_such_module sys xml.no_such json.decoder")
    assert "class JSONDecoder" in texts.standard_library()


def test_the_list_of_examples():
    command = [sys.executable, "-m", "examples"]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=Path(char_lm.__file__).parents[1])
    assert "python -m examples.char_lm " in shown.stdout and shown.returncode == 0
