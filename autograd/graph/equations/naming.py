"""Which values of a graph have a letter, and which.

Those with a name or with several uses have one, and those without which an equation would say a long thing
twice. The others are written where they are used.
"""

import ast
import keyword
import re
import unicodedata
from functools import lru_cache
from typing import Any

from ...core import Constant, Function
from ...ops import conv, elementwise, linalg, shape
from ..picture.names import Names
from ..reading import Item, Output
from .recorded import Recorded, shape_of
from .rules import FUNCTIONS
from .writing import Symbol

LONGEST = 24  # parts of an expression that stands inside of another one
REPEATED = 5  # parts of one that may be written twice
LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
LINEAR = (
    elementwise.Add,
    elementwise.Sub,
    elementwise.Neg,
    linalg.AddMM,
    linalg.Linear,
    linalg.MatMul,
    conv.Conv,
)
NONLINEAR = (
    elementwise.Clip,
    elementwise.Relu,
    elementwise.Sigmoid,
    elementwise.Silu,
    elementwise.Softplus,
    elementwise.Tanh,
)
PRODUCTS = linalg.AddMM, linalg.Linear, linalg.MatMul, conv.Conv
POOLS = {"linear": "zupq", "other": "avek", "constant": "c", "leaf": "x", "parameter": "w", "result": "y"}


Name = tuple[str, ...]  # a letter, "" for any that is free, and what stands below it
Members = dict[int | None, Output]  # the values that one symbol stands for, by step


# --- without a letter -----------------------------------------------------------------------------


def written_inside(graph: Recorded, names: Names) -> set[Function]:
    """The nodes that are written where they are used, of a loop in all steps or in none."""
    found: set[Function] = set()
    transposed: set[Function] = set()  # leaves, and nothing else
    size: dict[Function, int] = {}
    targets: dict[Function, int] = {}  # how many gradients are made of that of a node
    for node in graph.reading.nodes:
        sources = [value[0] for value in graph.operands[node] if isinstance(value, tuple)]
        inner = [size[item] - 1 for item in sources if item in found]
        size[node] = _size(graph.rules[node].outputs[0]) + sum(inner)
        ends = [value[0] for value in graph.operands[node] if graph.leads(value)]
        targets[node] = sum([targets[item] if item in found else 1 for item in ends])
        value = node, 0
        if node.multi_output or value in graph.results or graph.is_wanted(value) or node.name_of(0):
            continue
        is_layout = isinstance(node, shape.Transpose | shape.Contiguous) and len(node.out_shape) == 2
        if is_layout and (not isinstance(sources[0], Function) or sources[0] in transposed):
            transposed.add(node)
        elif not _may_stand_inside(graph, names, node, size[node], targets[node]):
            continue
        found.add(node)
    alike: dict[Any, list[Function]] = {}
    for node in graph.reading.nodes:
        alike.setdefault(graph.group(node)[0], []).append(node)
    return {node for same in alike.values() if found.issuperset(same) for node in same}


def _may_stand_inside(graph: Recorded, names: Names, node: Function, size: int, targets: int) -> bool:
    """Is a node used once, in its own step, and neither its value nor its gradient long and written twice?"""
    uses = graph.uses.get((node, 0), [])
    if len(uses) != 1 or size > LONGEST or (names.gate(node, 0) and isinstance(node, NONLINEAR)):
        return False
    ((user, i),) = uses
    if user.multi_output or graph.group(user)[1] != graph.group(node)[1]:
        return False
    if not graph.on_path:
        return True
    name, given = graph.rules[user].operands[i], graph.rules[user].gradients[i] or ""
    mentions = sum([_names(gradient).count(name) for gradient in _needed(graph, user)])
    mentions += sum([_names(gradient).count("y") for gradient in _needed(graph, node)])
    if mentions and size > REPEATED:
        return False
    is_short = {*_names(given)} - FUNCTIONS.keys() == {"gy"} and graph.rules[user].shapes[i] == node.out_shape
    return node not in graph.on_path or targets <= 1 or is_short


def _needed(graph: Recorded, node: Function) -> list[str]:
    """The expressions of those gradients of a node's inputs that are needed."""
    pairs = zip(graph.rules[node].gradients, graph.operands[node], strict=True)
    return [gradient for gradient, value in pairs if gradient and graph.leads(value)]


@lru_cache(1024)
def _names(expression: str) -> list[str]:
    return [n.id for n in ast.walk(ast.parse(expression)) if isinstance(n, ast.Name)]


@lru_cache(1024)
def _size(expression: str) -> int:
    """How many names and numbers an expression has."""
    return sum(isinstance(n, ast.Name | ast.Constant) for n in ast.walk(ast.parse(expression)))


# --- with one -------------------------------------------------------------------------------------


class Naming:
    """The symbols of a graph.

    Attributes:
        symbols: by Python names.
        sources: the value, or by step the values, behind each.
        of: the Python name and the step of every value that has a letter.
    """

    def __init__(self, graph: Recorded, names: Names, inlined: set[Function]):
        self.graph, self.names, self.inlined = graph, names, inlined
        self.symbols: dict[str, Symbol] = {}
        self.sources: dict[str, Any] = {}
        self.of: dict[Output, tuple[str, int | None]] = {}
        self._last: dict[str, int] = {}  # numbers that tell identifiers apart
        groups = self._groups()
        leaves = [item for group in groups for item, _ in group.values() if names.is_parameter(item)]
        names.shorten(leaves)
        self._give_letters(self._merged(groups))

    def _groups(self) -> list[Members]:
        """Values that are the same one of different steps, in the order of their first use."""
        graph, groups = self.graph, dict[Any, Members]()
        for node in graph.reading.nodes:
            for value in graph.operands[node]:
                if isinstance(value, tuple) and not isinstance(value[0], Function):
                    key, step = self._leaf_group(value[0], node)
                    groups.setdefault(key, {}).setdefault(step, value)
            if node in self.inlined:
                continue
            key, step = graph.group(node)
            for k in range(len(node.out_shape) if node.multi_output else 1):
                if self.sequence(node) is not None:
                    groups.setdefault(node, {})[k] = node, k
                elif not node.multi_output or (node, k) in graph.uses or (node, k) in graph.results:
                    groups.setdefault((key, k), {})[step] = node, k
        for item, k in graph.results:
            if not isinstance(item, Function):
                groups.setdefault(("leaf", item), {})[None] = item, k
        return list(groups.values())

    def _leaf_group(self, leaf: Item, user: Function) -> tuple[Any, int | None]:
        stand_in = self.graph.loops.stands_for.get(leaf, leaf)
        if stand_in in self.graph.loops.inputs and (step := self.graph.group(user)[1]) is not None:
            return ("input", stand_in), step
        return ("leaf", leaf), None

    def sequence(self, item: Item) -> Output | None:
        """What a node takes apart into its steps; their symbol is that of the whole, with a step."""
        if not isinstance(item, shape.Unstack) or self.graph.group(item)[1] is not None:
            return None
        (whole,) = self.graph.operands[item]
        is_single = not isinstance(whole[0], Function) or self.graph.group(whole[0])[1] is None
        has_names = any([item.name_of(k) for k in range(len(item.out_shape))])
        return whole if is_single and whole[0] not in self.inlined and not has_names else None

    def _merged(self, groups: list[Members]) -> list[tuple[Name, Members]]:
        """The groups with the names that they should have; those of one name in different steps are one."""
        merged: list[tuple[Name, Members]] = []
        of_name: dict[Name, list[Members]] = {}
        for members in groups:
            (step, (item, k)), *_ = members.items()
            if (
                step is None
                and isinstance(item, Function)
                and item.name_of(k)
                and item.place.step is not None
            ):
                members = {item.place.step: (item, k)}
            name = ("",) if self.sequence(item) is not None else self._own_name(item, k)
            if step is not None and isinstance(item, Function) and item.name_of(k):
                name = _split_name(_common_name(members))
            same = of_name.setdefault(name, []) if name[0] else []
            for known in same:
                if None not in {*known, *members} and not known.keys() & members.keys():
                    known.update(members)
                    break
            else:
                merged.append((name, dict(members)))
                same.append(merged[-1][1])
        return merged

    # -- names that values have

    def _own_name(self, item: Item, k: int) -> Name:
        """By users and modules, by gates, and h and c for states."""
        if not isinstance(item, Function):
            stand_in = self.graph.loops.stands_for.get(item, item)
            name = self.names.short(item)
            if not isinstance(stand_in, Function) and stand_in in self.graph.loops.names:
                name = self.graph.loops.names[stand_in].rstrip("ₜ")
            return _split_name(name, self.names.is_parameter(item))
        if given := item.name_of(k) or self.graph.results.get((item, k)):
            return _split_name(given)
        gate = self.names.gate(item, k)
        if gate and isinstance(item, NONLINEAR):
            return (gate,)
        if isinstance(item, shape.Split):
            ((source, j),) = self.graph.operands[item]
            if gate and isinstance(source, NONLINEAR):
                return (gate,)
            letter, *below = ("",) if source in self.inlined else self._own_name(source, j)
            return (letter or "z", *below, self.names.gates.get((item, k), str(k + 1)).replace(" ", ""))
        return ("z", gate) if gate else (self._state(item),)

    def _state(self, node: Function) -> str:
        """What a value that the next step uses is called: h if it goes into a product there, else c."""
        here = self.graph.loops.positions.get(node)
        later = []
        for user, _ in self.graph.uses.get((node, 0), ()):
            there = self.graph.loops.positions.get(user)
            if here and there and there.loop is here.loop and there.iteration > here.iteration:
                later.append(user)
                if user in self.inlined:
                    later += [over for over, _ in self.graph.uses[user, 0]]
        if not later:
            return ""
        return "h" if any(isinstance(user, PRODUCTS) for user in later) else "c"

    # -- symbols

    def _give_letters(self, merged: list[tuple[Name, Members]]) -> None:
        """Own names first come, first served, with numbers for others of the same; then free letters."""
        letters = {name[0] for name, _ in merged}
        last: dict[Name, int] = {}  # the number of the last symbol of a name
        sequences: set[Name] = set()
        for name, members in merged:
            (step, (item, k)), *_ = members.items()
            whole = self.sequence(item)
            if whole is not None:
                symbol = self.symbols[self.of[whole][0]]
                name = (symbol.name, *symbol.below)
            elif not name[0]:
                pool = POOLS[self._kind(item, k)]
                name = (next((letter for letter in pool if letter not in letters), pool[0]),)
            full = name
            while full in last and name != ("0",) and (whole is None or name in sequences):
                last[name] += 1
                full = (*name, str(last[name]))
            last.setdefault(full, 1)
            letters.update(full if len(full) == 1 else ())
            sequences.update(() if whole is None else (full,))
            ident = self._identifier("_".join(full))
            self.symbols[ident] = Symbol(full[0], full[1:], step is not None, shape_of(item, k))
            self.sources[ident] = (item, k) if step is None else members
            self.of.update({value: (ident, t) for t, value in members.items()})

    def _kind(self, item: Item, k: int) -> str:
        if isinstance(item, Function):
            is_linear = isinstance(item, LINEAR) or item in self.graph.reading.sums
            return "result" if (item, k) in self.graph.results else "linear" if is_linear else "other"
        if isinstance(item, Constant):
            return "constant"
        return "parameter" if self.names.is_parameter(item) else "leaf"

    def _identifier(self, name: str) -> str:
        """A Python name that is free; those that begin with g_ are for gradients."""
        letters = [c if c.isalnum() and c.isidentifier() or c.isdigit() else "_"
                   for c in unicodedata.normalize("NFKD", name)]  # fmt: skip
        plain = "".join(letters).strip("_")
        if not plain.isidentifier() or keyword.iskeyword(plain) or plain.startswith("g_"):
            plain = f"v_{plain}"
        free = plain
        while free in self.symbols or free in FUNCTIONS or free in ("t", "s_", "range"):
            self._last[plain] = self._last.get(plain, 1) + 1
            free = f"{plain}__{self._last[plain]}"
        return free


def _common_name(members: Members) -> str:
    """The name of a value in every step, without the step: h for h[0], h[1], ...; "" if the numbers are not
    those of the steps, as h₁ in step 0, or the names have nothing in common."""
    names = {
        t: (item.name_of(k) or "" if isinstance(item, Function) else "") for t, (item, k) in members.items()
    }
    if len(set(names.values())) == 1:
        return next(iter(names.values()))
    found = [re.fullmatch(r"(.+?)[_\[(]*(\d+)[\])]*", name.translate(LOWERED)) for name in names.values()]
    letters = {m[1] if m and int(m[2]) == t else "" for t, m in zip(names, found, strict=True)}
    return letters.pop() if len(letters) == 1 else ""


def _split_name(name: str, is_parameter: bool = False) -> Name:
    """W_hh is W with hh below; rnn.weight_hh_l0 is W with rnn, hh and l0; a word is what it is."""
    *path, last = name.split(".")
    head, *rest = last.split("_")
    if is_parameter and head in ("weight", "bias"):
        return ("W" if head == "weight" else "b", *path, *rest)
    return (head, *path, *rest) if len(head) == 1 and all(rest) else (last, *path)
