"""One to many: a tune from a single note, by an LSTM that has heard folk songs, as a file to listen to.

    python -m examples.music            # half a minute, and tune.mid and pictures in runs/music/
    python -m examples.music --quick    # a second, with little to hear

A melody is a sequence of notes, each a pitch and a length, and the language model of examples/word_lm.py does
not mind (Ng, *Sequence Models*, week 1). It is given one note; what it draws is then its next input.
The songs follow rules: eight bars in C major of the form A A' B A', which move by small steps, rest on d or
g in the middle and come home to c. Neither bars nor repeats are marked; a bigram model knows nothing of them.
"""

from pathlib import Path

import mido
import numpy as np
from tqdm import tqdm

import nn
import optim
from examples.shared.graphs import one_to_many, save_graph
from examples.shared.measure import Figures, report
from examples.shared.options import arguments
from examples.word_lm import WordLM, counted, log_p
from nn.data import BucketLoader
from nn.functional import cross_entropy
from nn.generate import generate

# Notes are written as in ABC notation: c is middle c, and c2 lasts two quavers. MIDI numbers the pitches.
PITCHES = {"G": 55, "A": 57, "B": 59, "c": 60, "d": 62, "e": 64, "f": 65, "g": 67, "a": 69, "b": 71, "c'": 72}
SCALE, LENGTHS = list(PITCHES), (1, 2, 3, 4)
NOTES = ["", *(f"{pitch}{length}" for pitch in PITCHES for length in LENGTHS)]  # 0 is before and after
RHYTHMS = [[2, 2, 2, 2], [4, 2, 2], [2, 2, 4], [3, 1, 2, 2], [2, 1, 1, 2, 2]]  # bars of eight quavers


def phrase(goal: str, rng: np.random.Generator) -> list[str]:
    """A bar that moves by steps and leaps of two, and one that rests on the goal."""
    notes, at = [], int(rng.integers(2, 9))
    for length in [*RHYTHMS[rng.integers(len(RHYTHMS))], 2]:
        notes.append(f"{SCALE[at]}{length}")
        at = int(np.clip(at + rng.choice([-2, -1, -1, 1, 1, 2]), 0, 10))
    return [*notes, f"{SCALE[(at + SCALE.index(goal)) // 2]}2", f"{goal}4"]


def song(rng: np.random.Generator) -> list[str]:
    """A A' B A', where A' is A with another end."""
    a, b = phrase(str(rng.choice(["d", "g"])), rng), phrase("g", rng)
    home = [*a[:-2], str(rng.choice(["B2", "d2"])), "c4"]
    return [*a, *home, *b, *home]


def quavers(tune: list[str]) -> np.ndarray:
    """When each note begins, and at last when the tune is over."""
    return np.cumsum([0, *(int(note[-1]) for note in tune)])


def bar(tune: list[str], k: int) -> list[str]:
    return [note for note, at in zip(tune, quavers(tune), strict=False) if at // 8 == k]


def write_midi(tune: list[str], path: Path) -> None:
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(120))])
    for note in tune:  # times are ticks since the message before, 480 to a crotchet
        pitch, ticks = PITCHES[note[:-1]], 240 * int(note[-1])
        track += [mido.Message("note_on", note=pitch), mido.Message("note_off", note=pitch, time=ticks)]
    mido.MidiFile(tracks=[track], ticks_per_beat=480).save(path)


def draw(tune: list[str], path: Path) -> None:
    from matplotlib.figure import Figure

    figure, at = Figure(figsize=(9, 2.8), layout="constrained"), quavers(tune)
    axes = figure.subplots()
    axes.barh([SCALE.index(note[:-1]) for note in tune], np.diff(at) - 0.15, left=at[:-1])
    axes.set(
        yticks=range(11), yticklabels=SCALE, xticks=range(0, at[-1] + 1, 8), ylim=(-1, 11), xlabel="quavers"
    )
    axes.grid(axis="x")
    figure.savefig(path, metadata={"Date": None})


def main(argv: list[str] | None = None) -> Figures:
    options = arguments(argv, "music", __doc__, quick="few songs, few updates", out="folder for the tune")
    count, epochs, size = (200, 1, 16) if options.quick else (3000, 24, 96)
    nn.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    rows = [np.array([0, *map(NOTES.index, song(rng)), 0]) for _ in range(count + 200)]
    model = WordLM(len(NOTES), size)
    nn.init.forget_bias_(model.lstm, 1.0)  # some bars are to be remembered
    optimizer, batches = (
        optim.Adam(model.parameters()),
        BucketLoader(rows[:count], 32, shuffle=True, rng=options.seed),
    )
    steps = [batch for _ in range(epochs) for batch in batches]
    for k, (x, n) in enumerate(tqdm(steps, leave=False)):
        inside = np.arange(1, len(x))[:, None] < n  # the padding is no part of any song
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - k / len(steps))
        optimizer.zero_grad()
        scores, targets = model(x[:-1])[0].reshape(-1, len(NOTES)), x[1:].reshape(-1)
        cross_entropy(scores, targets, mask=inside.reshape(-1)).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    figures: Figures = {"nats per note": {}, "eight bars, home on c": {}, "bar 1 again in bar 3": {}}
    seeds = np.stack([np.zeros(200, int), np.full(200, NOTES.index("e2"))])  # one note, and nothing else
    bigram, unigram = (counted(rows[:count], len(NOTES), 0.1, context) for context in (True, False))
    for name, m in {"unigram": unigram, "bigram": bigram, "LSTM": model}.items():
        nats = -log_p(m, rows[count:]).sum() / sum(len(row) - 1 for row in rows[count:])
        made = generate(m, seeds, 60, eos=0, rng=np.random.default_rng([options.seed, 1])).tokens.T
        tunes = [["e2", *(NOTES[k] for k in column if k)] for column in made]
        good = [tune[-1] == "c4" and quavers(tune)[-1] == 64 for tune in tunes]
        again = [bar(tune, 0) == bar(tune, 2) for tune in tunes]
        for column, x in zip(figures.values(), (nats, np.mean(good), np.mean(again)), strict=True):
            column[name] = x
    tune = tunes[int(np.argmax(good))]
    print("from e2:", *(" ".join(bar(tune, k)) + " |" for k in range(8)))
    folder = options.out
    folder.mkdir(parents=True, exist_ok=True)
    write_midi(tune, folder / "tune.mid")
    draw(tune, folder / "music.svg")
    tokens = [("start", seeds[0, :1]), ("e2", seeds[1, :1])]
    outputs = one_to_many(tokens, model.embedding, model.lstm, model.linear, NOTES.__getitem__)
    save_graph(outputs, model, folder / "graph.svg")
    return report("held-out songs, and own ones", figures)


if __name__ == "__main__":
    main()
