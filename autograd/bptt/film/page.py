"""One HTML file from the parts in this folder."""

import html
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

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
    data = json.dumps(Content(recording).content(), ensure_ascii=False, separators=(",", ":"))
    parts = {
        "TITLE": html.escape(recording.title),
        "STYLE": style,
        "SCRIPT": "".join(scripts),
        "DATA": data.replace("<", "\\u003c"),
    }
    return re.sub("|".join([f"%{part}%" for part in parts]), lambda m: parts[m[0][1:-1]], page)
