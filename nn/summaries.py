"""`summary`: a model as a table of its modules, their outputs, parameters and multiply-adds.

The model runs once on the given input; nothing of it changes. Multiply-adds count products (matrix
products, einsum, convolutions); all other operations are small beside them.
"""

import html
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from autograd import Function, Parameter, Variable, enable_grad, instrumented

from .module import Module

HEADS = ("module", "parameters", "weights", "output", "multiply-adds")  # the last two only after a call
NUMBERS = (1, 4)  # the columns that stand to the right
METHODS = ("forward", "prepare", "project", "step")  # a loop calls the last three of a cell itself


class Row:
    """One module: its path in the tree and its numbers, which include the modules below it."""

    def __init__(self, path: str, depth: int, module: Module):
        self.path, self.depth, self.module = path, depth, module
        self.name = path
        self.output: Any = None  # of the last call: a nest of Variables
        self.parameters = sum([p.size for p in module.parameters()])
        own = [p for _, p in module._own() if isinstance(p, Parameter)]
        self.weights = [p.shape for p in own if p.ndim > 1]  # without those of the modules below
        self.multiply_adds = 0
        self.running = False

    @property
    def title(self) -> str:
        """Name and class, with the gates of a cell."""
        gates = getattr(self.module, "gates", ())
        kind = type(self.module).__name__
        if isinstance(gates, tuple) and len(gates) > 1:
            kind += f", gates {' '.join(gates)}"
        return f"{self.name} ({kind})" if self.name else kind


class Summary:
    """The table: prints itself as text, shows itself as HTML in notebooks; ``rows`` are its contents.

    >>> table = nn.summary(nn.GRU(2, 3), (5, 1, 2))
    >>> table.parameters, table.multiply_adds  # 3 · 3 · (2 + 3) of them in each of five steps
    (63, 225)
    """

    def __init__(self, rows: list[Row]):
        self.rows = rows

    @property
    def parameters(self) -> int:
        """Numbers in all parameters of the model, each counted once."""
        return self.rows[0].parameters

    @property
    def multiply_adds(self) -> int:
        """Of one forward pass on the given input."""
        return self.rows[0].multiply_adds

    def _table(self) -> list[tuple[str, ...]]:
        """The lines, the heads first."""
        table = [HEADS]
        for r in self.rows:
            weights = ", ".join(["×".join(map(str, shape)) for shape in r.weights])
            title = "  " * r.depth + r.title
            table.append((title, f"{r.parameters:,}", weights, _shape(r.output), f"{r.multiply_adds:,}"))
        ran = any(r.output is not None for r in self.rows)
        return [row if ran else row[:3] for row in table]

    def __str__(self) -> str:
        table = self._table()
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        lines = []
        for row in table:
            cells = enumerate(zip(row, widths, strict=True))
            lines.append("  ".join([c.rjust(w) if i in NUMBERS else c.ljust(w) for i, (c, w) in cells]))
        lines.insert(1, "-" * (sum(widths) + 2 * (len(widths) - 1)))
        return "\n".join([line.rstrip() for line in lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def row(cells: tuple[str, ...], tag: str) -> str:
            parts = []
            for i, cell in enumerate(cells):
                indent = 0.5 + 0.6 * (len(cell) - len(cell.lstrip()))
                style = f"text-align:{'right' if i in NUMBERS else 'left'};padding-left:{indent:g}em"
                parts.append(f'<{tag} style="{style}">{html.escape(cell.strip())}</{tag}>')
            return f"<tr>{''.join(parts)}</tr>"

        heads, *lines = self._table()
        body = "".join([row(cells, "td") for cells in lines])
        return f"<table><thead>{row(heads, 'th')}</thead><tbody>{body}</tbody></table>"


def summary(module: Module, *inputs: Any, depth: int | None = None, **options: Any) -> Summary:
    """The modules of ``module`` with the shapes of their outputs, called as ``module(*inputs, **options)``.

    Args:
        inputs, options: of the call: Variables, arrays, or shapes as tuples of integers, which become
            float32 zeros. With none, the model does not run, and the table has only modules and parameters.
        depth: how many levels below the model to list; all by default.

    Parameters that two modules share count in both, and once in a module that holds both. The model runs in
    evaluation mode, so that running statistics and random generators stay as they are.

    >>> nn.summary(nn.Sequential(nn.Linear(2, 3), nn.Tanh()), (8, 2))
    module        parameters  weights  output  multiply-adds
    --------------------------------------------------------
    Sequential             9           8×3                48
      0 (Linear)           9  3×2      8×3                48
      1 (Tanh)             0           8×3                 0
    """
    arrays = [_input(x) for x in inputs]
    counter = _Counter()
    rows = [Row(path, path.count(".") + bool(path), m) for path, m in module.named_modules()]
    for row in rows:  # a path like layers.0 is one level, as there is no module called layers
        above = [r.path for r in rows if r is not row and (not r.path or row.path.startswith(f"{r.path}."))]
        row.depth = len(above)
        row.name = row.path[len(max(above, key=len, default="")) :].lstrip(".")
    kept = [(row.module, dict(vars(row.module))) for row in rows]
    try:
        for row in rows:
            object.__setattr__(row.module, "training", False)
            for name in METHODS:
                if hasattr(row.module, name):
                    counted = _counted(getattr(row.module, name), row, counter)
                    object.__setattr__(row.module, name, counted)
        if inputs or options:
            with enable_grad(), instrumented(counter):
                module(*arrays, **options)
    finally:
        for m, before in kept:
            for name in ("training", *METHODS):
                if name in before:
                    object.__setattr__(m, name, before[name])
                elif name in vars(m):
                    object.__delattr__(m, name)
    return Summary([r for r in rows if depth is None or r.depth <= depth])


class _Counter:
    """An instrument that adds up the multiply-adds of all operations."""

    def __init__(self) -> None:
        self.total = 0

    def forward(self, node: Function, inputs: list[Any], outputs: Any) -> None:
        """Called after every operation."""
        y = outputs[0]
        match node.label:
            case "MatMul" | "Linear":
                self.total += y.size * inputs[0].shape[-1]
            case "AddMM":
                self.total += y.size * inputs[1].shape[-1]
            case "Conv":
                self.total += y.size * math.prod(inputs[1].shape[1:])
            case "ConvTranspose":
                self.total += inputs[0].size * math.prod(inputs[1].shape[1:])
            case "Einsum":
                sizes: dict[str, int] = {}
                for labels, x in zip(node.operands, inputs, strict=True):  # type: ignore[attr-defined]
                    sizes.update({c: n for c, n in zip(labels, x.shape, strict=True) if sizes.get(c, 1) == 1})
                self.total += math.prod(sizes.values())


def _counted(method: Callable[..., Any], row: Row, counter: _Counter) -> Callable[..., Any]:
    """``method`` of a module, which then notes its output and multiply-adds in the row."""

    def counted(*args: Any, **options: Any) -> Any:
        if row.running:  # one method of a module calls another
            return method(*args, **options)
        row.running, before = True, counter.total
        try:
            y = method(*args, **options)
        finally:
            row.running = False
        row.multiply_adds += counter.total - before
        if method.__name__ in ("forward", "step"):
            row.output = y
        return y

    return counted


def _input(x: Any) -> Any:
    """``x`` as the model is called with it; a floating-point array tracks, so that it leaves a graph."""
    if isinstance(x, tuple) and all(isinstance(n, int) for n in x):
        x = np.zeros(x, np.float32)
    return Variable(x, name="x") if isinstance(x, np.ndarray) else x


def _shape(y: Any) -> str:
    """Shapes of a nest of Variables."""
    if isinstance(y, tuple | list):
        return f"({', '.join([_shape(part) for part in y])}{',' * (len(y) == 1)})"
    return "×".join(map(str, y.shape)) or "scalar" if hasattr(y, "shape") else ""


def _repr_html_(self: Module) -> str:
    return summary(self)._repr_html_()


Module._repr_html_ = _repr_html_  # type: ignore[attr-defined]  # how modules show themselves in notebooks
