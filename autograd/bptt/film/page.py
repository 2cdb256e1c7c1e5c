"""One HTML file from the parts in this folder."""

import html
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..live import parts as parts_of_live
from .numbers import Content

if TYPE_CHECKING:
    from ..player import Recording

SCRIPTS = ("numbers", "model", "stage", "panels", "card", "export", "main")  # in the order in which they run


def page_of(recording: "Recording") -> str:
    """The page of a recording as text."""
    folder = Path(__file__).parent
    page, style, *scripts = [
        (folder / name).read_text(encoding="utf-8")
        for name in ("page.html", "page.css", *[f"{script}.js" for script in SCRIPTS])
    ]
    data = _for_script(Content(recording).content())
    live = ""
    if recording.live is not None:
        panel = {name: _lean(text) for name, text in parts_of_live().items()}
        models = _for_script({"title": "", "models": [recording.live]})
        live = (
            f"<style>\n{panel['CSS']}</style>\n<script>\n{panel['ENGINE']}</script>\n<script>\n{panel['PAGE']}"
            f"</script>\n<script>\nfilm.live(element => bptt.mount(element, {models}));\n</script>\n"
        )
    parts = {
        "TITLE": html.escape(recording.title),
        "STYLE": _lean(style),
        "SCRIPT": _lean("".join(scripts)),
        "DATA": data,
        "LIVE": live,
    }
    return re.sub("|".join([f"%{part}%" for part in parts]), lambda m: parts[m[0][1:-1]], page)


def _lean(text: str) -> str:
    """A script or a stylesheet without indentation and without the comments that take a line."""
    return re.sub(r"(?m)^//.*\n", "", re.sub(r"(?m)^\s+", "", text))


def _for_script(data: Any) -> str:
    """Data as a JavaScript expression inside of a page."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
