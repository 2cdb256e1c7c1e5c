"""The chapters of the course as notebooks: `python -m docs.notebooks OUT` writes them."""

import argparse
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

COURSE = Path(__file__).parent / "course"
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n((?::tags:[^\n]*\n)?)(.*?)^```\n", re.M | re.S)


@dataclass(frozen=True)
class Cell:
    """A cell of a chapter: its kind ("code" or "markdown"), its text, and the tags of a code cell."""

    kind: str
    source: str
    tags: tuple[str, ...] = ()


def chapters() -> dict[str, Path]:
    """The files of the chapters by name, in order."""
    return {path.stem: path for path in sorted(COURSE.glob("[0-9]*.md"))}


def cells(path: Path) -> list[Cell]:
    """The cells of a chapter, in order."""
    text = re.sub(r"\A---\n.*?\n---\n", "", path.read_text(encoding="utf-8"), flags=re.S)
    found, end = [], 0
    for match in CELL.finditer(text):
        found.append(Cell("markdown", text[end : match.start()].strip()))
        tags = tuple(re.findall(r"[\w-]+", match[1].removeprefix(":tags:")))
        found.append(Cell("code", match[2].strip(), tags))
        end = match.end()
    found.append(Cell("markdown", text[end:].strip()))
    return [cell for cell in found if cell.source]


def notebook(path: Path) -> dict:
    """A chapter in the format of notebooks, version 4.5."""
    content = []
    for number, cell in enumerate(cells(path)):
        entry = {"cell_type": cell.kind, "id": f"cell-{number}", "source": cell.source}
        entry["metadata"] = {"tags": list(cell.tags)} if cell.tags else {}
        if "hide-cell" in cell.tags:
            entry["metadata"]["jupyter"] = {"source_hidden": True, "outputs_hidden": True}
        if cell.kind == "code":
            entry |= {"outputs": [], "execution_count": None}
        content.append(entry)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": content}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("docs.notebooks", description=__doc__)
    parser.add_argument("out", type=Path, help="a folder, made if it is not there")
    out = parser.parse_args(argv).out
    out.mkdir(parents=True, exist_ok=True)
    for name, path in chapters().items():
        text = json.dumps(notebook(path), ensure_ascii=False, indent=1)
        (out / f"{name}.ipynb").write_text(text + "\n", encoding="utf-8")
    for path in COURSE.glob("*.py"):
        shutil.copy(path, out)


if __name__ == "__main__":
    main()
