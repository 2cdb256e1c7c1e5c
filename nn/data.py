"""From data to batches: loaders that can stop and resume exactly, the vocabulary of a text, and a video task.

A loader is iterated once per epoch. ``state_dict()`` taken while a batch is in use says how to go on with
the next one; after ``load_state_dict`` the next iteration does. Files of data are not read here.
"""

import copy
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from autograd.extend import Array

from .functional import pad_sequence
from .io import replacing
from .random import default_rng

Rng = np.random.Generator | int | None
Part = TypeVar("Part")  # an entry of a plan, from which a loader makes a batch
Batch = TypeVar("Batch")


# --- loaders ------------------------------------------------------------------------------------


class _Loader(Generic[Part, Batch]):
    """Base of the loaders: draws a plan at the start of an epoch, and keeps the position in it."""

    def __init__(self, rng: Rng = None):
        if rng is None:
            rng = int(default_rng().integers(2**63))
        self.rng = np.random.default_rng(rng)  # a Generator stays the one it is
        self._process = 0, 1  # which of how many processes this is
        self._start: Any = None  # the state of the generator when the present epoch began
        self._position, self._resume_at = 0, 0

    def plan(self) -> Sequence[Part]:
        """One entry per batch of the coming epoch; may draw from ``rng``."""
        raise NotImplementedError(f"{type(self).__name__} must define plan()")

    def batch(self, part: Part) -> Batch:
        """The batch for one entry of the plan."""
        raise NotImplementedError(f"{type(self).__name__} must define batch(part)")

    def __iter__(self) -> Iterator[Batch]:
        self._start = self.rng.bit_generator.state
        plan = self.plan()
        self._position, self._resume_at = self._resume_at, 0
        for part in plan[self._position :]:
            self._position += 1
            yield self._own_batch(part)
        self._start, self._position = None, 0

    def _own_batch(self, part: Part) -> Batch:
        """The batch, or of several processes the share of this one."""
        return self.batch(part)

    def share(self, rank: int, size: int) -> Self:
        """A loader for process ``rank`` of ``size``: the same order, and its part of every batch.

        The parts of all processes together are the batch, none twice, and differ by at most one row. Where a
        batch has too few rows, the last processes get None. State dicts are those of the whole loader, if
        ``rng`` was in the same state in all processes: `optim.Replicas.share` sees to that.

        Raises:
            ValueError: there is no such rank, or fewer streams than processes.

        >>> loader = nn.data.DataLoader(np.arange(5), batch_size=3)
        >>> [[batch.tolist() for batch in loader.share(rank, 2)] for rank in (0, 1)]
        [[[0, 1], [3]], [[2], [4]]]
        """
        if not 0 <= rank < size:
            raise ValueError(f"{type(self).__name__}.share expected a rank from 0 to {size - 1}, got {rank}")
        own = copy.copy(self)
        own.rng, own._process = copy.deepcopy(self.rng), (rank, size)
        return own

    def state_dict(self) -> dict[str, Any]:
        """The beginning of this epoch, and the number of batches done in it: ready for `nn.save`."""
        start = self.rng.bit_generator.state if self._start is None else self._start
        return {"position": self._resume_at or self._position, "rng": start}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on where `state_dict` was taken, with the same data and settings.

        Raises:
            ValueError: it is no such state; nothing has changed.
        """
        who = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state, Mapping) or state.keys() != {"position", "rng"}:
            raise ValueError(f"{who} expected a dict with 'position' and 'rng', got {state!r:.200}")
        position, rng = state["position"], state["rng"]
        if type(position) is not int or not 0 <= position <= len(self):
            raise ValueError(f"{who} expected a position from 0 to {len(self)}, got {position!r:.200}")
        try:
            type(self.rng.bit_generator)().state = rng
        except Exception as error:
            raise ValueError(f"{who} expected the state of a random generator: {error!r}") from error
        self.rng.bit_generator.state = self._start = rng
        self._position, self._resume_at = 0, position

    def __len__(self) -> int:
        """Batches per epoch."""
        raise NotImplementedError


class DataLoader(_Loader[Array, Any]):
    """Batches of a data set, in order or shuffled anew each epoch.

    Args:
        dataset: an array (N, ...), a tuple of arrays with the same N, or any sequence of samples.
        batch_size: samples per batch; the last batch of an epoch may be smaller.
        shuffle: in random order?
        drop_last: leave out a last batch that is smaller?
        collate_fn: makes a batch out of a list of samples; by default `stacked`. Samples of arrays are their
            rows, and tuples of rows; without a collate_fn arrays are indexed, which gives the same batches.
        rng: a Generator for this loader alone, or a seed; by default seeded from `nn.default_rng`.

    A batch of a tuple of arrays is a tuple. Batches are new arrays, (B, ...).

    Raises:
        ValueError: batch_size is below 1, or the arrays differ in length.

    >>> x, y = np.arange(5), np.arange(5) ** 2
    >>> for batch in nn.data.DataLoader((x, y), batch_size=2):
    ...     print(*batch)
    [0 1] [0 1]
    [2 3] [4 9]
    [4] [16]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        rng: Rng = None,
    ):
        super().__init__(rng)
        _at_least_one(self, "batch_size", batch_size)
        self.samples = _samples("DataLoader", dataset)
        self.dataset, self.batch_size, self.shuffle, self.drop_last = dataset, batch_size, shuffle, drop_last
        self.collate_fn = collate_fn

    def __len__(self) -> int:
        return self.samples // self.batch_size if self.drop_last else -(-self.samples // self.batch_size)

    def plan(self) -> Sequence[Array]:
        order = self.rng.permutation(self.samples) if self.shuffle else np.arange(self.samples)
        return [order[k * self.batch_size : (k + 1) * self.batch_size] for k in range(len(self))]

    def _own_batch(self, part: Array) -> Any:
        rank, size = self._process
        own = np.array_split(part, size)[rank] if size > 1 else part
        return self.batch(own) if len(own) or size == 1 else None

    def batch(self, part: Array) -> Any:
        arrays = self.dataset if isinstance(self.dataset, tuple) else None
        if self.collate_fn is None:
            if isinstance(self.dataset, np.ndarray):
                return self.dataset[part]
            if arrays is not None:
                return tuple([np.asarray(a)[part] for a in arrays])
        numbers, collate = part.tolist(), self.collate_fn or stacked
        if arrays is not None:
            return collate([tuple([a[i] for a in arrays]) for i in numbers])
        return collate([self.dataset[i] for i in numbers])


class BucketLoader(DataLoader):
    """Batches of sequences of similar length, padded to the longest of the batch.

    Args:
        dataset: a sequence of arrays (T_i, ...), or of tuples that begin with one. The other parts of a
            tuple are padded if they have that length T_i in every sample (a label per step), and stacked.
        batch_size, drop_last, rng: as in `DataLoader`.
        shuffle: sort by length within random pools of ``pool`` batches, and give the batches in random
            order; otherwise sort everything, shortest first.
        padding_value: one number, or one per part of the tuple.

    A batch is ``(x, lengths)``, or ``(x, *parts, lengths)`` for tuples: x (T, B, ...) time-major, lengths
    (B) integers, as recurrent layers and losses take them.

    >>> loader = nn.data.BucketLoader([[1, 2, 3], [4], [5, 6]], batch_size=2)
    >>> x, lengths = next(iter(loader))
    >>> x, lengths  # the two shortest, a column each
    (array([[4, 5], [0, 6]]), array([1, 2]))
    """

    def __init__(
        self,
        dataset: Sequence[Any],
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        padding_value: float | Sequence[float] = 0.0,
        pool: int = 50,
        rng: Rng = None,
    ):
        super().__init__(list(dataset), batch_size, shuffle, drop_last, rng=rng)
        _at_least_one(self, "pool", pool)
        self.pool = pool
        rows = [sample if isinstance(sample, tuple) else (sample,) for sample in self.dataset]
        self.rows = [tuple(map(np.asarray, row)) for row in rows]
        if any(row[0].ndim == 0 for row in self.rows) or len({len(row) for row in self.rows}) > 1:
            raise ValueError(
                "BucketLoader expected arrays (T, ...), or tuples of one size that begin with one"
            )
        self.lengths = np.array([len(row[0]) for row in self.rows], np.intp)
        parts = len(self.rows[0]) if self.rows else 1
        self.per_step = [
            all(row[k].ndim > 0 and len(row[k]) == len(row[0]) for row in self.rows) for k in range(parts)
        ]
        self.padding = list(padding_value) if isinstance(padding_value, Sequence) else [padding_value] * parts
        if len(self.padding) != parts:
            raise ValueError(f"BucketLoader expected {parts} padding values, got {len(self.padding)}")

    def plan(self) -> Sequence[Array]:
        if not self.shuffle:
            order = np.argsort(self.lengths, kind="stable")
            return [order[k * self.batch_size : (k + 1) * self.batch_size] for k in range(len(self))]
        order, size = self.rng.permutation(self.samples), self.pool * self.batch_size
        pools = [order[i : i + size] for i in range(0, self.samples, size)]
        order = np.concatenate([p[np.argsort(self.lengths[p], kind="stable")] for p in pools] or [order])
        batches = [order[k * self.batch_size : (k + 1) * self.batch_size] for k in range(len(self))]
        return [batches[k] for k in self.rng.permutation(len(batches))]

    def batch(self, part: Array) -> Any:
        rows = [self.rows[i] for i in part.tolist()]
        parts = []
        for k, value in enumerate(self.padding):
            column = [row[k] for row in rows]
            parts.append(pad_sequence(column, padding_value=value) if self.per_step[k] else np.stack(column))
        return (*parts, self.lengths[part])


class StreamLoader(_Loader[int, tuple[Array, Array]]):
    """One long sequence as parallel streams, in windows: for truncated backpropagation through time.

    Stream b is the b-th part of the sequence, so that column b of a window continues column b of the
    window before: carry the state from window to window, detached, and begin anew with an epoch.

    Args:
        sequence: an array (N, ...).
        batch_size: B, the number of streams.
        window: k, the steps per window; the last window of an epoch may be shorter.
        drop_last: leave out a last window that is shorter?

    A window is a pair x, y of arrays (k, B, ...), where y is one step ahead of x. Up to B elements at the
    end of the sequence are not used.

    Raises:
        ValueError: a size is below 1, or the sequence is too short to give every stream one pair.

    >>> for x, y in nn.data.StreamLoader(np.arange(9), batch_size=2, window=3):
    ...     print(x.T.tolist(), y.T.tolist())
    [[0, 1, 2], [4, 5, 6]] [[1, 2, 3], [5, 6, 7]]
    [[3], [7]] [[4], [8]]
    """

    def __init__(self, sequence: ArrayLike, batch_size: int, window: int, drop_last: bool = False):
        super().__init__(0)
        _at_least_one(self, "batch_size", batch_size)
        _at_least_one(self, "window", window)
        s = np.asarray(sequence)
        if s.ndim == 0 or len(s) < batch_size + 1:
            raise ValueError(
                f"StreamLoader expected at least {batch_size + 1} elements for {batch_size} streams,"
                f" got an array of shape {s.shape}"
            )
        self.batch_size, self.window, self.drop_last = batch_size, window, drop_last
        self.steps = (len(s) - 1) // batch_size
        used, streams = self.steps * batch_size, (batch_size, self.steps, *s.shape[1:])
        self.x = s[:used].reshape(streams).swapaxes(0, 1)
        self.y = s[1 : used + 1].reshape(streams).swapaxes(0, 1)

    def __len__(self) -> int:
        return self.steps // self.window if self.drop_last else -(-self.steps // self.window)

    def share(self, rank: int, size: int) -> Self:
        """This loader for process ``rank`` of ``size``, with its part of the streams."""
        own = super().share(rank, size)
        if self.batch_size < size:
            raise ValueError(f"StreamLoader.share expected at least {size} streams, got {self.batch_size}")
        own.x, own.y = (np.array_split(streams, size, axis=1)[rank] for streams in (self.x, self.y))
        own.batch_size = own.x.shape[1]
        return own

    def plan(self) -> Sequence[int]:
        return range(0, len(self) * self.window, self.window)

    def batch(self, part: int) -> tuple[Array, Array]:
        return self.x[part : part + self.window], self.y[part : part + self.window]


class Subset(Sequence[Any]):
    """Some samples of a data set, by their numbers."""

    def __init__(self, dataset: Any, numbers: Sequence[int]):
        self.dataset, self.numbers = dataset, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Subset(self.dataset, self.numbers[index])
        return self.dataset[self.numbers[index]]


def random_split(dataset: Any, lengths: Sequence[float], rng: Rng = None) -> list[Any]:
    """Parts of a data set, for training and validation, with every sample in one of them at random.

    Args:
        dataset: as of `DataLoader`: an array (N, ...), a tuple of arrays, or any sequence of samples.
        lengths: how many samples each part has, N together; or fractions with the sum 1. What rounding down
            leaves over goes to the first parts, one each.
        rng: a Generator or a seed; the library's default generator if None.

    Returns:
        A list of arrays, of tuples of arrays, or of `Subset`.

    Raises:
        ValueError: lengths that do not add up.

    >>> train, test = nn.data.random_split((np.arange(10), np.arange(10) ** 2), [0.7, 0.3], rng=0)
    >>> len(train[0]), len(test[0]), bool((test[1] == test[0] ** 2).all())
    (7, 3, True)
    """
    N = _samples("random_split", dataset)
    sizes = [float(n) for n in lengths]
    if min(sizes, default=0.0) >= 0 and abs(sum(sizes) - 1) < 1e-9:
        whole = [int(N * n + 1e-9) for n in sizes]
        sizes = [n + (k < N - sum(whole)) for k, n in enumerate(whole)]
    if min(sizes, default=-1.0) < 0 or sum(sizes) != N or any(n != int(n) for n in sizes):
        raise ValueError(
            f"random_split expected lengths that add up to {N}, or fractions of 1, got {list(lengths)}"
        )
    order = (default_rng() if rng is None else np.random.default_rng(rng)).permutation(N)
    ends = np.cumsum(np.array(sizes, int)).tolist()
    parts = [order[end - int(n) : end] for end, n in zip(ends, sizes, strict=True)]
    if isinstance(dataset, tuple):
        return [tuple([np.asarray(a)[part] for a in dataset]) for part in parts]
    return [dataset[p] if isinstance(dataset, np.ndarray) else Subset(dataset, p.tolist()) for p in parts]


def _samples(who: str, dataset: Any) -> int:
    """How many samples a data set has.

    Raises:
        ValueError: arrays that differ in length.
    """
    arrays = dataset if isinstance(dataset, tuple) else (dataset,)
    if len({len(a) for a in arrays}) != 1:
        raise ValueError(f"{who} expected arrays of one length, got {[len(a) for a in arrays]}")
    return len(arrays[0])


def stacked(samples: list[Any]) -> Any:
    """A list of arrays or numbers as one array, along a new first axis; of tuples as a tuple of arrays; of
    dicts as a dict of arrays.

    Raises:
        TypeError: samples of no such kind, or of different kinds. ValueError: arrays that differ in shape,
            tuples in length, dicts in keys.

    >>> nn.data.stacked([(np.zeros(2), 1), (np.ones(2), 0)])
    (array([[0., 0.], [1., 1.]]), array([1, 0]))
    >>> nn.data.stacked([{"x": 1.0, "y": 0}, {"x": 2.0, "y": 1}])
    {'x': array([1., 2.]), 'y': array([0, 1])}
    """
    first = samples[0]
    for kind in (tuple, Mapping):
        if len({isinstance(sample, kind) for sample in samples}) > 1:
            raise TypeError(f"stacked expected samples of one kind, got {_kinds(samples)}")
    if isinstance(first, tuple):
        return tuple([stacked(list(column)) for column in zip(*samples, strict=True)])
    if isinstance(first, Mapping):
        for sample in samples:
            if sample.keys() != first.keys():
                raise ValueError(f"stacked expected dicts of one form, got {list(first)} and {list(sample)}")
        return {key: stacked([sample[key] for sample in samples]) for key in first}
    batch = np.stack([np.asarray(s) for s in samples])
    if batch.dtype.kind == "O":
        raise TypeError(
            f"stacked expected arrays, numbers, tuples or dicts of them, got {_kinds(samples)}: pass a"
            " collate_fn that makes a batch of a list of samples"
        )
    return batch


def _kinds(samples: list[Any]) -> str:
    """The names of the classes of samples."""
    return ", ".join(sorted({type(sample).__name__ for sample in samples}))


def _at_least_one(loader: object, name: str, value: int) -> None:
    """Raise unless this setting of a loader is at least 1."""
    if value < 1:
        raise ValueError(f"{type(loader).__name__} expected {name} of at least 1, got {value}")


# --- vocabulary ---------------------------------------------------------------------------------


def words(text: str) -> list[str]:
    """Words, with their apostrophes, and punctuation marks one by one; spaces are dropped.

    >>> nn.data.words("It doesn't end here.")
    ['It', "doesn't", 'end', 'here', '.']
    """
    return re.findall(r"\w+(?:['’]\w+)*|[^\w\s]", text)  # noqa: RUF001


def characters(text: str) -> list[str]:
    """Every character.

    >>> nn.data.characters("to be")
    ['t', 'o', ' ', 'b', 'e']
    """
    return list(text)


TOKENIZERS: dict[str, tuple[Callable[[str], list[str]], str]] = {  # with the text that joins tokens again
    "word": (words, " "),
    "character": (characters, ""),
}


class Vocabulary:
    """Tokens and their numbers. The first four are ``<pad> <unk> <bos> <eos>``, numbers 0 to 3.

    ``Vocabulary.build(texts)`` counts; ``Vocabulary(tokens)`` takes the tokens as they are, after the four.

    Attributes:
        tokens: all tokens, by number.
        tokenizer: "word" or "character", how `encode` cuts a text.

    Raises:
        ValueError: a token twice, or an unknown tokenizer. TypeError: a token is no string.

    >>> vocabulary = nn.data.Vocabulary.build("to be or not to be")
    >>> numbers = vocabulary.encode("to be, or so", eos=True)
    >>> numbers, vocabulary.decode(numbers)
    (array([5, 4, 1, 7, 1, 3]), 'to be <unk> or <unk>')
    """

    SPECIALS = ("<pad>", "<unk>", "<bos>", "<eos>")
    PAD, UNK, BOS, EOS = range(4)

    def __init__(self, tokens: Iterable[str], tokenizer: str = "word"):
        if tokenizer not in TOKENIZERS:
            raise ValueError(f"Vocabulary expected tokenizer {' or '.join(TOKENIZERS)}, got {tokenizer!r}")
        self.tokenizer, self.tokens = tokenizer, [*self.SPECIALS, *tokens]
        if odd := [t for t in self.tokens if not isinstance(t, str)]:
            raise TypeError(f"Vocabulary expected strings, got {odd[0]!r}")
        self.numbers = {token: number for number, token in enumerate(self.tokens)}
        if len(self.numbers) < len(self.tokens):
            twice = next(t for t, n in Counter(self.tokens).items() if n > 1)
            raise ValueError(f"Vocabulary got {twice!r} twice")

    @classmethod
    def build(
        cls,
        texts: str | Iterable[str],
        tokenizer: str = "word",
        max_size: int | None = None,
        min_count: int = 1,
    ) -> Self:
        """The tokens of some texts, the most frequent first, equally frequent ones in alphabetical order.

        Args:
            max_size: an upper bound on the size, the four special tokens included.
            min_count: rarer tokens are left out.
        """
        empty = cls([], tokenizer)
        texts = [texts] if isinstance(texts, str) else texts
        counts = Counter(token for text in texts for token in empty.tokenize(text))
        if max_size is not None and max_size < len(empty):
            raise ValueError(f"Vocabulary.build expected max_size of at least {len(empty)}, got {max_size}")
        frequent = sorted((-n, token) for token, n in counts.items() if n >= min_count)
        tokens = [token for _, token in frequent if token not in cls.SPECIALS]
        return cls(tokens if max_size is None else tokens[: max_size - len(empty)], tokenizer)

    def tokenize(self, text: str) -> list[str]:
        """A text cut into tokens."""
        return TOKENIZERS[self.tokenizer][0](text)

    def encode(self, text: str | Sequence[str], bos: bool = False, eos: bool = False) -> Array:
        """The numbers (T) of a text, or of tokens, an unknown one as ``UNK``; with marks at the ends."""
        tokens = self.tokenize(text) if isinstance(text, str) else text
        numbers = [self.numbers.get(token, self.UNK) for token in tokens]
        return np.array([self.BOS] * bos + numbers + [self.EOS] * eos, np.int64)

    def decode(self, numbers: ArrayLike, specials: bool = False) -> str:
        """The text of numbers (T), up to the first ``EOS``; padding and marks are shown under specials.

        Raises:
            IndexError: a number has no token.
        """
        found = np.asarray(numbers).reshape(-1).tolist()
        if found and not 0 <= min(found) <= max(found) < len(self):
            raise IndexError(
                f"decode expected numbers from 0 to {len(self) - 1}, got {min(found)} to {max(found)}"
            )
        if not specials:
            found = found[: found.index(self.EOS)] if self.EOS in found else found
            found = [n for n in found if n not in (self.PAD, self.BOS)]
        return TOKENIZERS[self.tokenizer][1].join(self.tokens[n] for n in found)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self.numbers

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file, in place of an old one or not at all."""
        with replacing(path) as file:
            tree = {"tokenizer": self.tokenizer, "tokens": self.tokens}
            file.write(json.dumps(tree, ensure_ascii=True, indent=0).encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file that `save` wrote.

        Raises:
            OSError: the file cannot be read. ValueError: it is damaged, or no vocabulary.
        """
        data = Path(path).read_bytes()
        try:
            tree = json.loads(data.decode())
            tokens = list(tree["tokens"])
            if tuple(tokens[: len(cls.SPECIALS)]) != cls.SPECIALS:
                raise ValueError(f"it does not begin with {' '.join(cls.SPECIALS)}")
            return cls(tokens[len(cls.SPECIALS) :], tree["tokenizer"])
        except Exception as error:
            raise ValueError(f"{os.fspath(path)} is damaged or no vocabulary: {error}") from error

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens, tokenizer={self.tokenizer!r})"


# --- video: what comes next? --------------------------------------------------------------------


def moving_squares(
    T: int, B: int, size: int = 16, side: int = 4, squares: int = 1, rng: np.random.Generator | None = None
) -> Array:
    """Clips (T, B, 1, size, size) of white squares that bounce around on black; see `bouncing`.

    Next-frame prediction: ``x = clips[:-1]``, ``target = clips[1:]``. Repeating the last frame is the
    baseline to beat; it misses at least a row and a column of every square.

    >>> clips = nn.data.moving_squares(T=5, B=2, size=8, side=3)
    >>> clips.shape, clips.sum((2, 3, 4)).astype(int).tolist()  # nine pixels in every frame
    ((5, 2, 1, 8, 8), [[9, 9], [9, 9], [9, 9], [9, 9], [9, 9]])
    """
    return bouncing(np.ones((B, squares, side, side), np.float32), T, size, rng)


def bouncing(images: ArrayLike, T: int, size: int, rng: np.random.Generator | None = None) -> Array:
    """Clips (T, B, 1, size, size), float32, in which K small square images per clip bounce off the walls.

    Each moves straight on, by 1 or 2 pixels per step and axis. Where images overlap, the brighter one shows.

    Args:
        images: (B, K, side, side), values from 0 to 1.
        rng: where places and speeds are drawn from; the library's default generator if None.

    Raises:
        ValueError: images of another shape, or not smaller than the clip.

    >>> clips = nn.data.bouncing([[[[0.5]], [[1.0]]]], T=3, size=6)  # one clip, two dots
    >>> clips.shape, sorted(np.unique(clips).tolist())
    ((3, 1, 1, 6, 6), [0.0, 0.5, 1.0])
    """
    shown = np.asarray(images, np.float32)
    if shown.ndim != 4 or shown.shape[2] != shown.shape[3] or shown.shape[3] >= size:
        raise ValueError(
            f"bouncing expected images (B, K, side, side) with side below size={size}, got {shown.shape}"
        )
    (B, K, side, _), frames = shown.shape, np.zeros((T, shown.shape[0], 1, size, size), np.float32)
    places = bouncing_points(T, B * K, size - side, default_rng(rng)).reshape(T, B, K, 2)
    for t, b, k in np.ndindex(T, B, K):
        row, column = places[t, b, k]
        spot = frames[t, b, 0, row : row + side, column : column + side]
        np.maximum(spot, shown[b, k], out=spot)
    return frames


def bouncing_points(T: int, count: int, room: int, rng: np.random.Generator) -> Array:
    """Paths (T, count, 2) of points on the integers from 0 to ``room``, by 1 or 2 per step and axis."""
    start = rng.integers(0, room + 1, (count, 2))
    speed = rng.choice([-2, -1, 1, 2], (count, 2))
    straight = start + speed * np.arange(T)[:, None, None]
    return room - np.abs(straight % (2 * room) - room)  # folded up at the walls
