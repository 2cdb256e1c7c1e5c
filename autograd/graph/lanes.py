"""Lanes: a graph contracted to one cell per layer and time step.

A lane is a module in a loop over time, or a value that the user's loop gives a name (h, o, L); its cells are
its steps. What works on all steps at once (a layer after the loop, a causal convolution, a loss) has a cell
for every step as well, found by `Series`. What only moves numbers is no cell: arrows run on through it.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from ..core import Function, Parameter, Variable
from ..ops import elementwise, shape
from .reading import Item, Leaf, Output, Reading
from .series import Series, shape_of, through
from .timesteps import _loops

MOVERS = (  # these move numbers without changing them
    elementwise.Cast,
    shape.BroadcastTo,
    shape.Concatenate,
    shape.Contiguous,
    shape.Flip,
    shape.Index,
    shape.Pad,
    shape.Reshape,
    shape.Split,
    shape.Stack,
    shape.Transpose,
    shape.Unstack,
)
NUMBER = re.compile(r"[_ \[(]*([0-9₀-₉]+)[\])]*$")  # of a step, at the end of a name

DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
SUBSCRIPTS = str.maketrans("0123456789-", "₀₁₂₃₄₅₆₇₈₉₋")


class Lane(NamedTuple):
    """What the cells of one row have in common.

    Attributes:
        kind: "cell", "input" or "result"; "loss" for what follows all modules and named values.
        loop: number of the loop over time, -1 for what works on all steps at once.
        scope: of the module.
        name: given by users, without the number of a step; "" for none.
    """

    kind: str
    loop: int
    scope: str
    name: str


class Cell(NamedTuple):
    """One step of a lane; ``part`` is the number of a node of a tree at this height; None: of all steps."""

    lane: Lane
    step: int | None
    part: int = -1


class Port(NamedTuple):
    """What leaves a cell: an output, or its part at one place of an axis of time."""

    cell: Cell
    output: Output
    axis: int = -1
    place: int = -1


class Use(NamedTuple):
    """A port as input ``at`` of the operation that uses it first, or, with node None, as result ``at``."""

    port: Port
    node: Function | None
    at: int


Ports = tuple[Use | Port, ...]


class Arrow(NamedTuple):
    """From a cell to a cell."""

    tail: Cell
    head: Cell


class Lanes:
    """The cells of a reading.

    Attributes:
        cells: in the order of creation.
        arrows: arrow -> the uses of its tail's values that go over it, in the order of creation.
        shared: use -> over how many arrows it goes.
        members: cell -> the operations in it; an operation on all steps is in the cell of each.
        weights: arrow -> the parameters that multiply what goes over it.
        cut: uses of values whose gradient is cut, as `detach` does.
        result_cells: number of a result -> its cells.
        backwards: lanes whose loop counts down.
        initial: input lanes that hold the state before a first step.
        unknown: indexings whose index a backward pass has released.
    """

    def __init__(self, reading: Reading):
        self.reading = reading
        self.series = Series(reading)
        self.cells: dict[Cell, None] = {}
        self.arrows: dict[Arrow, dict[Use, None]] = {}
        self.shared: Counter[Use] = Counter()
        self.members: dict[Cell, dict[Function, None]] = {}
        self.weights: dict[Arrow, dict[Leaf, None]] = {}
        self.backwards: set[Lane] = set()
        self.initial: set[Lane] = set()
        self._loop_of: dict[Item, int] = {}
        self._scope_of: dict[Item, str] = {}
        self._around: dict[int, str] = {}
        self._users: dict[Item, list[tuple[Function, int]]] = {}
        for node in reading.nodes:
            for item, k in reading.sources[node]:
                self._users.setdefault(item, []).append((node, k))
        self._ends_at = {reading.source_of(v)[0] for _, v in reading.results}
        self._find_loops()
        self._final = self._leads_to_results_only()
        self._named = self._names_downstream()
        self.result_cells: dict[int, set[Cell]] = {}
        self.cut: set[Use] = set()
        self._origins = reading.origins()
        self._reach: dict[Output, list[Ports]] = {}
        self._last_step: dict[Lane, int] = {}
        self._by_reader: dict[Cell, set[int]] = {}  # inputs of steps, with the loops that read them
        self._sizes: dict[Cell, tuple[int, ...]] = {}
        for node in reading.nodes:
            self._add(node)
        for i, (path, v) in enumerate(reading.results):
            self._add_result(i, path, v)
        self.shared.update([use for uses in self.arrows.values() for use in uses])
        self.unknown = self.series.unknown
        self._find_initial()

    def lanes(self) -> list[Lane]:
        """All lanes, in the order of creation."""
        return list(dict.fromkeys([cell.lane for cell in self.cells]))

    def is_cut(self, arrow: Arrow) -> bool:
        """Does no gradient come back over an arrow?"""
        return all(use in self.cut for use in self.arrows[arrow])

    def cells_of(self, output: Output) -> set[Cell]:
        """The cells that an output of a node, or a leaf, comes from."""
        ports = [port for ports in self._reach.get(output, ()) for port in ports]
        return {port.port.cell if isinstance(port, Use) else port.cell for port in ports}

    # -- which lane an operation is in

    def _find_loops(self) -> None:
        seen: list[tuple[str, str]] = []  # loops over one sequence, in both directions, share its inputs
        for number, loop in enumerate(_loops(self.reading.nodes)):
            common = _common([n.place.scope for n in loop])
            earlier = [around for around, scope in seen if scope == common]
            self._around[number] = f"{common.rpartition('.')[0]}#{len(earlier)}" if common else f"#{number}"
            seen.append((self._around[number], common))
            for node in loop:
                self._loop_of[node] = number
                self._scope_of[node] = _below(common, node.place.scope)
        loops: dict[str, set[int]] = {}
        for item, number in self._loop_of.items():
            loops.setdefault(self._scope_of[item], set()).add(number)
        for node in self.reading.nodes:
            if node not in self._loop_of:
                own = loops.get(node.place.scope, set()) if node.place.scope else set()
                self._loop_of[node] = (
                    next(iter(own)) if len(own) == 1 else -1
                )  # what a layer does before its loop
                self._scope_of[node] = (
                    node.place.scope if node.place.scope in loops else _layer(node.place.scope)
                )

    def _leads_to_results_only(self) -> set[Item]:
        """Operations outside of modules after which no module, named value or step comes."""
        users: dict[Item, list[Function]] = {}
        for node in self.reading.nodes:
            for item, _ in self.reading.sources[node]:
                users.setdefault(item, []).append(node)
        final, of_states = set[Item](), self._computes_states()
        for node in reversed(self.reading.nodes):
            is_free = not node.place.scope and node.place.unit == "t" and node not in of_states
            ends = isinstance(node, MOVERS) or not _name_of(node) or node in self._ends_at
            if is_free and ends and all(user in final for user in users.get(node, ())):
                final.add(node)
        return final

    def _computes_states(self) -> set[Item]:
        """In loops without names, all operations of a step up to the last that computes a part of the state.

        Parts are noted by loops under `stepwise`; else they are arrays that go to another step.
        """
        named = {self._loop_of[node] for node in self.reading.nodes if _name_of(node)}
        steps: dict[tuple[int, int], list[Function]] = {}
        at: dict[Item, int] = {}
        last: dict[int, int] = {}
        for node in self.reading.nodes:
            loop, step = self._loop_of[node], node.place.step
            if step is None or loop in named:
                continue
            own = steps.setdefault((loop, step), [])
            at[node] = len(own)
            own.append(node)
            if any(notes.part for notes in node.annotations.values()):
                last[loop] = max(last.get(loop, -1), at[node])
            for item, k in self.reading.sources[node]:
                is_state = item in at and self._loop_of[item] == loop and shape_of(item, k)
                if is_state and isinstance(item, Function) and item.place.step != step:
                    last[loop] = max(last.get(loop, -1), at[item])
        return {node for (loop, _), own in steps.items() for node in own[: last.get(loop, -1) + 1]}

    def _names_downstream(self) -> dict[Item, str]:
        """Operation of a loop -> the first name that its value gets, or goes into, in its lane and step."""
        users: dict[Item, list[Function]] = {}
        names: dict[Item, str] = {}
        for node in reversed(self.reading.nodes):
            same = [u for u in users.get(node, ()) if self._place(u) == self._place(node)]
            names[node] = _name_of(node) or (names[same[-1]] if same else "")
            for item, _ in self.reading.sources[node]:
                users.setdefault(item, []).append(node)
        return names

    def _place(self, node: Function) -> tuple[int, str, int | None]:
        return self._loop_of[node], self._scope_of[node], node.place.step

    def _lane(self, node: Function) -> Lane:
        loop, scope, name = self._loop_of[node], self._scope_of[node], self._named[node]
        if node.place.step is None:
            name = _name_of(node)
        if node in self._final and (not name or node in self._ends_at and node.place.step is None):
            return Lane("loss", -1, "", "")
        return Lane("cell", loop, scope, NUMBER.sub("", name))

    def _is_through(self, node: Function) -> bool:
        """Do arrows run on through an operation?"""
        if node.place.step is not None and node.place.unit == "t":
            return False
        if isinstance(node, MOVERS):
            return True
        return (
            node.place.step is None
            and not node.place.scope
            and node not in self._final
            and not _name_of(node)
        )

    # -- cells and arrows

    def _add(self, node: Function) -> None:
        sources = self.reading.sources[node]
        in_step = node.place.step is not None
        if self._is_lookup(node):
            self._reach[node, 0] = self._input((node, 0), node, _lookup_name(node))
            return
        for item, _ in sources:
            if item in self._origins:  # the value flows on, its gradient does not
                self._reach[item, 0] = self._reach.get(self._origins[item], [])
            elif (
                not isinstance(item, Function) and (item, 0) not in self._reach and self._is_input(item, node)
            ):
                self._reach[item, 0] = self._input((item, 0), node, item.name or "x")
        if not in_step and not any(any(self._reach.get(source, ())) for source in sources):
            return  # an expression of parameters
        through = self._is_through(node)
        for k in range(_outputs(node)):
            output = node, k
            axis = self.series.axis.get(output, -1)
            if in_step and node.place.unit == "t":
                axis = -1
            reach: list[Ports] = []
            for place in range(self.series.size(output)) if axis >= 0 else [-1]:
                if through:
                    reach.append(tuple(self._uses(node, k, place)))
                    continue
                lane = self._lane(node)
                if lane.kind == "loss" and place < 0:
                    lane = lane._replace(name="L")  # the total, of which every step has its part
                cell = (
                    Cell(lane, node.place.step, place)
                    if in_step
                    else Cell(lane, place if place >= 0 else None)
                )
                self._fill(node, k, cell, place)
                reach.append((Port(cell, output, axis, place),))
            self._reach[output] = reach

    def _fill(self, node: Function, k: int, cell: Cell, place: int) -> None:
        """Put an operation, or what it does at one place, into a cell; draw the arrows into that."""
        self.cells[cell] = None
        self.members.setdefault(cell, {})[node] = None
        if node.place.step is not None:
            if node.place.step < self._last_step.get(cell.lane, -1):
                self.backwards.add(cell.lane)
            self._last_step[cell.lane] = node.place.step
        for use, at in self._uses(node, k, place).items():
            if use.port.cell != cell:
                arrow = Arrow(use.port.cell, cell)
                self.arrows.setdefault(arrow, {})[use] = None
                self.weights.setdefault(arrow, {}).update(dict.fromkeys(self._weights(node, at)))

    def _uses(self, node: Function, k: int, place: int) -> dict[Use, int]:
        """What an operation uses for output ``k`` at a place (-1: for all of it), and as which input."""
        found: dict[Use, int] = {}
        for at, source in enumerate(self.reading.sources[node]):
            reach = self._reach.get(source, [])
            if isinstance(node, shape.Split):
                reach = self._part_of(node, k) or reach
            if isinstance(node, shape.Stack) and place >= 0 and source not in self.series and at != place:
                continue
            if source in self.series and len(reach) > 1:
                reach = [reach[p] for p in self.series.reads(node, k, at, place)]
            for port in [port for ports in reach for port in ports]:
                use = port if isinstance(port, Use) else Use(port, node, at)
                found.setdefault(use, at)
                if source[0] in self._origins:
                    self.cut.add(use)
        return found

    def _part_of(self, split: shape.Split, k: int) -> list[Ports]:
        """What output ``k`` of a split is made of, if it takes apart what was just put side by side."""
        source = self.reading.sources[split][0]
        axis, chain = split.axis % len(shape_of(*source)), []
        while isinstance(source[0], shape.Index):
            before = self.reading.sources[source[0]][0]
            axes = range(len(shape_of(*before)))
            own = [a for a in axes if through(source[0], 0, before, a) == axis]
            if (
                not own
                or source[0] in self.series.unknown
                or shape_of(*before)[own[0]] != shape_of(*source)[axis]
            ):
                return []
            chain.append(source[0])
            source, axis = before, own[0]
        joined = source[0]
        if not isinstance(joined, shape.Concatenate) or joined.axis % len(shape_of(*source)) != axis:
            return []
        start, stop = (0, *split.ends)[k], (*split.ends, shape_of(*source)[axis])[k]
        end, reach = 0, list[list[Use | Port]]()
        for at, (item, out) in enumerate(self.reading.sources[joined]):
            begin, end = end, end + shape_of(item, out)[axis]
            if begin < stop and end > start:
                for place, ports in enumerate(self._reach.get((item, out), [])):
                    reach += [[] for _ in range(place + 1 - len(reach))]
                    reach[place] += [p if isinstance(p, Use) else Use(p, joined, at) for p in ports]
        if (joined, 0) in self.series and any(d in self.series for d in self.reading.sources[joined]):
            for index in reversed(chain):
                places = range(self.series.size((index, 0))) if (index, 0) in self.series else [-1]
                reach = [[u for q in self.series.reads(index, 0, 0, p) for u in reach[q]] for p in places]
        return [tuple(ports) for ports in reach]

    def _weights(self, node: Function, at: int) -> list[Variable]:
        """The parameters by which an operation multiplies a source."""
        if node.label not in ("MatMul", "Linear", "AddMM", "Conv") or (node.label == "AddMM" and at == 0):
            return []
        found = []
        for other, (item, _) in enumerate(self.reading.sources[node]):
            if other == at or (node.label == "AddMM" and other == 0) or other > 1 and node.label != "AddMM":
                continue
            while isinstance(item, shape.Transpose | shape.Contiguous):
                item, _ = self.reading.sources[item][0]
            if isinstance(item, Variable):
                found.append(item)
        return found

    # -- inputs and results

    def _is_input(self, item: Item, node: Function) -> bool:
        """Is it drawn? Not a parameter, a state of zeros, or a number without a name."""
        if isinstance(item, Function | Parameter):
            return False
        if item.name:
            return item.name != "0"
        if (item, 0) in self.series or isinstance(item, Variable):
            return item.ndim > 0 if isinstance(item, Variable) else True
        at = [i for i, (source, _) in enumerate(self.reading.sources[node]) if source is item]
        return any(self._weights(node, i) for i in at)

    def _is_lookup(self, node: Function) -> bool:
        """Does it look up rows of a table, as an embedding does?"""
        item, _ = self.reading.sources[node][0] if self.reading.sources[node] else (None, 0)
        return isinstance(node, shape.Index) and isinstance(item, Parameter)

    def _input(self, output: Output, node: Function, name: str) -> list[Ports]:
        """The cells of an input that is used by a node, or is the node itself, if that looks it up."""
        loop, place = self._loop_of[node], node.place
        lane = Lane("input", loop, self._around.get(loop, ""), NUMBER.sub("", name) or name)
        shared = [cell for cell in self._by_reader if cell.lane[2:] == lane[2:] and cell.step == place.step]
        if shared and loop not in self._by_reader[shared[0]] and shape_of(*output) == self._sizes[shared[0]]:
            self._by_reader[shared[0]].add(loop)
            return [(Port(shared[0], output),)]
        if output in self.series and (place.step is None or place.unit != "t"):
            axis, in_tree = self.series.axis[output], place.step is not None
            places = range(self.series.size(output))
            cells = [Cell(lane, place.step, p) if in_tree else Cell(lane, p) for p in places]
            if any(cell in self.cells for cell in cells):
                cells = [cell._replace(lane=lane._replace(scope=str(len(self.cells)))) for cell in cells]
            self.cells.update(dict.fromkeys(cells))
            return [(Port(cell, output, axis, p),) for p, cell in enumerate(cells)]
        number = NUMBER.search(name)
        step = int(number[1].translate(DIGITS)) if number and place.step is None else place.step
        if not number and len({user.place.step for user, _ in self._users.get(output[0], ())}) > 1:
            step = None  # in all steps the same
        cell = Cell(lane, step)
        if cell in self.cells:  # another one of that name
            cell = Cell(lane._replace(scope=str(len(self.cells))), step)
        self.cells[cell] = None
        if output[0] is not node:
            self._by_reader[cell], self._sizes[cell] = {loop}, shape_of(*output)
        return [(Port(cell, output),)]

    def _add_result(self, i: int, path: str, v: Variable) -> None:
        source = self.reading.source_of(v)
        reach = self._reach.get(source, [])
        name = NUMBER.sub("", path or v.name or "")
        own = [p.cell.lane.name for p in reach[0] if isinstance(p, Port)] if len(reach) == 1 else []
        if own and (own == [name] or own[0] and re.fullmatch(r"y\[\d+\]", path)):
            return  # the cell shows its name itself
        if len(reach) == 1 and all(isinstance(p, Port) and p.cell.lane.kind == "loss" for p in reach[0]):
            return
        lane = Lane("result", -1, "", name or ("L" if v.ndim == 0 else "y"))
        whole = len(reach) == 1
        for place, ports in enumerate(reach):
            uses = [p if isinstance(p, Use) else Use(p, None, i) for p in ports]
            steps = {use.port.cell.step for use in uses}
            step = (steps.pop() if len(steps) == 1 else None) if whole else place
            cell = Cell(lane, step)
            self.cells[cell] = None
            self.result_cells.setdefault(i, set()).add(cell)
            for use in uses:
                self.arrows.setdefault(Arrow(use.port.cell, cell), {})[use] = None

    def _find_initial(self) -> None:
        """Input lanes that stand for a state before the first step: what later comes from the lane itself."""
        steps: dict[int, list[int]] = {}
        for cell in self.cells:
            if cell.lane.kind == "cell" and cell.step is not None:
                steps.setdefault(cell.lane.loop, []).append(cell.step)
        for lane in self.lanes():
            own = [cell for cell in self.cells if cell.lane == lane]
            if lane.kind != "input" or len(own) != 1 or len(set(steps.get(lane.loop, ()))) < 2:
                continue
            heads = [arrow.head for arrow in self.arrows if arrow.tail == own[0]]
            states = [
                use.port.output
                for arrow, uses in self.arrows.items()
                if arrow.head.lane in {h.lane for h in heads} and arrow.tail.lane.kind == "cell"
                for use in uses
                if arrow.tail.step != arrow.head.step
            ]
            sizes = {shape_of(*output) for output in states}
            leaf = next(iter(self.arrows[Arrow(own[0], heads[0])])).port.output if heads else None
            if leaf is not None and shape_of(*leaf) in sizes:
                self.initial.add(lane)


def _name_of(node: Function) -> str:
    """The name that a user gave to an output of a node."""
    names = [node.name_of(k) for k in node.annotations]
    return next((name for name in names if name), "")


def _outputs(node: Function) -> int:
    return len(node.out_dtype) if node.multi_output else 1


def _common(scopes: Iterable[str]) -> str:
    """The path that all scopes start with."""
    paths = [scope.split(".") if scope else [] for scope in set(scopes)]
    n = 0
    while all(len(p) > n and p[n] == paths[0][n] for p in paths):
        n += 1
    return ".".join(paths[0][:n])


def _below(common: str, scope: str) -> str:
    """The module one level below a path that a scope is in; numbered modules of a list are one level."""
    if scope == common:
        return scope
    start = len(common.split(".")) if common else 0
    parts = scope.split(".")
    end = start + 1
    while end < len(parts) and parts[end].isdigit():
        end += 1
    return ".".join(parts[:end])


def _layer(scope: str) -> str:
    """The module of a numbered list that a scope is in; else the scope itself."""
    parts = scope.split(".")
    numbers = [i for i, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[: numbers[-1] + 1]) if numbers else scope


def _lookup_name(node: Function) -> str:
    """What a table of embeddings is called: by its module, if that says more than what it is."""
    name = node.place.scope.rpartition(".")[2]
    return "x" if not name or name.isdigit() or name.startswith("emb") else name
