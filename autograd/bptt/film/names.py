"""What values are called on the page: the user's name, state and gate, or a short expression.

Names are text with subscripts as in ``W_{hh}``; ``{@}`` and ``{@-1}`` stand for the step of the node and
the one before.
"""

import inspect
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from ...core import SCALARS, Constant, Function, Slot, Variable, edge_type, source
from ...graph.picture.labels import MOVERS
from ...graph.picture.names import PRODUCTS, Names, scopes_of
from ...graph.reading import Item, Output, Reading
from ...graph.timesteps import Rows
from ...ops.elementwise import Add, Div, Lerp, Mul, Relu, Sigmoid, Sub, Tanh, Unary
from ...ops.linalg import AddMM, Linear
from ...ops.shape import Split, Unstack

LONGEST = 36  # letters of an expression that stands for a value without a name
PARAMETER = re.compile(r"(weight|bias)(?:_(ih|hh|hr|ch|[a-z]{1,2}))?(?:_l(\d+))?(_reverse)?$")
BENDS = Tanh, Sigmoid, Relu
BETWEEN = {Add: " + ", Sub: " − ", Mul: " ∘ ", Div: " / "}


class ValueNames:
    """Names of the values of a reading.

    Attributes:
        states: for each value that a step hands to another one of its loop, what it is called without
            the number of the step.
    """

    def __init__(self, reading: Reading, names: Names, rows: Rows, params: Any):
        self.reading, self.names, self.rows = reading, names, rows
        self.modules = scopes_of(params)
        self.states: dict[tuple[Function, int], str] = {}
        self.inputs: dict[Item, int] = {}  # constant without a name that a product reads -> its step
        self._data: set[Item] = set()  # the same outside of all steps
        self.transposed: dict[Item, tuple[Variable, str]] = {}
        self.losses: dict[Output, str] = {}
        self._before = {  # what a gate or a nonlinearity is computed from
            item
            for node in reading.nodes
            if isinstance(node, Split | Unary) and node.place.step is not None
            for item, _ in reading.sources[node]
            if isinstance(item, PRODUCTS) or (isinstance(item, Add) and isinstance(node, BENDS))
            if item.place.step == node.place.step
        }
        self._steps: dict[tuple[str, int, int | None], list[Function]] = {}
        self._find_states()
        found = [PARAMETER.search(names.full(leaf)) for leaf in self._parameters()]
        self._layers = len({m[3] for m in found if m and m[3]})
        names.shorten(self._parameters())
        labels = {leaf: self._parameter(leaf) for leaf in self._parameters()}
        times = Counter(labels.values())
        self._labels = {
            leaf: label if times[label] < 2 else self._told_apart(leaf, label)
            for leaf, label in labels.items()
        }

    def _parameters(self) -> Iterable[Variable]:
        for node in self.reading.nodes:
            for item, _ in self.reading.sources[node]:
                if self.names.is_parameter(item):
                    yield item

    def _find_states(self) -> None:
        """Values that lead from one step of a loop to another, by scope and step, and what reads them."""
        found: dict[tuple[str, int, int], dict[tuple[Function, int], bool]] = {}
        multiplied = self._multiplied()
        for node in self.reading.nodes:
            frame = self.rows.frame.get(node)
            is_product = node in multiplied
            for at, (item, k) in enumerate(self.reading.sources[node]):
                home = self.rows.frame.get(item)
                is_input = isinstance(item, Constant) and item.shape and item.name in (None, "", "x")
                if is_input and is_product and at == isinstance(node, AddMM):
                    if node.place.step is not None:
                        self.inputs[item] = node.place.step
                    elif isinstance(node, PRODUCTS):
                        self._data.add(item)
                if frame is None or home is None or home.row != frame.row or home.step == frame.step:
                    continue
                if isinstance(item, Unstack):  # of several nodes of a tree at once
                    before, j = self.reading.source(item.edges[0])
                    item, k = (before, j) if self.rows.frame.get(before) == home else (item, k)
                if (
                    isinstance(item, Function)
                    and edge_type(item if not item.multi_output else Slot(item, k))[0]
                ):
                    own = found.setdefault((item.place.scope, home.row, home.step), {})
                    own[item, k] = own.get((item, k), False) or is_product
        for (scope, _, _), own in found.items():
            order = sorted(own, key=lambda output: (not own[output], output[0].number, output[1]))
            for output, part in zip(order, self._parts(scope, len(order)), strict=True):
                given = output[0].name_of(output[1]) or ""
                self.states[output] = re.sub(rf"_?{output[0].place.step}$", "", given) or part
        for (scope, row), own in {key[:2]: own for key, own in found.items()}.items():
            self._add_last(scope, row, own)

    def _multiplied(self) -> set[Function]:
        """Products, and what only moves numbers on the way to one."""
        found: set[Function] = set()
        moving = [node for node in self.reading.nodes if isinstance(node, MOVERS)]
        users: dict[Item, list[Function]] = {}
        for node in self.reading.nodes:
            for item, _ in self.reading.sources[node]:
                users.setdefault(item, []).append(node)
        found.update([node for node in self.reading.nodes if isinstance(node, PRODUCTS)])
        for node in sorted(moving, key=lambda n: -n.number):
            if any([user in found for user in users.get(node, [])]):
                found.add(node)
        return found

    def _add_last(self, scope: str, row: int, own: Iterable[tuple[Function, int]]) -> None:
        """The states of steps from which nothing leads on: nodes that stand where those of other steps do."""
        for node, k in own:
            here = self._in_step(scope, row, node.place.step)
            from_end = here.index(node) - len(here)
            alike = [n for n in here if n.label == node.label]
            for frame in self.rows.frames:
                there = self._in_step(scope, row, frame.step) if frame.row == row else []
                if len(there) == len(here) and there[from_end].label == node.label:
                    self.states.setdefault((there[from_end], k), self.states[node, k])
                elif node.place.unit != "t":  # the root of a tree is not taken apart
                    found = [n for n in there if n.label == node.label]
                    if len(found) == len(alike):
                        self.states.setdefault((found[alike.index(node)], k), self.states[node, k])

    def _in_step(self, scope: str, row: int, step: int | None) -> list[Function]:
        """The nodes of a scope in a step, oldest first."""
        if not self._steps:
            for node in self.reading.nodes:
                if node in self.rows.frame:
                    key = node.place.scope, self.rows.frame[node].row, node.place.step
                    self._steps.setdefault(key, []).append(node)
        return self._steps.get((scope, row, step), [])

    def _parts(self, scope: str, count: int) -> list[str]:
        """What the parts of a state are called: as the cell says, where that has so many."""
        module = self.modules.get(scope)
        for _ in range(3):  # through wrappers
            parts = getattr(module, "parts", None)
            if isinstance(parts, tuple) and len(parts) == count:
                return [str(part) for part in parts]
            module = getattr(module, "cell", None)
        return (["h", "c"] if count <= 2 else ["h", *[f"s{i}" for i in range(1, count)]])[:count]

    def step(self, item: Item) -> int | None:
        """The step in which a value stands; None outside of all."""
        frame = self.rows.frame.get(item)
        return (
            frame.step if frame else item.place.step if isinstance(item, Function) else self.inputs.get(item)
        )

    # -- names

    def name_losses(self, loss: Variable, terms: list[tuple[Any, bool]]) -> None:
        """Call a loss L, and the terms of a sum that are added L_0, L_1, ..."""
        node, k = source(loss._edge)
        self.losses = {(node, k): loss.name or "L"}
        if len(terms) > 1:
            ends = [(source(edge), is_added) for edge, is_added in terms]
            own = {end: t for t, (end, is_added) in enumerate(ends) if is_added and end[0] is not node}
            self.losses.update({end: f"L_{{{t}}}" for end, t in own.items()})
            for part in self.reading.nodes:  # a total that a loop carries along
                sources = self.reading.sources[part]
                if isinstance(part, Add) and part is not node and all(end in own for end in sources):
                    own[part, 0] = max([own[end] for end in sources], default=0)
                    self.losses[part, 0] = f"L_{{0…{own[part, 0]}}}"

    def of(self, item: Item, k: int = 0) -> str:
        """The name of a value, relative to the step it was computed in."""
        if isinstance(item, Function):
            return self._own(item, k) or self._expression(item, k)
        if isinstance(item, Variable) and self.names.is_parameter(item):
            return self._labels[item] if item in self._labels else self._parameter(item)
        name = self.names.full(item)
        if item in self.inputs:
            return "x_{@}"
        return name or ("x" if item in self._data else "const")

    def _told_apart(self, leaf: Variable, label: str) -> str:
        """A label that several weights have, with the module in it."""
        module = self.names.full(leaf).split(".")[-2:-1]
        if not module:
            return label
        return f"{label[:-1]},{module[0]}}}" if label.endswith("}") else f"{label}_{{{module[0]}}}"

    def _parameter(self, leaf: Variable) -> str:
        """The name of a weight as it is written in equations; its short name where that has another form."""
        name = self.names.full(leaf) or "input"
        found = PARAMETER.search(name)
        if not found:
            return self.names.short(leaf) or name
        kind, which, layer, back = found.groups()
        sub = (which or "") + (f",{layer}" if layer and self._layers > 1 else "") + ("←" if back else "")
        letter = "W" if kind == "weight" else "b"
        return f"{letter}_{{{sub}}}" if sub else letter

    def at_step(self, item: Item, k: int, step: int | None) -> str:
        """The same relative to another step."""
        home = self.step(item)
        if home is None:
            return self.of(item, k)
        by = home - step if step is not None else None
        now = f"{{{home}}}" if by is None else f"{{@{by:+d}}}" if by else "{@}"
        return self.of(item, k).replace("{@}", now)

    def _own(self, node: Function, k: int) -> str:
        """A name that somebody gave: the user, the cell."""
        name, step = node.name_of(k) or "", self.step(node)
        if name and node.place.step is None:
            return name
        if name:
            return re.sub(rf"_?{step}$", "", name) + "_{@}" if step is not None else name
        if (node, k) in self.losses:
            name = self.losses[node, k]
            return "L_{@}" if name == f"L_{{{step}}}" else name
        if (node, k) in self.states:
            return self.states[node, k] + "_{@}"
        if node in self.transposed:
            leaf, mark = self.transposed[node]
            return self.of(leaf) + mark
        gate = self.names.gates.get((node, k)) if isinstance(node, Split) else self.names.gate(node, k)
        if gate:
            sub = "" if step is None else "_{@}"
            is_done = isinstance(node, Unary) or (
                isinstance(node, Split) and isinstance(self.reading.sources[node][0][0], Unary)
            )
            return f"{gate}{sub}" if is_done else f"{self._letter(node, k)}_{{{gate.replace(' ', '')}}}"
        fused = "".join(self.names.fused(node))
        is_computed = any(isinstance(item, Function) for item, _ in self.reading.sources.get(node, []))
        if fused and is_computed and isinstance(node, Unary | Add):
            return f"{fused}_{{@}}" if isinstance(node, Unary) else f"z_{{{fused}}}"
        if node in self._before:
            return f"{self._of_products(node)}_{{@}}" if step is not None else "z"
        if isinstance(node, Linear | AddMM) and node in self.rows.frame:
            here = self._in_step(node.place.scope, self.rows.frame[node].row, node.place.step)
            if not any(
                isinstance(n, Linear | AddMM) and n is not node and n not in self._before for n in here
            ):
                return "u_{@}"
        return ""

    def _letter(self, node: Function, k: int) -> str:
        """z for what a gate is computed from; Wx and Wh where the products of input and state are apart."""
        steps = (
            self._in_step(node.place.scope, self.rows.frame[node].row, node.place.step)
            if node in self.rows.frame
            else []
        )
        gate = self.names.gates.get((node, k))
        if not isinstance(node, Split) or sum(self.names.gates.get((n, k)) == gate for n in steps) < 2:
            return "z"
        product, _ = self.reading.sources[node][0]
        return self._product(product) if isinstance(product, PRODUCTS) else "z"

    def _product(self, node: Function) -> str:
        """Wx or Wh: the weight times the first letter of what it is multiplied by."""
        item, k = self.reading.sources[node][isinstance(node, AddMM)]
        first = self.of(item, k)[:1]
        return f"W{first if first.isalpha() else 'h'}"

    def _of_products(self, node: Function) -> str:
        """z for a product before a nonlinearity; Wx and Wh where several are, as of a GRU."""
        here = self._in_step(node.place.scope, self.rows.frame[node].row, node.place.step)
        several = sum(n in self._before and isinstance(n, PRODUCTS) for n in here) > 1
        return self._product(node) if several and isinstance(node, PRODUCTS) else "z"

    def _expression(self, node: Function, k: int, depth: int = 0) -> str:
        """What a value without a name is, in short: tanh(c_3), f_3 ∘ c_2."""
        if isinstance(node, Unstack):
            whole = self.reading.source(node.edges[0])
            return f"{self.of(*whole)}[{k}]" if whole in self.states else f"y_{{{k}}}"
        if node.multi_output:
            return f"{node.symbol or node.label}[{k}]"
        text = self.equation(node, depth)
        plain = re.sub(r"[_{}@]|-1", "", text)
        return text if len(plain) <= LONGEST else node.symbol or node.label

    def equation(self, node: Function, depth: int = 0) -> str:
        """The right side of the line that computes a value, by the names of its inputs."""
        args = [self._argument(node, edge, depth) for edge in node.edges]
        if node in self.reading.sums:
            first, last = self.reading.sources[node][0], self.reading.sources[node][-1]
            step = self.step(node)
            return f"{self.at_step(*first, step)} + … + {self.at_step(*last, step)}"
        for kind, sign in BETWEEN.items():
            if isinstance(node, kind):
                keep = isinstance(node, Add)
                return sign.join([a if keep else _inner(a) for a in args])
        if isinstance(node, AddMM):
            return f"{args[0]} + {_inner(args[1])} {_inner(args[2])}"
        if isinstance(node, Linear):
            tail = f" + {args[2]}" if len(args) > 2 else ""
            return f"{_inner(args[0])} {_inner(args[1])}ᵀ{tail}"
        if isinstance(node, PRODUCTS):
            return " ".join(map(_inner, args[:2]))
        if isinstance(node, Lerp):
            a, b, w = map(_inner, args)
            return f"(1 − {w}) ∘ {a} + {w} ∘ {b}"
        symbol = node.symbol or node.label
        if symbol == "x²":
            return _inner(args[0]) + "²"
        if len(args) > 3:
            args = [args[0], "…", args[-1]]
        return f"{symbol}({', '.join(args)})"

    def _argument(self, node: Function, edge: Any, depth: int) -> str:
        if edge.__class__ in SCALARS:
            return f"{edge:g}".replace("-", "−")
        item, k = self.reading.source(edge)
        item = self.reading.joined.get(item, item)
        if isinstance(item, Function) and not isinstance(item, Unstack) and not self._own(item, k):
            if depth >= 2 or item.multi_output or item in self.reading.sums:
                return item.symbol or item.label
            if self.step(item) == self.step(node):
                return self._expression(item, k, depth + 1)
        return self.at_step(item, k, self.step(node))


def _inner(text: str) -> str:
    """An operand of a product, in parentheses if it is a sum."""
    outside = text
    while (shorter := re.sub(r"\([^()]*\)", "", outside)) != outside:
        outside = shorter
    return f"({text})" if " + " in outside or " − " in outside else text


def letters_of(node: Function) -> list[str]:
    """The names of the inputs in ``rule``, one per edge, as ``forward`` has them; "" beyond those."""
    given = [p for p in inspect.signature(node.forward).parameters.values()]
    names = [p.name for p in given if p.kind is not p.VAR_POSITIONAL]
    names = [name.upper() if f"g{name.upper()} =" in node.rule else name for name in names]  # W of a product
    return [names[i] if i < len(names) else "" for i in range(len(node.edges))]
