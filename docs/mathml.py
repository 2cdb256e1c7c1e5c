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
KNOWN = {"dots": "ldots"}  # what the converter lacks, by what it has


def convert(tex: str, block: bool, node: nodes.Element) -> str:
    """The formula as a ``<math>`` element."""
    for name, known in KNOWN.items():
        tex = re.sub(rf"\\{name}(?![a-zA-Z])", rf"\\{known}", tex)
    try:
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
