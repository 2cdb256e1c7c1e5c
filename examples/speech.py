"""Text to sound: letters become formants that glide, and the network of examples/tones.py hears them.

    python -m examples.speech            # a minute and a half, and sounds to listen to in runs/speech/
    python -m examples.speech --quick    # two seconds, with little to hear

"oo" is the vowel of "food" and not twice that of "hot": neighbours decide how a letter sounds, and for how
long. A GRU reads the letters in both directions and says how many frames each of them lasts; what it has read
is repeated as often, and a second GRU draws two formants and a loudness, frame by frame (durations first, as
Ren et al. 2019). Two sine waves follow the formants. Its teacher is computed: vowels (Peterson & Barney
1952), silence for consonants, and a mouth that takes time to move. Can it be understood? That is asked of a
recogniser trained on other sounds. The baseline says each letter as it sounds on average.
"""

from typing import Any

import numpy as np
from tqdm import tqdm

import nn
import optim
from autograd import concatenate, no_grad, stepwise
from examples import tones
from examples.shared import sounds
from examples.shared.ctc import collapse, error_rate
from examples.shared.figures import save
from examples.shared.graphs import save_graph
from examples.shared.measure import Figures, report
from examples.shared.options import arguments


def whole(predicted: Any) -> np.ndarray:
    """Numbers of frames as they can be spoken."""
    return predicted.data.round().clip(1).astype(int)


class Speaker(nn.Module):
    def __init__(self, size: int):
        self.embedding = nn.Embedding(len(sounds.LETTERS), size)
        self.read, self.say = nn.GRU(size, size, bidirectional=True), nn.GRU(2 * size + 1, size)
        self.last, self.draw = nn.Linear(2 * size, 1), nn.Linear(size, 3)

    def forward(self, letters: np.ndarray, lengths: np.ndarray, frames: Any = None) -> tuple[Any, Any, Any]:
        """Letters (S, B) -> tracks (T, B, 3), frames per letter (S, B), lengths (B) of the tracks.

        In training the frames are given; else each letter lasts as long as the network says.
        """
        h, _ = self.read(self.embedding(letters), None, lengths)
        predicted = self.last(h)[..., 0]
        inside = np.arange(len(letters))[:, None] < lengths
        frames = whole(predicted) * inside if frames is None else frames
        rows = [np.repeat(np.arange(len(n)), n) for n in frames.T]
        share = [np.concatenate([np.arange(k) / k for k in n if k]).astype(np.float32) for n in frames.T]
        at, total = nn.pad_sequence(rows), frames.sum(0)
        x = concatenate([h[at, np.arange(len(total))], nn.pad_sequence(share)[..., None]], -1)
        return self.draw(self.say(x, None, total)[0]), predicted, total


def train(model: Speaker, said: list[Any], updates: int, rng: np.random.Generator) -> None:
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for k in tqdm(range(updates), "speaker", leave=False):
        texts, tracks, frames = zip(*[said[i] for i in rng.integers(len(said), size=16)], strict=True)
        letters, lengths = sounds.encode(texts)
        y, n = nn.pad_sequence(tracks), nn.pad_sequence(frames)
        drawn, predicted, total = model(letters, lengths, n)
        inside = np.arange(len(y))[:, None] < total
        optimizer.zero_grad()
        apart = ((drawn - y) ** 2 * inside[..., None]).sum() / inside.sum()
        late = ((predicted - n) ** 2 * (n > 0)).sum() / (n > 0).sum()
        (apart + 0.01 * late).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - k / updates)
        optimizer.step()


def by_letter(said: list[Any], texts: list[sounds.Text]) -> list[Any]:
    """The baseline: of each letter the mean of its frames, as many as it has on average."""
    parts: dict[str, list[np.ndarray]] = {letter: [] for letter in sounds.LETTERS}
    for text, tracks, frames in said:
        for letter, part in zip("".join(text), np.split(tracks, np.cumsum(frames)[:-1]), strict=True):
            parts[letter].append(part)
    n = {letter: round(np.mean([*map(len, some)])) for letter, some in parts.items()}
    mean = {letter: np.tile(np.concatenate(some).mean(0), (n[letter], 1)) for letter, some in parts.items()}
    letters = ["".join(text) for text in texts]
    return [(np.concatenate([mean[c] for c in text]), np.array([n[c] for c in text])) for text in letters]


def main(argv: list[str] | None = None) -> Figures:
    options = arguments(argv, "speech", __doc__, quick="few updates", out="folder for sounds and pictures")
    size, hidden, updates, count = (16, 16, 10, 40) if options.quick else (64, 48, 800, 200)
    nn.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    said = [(text, *sounds.recite(text, rng)) for text in sounds.compose(5 * count, False, rng)]
    test = sounds.compose(count, True, rng)
    listener, speaker = tones.Listener(hidden), Speaker(size)
    tones.train(listener, [sounds.speak(rng) for _ in range(5 * count)], updates, rng)
    train(speaker, said, updates, rng)

    with no_grad():
        tracks, predicted, total = speaker(*sounds.encode(test))
    frames = [row[:n] for row, n in zip(whole(predicted).T, sounds.encode(test)[1], strict=True)]
    voices: dict[str, list[Any]] = {
        "teacher": [sounds.recite(text, rng) for text in test],
        "network": [(tracks.data[:n, b], frames[b]) for b, n in enumerate(total)],
        "by letter": by_letter(said, test),
    }
    figures: Figures = {"vowels misheard": {}, "frames off, per letter": {}}
    for name, spoken in voices.items():
        waves = [sounds.synthesise(tracks) for tracks, _ in spoken]
        noisy = [np.pad(wave, sounds.FRAME) for wave in waves]
        seen = [sounds.spectra_of(wave + 0.3 * rng.standard_normal(len(wave))) for wave in noisy]
        labels = [collapse(row.argmax(-1)) for row in tones.listen(listener, seen)]
        figures["vowels misheard"][name] = error_rate(labels, [*map(sounds.vowels, test)])
        off = [np.abs(n - sounds.recite(text, rng)[1]) for text, (_, n) in zip(test, spoken, strict=True)]
        figures["frames off, per letter"][name] = float(np.concatenate(off).mean())
        sounds.write_wav(np.concatenate(waves[:5]), options.out / f"{name.replace(' ', '_')}.wav")
    first = {name: spoken[0] for name, spoken in voices.items()}
    save(sounds.draw_tracks("".join(test[0]), first), options.out / "speech.svg")
    with stepwise():
        y, _, _ = speaker(*sounds.encode(test[:1]))
    parts = ["mover", "parameter"]
    save_graph({"tracks": y}, speaker, options.out / "graph.svg", view="folded", hide=parts, direction="LR")
    return report(f"{count} texts with new syllables", figures)


if __name__ == "__main__":
    main()
