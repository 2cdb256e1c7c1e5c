"""What a user gives, checked: a table says what each option may be, on a command line and in a file alike."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn


class BadInput(Exception):
    """Something the user gave cannot be used; the message is one line and says what to do."""

    def __init__(self, message: str):
        shown = message if len(message) < 600 else f"{message[:300]} ... {message[-200:]}"
        super().__init__("".join(c if c.isprintable() else "?" for c in shown))


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line like all other bad input."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message} (--help lists the options)")


class Option(NamedTuple):
    """A number from low to high, of the kind of the default; where the default is a list, several."""

    default: Any
    low: float
    high: float
    help: str

    @property
    def kind(self) -> type:
        return type(self.default[0] if isinstance(self.default, list) else self.default)

    def add(self, name: str, parser: argparse.ArgumentParser) -> None:
        """Let the parser read it."""
        several: Any = {"nargs": "+", "action": "extend"} if isinstance(self.default, list) else {}
        about = f"{self.help} (default {str(self.default).strip('[]')})"
        parser.add_argument(f"--{name}", metavar="N", type=self.kind, help=about, **several)

    def check(self, name: str, value: Any) -> None:
        """Raise BadInput unless the value is one of those."""
        kinds = (int, float) if self.kind is float else (int,)
        for x in value if isinstance(self.default, list) and isinstance(value, list) else [value]:
            if type(x) not in kinds or not self.low <= x <= self.high:
                noun = "a number" if self.kind is float else "an integer"
                raise BadInput(f"--{name} must be {noun} from {self.low} to {self.high}, got {x!r}")


def check(values: Mapping[str, Any], table: Mapping[str, Option]) -> None:
    """Raise BadInput unless all values that stand in the table are what it says."""
    for name in table.keys() & values.keys():
        table[name].check(name, values[name])


def fits(value: Any, pattern: Any) -> bool:
    """Is a value built like the pattern? A type, a function that says so, or a dict, tuple or list of these.

    A dict has the keys of the pattern, and a list any number of what its one entry is; all fits object.
    """
    if isinstance(pattern, dict):
        same = type(value) is dict and value.keys() == pattern.keys()
        return same and all(fits(value[key], pattern[key]) for key in pattern)
    if isinstance(pattern, tuple):
        same = type(value) is tuple and len(value) == len(pattern)
        return same and all(map(fits, value, pattern))
    if isinstance(pattern, list):
        return type(value) is list and all(fits(x, pattern[0]) for x in value)
    return pattern in (object, type(value)) if isinstance(pattern, type) else pattern(value)


def arguments(argv: Sequence[str] | None, name: str, about: str | None, **helps: str) -> argparse.Namespace:
    """The command line of a short example: a seed, flags, and perhaps a folder.

    Args:
        argv: the words of the command line; those of the process if None.
        name: of the example.
        about: its docstring.
        helps: what --help says of each option; ``out`` is a Path, runs/NAME by default, others are flags.
    """
    parser = argparse.ArgumentParser(prog=f"python -m examples.{name}", description=about)
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of weights and data (default 0)")
    for option, help in helps.items():
        if option == "out":
            parser.add_argument("--out", metavar="DIR", type=Path, default=Path("runs", name), help=help)
        else:
            parser.add_argument(f"--{option}", action="store_true", help=help)
    return parser.parse_args(argv)
