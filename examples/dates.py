"""A sequence into one of another length: "the 3rd of May 1979" is 1979-05-03.

    python -m examples.dates            # a minute, and pictures in runs/dates/
    python -m examples.dates --quick    # a second, with little to show

Machine translation in small (Ng, *Sequence Models*, week 3): one GRU reads the date, another writes it anew,
character by character, and in training it is told the right one before (teacher forcing). Without attention
all that was read has to fit into one state (Cho et al. 2014), which takes many times the training given here;
with it each character of the answer looks at where it stood (Bahdanau et al. 2015). The picture shows where.
"""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
from tqdm import tqdm

import nn
import optim
from autograd import stepwise
from examples.shared.graphs import save_graph
from examples.shared.measure import Figures, report
from examples.shared.options import arguments
from nn.data import Vocabulary
from nn.functional import cross_entropy, data_of
from nn.generate import beam_search

DAYS = [date(1950, 1, 1) + timedelta(k) for k in range(36500)]  # so that '97 and '04 can mean one year only
FORMS = ["{1} {0:%B %Y}", "{0:%A}, {1}. {0:%b %Y}", "{0:%m/%d/%y}", "{0:%B} {1}, {0:%Y}", "{0:%Y.%m.%d}"]
FORMS += ["the {1}{2} of {0:%B %Y}", "{0:%b} {1} {0:%y}"]
SUFFIX = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}


def written(day: date, form: str) -> str:
    return form.format(day, day.day, SUFFIX.get(day.day, "th"))


TEXTS = [written(day, form) for day in DAYS[:366] for form in FORMS]
CHARACTERS = Vocabulary.build([*TEXTS, "-"], "character")


def pairs(days: list[date], count: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Dates as somebody wrote them, and as they are to be written."""
    some = [days[k] for k in rng.integers(len(days), size=count)]
    return [(written(day, FORMS[rng.integers(len(FORMS))]), day.isoformat()) for day in some]


def arrays(examples: list[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Source (S, B), its lengths (B), and target (12, B) from <bos> to <eos>."""
    sources, targets = zip(*examples, strict=True)
    rows = [CHARACTERS.encode(text) for text in sources]
    target = np.stack([CHARACTERS.encode(text, bos=True, eos=True) for text in targets], 1)
    return nn.pad_sequence(rows), np.array([len(row) for row in rows]), target


def translate(model: nn.EncoderDecoder, sources: list[str], beams: int) -> list[str]:  # one beam is greedy
    source, lengths, target = arrays([(text, "") for text in sources])
    state = model.encode(source, lengths)
    found = beam_search(model.decode, target[:1], 11, beams, eos=Vocabulary.EOS, state=state)
    return [CHARACTERS.decode(column) for column in found.tokens[:, :, 0].T]


def distances(text: str, others: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Edit distances from a text to others (S, N): insertions, deletions and replacements."""
    ramp = np.arange(len(others) + 1)[:, None]
    D = np.repeat(ramp, others.shape[1], 1)
    for number in CHARACTERS.encode(text):
        replaced = np.concatenate([D[:1] + 1, D[:-1] + (others != number)])
        D = np.minimum.accumulate(np.minimum(D + 1, replaced) - ramp) + ramp
    return D[lengths, np.arange(len(lengths))]


def draw(model: nn.EncoderDecoder, examples: list[tuple[str, str]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    for axes, (text, right) in zip(figure.subplots(1, len(examples)), examples, strict=True):
        source, _, target = arrays([(text, right)])
        weights = data_of(model.attend(source, target[:-1]))[:, :, 0]
        axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set(xticks=range(len(text)), xticklabels=text, yticks=range(11), yticklabels=[*right, "end"])
    figure.supxlabel("what is read, letter by letter")
    figure.supylabel("what is written: each row\nlooks at what it needs")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main(argv: list[str] | None = None) -> Figures:
    options = arguments(
        argv, "dates", __doc__, quick="few updates of small models", out="folder for the picture"
    )
    size, updates, count = (16, 10, 20) if options.quick else (64, 600, 300)
    nn.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    days = [DAYS[k] for k in rng.permutation(len(DAYS))]
    training, test = days[count:], pairs(days[:count], count, rng)
    asked, right, answers = [text for text, _ in test], [answer for _, answer in test], {}
    for name, attention in {"attention": True, "no attention": False}.items():
        model = nn.EncoderDecoder(len(CHARACTERS), len(CHARACTERS), 16, size, attention)
        optimizer, some = optim.Adam(model.parameters()), np.random.default_rng([options.seed, 1])
        for k in tqdm(range(updates), name, leave=False):
            source, lengths, target = arrays(pairs(training, 32, some))
            optimizer.param_groups[0]["lr"] = 0.01 * (1 - k / updates)
            optimizer.zero_grad()
            scores = model(source, target[:-1], lengths).reshape(-1, len(CHARACTERS))
            cross_entropy(scores, target[1:].reshape(-1)).backward()
            optimizer.step()
        answers[f"{name}, greedy"] = translate(model, asked, 1)
        answers[f"{name}, four beams"] = translate(model, asked, 4)
        if attention:
            shown = [(written(days[0], FORMS[k]), days[0].isoformat()) for k in (1, 5)]
            draw(model, shown, options.out / "dates.svg")
            with stepwise():
                answer = {"answer": model(source[:3, :1], target[:2, :1])}
            parts = ["mover", "parameter"]
            save_graph(answer, model, options.out / "graph.svg", view="folded", hide=parts, direction="LR")
    seen = pairs(training, 2000, rng)
    source, lengths, _ = arrays(seen)
    answers["that of the nearest text"] = [seen[np.argmin(distances(t, source, lengths))][1] for t in asked]
    figures: Figures = {"all right": {}, "right characters": {}}
    for name, found in answers.items():
        same = np.equal(*(np.array([list(f"{text:11}"[:11]) for text in some]) for some in (found, right)))
        figures["all right"][name] = same.all(1).mean()
        figures["right characters"][name] = same[:, :10].mean()
    return report(f"held-out dates, {updates} updates", figures)


if __name__ == "__main__":
    main()
