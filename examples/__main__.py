"""List the examples, or measure them over several seeds.

    python -m examples                                  # what to type, and the first line of what each says
    python -m examples --measure                        # all, five times: two hours, into docs/examples.md
    python -m examples --measure dna music --seeds 3    # two of them, with fewer seeds

The table of an example is written when all of its seeds are done; what they draw lies in runs/measure/.
"""

import argparse
import ast
import pkgutil
from pathlib import Path

import examples


def sources() -> dict[str, str]:
    """The texts of the programs by their names."""
    found = {}
    for module in pkgutil.iter_modules(examples.__path__):
        path = Path(examples.__path__[0], f"{module.name}.py")
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if 'if __name__ == "__main__"' in text and not module.name.startswith("_"):
            found[module.name] = text
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m examples", description="List or measure the examples.")
    add = parser.add_argument
    add(
        "--measure", metavar="NAME", nargs="*", help="run these (default all) and write the ranges of figures"
    )
    add("--seeds", metavar="N", type=int, default=5, help="runs of each, with seeds 0 to N - 1 (default 5)")
    add("--quick", action="store_true", help="small models: to see that it works")
    add(
        "--into",
        metavar="FILE",
        type=Path,
        default=Path("docs", "examples.md"),
        help="document with the table",
    )
    add("--out", metavar="DIR", type=Path, default=Path("runs", "measure"), help="folder for all files")
    options, programs = parser.parse_args(argv), sources()
    if options.measure is None:
        for name, text in programs.items():
            about = ast.get_docstring(ast.parse(text)) or ""
            print(f"python -m examples.{name:<16} {about.partition(chr(10))[0]}")
        return
    measured = [name for name, text in programs.items() if "-> Figures:" in text]
    if unknown := set(options.measure) - set(measured):
        parser.error(f"--measure expected names of {', '.join(measured)}, got {', '.join(sorted(unknown))}")
    if options.seeds < 1:
        parser.error(f"--seeds expected at least 1, got {options.seeds}")
    from examples.shared.measure import measure

    measure(
        options.measure or measured,
        options.seeds,
        options.quick,
        options.into.absolute(),
        options.out.absolute(),
    )


if __name__ == "__main__":
    main()
