"""Docstrings as reStructuredText: formulas and programs that stand indented become literal blocks.

In a docstring a formula is set off by a blank line and an indent, and `*` and `|` mean themselves. This is
an extension of Sphinx that says so to it, before napoleon reads sections such as Args.
"""

import re

SECTION = re.compile(r"(Args|Attributes|Examples?|Raises|Returns|Yields):$")
TITLE = re.compile(r"(?<![\w*])\*[A-Z][^*]*\*(?!\w)")  # *Deep Learning* stays emphasised
CODE = re.compile(r"(``.+?``|`.+?`)")


def indent_of(line: str) -> int:
    return len(line) - len(line.lstrip())


def as_rest(lines: list[str]) -> list[str]:
    """The lines of a docstring with literal blocks, and with stars and bars escaped outside of code."""
    found: list[str] = []
    outer, literal, in_doctest = 0, None, False  # indent of the text around; of the literal block, if any
    for k, line in enumerate(lines):
        indent = indent_of(line)
        if not line.strip():
            in_doctest = False
        elif literal is not None and indent >= literal:
            pass
        elif line.lstrip().startswith(">>> ") or in_doctest:
            in_doctest, literal = True, None
        elif k and not lines[k - 1].strip() and indent > outer and not in_section(found, outer):
            literal = indent
            found += [" " * outer + "::", ""]
        else:
            literal, outer = None, indent
            line = escaped(line)
        found.append(line)
    return found


def in_section(found: list[str], outer: int) -> bool:
    """Does what is indented belong to a section, whose entries may have paragraphs of their own?"""
    before = [line for line in found if line.strip() and indent_of(line) < max(outer, 1)]
    return bool(before) and bool(SECTION.match(before[-1].strip()))


def escaped(line: str) -> str:
    parts = CODE.split(line)
    for k in range(0, len(parts), 2):
        titles = TITLE.findall(parts[k])
        plain = [text.replace("*", r"\*").replace("|", r"\|") for text in TITLE.split(parts[k])]
        parts[k] = "".join([p for pair in zip(plain, [*titles, ""], strict=True) for p in pair])
    return "".join(parts)


def process(app, what, name, obj, options, lines) -> None:
    lines[:] = as_rest(lines)


def setup(app):
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", process, priority=100)  # before napoleon, which has 500
    return {"parallel_read_safe": True}
