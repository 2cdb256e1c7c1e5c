"""Where the cells of a graph stand: a column for every step, a row for every lane.

Lanes of one stretch of time are a block: its rows stand above what they read, its columns side by side. A
loop that reads one step of an earlier loop alone (a decoder, the last state of its encoder) is a block to the
right of it. What reads all steps of another lane in every step (attention) reads them over a bar.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..lanes import Arrow, Cell, Lane, Lanes

MOST_CONVERGING = 6  # arrows into one cell; more of them run over a bar


class Bar(NamedTuple):
    """A line across a block that collects what all steps of some lanes give to one lane."""

    head: Lane


@dataclass
class Grid:
    """Columns and rows.

    Attributes:
        at: cell -> its column and row; a column is a fraction for what stands between two.
        bars: bar -> its row, its first and its last column.
        by_bar: arrows that run over a bar.
        gaps: columns that stand for steps that are not drawn, each with the first and the last of these.
        stubs: (column of a gap, row) where a lane goes on.
    """

    at: dict[Cell, tuple[float, float]] = field(default_factory=dict)
    bars: dict[Bar, tuple[float, float, float]] = field(default_factory=dict)
    by_bar: dict[Arrow, Bar] = field(default_factory=dict)
    gaps: dict[float, tuple[int, int]] = field(default_factory=dict)
    stubs: dict[tuple[float, float], list[Lane]] = field(default_factory=dict)


class _Block:
    """Lanes over one stretch of time."""

    def __init__(self, number: int):
        self.number = number
        self.levels: dict[int, Lane | Bar] = {}  # what spans all columns at a level
        self.steps: set[int] = set()
        self.low = 0


class Rows:
    """The rows of some lanes; ``grid`` adds the columns."""

    def __init__(self, lanes: Lanes):
        self.lanes = lanes
        self.is_tree = any(cell.part >= 0 for cell in lanes.cells)
        self.cells: dict[Lane, list[Cell]] = {}
        for cell in lanes.cells:
            self.cells.setdefault(cell.lane, []).append(cell)
        self.into: dict[Lane, dict[Lane, list[Arrow]]] = {}  # head -> tail -> arrows
        self.out: dict[Lane, list[Arrow]] = {}
        for arrow in lanes.arrows:
            self.into.setdefault(arrow.head.lane, {}).setdefault(arrow.tail.lane, []).append(arrow)
            self.out.setdefault(arrow.tail.lane, []).append(arrow)
        self.order = {lane: i for i, lane in enumerate(self.cells)}
        self.spans = {lane: any(c.step is not None for c in own) for lane, own in self.cells.items()}
        self.is_start = {lane: self._is_start(lane) for lane in self.cells}
        self.level: dict[Lane, int] = {}
        self.shift: dict[Lane, float] = {}  # of a column
        self.sideways: dict[Lane, int] = {}  # of two lanes of one height: -1 or 1
        self.block: dict[Lane, _Block] = {}
        self.blocks: list[_Block] = []
        self.bars: dict[Bar, int] = {}
        self.by_bar: dict[Arrow, Bar] = {}
        self.starts: dict[Lane, Lane] = {}  # what stands left of a lane's first step -> that lane
        if not self.is_tree:
            self._place_all()

    def grid(self, steps: Collection[int] | int | None, most: int, side: float) -> Grid:
        """The columns and rows of all cells; of more than ``most`` steps, those in the middle are left out.

        ``side``: of a column, how far two lanes of one height of the network stand from its middle.
        """
        return _tree(self.lanes) if self.is_tree else _Columns(self, steps, most, side).grid

    def from_step_to_step(self, lane: Lane) -> list[Arrow]:
        """The arrows from cells of a lane to others of it."""
        return self.into.get(lane, {}).get(lane, [])

    def _place_all(self) -> None:
        later: list[Lane] = []
        for lane in self.cells:
            if lane.kind == "input":
                continue
            if self.is_start[lane]:
                later.append(lane)
            else:
                self._place(lane)
        for lane in [*later, *self.lanes.initial]:
            self._place_start(lane)
        for lane in self.cells:
            if lane.kind == "input" and lane not in self.level and lane not in self.starts:
                self._free_input(lane)
        self._stagger()

    def _tails(self, lane: Lane) -> dict[Lane, list[Arrow]]:
        """Lanes that were made before, with the arrows from them."""
        return {
            tail: own
            for tail, own in self.into.get(lane, {}).items()
            if tail != lane and tail.kind != "input" and self.order[tail] < self.order[lane]
        }

    def _is_start(self, lane: Lane) -> bool:
        """Is it one cell that only the first step of a loop reads?"""
        if self.spans[lane] or lane.kind != "cell":
            return False
        heads = [a.head for a in self.out.get(lane, [])]
        loops = [h for h in heads if h.step is not None and len(self.cells[h.lane]) > 1]
        return bool(loops) and len(loops) == len(heads) and len({h.step for h in loops}) == 1

    def _place(self, lane: Lane) -> None:
        tails = self._tails(lane)
        through = [pair for tail in tails if self.is_start[tail] for pair in self._tails(tail).items()]
        known = [(tail, own) for tail, own in [*tails.items(), *through] if tail in self.block]
        numbers = [self.block[tail].number for tail, _ in known]
        block = self.blocks[max(numbers)] if numbers else None
        if block is None:
            block = self._beside(lane)
        elif self.spans[lane] and len(self.cells[lane]) > 1 and self._reads_one_step(known, block):
            block = None
        if block is None:
            block = _Block(len(self.blocks))
            self.blocks.append(block)
        below = {tail: own for tail, own in tails.items() if self.block.get(tail) is block}
        level = max([self.level[tail] + 1 for tail in below], default=1)
        bars = self._arrows_by_bar(lane, below)
        inputs = [i for i in self._inputs(lane) if i not in self.level and not self._is_target(i, lane)]
        steps = {cell.step for cell in self.cells[lane] if cell.step is not None}
        above = bool(below) and not self._goes_on(lane)
        height = (1 if bars else 0) + (1 if inputs and level > 1 and not above else 0)
        while any(level + i in block.levels for i in range(height + 1)):
            level += 1
        if bars:
            bar = Bar(lane)
            block.levels[level] = bar
            self.bars[bar] = level
            self.by_bar.update(dict.fromkeys(bars, bar))
        level += height
        block.levels[level] = lane
        block.steps |= steps
        self.level[lane], self.block[lane] = level, block
        for n, one in enumerate(inputs):
            self.level[one], self.block[one] = (level + 1 if above else level - 1), block
            goes_on = above and any(a.head.lane != lane for a in self.out.get(lane, []))
            self.shift[one] = 0.36 if goes_on else 0.0 if above or level == 1 else -0.27
            if len(inputs) > 1:
                self.shift[one] += 0.4 * (n - (len(inputs) - 1) / 2)
            block.levels.setdefault(self.level[one], one)
            block.steps |= {cell.step for cell in self.cells[one] if cell.step is not None}

    def _goes_on(self, lane: Lane) -> bool:
        """Does one of its steps go to another step?"""
        heads = [a for a in self.out.get(lane, []) if a.head.step is not None]
        return any(a.tail.step is not None and a.head.step != a.tail.step for a in heads)

    def _inputs(self, lane: Lane) -> list[Lane]:
        own = [tail for tail in self.into.get(lane, {}) if tail.kind == "input"]
        return [i for i in own if i not in self.lanes.initial]

    def _is_target(self, one: Lane, lane: Lane) -> bool:
        """Is an input of a lane's next steps what a later lane compares its own step with, which is above?"""
        heads = {a.head.lane for a in self.out[one]} - {lane}
        is_late = all(a.tail.step not in (None, a.head.step) for a in self.into[lane][one])
        later = [head for head in heads if self.order[head] > self.order[lane] and self._tails(head)]
        return is_late and any(not self._goes_on(head) for head in later)

    def _beside(self, lane: Lane) -> _Block | None:
        """The block whose inputs a lane reads as well, or whose steps it has if that is the only one."""
        shared = [self.block[i] for i in self._inputs(lane) if i in self.block]
        return shared[0] if shared else None

    def _reads_one_step(self, tails: Iterable[tuple[Lane, list[Arrow]]], block: _Block) -> bool:
        own = [(tail, arrows) for tail, arrows in tails if self.block[tail] is block]
        steps = [(tail, a.tail.step) for tail, arrows in own for a in arrows if a.tail.step is not None]
        return len({step for _, step in steps}) == 1 and all(len(self.cells[tail]) > 1 for tail, _ in steps)

    def _arrows_by_bar(self, lane: Lane, tails: Mapping[Lane, list[Arrow]]) -> list[Arrow]:
        """The arrows that bring all steps of a lane to every step of this one, or very many to one cell."""
        found: list[Arrow] = []
        heads = len(self.cells[lane])
        for tail, own in tails.items():
            steps = len({a.tail for a in own if a.tail.step is not None})
            converges = heads == 1 and steps > MOST_CONVERGING
            if converges or (steps == len(self.cells[tail]) > 1 and heads > 1 and len(own) == steps * heads):
                found += own
        return found

    def _place_start(self, lane: Lane) -> None:
        """A state before the first step, or what makes it: left of the lane that reads it."""
        heads = [a.head for a in self.out[lane]]
        head = max(
            heads, key=lambda h: (h.lane.kind == "cell" and self._is_recurrent(h.lane), self.order[h.lane])
        )
        self.starts[lane], self.level[lane], self.block[lane] = (
            head.lane,
            self.level[head.lane],
            self.block[head.lane],
        )

    def _is_recurrent(self, lane: Lane) -> bool:
        return bool(self.from_step_to_step(lane))

    def _free_input(self, lane: Lane) -> None:
        """An input that nothing drawn reads in this graph."""
        block = self.blocks[0] if self.blocks else _Block(0)
        self.level[lane], self.block[lane] = 0, block

    def _stagger(self) -> None:
        """Move two lanes of one height of the network, such as two directions, out of each other's way."""
        for block in self.blocks:
            for level, lane in sorted(block.levels.items()):
                above = block.levels.get(level + 1)
                if not isinstance(lane, Lane) or not isinstance(above, Lane) or lane.kind != "cell":
                    continue
                if above.kind != "cell" or not (self.spans[lane] and self.spans[above]):
                    continue
                is_free = lane not in self.shift and lane not in self.sideways
                if lane not in self.into.get(above, {}) and is_free:
                    self.sideways[lane], self.sideways[above] = -1, 1


class _Columns:
    """A grid in the making: the columns of rows."""

    def __init__(self, rows: Rows, wanted: Collection[int] | int | None, most: int, side: float):
        self.rows, self.side, self.grid = rows, side, Grid(by_bar=rows.by_bar)
        column = 0.0
        most = max(most - 2 * (len(rows.blocks) - 1), 4)
        for block in rows.blocks:
            steps = sorted(block.steps)
            shown = _chosen(steps, wanted, self._share(block, most))
            has_start = any(rows.block[lane] is block for lane in rows.starts)
            column += 1.0 if has_start else 0.0
            first = column
            columns: dict[int, float] = {}
            gap: list[int] = []
            for step, after in zip(steps, [*steps[1:], None], strict=True):
                if step in shown:
                    columns[step] = column
                    column += 1
                    continue
                gap.append(step)
                if after is None or after in shown:
                    self.grid.gaps[column] = gap[0], gap[-1]
                    columns.update(dict.fromkeys(gap, -1.0))
                    column += 1
                    gap = []
            self._cells_of(block, columns, first, max(column - 1, first))
            column = max(column, first + 1) + 0.5
        self._total()

    def _share(self, block: _Block, most: int) -> int:
        """How many columns of all a block gets."""
        sizes = {b.number: len(b.steps) for b in self.rows.blocks}
        if sum(sizes.values()) <= most:
            return sizes[block.number]
        fair = most // len(self.rows.blocks)
        spare = sum([max(fair - size, 0) for size in sizes.values()])
        return max(min(sizes[block.number], fair + spare), 3)

    def _cells_of(self, block: _Block, columns: dict[int, float], first: float, last: float) -> None:
        rows = self.rows
        gaps = [g for g in self.grid.gaps if first <= g <= last]
        for lane, own in rows.cells.items():
            if rows.block.get(lane) is not block:
                continue
            shift = rows.shift.get(lane, 0.0) + rows.sideways.get(lane, 0) * self.side
            level = float(rows.level[lane])
            if lane in rows.starts:
                steps = [c.step for c in rows.cells[rows.starts[lane]] if c.step is not None]
                down = rows.starts[lane] in rows.lanes.backwards
                edge = columns[max(steps) if down else min(steps)]
                for cell in own:
                    self.grid.at[cell] = edge + (1 if down else -1), level
                continue
            for cell in own:
                if cell.step is None:
                    self.grid.at[cell] = self._over(cell, columns, (first + last) / 2), level
                elif columns[cell.step] >= 0:
                    self.grid.at[cell] = columns[cell.step] + shift, level
            if rows.spans[lane]:
                for gap in gaps:
                    self.grid.stubs.setdefault((gap + shift, level), []).append(lane)
        for bar, level in rows.bars.items():
            if rows.block[bar.head] is block:
                self.grid.bars[bar] = level, first, last

    def _over(self, cell: Cell, columns: dict[int, float], middle: float) -> float:
        """The column of a cell without a step: over what it reads, if that is in one step."""
        tails = self._read(cell)
        while {tail.step for tail in tails} == {None}:  # follow a chain of such cells
            tails = self._read(tails[0])
        steps = {tail.step for tail in tails}
        step = steps.pop() if len(steps) == 1 else None
        return columns[step] if step is not None and columns.get(step, -1) >= 0 else middle

    def _read(self, cell: Cell) -> list[Cell]:
        """The cells that a cell reads."""
        own = self.rows.into.get(cell.lane, {}).values()
        return [a.tail for arrows in own for a in arrows if a.head == cell]

    def _total(self) -> None:
        """Rows from the lowest, at 0."""
        low = min([row for _, row in self.grid.at.values()], default=0.0)
        self.grid.at = {cell: (column, row - low) for cell, (column, row) in self.grid.at.items()}
        self.grid.bars = {bar: (level - low, a, b) for bar, (level, a, b) in self.grid.bars.items()}
        self.grid.stubs = {(c, level - low): own for (c, level), own in self.grid.stubs.items()}


def _chosen(steps: list[int], wanted: Collection[int] | int | None, most: int) -> set[int]:
    """The steps that are drawn."""
    if isinstance(wanted, int):
        return set(steps[:wanted])
    if wanted is not None:
        last = steps[-1] if steps else 0
        return {last + 1 + t if t < 0 else t for t in wanted} & set(steps)
    if len(steps) <= max(most, 3):
        return set(steps)
    end = (most - 1) // 2
    return {*steps[: most - 1 - end], *steps[len(steps) - end :]}


def _tree(lanes: Lanes) -> Grid:
    """Leaves side by side from the left, every node over the middle of its children."""
    grid = Grid()
    children: dict[Cell, list[Cell]] = {}
    for a in lanes.arrows:
        children.setdefault(a.head, []).append(a.tail)
    has_inputs = any(cell.lane.kind == "input" for cell in lanes.cells)
    leaves = 0
    for cell in sorted(lanes.cells, key=lambda c: c.lane.kind != "input"):
        own = [grid.at[child] for child in children.get(cell, ()) if child in grid.at]
        if not own:
            grid.at[cell] = float(leaves), 0.0
            leaves += 1
            continue
        row = (cell.step or 0) + float(has_inputs)
        if cell.step is None:
            row = max(r for _, r in own) + 1
        grid.at[cell] = sum([column for column, _ in own]) / len(own), row
    return grid
