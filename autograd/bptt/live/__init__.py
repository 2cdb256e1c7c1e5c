"""A page that lives: it runs the recorded graph itself, forward and back, when a slider moves.

    with live.record() as page:
        y, _ = model(x)
        loss = ...
    page.save(loss, "live.html", params=model)

`table` writes the graph of a loss as operations, leaves, constants and shapes; `engine.js` runs such a table
in float64, and `page.js` shows what sliders change: the loss, the gradient of every state, that of a weight
by the step of its use, and the states. The file needs no network and no server. When it opens it compares
its numbers with those of the engine here.
"""

import html
import json
import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from ...core import Variable
from ...modes import instrumented, stepwise
from .table import Kept, table

__all__ = ["Kept", "Recording", "parts", "record", "table"]

HERE = Path(__file__).parent
TITLE = "Backpropagation through time, live"
Losses = Variable | Mapping[str, Variable]


class Recording:
    """What `record` gives: keeps constants while it is entered, and writes the page.

    >>> with bptt.live.record() as page:
    ...     y, _ = nn.LSTM(2, 3)(np.ones((4, 1, 2), "f"))
    ...     loss = y[-1].sum()
    >>> [state["name"] for state in page.data(loss)["models"][0]["states"]]
    ['h', 'c']
    """

    def __init__(self) -> None:
        self.kept = Kept()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(stepwise())
        self._stack.enter_context(instrumented(self.kept))
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def data(self, loss: Losses, params: Any = None, title: str = "") -> dict[str, Any]:
        """What ``bptt.mount(element, data)`` of the page takes: a title, and a table per model."""
        if not isinstance(loss, Mapping):
            return {"title": title, "models": [table(loss, self.kept, params)]}
        names = _per_model(loss, params)
        return {"title": title, "models": [table(loss[k], self.kept, names[k], k) for k in loss]}

    def html(self, loss: Losses, params: Any = None, title: str = TITLE) -> str:
        """The whole page as text."""
        data = _for_script(self.data(loss, params, title))
        page = (HERE / "page.html").read_text(encoding="utf-8")
        found = {**parts(), "TITLE": html.escape(title), "DATA": data}
        return re.sub("|".join([f"%{part}%" for part in found]), lambda m: found[m[0][1:-1]], page)

    def save(
        self,
        loss: Losses,
        path: str | os.PathLike[str],
        params: Any = None,
        title: str = TITLE,
    ) -> Path:
        """Write the page to ``path``; the file appears complete or not at all.

        Args:
            loss: a Variable of one element, or a dict title -> loss for models side by side.
            path: where to write.
            params: names for leaves, as in `draw`: a dict name -> Variable, or a module. With several losses,
                a dict with their titles.
            title: of the page.

        Raises:
            ValueError: a loss has several elements, or ``params`` has other titles than ``loss``.
            RuntimeError: a loss is outside any graph, an earlier pass released the saved arrays, or the loss
                was computed outside of the ``with`` block.
        """
        path = Path(path)
        beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            beside.write_text(self.html(loss, params, title), encoding="utf-8")
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
        return path


def record() -> Recording:
    """Keep what a page needs of a forward pass: ``with live.record() as page:``.

    Inside, recurrent loops do all the work of a step within that step, as under `stepwise`.

    >>> rnn, lstm, x = nn.RNN(1, 2), nn.LSTM(1, 2), np.ones((3, 1, 1), "f")
    >>> with bptt.live.record() as page:
    ...     losses = {"RNN": rnn(x)[0].sum(), "LSTM": lstm(x)[0].sum()}
    >>> page.save(losses, "live.html", params={"RNN": rnn, "LSTM": lstm}).name  # both on one page
    'live.html'
    """
    return Recording()


def parts() -> dict[str, str]:
    """The texts that a page with the panel is made of: ``CSS``, and the scripts ``ENGINE`` and ``PAGE``.

    >>> sorted(bptt.live.parts())
    ['CSS', 'ENGINE', 'PAGE']
    """
    names = {"CSS": "page.css", "ENGINE": "engine.js", "PAGE": "page.js"}
    return {part: (HERE / name).read_text(encoding="utf-8") for part, name in names.items()}


def _for_script(data: Any) -> str:
    """Data as a JavaScript expression inside of a page."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _per_model(losses: Mapping[str, Variable], params: Any) -> Mapping[str, Any]:
    if params is None:
        return dict.fromkeys(losses)
    if not isinstance(params, Mapping) or params.keys() != losses.keys():
        got = list(params) if isinstance(params, Mapping) else type(params).__name__
        raise ValueError(f"live expected params to have the titles of the losses, {list(losses)}, got {got}")
    return params
