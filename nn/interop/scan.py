"""Loops over time in ONNX: any cell as a Scan, those that ONNX knows as its RNN, GRU or LSTM.

`prepare` and `project` stand outside of a Scan and `step` is its body, so that the sequence may have any
length. The steps run once for real as well, for what comes behind them.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from autograd import Variable
from autograd.extend import Array, Operand, data_of

from ..recurrent import (
    Cell,
    State,
    StateLike,
    as_variable,
    checked_parts,
    given_state,
    unroll,
)
from ..rnn import Layers
from .operators import operator_of, weights_of
from .recording import Body, Recording, Seen


class Writer(Recording):
    """A recording that takes loops over time as loops."""

    def loop(
        self,
        cell: Cell,
        x: Variable,
        state: StateLike | None,
        lengths: Operand | None,
        reverse: bool,
        starts: Operand | None,
    ) -> tuple[Variable, State]:
        """What `unroll` gives, written as one node."""
        self.refuse(type(cell).__name__, starts)
        with self.silence():
            real, ends = unroll(cell, x, state, lengths, reverse)
        y, *last = [fresh(v.data) for v in (real, *ends)]
        operator = operator_of(cell)
        if operator is None:
            names = self.scan(cell, x, state, lengths, reverse, [s.data for s in last])
        else:
            given = None if state is None else given_state(cell, state, cell.initial_state(x))
            parts = (
                ()
                if given is None
                else [self.graph.add("Unsqueeze", self.of(s), self.graph.ints(0)) for s in given]
            )
            Y, *packed = self.operator(*operator, [cell], x, parts, lengths, reverse)
            names = [self.graph.add("Squeeze", Y, self.graph.ints(1))]
            names += [self.graph.add("Squeeze", part, self.graph.ints(0)) for part in packed]
        for value, name in zip((y, *last), names, strict=True):
            self.bind(value.data, name)
        return y, tuple(last)

    def layers(
        self, model: Layers[Any], x: Variable, hx: Any, lengths: Operand | None, starts: Operand | None
    ) -> tuple[Variable, Any] | None:
        """Layers of RNN, GRU or LSTM as one node each, both directions in one; None if ONNX lacks them."""
        cells = [cell for _, cell in model.cells()]
        operators = [operator_of(cell) for cell in cells]
        if None in operators or any(op != operators[0] for op in operators):
            return None
        self.refuse(type(model).__name__, starts)
        assert operators[0] is not None
        with self.silence():
            y, states = model.stack(x, model._unpack(hx, x), lengths)
            packed = model._pack(states)
        g, D = self.graph, 1 + model.bidirectional
        given: list[Any] = [()] * model.num_layers
        if hx is not None:
            parts = [self.of(as_variable(part)) for part in (hx if isinstance(hx, tuple | list) else (hx,))]
            if model.num_layers > 1:
                L = model.num_layers
                parts = [g.add("Split", p, g.ints(*[D] * L), outputs=L, axis=0) for p in parts]
                given = list(zip(*parts, strict=True))
            else:
                given = [parts]
        finals = []
        name = self.of(x)
        for k in range(model.num_layers):
            pair = cells[k * D : (k + 1) * D]
            Y, *final = self.operator(*operators[0], pair, name, given[k], lengths, False)
            finals.append(final)
            if D == 1:
                name = g.add("Squeeze", Y, g.ints(1))
            else:  # (T, D, B, H) -> (T, B, D*H)
                name = g.add("Reshape", g.add("Transpose", Y, perm=[0, 2, 1, 3]), g.ints(0, 0, -1))
        value = fresh(y.data)
        self.bind(value.data, name)
        last = [fresh(part.data) for part in (packed if isinstance(packed, tuple) else (packed,))]
        for part, names in zip(last, zip(*finals, strict=True), strict=True):
            self.bind(part.data, names[0] if len(names) == 1 else g.add("Concat", *names, axis=0))
        return value, tuple(last) if len(last) > 1 else last[0]

    def refuse(self, who: str, starts: Operand | None) -> None:
        """Raise if rows start again in the middle of a sequence."""
        if starts is not None:
            raise NotImplementedError(
                f"to_onnx: {who} with starts= has no translation: give every sequence a row of its own"
            )

    def of(self, x: Any) -> str:
        """The name of a Variable, array or number."""
        return self.name_of(data_of(x))

    def operator(
        self,
        op: str,
        attributes: dict[str, Any],
        cells: list[Any],
        x: Any,
        state: Any,
        lengths: Operand | None,
        reverse: bool,
    ) -> list[str]:
        """Write ONNX's operator for one cell or the cells of both directions: the names of Y, Y_h, Y_c."""
        g = self.graph
        path = self.path_of(cells[0])
        arrays = {k: g.constant(a, f"{path}{k}") for k, a in weights_of(op, cells).items()}
        rows = "" if lengths is None else g.cast(self.of(lengths), np.int32)
        inputs = [
            x if isinstance(x, str) else self.of(x),
            arrays["W"],
            arrays["R"],
            arrays.get("B", ""),
            rows,
        ]
        inputs += state
        if "P" in arrays:
            inputs += [""] * (7 - len(inputs)) + [arrays["P"]]
        while not inputs[-1]:
            inputs.pop()
        direction = "bidirectional" if len(cells) > 1 else "reverse" if reverse else "forward"
        if len(cells) > 1 and "activations" in attributes:
            attributes = {**attributes, "activations": attributes["activations"] * 2}
        Y, *last = g.add(op, *inputs, outputs=3 if op == "LSTM" else 2, direction=direction, **attributes)
        if rows and state:  # a runtime may give zeros for rows of no steps, whose state stays as it is
            began = g.add("Unsqueeze", g.add("Greater", rows, g.constant(np.int32(0))), g.ints(0, 2))
            last = [g.add("Where", began, new, old) for new, old in zip(last, state, strict=True)]
        return [Y, *last]

    def path_of(self, cell: Cell) -> str:
        """What the names of a cell's weights begin with."""
        weight = next(cell.parameters(), None)
        name = None if weight is None else self.find(weight.data)
        return f"{name.rpartition('.')[0]}." if name and "." in name else ""

    def scan(
        self,
        cell: Cell,
        x: Variable,
        state: StateLike | None,
        lengths: Operand | None,
        reverse: bool,
        last: list[Array],
    ) -> list[str]:
        """Write a Scan: the names of y and of the parts of the last state."""
        g = self.graph
        initial = tuple(map(as_variable, cell.initial_state(x)))
        begin = given_state(cell, state, initial)
        fixed, projected = cell.prepare(x), cell.project(x)
        rows = list(flat(projected))
        outside = [self.of(s) for s in begin] + [self.of(row) for row in rows]
        running = None
        if lengths is not None:
            steps = g.add("Squeeze", g.add("Shape", self.of(x), start=0, end=1))
            zero, one = g.constant(np.int64(0)), g.constant(np.int64(1))
            outside.append(g.add("Range", zero, steps, one))
            running = g.cast(self.of(lengths), np.int64)
        body = Body()
        before = [fresh(a) for a in last]  # the last state, whose numbers differ from run to run
        inputs = [fresh(row.data[0]) for row in rows]
        called = cell.parts if len(cell.parts) == len(before) else ["state"] * len(before)
        with self.inside(body):
            for value, hint in zip((*before, *inputs), [*called, *["x"] * len(inputs)], strict=True):
                self.input(value.data, self.fresh(hint))
            if running is not None:
                t = self.fresh("t")
                body.inputs.append(t)
                self.infos[t] = np.dtype(np.int64), ()
            new = checked_parts(
                cell, cell.step(refilled(projected, iter(inputs)), tuple(before), fixed), len(begin)
            )
            names = [self.of(as_variable(part)) for part in new]
            y = names[0]
            if running is not None:
                on = g.add("Less", t, running)
                masks = [self.per_row(on, part.ndim) for part in new]
                names = [
                    g.add("Where", mask, name, old)
                    for mask, name, old in zip(masks, names, body.inputs, strict=False)
                ]
                y = g.add("Where", masks[0], y, g.constant(np.zeros((), new[0].dtype)))
            hints = [*[f"{part}_new" for part in called], "y"]
            for name, hint, part in zip((*names, y), hints, (*new, new[0]), strict=True):
                body.outputs.append(self.output(name, self.fresh(hint), part))
        scanned = len(outside) - len(begin)
        backwards = {"scan_input_directions": [1] * scanned, "scan_output_directions": [1]} if reverse else {}
        self.place = f"the loop of {type(cell).__name__}"
        self.scope = self.path_of(cell)[:-1]
        made = g.add(
            "Scan", *outside, outputs=len(begin) + 1, body=body, num_scan_inputs=scanned, **backwards
        )
        return [made[-1], *made[:-1]]

    def per_row(self, on: str, ndim: int) -> str:
        """A mask (B) with axes of length 1 behind it."""
        if ndim < 2:
            return on
        made: str = self.graph.add("Unsqueeze", on, self.graph.ints(*range(1, ndim)))
        return made


def fresh(a: Any) -> Variable:
    """The numbers of an array in memory of their own, as a Variable that is recorded from here on."""
    array = np.array(a).view(Seen)
    return Variable(array, requires_grad=array.dtype.kind == "f")


def flat(nest: Any) -> Iterator[Any]:
    """The Variables of a nest of tuples."""
    if isinstance(nest, tuple | list):
        for part in nest:
            yield from flat(part)
    else:
        yield nest


def refilled(nest: Any, values: Iterator[Any]) -> Any:
    """The same nest with other values."""
    if isinstance(nest, tuple | list):
        return type(nest)([refilled(part, values) for part in nest])
    return next(values)
