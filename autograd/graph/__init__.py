"""Pictures of computation graphs: `draw` turns a graph into DOT, `render` DOT into a file.

    from autograd import graph

    picture = graph.draw(loss, params=model)  # shows itself in a notebook
    graph.render(picture, "graph.svg")

Everything here reads graphs, from the edges that backward itself follows, and never runs a model.
"""

from .draw import draw
from .render import Drawing, render

__all__ = ["Drawing", "draw", "render"]
