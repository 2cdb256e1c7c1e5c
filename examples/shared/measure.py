"""What the examples measure: a table at the end of a run, and ranges over seeds in the documentation."""

import importlib
import io
import json
from contextlib import chdir, redirect_stdout
from inspect import unwrap
from pathlib import Path

from tqdm import tqdm

Figures = dict[str, dict[str, float]]  # what is measured -> of which model or baseline -> the number

BEGIN, END = "<!-- begin: python -m examples --measure -->\n", "<!-- end -->\n"


def number(x: float) -> str:
    """Three significant digits; all digits of a whole number."""
    return f"{x:,.0f}" if abs(x) < 1e9 and (x == round(x) or abs(x) >= 1000) else f"{x:#.3g}".rstrip(".")


def models(figures: Figures) -> list[str]:
    """The models and baselines, in the order in which they come up."""
    return list(dict.fromkeys(name for column in figures.values() for name in column))


def report(title: str, figures: Figures) -> Figures:
    """Print a table, a row for every model and a column for everything measured; returns the figures."""
    left, widths = max(map(len, [title, *models(figures)])), [max(10, len(what) + 3) for what in figures]
    print(f"{title:{left}}" + "".join(f"{what:>{w}}" for what, w in zip(figures, widths, strict=True)))
    for name in models(figures):
        cells = [number(column[name]) if name in column else "" for column in figures.values()]
        print(f"{name:{left}}" + "".join(f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True)))
    return figures


def ranges(name: str, runs: list[Figures]) -> str:
    """The table of an example in the documentation: lowest to highest of its figures over the runs."""

    def cell(what: str, model: str) -> str:
        values = [run[what][model] for run in runs if model in run[what]]
        ends = [number(min(values)), number(max(values))] if values else [""]
        return " to ".join(dict.fromkeys(ends))

    seeds = "1 seed" if len(runs) == 1 else f"{len(runs)} seeds"
    rows = [[f"`{name}`, {seeds}", *runs[0]], ["---"] * (1 + len(runs[0]))]
    rows += [[model, *(cell(what, model) for what in runs[0])] for model in models(runs[0])]
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def replace(text: str, name: str, table: str) -> str:
    """The document with the table of one example replaced or added between the markers; names are sorted."""
    before, _, rest = text.partition(BEGIN)
    between, _, after = rest.partition(END)
    tables = [old for old in between.strip().split("\n\n") if old and not old.startswith(f"| `{name}`")]
    tables = sorted([*tables, table.strip()])
    return f"{before}{BEGIN}\n" + "\n\n".join(tables) + f"\n\n{END}{after}"


def measure(names: list[str], seeds: int, quick: bool, document: Path, folder: Path) -> None:
    """Run examples with seeds 0, 1, 2, ... and write the ranges of their figures into a document.

    The table of an example is written when all of its seeds are done. Below the folder, NAME/SEED has the
    figures of each run as JSON, and in runs/NAME what it drew.
    """
    for name in names:
        main, runs = unwrap(importlib.import_module(f"examples.{name}").main), []
        for seed in tqdm(range(seeds), name):
            here = folder / name / str(seed)
            here.mkdir(parents=True, exist_ok=True)
            with chdir(here), redirect_stdout(io.StringIO()):
                runs.append(main(["--seed", str(seed), *(["--quick"] if quick else [])]))
            (here / "figures.json").write_text(json.dumps(runs[-1], default=float), encoding="utf-8")
        table = ranges(name, runs)
        print(table, flush=True)
        text = document.read_text(encoding="utf-8")
        document.write_text(replace(text, name, table), encoding="utf-8")
