"""Text as numbers, and the n-gram models that a language model has to beat."""

import hashlib
import importlib.util
import os
import platform
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from examples.shared.options import BadInput

STREAMS = 32  # in which the validation text is read; each starts from a state of zeros
LARGEST = 2**30  # bytes of a text
MODULES = """argparse bdb calendar cmd collections configparser contextlib copy csv difflib fileinput
    functools gzip json.decoder json.encoder optparse pprint queue random selectors shutil socketserver
    string tempfile textwrap threading timeit trace"""


class Corpus(NamedTuple):
    """A text as numbers; its last tenth is for validation."""

    title: str
    digest: str
    vocabulary: str  # number k is vocabulary[k]; taken from the whole text, so that nothing is unknown
    training: np.ndarray
    validation: np.ndarray

    def encode(self, text: str) -> np.ndarray:
        if unknown := sorted(set(text) - set(self.vocabulary)):
            raise BadInput(f"--prompt has {unknown[0]!r}, which the text never uses: leave it out")
        return np.array([self.vocabulary.index(c) for c in text], np.int64)

    def decode(self, numbers: np.ndarray) -> str:
        return "".join(self.vocabulary[k] for k in numbers)


def standard_library() -> str:
    """The source text of MODULES, of those that this Python has."""
    texts = []
    for name in MODULES.split():
        try:
            spec = importlib.util.find_spec(name)
            texts.append(Path(str(spec and spec.origin)).read_text(encoding="utf-8"))
        except (ImportError, OSError):
            continue
    return "".join(texts)


def read_corpus(options: SimpleNamespace) -> Corpus:
    """The text that the options name, checked."""
    if options.text is None:
        title, text = f"the standard library of Python {platform.python_version()}", standard_library()
    else:
        title, text = options.text, read_text(options.text)
    if options.quick:
        text = text[:20_000]
    cut = len(text) * 9 // 10
    least = max(options.batch * options.window + 1, 9 * STREAMS + 9)
    if cut < least:
        raise BadInput(
            f"{title} has {len(text):,} characters, {options.batch} streams of {options.window} need"
            f" {least * 10 // 9 + 1:,}: give a longer text, or a smaller --batch or --window"
        )
    digest = hashlib.sha256(text.encode()).hexdigest()
    codes, numbers = np.unique(np.frombuffer(text.encode("utf-32-le"), np.uint32), return_inverse=True)
    end = len(text) - (len(text) - cut - 1) % STREAMS  # so that all models are asked the same characters
    return Corpus(title, digest, "".join(map(chr, codes)), numbers[:cut], numbers[cut:end])


def read_text(path: str) -> str:
    """The UTF-8 text of a file that has an end."""
    try:
        about = os.stat(path)
        if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST:
            raise OSError(0, "no regular file of at most 1 GiB")
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"--text {path} is not UTF-8 (byte {error.start}): convert it first") from None
    except (OSError, ValueError) as error:  # a ValueError: no file can have such a name
        why = getattr(error, "strerror", None) or error
        raise BadInput(f"--text {path} cannot be read ({why}): check the path") from None


def ngram_bits(n: int, training: np.ndarray, validation: np.ndarray, characters: int) -> float:
    """Bits per character of ``validation`` (all but its first) under an n-gram model of ``training``.

    p(c | the n-1 characters before) = (how often both occur + 1) / (how often these n-1 do + V).
    """

    def grams(text: np.ndarray) -> np.ndarray:  # each run of n characters as one number
        return np.lib.stride_tricks.sliding_window_view(text, n) @ characters ** np.arange(n)[::-1]

    def count(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        found = np.sort(found)
        return np.searchsorted(found, wanted, "right") - np.searchsorted(found, wanted, "left")

    found = grams(training)
    wanted = grams(np.concatenate([training, validation])[len(training) + 2 - n :])
    both, context = count(found, wanted), count(found // characters, wanted // characters)
    return float(-np.log2((both + 1) / (context + characters)).mean())


def baselines(corpus: Corpus) -> dict[str, float]:
    """Bits per character of the validation text under n-gram models of the training text."""
    orders = {"unigram": 1, "bigram": 2, "trigram": 3}
    texts, characters = (corpus.training, corpus.validation), len(corpus.vocabulary)
    return {name: ngram_bits(n, *texts, characters) for name, n in orders.items()}


def write_samples(rows: np.ndarray, temperatures: list[float], corpus: Corpus, path: Path) -> None:
    """Print texts (N, T), each under its temperature, and write them into a file."""
    heads = [f"--- temperature {t:g} ".ljust(78, "-") for t in temperatures]
    text = "".join(f"{head}\n{corpus.decode(row)}\n" for head, row in zip(heads, rows, strict=True))
    path.write_text(text, encoding="utf-8")
    print(f"\n{text}")
