"""Vowels as sounds: said at random, recited from a text, made from formants, as spectra, written as WAV."""

import wave
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import nn
from examples.shared.ctc import BLANK

VOWELS, HERTZ = "ieæaou", [(270, 2290), (530, 1840), (660, 1720), (730, 1090), (570, 840), (300, 870)]
RATE, FRAME, HOP = 6000, 128, 64  # samples in a second, in a spectrum, and between two of them


def spectra_of(sound: np.ndarray) -> np.ndarray:
    """Logarithms of the spectra (T, 65) of windows of a sound, one every HOP samples."""
    windows = np.lib.stride_tricks.sliding_window_view(sound, FRAME)[::HOP]
    return np.log(np.abs(np.fft.rfft(windows * np.hanning(FRAME))) + 0.3).astype(np.float32)


def speak(rng: np.random.Generator) -> tuple[np.ndarray, list[int], np.ndarray]:
    """A sound as spectra (T, 65), which vowels it has, and which of them is heard in each spectrum (T)."""
    wave, heard, speaker = [np.zeros(FRAME)], [np.zeros(FRAME, int)], rng.uniform(0.85, 1.2)
    labels = rng.integers(1, len(VOWELS) + 1, rng.integers(3, 8)).tolist()
    for before, k in pairwise([BLANK, *labels]):
        pause = np.zeros(rng.integers(200, 500) * int(rng.random() < 0.5 or before == k))
        time = np.arange(rng.integers(250, 800))
        chord = [np.sin(2 * np.pi * (f * speaker * time / RATE + rng.random())) for f in HERTZ[k - 1]]
        wave += [pause, rng.uniform(0.5, 1) * np.sqrt(np.sin(np.pi * time / len(time))) * np.sum(chord, 0)]
        heard += [np.zeros(len(pause), int), np.full(len(time), k)]
    sound = np.concatenate([*wave, wave[0]])
    sound += rng.uniform(0.2, 0.8) * rng.standard_normal(len(sound))
    spectra = spectra_of(sound)
    return spectra, labels, np.concatenate([*heard, heard[0]])[FRAME // 2 :: HOP][: len(spectra)]


def synthesise(tracks: np.ndarray) -> np.ndarray:
    """The sound of tracks (T, 3), one row every HOP samples: two formants in kHz, and the loudness of both.

    Two sine waves that follow the formants are enough to be understood (Remez et al. 1981).
    """
    at = np.arange(len(tracks) * HOP) / HOP - 0.5
    first, second, loudness = (np.interp(at, np.arange(len(tracks)), track) for track in tracks.T)
    waves = [np.sin(2 * np.pi * np.cumsum(1000 * f) / RATE) for f in (first, second)]
    return np.maximum(loudness, 0) * np.sum(waves, 0)


def write_wav(sound: np.ndarray, path: Path) -> None:
    """One channel of 16-bit samples, as loud as they can be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((32767 * sound / np.abs(sound).max()).round().astype("<i2").tobytes())
    print(f"wrote {path}")


# --- a voice that reads texts aloud -----------------------------------------------------------------

Text = list[str]  # consonants and spellings of vowels in turn
SPELLED = {"ee": "i", "e": "e", "a": "æ", "ar": "a", "o": "o", "oo": "u"}
CONSONANTS = "bdgkmnpt "
LETTERS = sorted({*CONSONANTS, *"aeor"})


def compose(count: int, held_out: bool, rng: np.random.Generator) -> list[Text]:
    """Texts of three to seven syllables; those with every fifth syllable are held out from training."""
    texts: list[Text] = []
    while len(texts) < count:
        consonants, vowels = (rng.choice([*some], rng.integers(3, 8)) for some in (CONSONANTS, SPELLED))
        syllables = [f"{c}-{v}" for c, v in zip(consonants, vowels, strict=False)]
        if any(zlib.crc32(syllable.encode()) % 5 == 0 for syllable in syllables) == held_out:
            texts.append([*"-".join(syllables).split("-"), " "])
    return texts


def encode(texts: list[Text]) -> tuple[np.ndarray, np.ndarray]:
    """Letters (S, B) as numbers, and their lengths (B)."""
    rows = [np.array([LETTERS.index(letter) for letter in "".join(text)]) for text in texts]
    return nn.pad_sequence(rows), np.array([*map(len, rows)])


def vowels(text: Text) -> list[int]:
    """What a listener should hear, as labels of `speak`."""
    return [VOWELS.index(SPELLED[part]) + 1 for part in text if part in SPELLED]


def recite(text: Text, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Formant tracks (T, 3) as for `synthesise`, and how many frames each letter lasts."""
    targets, frames, ahead = [], [], (500, 1500)
    for part in reversed(text):  # the mouth is silent on its way to the next vowel
        voiced = part in SPELLED
        ahead = HERTZ[VOWELS.index(SPELLED[part])] if voiced else ahead
        lengths = rng.integers(5, 7, len(part)) + 2 * (voiced and len(part) == 1)
        targets += [(ahead[0] / 1000, ahead[1] / 1000, 0.75 * voiced)] * int(lengths.sum())
        frames += lengths.tolist()
    tracks = np.array(targets[::-1], np.float32)
    now = tracks[0].copy()
    for t, target in enumerate(tracks):
        now += (target - now) * [0.35, 0.35, 0.6]  # of the way that is left, in one frame
        tracks[t] = now * (1 + 0.01 * rng.standard_normal(3))
    return tracks, np.array(frames[::-1])


def draw_tracks(text: str, voices: dict[str, tuple[np.ndarray, np.ndarray]]) -> Any:
    """The formants of each voice as it says the text, where they are heard, under its letters."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1.9 * len(voices)), layout="constrained")
    grid = figure.subplots(len(voices), sharex=True, sharey=True)
    for axes, (name, (tracks, frames)) in zip(grid, voices.items(), strict=True):
        ends = np.cumsum(frames) * HOP / RATE
        heard = np.where(tracks[:, 2:] > 0.1, tracks[:, :2], np.nan)
        axes.plot((np.arange(len(tracks)) + 0.5) * HOP / RATE, heard, linewidth=3)
        axes.vlines(ends, 0, 2.6, color="0.8", linewidth=0.8)
        for letter, end, n in zip(text, ends, frames, strict=True):
            axes.text(end - n * HOP / RATE / 2, 2.65, letter, ha="center", va="bottom")
        axes.set(ylabel=f"{name}\nkHz", ylim=(0, 2.6), xlim=0)
    axes.set_xlabel("seconds")
    return figure
