"""``python -m benchmarks``: measure, print the tables, and write them with the raw numbers and a plot."""

import argparse
import os
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

from . import scale
from .cases import CASES, select
from .peers import CANDIDATES, ENVIRONMENTS
from .report import BEGIN, DOCUMENT, END, layers, replace, write
from .runner import choose, machine, measure


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    groups = list(dict.fromkeys(case.group for case in CASES.values()))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure this project next to its peers, all of them taking turns in one run.",
        epilog="`python -m benchmarks.peers --install` makes the environments that peers need;"
        " `python -m benchmarks scale` measures many processes instead.",
    )
    parser.add_argument(
        "cases",
        nargs="*",
        metavar="CASE",
        help=f"{', '.join(groups)}; or one as lstm-S1; or '*-S1' (default: all)",
    )
    parser.add_argument(
        "--peers",
        nargs="+",
        metavar="PEER",
        help=f"{', '.join(CANDIDATES)}; or a library, {', '.join(ENVIRONMENTS)} (default: all)",
    )
    parser.add_argument("--rounds", type=int, help="turns of every candidate in every case (default: 9)")
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        metavar="N",
        help="threads of BLAS and of peers; everything is measured with each of these (default: 1 2)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/benchmarks"),
        metavar="DIR",
        help="results go here (%(default)s)",
    )
    parser.add_argument(
        "--into",
        type=Path,
        metavar="FILE",
        help=f"write the table of all layers between the markers in this document, as {DOCUMENT}",
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, two rounds: does it all run?")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (2 if options.quick else 9)
    options.threads = list(dict.fromkeys(options.threads or [1, min(2, os.cpu_count() or 1)]))
    if options.rounds < 1 or min(options.threads) < 1:
        parser.error("--rounds and --threads expect at least 1")
    if options.into and BEGIN not in options.into.read_text(encoding="utf-8"):
        parser.error(f"--into expects a document with the lines {BEGIN.strip()} and {END.strip()}")
    try:
        options.chosen = select(options.cases, options.quick)
        options.names, options.missing = choose(options.peers)
    except ValueError as error:
        parser.error(str(error))
    return options


def progress(steps: int) -> tuple[Callable[[str], None], Callable[[], None]]:
    """A function to call at every step with what happens now, and one for the end."""
    try:
        from tqdm import tqdm
    except ImportError:
        return lambda text: None, lambda: None
    bar = tqdm(total=steps, leave=False, disable=None)

    def tick(text: str) -> None:
        bar.set_description(text)
        bar.update()

    return tick, bar.close


def main(arguments: list[str] | None = None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["scale"]:
        return scale.main(words[1:])
    options = parse(arguments)
    for peer, hint in options.missing.items():
        print(f"{peer} is left out: {hint}", file=sys.stderr)
    meta = machine(options.threads)
    steps = len(options.threads) * sum(
        len(options.names & set(case.candidates)) * (1 + (case.kind == "memory"))
        + options.rounds * (case.kind != "memory")
        for case in options.chosen
    )
    tick, close = progress(steps)
    shortest = 0.01 if options.quick else 0.2
    results: list[dict[str, Any]] = []
    for threads, case in product(options.threads, options.chosen):
        results.append(measure(case, options.names, options.rounds, threads, tick, shortest))
        text = write(options.out, meta, results, options.missing)  # what there is, should it be interrupted
    close()
    if options.into:
        document = options.into.read_text(encoding="utf-8")
        options.into.write_text(replace(document, layers(meta, results)), encoding="utf-8")
    print(text)
    failed = [(r["name"], n) for r in results for n, m in r["candidates"].items() if "failed" in m]
    for case_name, name in failed:
        print(f"FAILED: {case_name} {name}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
