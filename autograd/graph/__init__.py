"""Pictures of computation graphs: `draw` turns a graph into DOT, `render` DOT into a file.

    from autograd import graph

    picture = graph.draw(loss, params=model)  # shows itself in a notebook
    graph.render(picture, "graph.svg")
    graph.diff(loss, other)                   # what one graph has and the other has not
    graph.formula(loss, wrt=w)                # the graph as equations, and its gradient
    graph.query.paths(w, loss)                # questions that need no picture
    loss                                      # at the end of a notebook's cell: its value and picture

Everything here reads graphs, from the edges that backward itself follows, and never runs a model.
"""

from . import query
from .equations import Formula, formula
from .picture import notebook
from .picture.diff import diff
from .picture.draw import draw
from .picture.render import Drawing, render

__all__ = [
    "Drawing",
    "Formula",
    "diff",
    "draw",
    "formula",
    "notebook",
    "query",
    "render",
]
