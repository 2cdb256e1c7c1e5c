"""DOT text: escaping, identifiers and the look of things. Knows nothing of Variables and Functions.

Colours are tints of the Okabe-Ito palette, which stays apart for every kind of colour vision; what
they mean is told by shape or text as well. Labels are plain text, never Graphviz's HTML, which the
WebAssembly build does not have.
"""

import colorsys
from collections.abc import Mapping, Sequence
from types import MappingProxyType

Look = dict[str, str]  # attributes of a vertex, an arrow or a frame
Styled = tuple[str, Look]  # of a vertex: a style by its name, and attributes that add to it
FONT = "Helvetica"  # one name: the WebAssembly build knows the widths of its letters, but of no list
NOTHING: Mapping[str, str] = MappingProxyType({})
INK, GREY, LINK = "#222222", "#5f5f5f", "#0072b2"
TINTS = (  # (fill, border) of parameters, one pair each, in turn
    ("#fbdfa6", "#b07a00"),
    ("#c2e5f8", "#2b86bd"),
    ("#b5e3d3", "#00785a"),
    ("#f0cfe1", "#a8487c"),
    ("#f8c9ae", "#b54f00"),
    ("#f6f1a8", "#857b00"),
    ("#d8cdf0", "#6a4fb0"),
    ("#d6d6d6", "#5f5f5f"),
)

GRAPH = {
    "bgcolor": "white",
    "fontname": FONT,
    "nodesep": "0.16",
    "ranksep": "0.22",
    "outputorder": "edgesfirst",
}
STRAIGHT = {  # for the layout of a large graph: what takes long in it, done less well
    "mclimit": "0.1",
    "nslimit": "0.2",
    "splines": "line",
}
NODE = {
    "color": INK,
    "fillcolor": "white",
    "fontcolor": INK,
    "fontname": FONT,
    "fontsize": "13",
    "height": "0.3",
    "margin": "0.09,0.03",
    "shape": "box",
    "style": "rounded,filled",
    "width": "0.3",
}
EDGE = {"arrowsize": "0.6", "color": INK, "fontname": FONT, "fontsize": "9"}

STYLES: dict[str, dict[str, str]] = {
    "operation": {},
    "short": {"fixedsize": "true", "fontsize": "15", "height": "0.34", "shape": "circle", "width": "0.34"},
    "mover": {
        "color": "#9a9a9a",
        "fillcolor": "#ececec",
        "fontcolor": GREY,
        "fontsize": "9",
        "height": "0.2",
        "margin": "0.07,0.01",
    },
    "outputs": {
        "color": "#9a9a9a",
        "fillcolor": "#ececec",
        "fontsize": "10",
        "height": "0.2",
        "shape": "record",
        "style": "filled",
    },
    "parameter": {"fontsize": "11", "style": "filled"},
    "variable": {"fontsize": "12", "margin": "0.04,0", "shape": "ellipse", "style": "filled"},
    "constant": {
        "color": "#8a8a8a",
        "fontcolor": GREY,
        "fontsize": "11",
        "style": "dashed,filled",
    },
    "result": {"color": INK, "fillcolor": "#333333", "fontcolor": "white", "fontsize": "12"},
    "joint": {
        "color": LINK,
        "fillcolor": LINK,
        "fixedsize": "true",
        "height": "0.03",
        "label": "",
        "shape": "point",
        "width": "0.03",
    },
    "hidden": {"height": "0", "label": "", "shape": "point", "style": "invis", "width": "0"},
    "caption": {"fontsize": "10", "margin": "0", "shape": "plaintext", "style": ""},
    "elided": {
        "fontcolor": GREY,
        "height": "0.2",
        "margin": "0.02,0",
        "shape": "plaintext",
        "style": "",
        "width": "0.2",
    },
    "module": {"fillcolor": "#eef3f8", "color": "#56697c", "height": "0.45", "margin": "0.16,0.06"},
}
FRAME = {  # of a time step
    "bgcolor": "#f5f7f9",
    "color": "#b8c0c8",
    "fontcolor": INK,
    "fontsize": "13",
    "labeljust": "c",
    "labelloc": "t",
    "margin": "8",
    "style": "rounded",
}
ELIDED_FRAME = {**FRAME, "bgcolor": "white", "fontcolor": GREY, "style": "rounded,dashed"}
NOTE = {"fontcolor": GREY, "fontname": FONT, "fontsize": "10", "labeljust": "r", "labelloc": "b"}
LINKED = {"color": LINK, "penwidth": "2"}  # of an arrow from one time step to another
CUT = {  # of an arrow over which a value flows on and no gradient comes back: a bar across it
    "color": "#8a8a8a",
    "penwidth": "1.5",
    "style": "dashed",
    "arrowhead": "normaltee",
    "arrowtail": "normaltee",
    "arrowsize": "0.8",
}
HEAT = ("#fdd49e", "#fc8d59", "#d7301f", "#7f0000")  # from small to large, of vertices and arrows
NO_HEAT = {"fillcolor": "white", "color": "#8a8a8a", "fontcolor": GREY, "style": "rounded,filled,dashed"}  # 0
NO_FLOW = "#b4b4b4"
FLAW, FLAWED = "#a3006f", "#f3c6e6"  # where numbers are not finite: lines, and fills
BORN, PASSED = {"color": FLAW, "penwidth": "4.5"}, {"color": FLAW, "penwidth": "1.8"}
MARKED = {"color": FLAW, "penwidth": "3.5"}  # what a user points out
PATH, FADED, FADED_TEXT = "#d55e00", "#d2d2d2", "#a3a3a3"  # what is on a path, and what is not
BACKWARD = {
    "color": "#b3261e",
    "fontcolor": "#b3261e",
    "fontsize": "12",
    "penwidth": "1.4",
    "arrowtail": "normal",
}
STATE = {"color": LINK, "penwidth": "3.5"}  # runs through a cell
ORDERS = ("white", "#d6ebf8", "#f6d9e8", "#fcefc0", "#d9f0e4")  # of derivatives
ADDED, REMOVED = ("#d3efdd", "#1b7a3d"), ("#fbdad6", "#b3261e")
LEGEND_FRAME = {"color": "#d0d0d0", "label": "", "margin": "6"}
LEGEND_TITLE = {"fontcolor": GREY, "fontname": FONT, "fontsize": "10", "labeljust": "c"}


def tint(i: int) -> dict[str, str]:
    """The colours of parameter ``i``; those after the eighth have hues between those of the palette."""
    if i < len(TINTS):
        fill, border = TINTS[i]
    else:  # steps of the golden angle never meet again; two levels of brightness keep neighbours apart
        hue, bright = (0.07 + 0.618034 * i) % 1.0, 0.97 if i % 2 else 0.86
        fill, border = _hex(hue, 0.22, bright), _hex(hue, 0.75, 0.55)
    return {"fillcolor": fill, "color": border}


def _hex(hue: float, saturation: float, value: float) -> str:
    return "#" + "".join([f"{round(255 * c):02x}" for c in colorsys.hsv_to_rgb(hue, saturation, value)])


def between(stops: Sequence[str], at: float) -> str:
    """The colour ``at`` (0 to 1) on a line through the given ones."""
    at = min(max(at, 0.0), 1.0) * (len(stops) - 1)
    i = min(int(at), len(stops) - 2)
    a, b = (bytes.fromhex(stop[1:]) for stop in stops[i : i + 2])
    return "#" + "".join([f"{round(x + (at - i) * (y - x)):02x}" for x, y in zip(a, b, strict=True)])


def luminance(colour: str) -> float:
    """How bright a colour is, from 0 to 1, as WCAG defines it."""
    parts = [c / 255 for c in bytes.fromhex(colour[1:])]
    red, green, blue = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def legible_on(fill: str) -> str:
    """Black or white, whichever has more contrast on a colour: at least 4.58."""
    return "#000000" if luminance(fill) > 0.179 else "#ffffff"


def clean(text: str, limit: int = 48) -> str:
    """``text`` on one line: control characters written out as in Python, the middle of long text left out."""
    if not text.isprintable():
        text = "".join([c if c.isprintable() else repr(c)[1:-1] for c in text])
    if len(text) > limit:
        text = f"{text[: limit // 2]}…{text[-limit // 2 + 1 :]}"
    return text


def escape(text: str) -> str:
    """One line of text as it stands inside a quoted DOT string."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")


def escape_field(text: str) -> str:
    """One line of text as it stands in a field of a record."""
    text = escape(text)
    for c in "{}|<> ":
        text = text.replace(c, f"\\{c}")
    return text


def lines(*texts: str) -> str:
    """Escaped, one below the other; empty ones are left out."""
    return "\\n".join([escape(t) for t in texts if t])


def attributes(values: Mapping[str, str]) -> str:
    """An attribute list of values that are escaped already."""
    return " ".join([f'{k}="{v}"' for k, v in values.items()])


_STYLES = {style: attributes(values) for style, values in STYLES.items()}


def node(ident: str, style: str, values: Mapping[str, str]) -> str:
    """A node statement; ``values`` add to the style and win over it."""
    return f"{ident} [{_STYLES[style]} {attributes(values)}]"


def edge(tail: str, head: str, values: Mapping[str, str] = NOTHING) -> str:
    """An edge statement."""
    return f"{tail} -> {head} [{attributes(values)}]" if values else f"{tail} -> {head}"


def cluster(ident: str, values: Mapping[str, str], statements: list[str]) -> list[str]:
    """Statements in a frame."""
    head = [f'\t{k}="{v}"' for k, v in values.items()]
    return [f"subgraph cluster_{ident} {{", *head, *[f"\t{s}" for s in statements], "}"]
