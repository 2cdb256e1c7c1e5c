"""Formulas as MathML, which browsers draw themselves: no script, no font, no other host.

A Sphinx extension around the converter of docutils. A formula that it cannot read is a warning, so that
``sphinx -W`` fails on it.
"""

import re

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)
KNOWN = {  # what the converter lacks or gets wrong, by what it gets right
    r"\\lVert": r"\\left\\Vert ",
    r"\\rVert": r"\\right\\Vert ",
    r"\\dots(?![a-zA-Z])": r"\\ldots",
    r"(\\(?:bar|hat|tilde)\{[^{}]*\})(?=[_^])": r"\1{}",  # else an index stands below the bar
}


def convert(tex: str, block: bool, node: nodes.Element) -> str:
    """The formula as a ``<math>`` element."""
    for unknown, known in KNOWN.items():
        tex = re.sub(unknown, known, tex)
    try:
        if re.search(r"\\t?frac *[^{ ]", tex):
            raise MathError("the parts of a fraction without braces, of which more would be read")
        return latex2mathml.tex2mathml(tex, as_block=block)
    except MathError as error:
        logger.warning("a formula that is no MathML: %s: %s", error, tex, location=node)
        return f"<code>{tex}</code>"


def inline(self, node: nodes.math) -> None:
    self.body.append(convert(node.astext(), False, node))
    raise nodes.SkipNode


def block(self, node: nodes.math_block) -> None:
    self.body.append(f'<div class="formula">{convert(node.astext(), True, node)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
