"""The equations behind a result, one by one: first those of its value, then those of its gradient.

Which values get a letter: those with a name or with several uses, and those without which an equation would
say the same long thing twice. The others are written where they are used.
"""

import ast
import keyword
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ...core import SCALARS, Constant, Function, Variable, edge_type
from ...ops import conv, elementwise, linalg, shape
from ..fold import Fold
from ..picture.names import Names
from ..reading import Item, Reading
from .rules import FUNCTIONS, Rule, rule_of
from .writing import Symbol

Value = tuple[Item, int]  # an output of a node, or a leaf
Key = tuple[Any, ...]  # where a term comes from, the same in all iterations of a loop
LONGEST = 24  # parts of an expression that stands inside of another one
REPEATED = 5  # parts of one that may be written twice
LINEAR = (
    elementwise.Add,
    elementwise.Sub,
    elementwise.Neg,
    linalg.AddMM,
    linalg.Linear,
    linalg.MatMul,
    conv.Conv,
)
BENT = (
    elementwise.Clip,
    elementwise.Relu,
    elementwise.Sigmoid,
    elementwise.Silu,
    elementwise.Softplus,
    elementwise.Tanh,
)
PRODUCTS = linalg.AddMM, linalg.Linear, linalg.MatMul, conv.Conv
POOLS = {"linear": "zupq", "other": "avek", "constant": "c", "leaf": "x", "parameter": "w", "result": "y"}


class Term(NamedTuple):
    """A part of a gradient: what one use of a value gives to it."""

    tree: ast.expr
    key: Key
    step: int | None  # of the operation that uses it


class Line(NamedTuple):
    """An equation of one step: a name, with its step, and what it is; of a gradient, a sum."""

    target: tuple[str, int | None]
    terms: list[Term]
    gradient: bool
    note: str = ""


class System:
    """The equations of a graph.

    Args:
        reading: the graph.
        wanted: the values whose gradients are asked for.
        params: names, as for `draw`.

    Attributes:
        forward, backward: the equations.
        symbols, settings: what the names in them stand for.
        sources: the value, or by step the values, behind a name.
        steps: of a node's group, the steps in which it has members.
    """

    def __init__(self, reading: Reading, wanted: Sequence[Value], params: Any):
        self.reading, self.wanted, self._wanted = reading, list(wanted), set(wanted)
        self.fold, self.names = Fold(reading), Names(reading, params)
        self._results = {reading.source_of(v): path or v.name or "" for path, v in reading.results}
        self._steps_of = {loop: self._counted(loop) for loop in self.fold.loops}
        self.rules = {node: self._rule(node) for node in reading.nodes}
        self.symbols: dict[str, Symbol] = {}
        self.settings: dict[str, Any] = {}
        self.sources: dict[str, Any] = {}
        self.steps: dict[Any, set[int]] = {}
        self._last: dict[str, int] = {}  # numbers that tell identifiers apart
        self._ref: dict[Value, tuple[str, int | None]] = {}
        self._uses: dict[Value, list[tuple[Function, int]]] = {}
        for node in reading.nodes:
            for i, value in enumerate(self._operands(node)):
                if isinstance(value, tuple):
                    self._uses.setdefault(value, []).append((node, i))
        self.on_path = self._on_path()
        self.inlined = self._inlined()
        self._name_all()
        self._trees: dict[Function, ast.expr] = {}
        self.forward = self._forward()
        self.backward = self._backward() if wanted else []

    # -- the graph

    def _rule(self, node: Function) -> Rule:
        if node not in self.reading.sums:
            return rule_of(node)
        names = tuple([f"s{i}" for i in range(len(self.reading.sources[node]))])
        return Rule(names, (" + ".join(names),), ("gy",) * len(names), (node.out_shape,) * len(names))

    def _operands(self, node: Function) -> list[Any]:
        """The inputs of a node: values, and numbers."""
        if node in self.reading.sums:
            return list(self.reading.sources[node])
        return [e if e.__class__ in SCALARS else self.reading.source(e) for e in node.edges]

    def _on_path(self) -> set[Item]:
        """The nodes that depend on what is wanted."""
        found: set[Item] = set()
        for node in self.reading.nodes:
            sources = self.reading.sources[node]
            if any(source in self._wanted or source[0] in found for source in sources):
                found.add(node)
        return found

    def _leads(self, value: Any) -> bool:
        """Is a gradient of this value asked for, or needed for one?"""
        return isinstance(value, tuple) and (value in self._wanted or value[0] in self.on_path)

    def group(self, node: Function) -> tuple[Any, int | None]:
        """What a node is one of, and which: in a loop the same operation of all its steps."""
        if (position := self.fold._where.get(node)) is None:
            return node, None
        loop, n, offset = position
        return (loop.start, offset), self._steps_of[loop][n]

    def _counted(self, loop: Any) -> list[int]:
        """The steps of a loop's iterations, or their numbers."""
        firsts = [self.reading.nodes[loop.start + n * loop.period].place.step for n in range(loop.size)]
        return list(range(loop.size)) if None in firsts or len(set(firsts)) < loop.size else firsts

    # -- which values have a letter

    def _inlined(self) -> set[Function]:
        """The nodes that are written where they are used."""
        found: set[Function] = set()
        size: dict[Function, int] = {}
        passes: dict[Function, int] = {}
        for node in self.reading.nodes:
            operands = self._operands(node)
            inner = [v[0] for v in operands if isinstance(v, tuple) and v[0] in found]
            size[node] = _size(self.rules[node].outputs[0]) + sum([size[n] - 1 for n in inner])
            leads = [v[0] for v in operands if self._leads(v)]
            passes[node] = sum([passes[n] if n in found else 1 for n in leads])
            if (
                node.multi_output
                or (node, 0) in self._results
                or (node, 0) in self._wanted
                or node.name_of(0)
            ):
                continue
            if self._is_turned_leaf(node, found):
                found.add(node)
            elif self._may_stand_inside(node, size[node], passes[node]):
                found.add(node)
        alike: dict[Any, list[Function]] = {}
        for node in self.reading.nodes:
            alike.setdefault(self.group(node)[0], []).append(node)
        return {n for same in alike.values() if all(n in found for n in same) for n in same}

    def _is_turned_leaf(self, node: Function, found: set[Function]) -> bool:
        """Is it a leaf, transposed or copied, and nothing else?"""
        if not isinstance(node, shape.Transpose | shape.Contiguous) or len(node.out_shape) != 2:
            return False
        ((item, _),) = self.reading.sources[node]
        return item in found and self._is_turned_leaf(item, found) if isinstance(item, Function) else True

    def _may_stand_inside(self, node: Function, size: int, passes: int) -> bool:
        uses = self._uses.get((node, 0), [])
        if len(uses) != 1 or size > LONGEST or (self.names.gate(node, 0) and isinstance(node, BENT)):
            return False
        ((user, i),) = uses
        if user.multi_output or self.group(user)[1] != self.group(node)[1]:
            return False
        if not self.on_path:
            return True
        here, there = self.rules[node], self.rules[user]
        read = [g for g, v in zip(there.gradients, self._operands(user), strict=True) if g and self._leads(v)]
        said = sum([_names(g).count(there.operands[i]) for g in read])
        own = [g for g, v in zip(here.gradients, self._operands(node), strict=True) if g and self._leads(v)]
        said += sum([_names(g).count("y") for g in own])
        if said and size > REPEATED:
            return False
        given = there.gradients[i] or ""
        handed_on = {*_names(given)} - FUNCTIONS.keys() == {"gy"} and there.shapes[i] == node.out_shape
        return node not in self.on_path or passes <= 1 or handed_on

    # -- letters

    def _name_all(self) -> None:
        """Give every value that is not inlined a name, one for all steps of a loop."""
        groups: dict[Any, dict[int | None, Value]] = {}
        for node in self.reading.nodes:
            for value in self._operands(node):
                if isinstance(value, tuple) and not isinstance(value[0], Function):
                    key, step = self._leaf_group(value[0], node)
                    groups.setdefault(key, {}).setdefault(step, value)
            if node not in self.inlined:
                key, step = self.group(node)
                self.steps.setdefault(key, set()).update(() if step is None else (step,))
                for k in range(len(node.out_shape) if node.multi_output else 1):
                    if self._whole(node) is not None:
                        groups.setdefault(("parts", node), {})[k] = node, k
                    elif not node.multi_output or (node, k) in self._uses or self._is_result(node, k):
                        groups.setdefault((key, k), {})[step] = node, k
        for _, v in self.reading.results:
            value = self.reading.source_of(v)
            if not isinstance(value[0], Function):
                groups.setdefault(("leaf", value), {})[None] = value
        leaves = [v[0] for g in groups.values() for v in g.values() if self.names.is_parameter(v[0])]
        self.names.shorten(leaves)
        self._letters(self._merged(groups))

    def _whole(self, node: Function) -> Value | None:
        """What a node takes apart into steps: its outputs go by the same name."""
        if not isinstance(node, shape.Unstack) or self.group(node)[1] is not None:
            return None
        ((item, k),) = self.reading.sources[node]
        alone = item not in self.inlined and (not isinstance(item, Function) or self.group(item)[1] is None)
        named = any([node.name_of(i) for i in range(len(node.out_shape))])
        return (item, k) if alone and not named else None

    def _is_result(self, node: Function, k: int) -> bool:
        return (node, k) in self._results

    def _leaf_group(self, leaf: Item, user: Function) -> tuple[Any, int | None]:
        stand_in = self.fold.of(leaf)
        if stand_in in self.fold.inputs and (step := self.group(user)[1]) is not None:
            return ("input", stand_in), step
        return ("leaf", (leaf, 0)), None

    def _merged(
        self, groups: dict[Any, dict[int | None, Value]]
    ) -> list[tuple[tuple[str, ...], dict[Any, Value]]]:
        """Groups with their wanted names; those of one name, in different steps, are one."""
        merged: list[tuple[tuple[str, ...], dict[Any, Value]]] = []
        of_name: dict[tuple[str, ...], list[dict[Any, Value]]] = {}
        for members in groups.values():
            if set(members) == {None} and isinstance(members[None][0], Function):
                node, k = members[None]
                if node.name_of(k) and node.place.step is not None:
                    members = {node.place.step: members[None]}
            first, k = next(iter(members.values()))
            is_part = isinstance(first, Function) and self._whole(first) is not None
            name = ("",) if is_part else self._wanted_name(first, k)
            same = of_name.setdefault(name, []) if name[0] else []
            for known in same:
                if None not in {*known, *members} and not known.keys() & members.keys():
                    known.update(members)
                    break
            else:
                merged.append((name, dict(members)))
                same.append(merged[-1][1])
        return merged

    def _wanted_name(self, item: Item, k: int) -> tuple[str, ...]:
        """A letter and what stands below it; the letter is "" where the value has no name."""
        if not isinstance(item, Function):
            given = self.names.short(item)
            stand_in = self.fold.of(item)
            if stand_in in self.fold.inputs and stand_in in self.fold.names:
                given = self.fold.names[stand_in].rstrip("ₜ")
            return _split_name(given, self.names.is_parameter(item))
        if given := item.name_of(k) or self._results.get((item, k)):
            return _split_name(given)
        gate = self.names.gate(item, k)
        if gate and isinstance(item, BENT):
            return _split_name(gate)
        if isinstance(item, shape.Split):
            source, j = self.reading.sources[item][0]
            if isinstance(source, BENT) and gate:
                return _split_name(gate)
            before = self._wanted_name(source, j) if source not in self.inlined else ("",)
            gate = self.names.gates.get((item, k), str(k + 1)).replace(" ", "")
            return (before[0] or "z", *before[1:], gate)
        return ("z", gate) if gate else (self._state(item),)

    def _state(self, node: Function) -> str:
        """What a value that the next step uses is called: h if it goes into a product there, else c."""
        later = [user for user, _ in self._uses.get((node, 0), ()) if self.fold.delay(node, user)]
        later += [user for n in later if n in self.inlined for user, _ in self._uses[n, 0]]
        if not later:
            return ""
        return "h" if any(isinstance(user, PRODUCTS) for user in later) else "c"

    def _letters(self, merged: Iterable[tuple[tuple[str, ...], dict[Any, Value]]]) -> None:
        """Make the symbols: wanted names first come, first served, then letters for all others."""
        taken: set[tuple[str, ...]] = set()
        merged = list(merged)
        for name, _ in merged:
            taken.add(name[:1])
        used: dict[tuple[str, ...], int] = {}  # and the last number that told others of that name apart
        parts: set[tuple[str, ...]] = set()
        for name, members in merged:
            item, k = next(iter(members.values()))
            whole = self._whole(item) if isinstance(item, Function) else None
            if whole is not None:
                of = self.symbols[self._ref[whole][0]]
                name = (of.name, *of.below)
            elif not name[0]:
                pool = POOLS[self._kind(item, k)]
                name = next(((c,) for c in pool if (c,) not in taken), (pool[0],))
            full = name
            while full in used and name != ("0",) and (whole is None or name in parts):
                used[name] += 1
                full = (*name, str(used[name]))
            used.setdefault(full, 1)
            parts.update([full] if whole else [])
            taken.add(full[:1] if len(full) == 1 else full)
            ident = self._identifier("_".join(full))
            timed = None not in members
            self.symbols[ident] = Symbol(full[0], full[1:], timed, _shape_of(item, k))
            self.sources[ident] = members if timed else members[None]
            for step, value in members.items():
                self._ref[value] = ident, step

    def _kind(self, item: Item, k: int) -> str:
        if isinstance(item, Function):
            if self._is_result(item, k):
                return "result"
            return "linear" if isinstance(item, LINEAR) or item in self.reading.sums else "other"
        if isinstance(item, Constant):
            return "constant"
        return "parameter" if self.names.is_parameter(item) else "leaf"

    def _identifier(self, name: str) -> str:
        """A Python name that is free."""
        plain = unicodedata.normalize("NFKD", name)
        plain = "".join(
            [c if (c.isascii() and c.isalnum()) or c in "αβγδεζηθικλμνξπρστυφχψω" else "_" for c in plain]
        )
        plain = plain.strip("_") or "v"
        if not plain.isidentifier() or keyword.iskeyword(plain) or plain.startswith("g_"):  # of a gradient
            plain = f"v_{plain}"
        free = plain
        while free in self.symbols or free in FUNCTIONS or free in ("t", "s_", "range"):
            self._last[plain] = self._last.get(plain, 1) + 1
            free = f"{plain}__{self._last[plain]}"
        return free

    def ref(self, value: Value, gradient: bool = False) -> ast.expr:
        """A value by its name."""
        ident, step = self._ref[value]
        return named(f"g_{ident}" if gradient else ident, step)

    # -- the equations

    def _tree(self, expression: str, node: Function, more: Mapping[str, ast.expr]) -> ast.expr:
        """An expression of a node's rule with names for its operands."""
        rule = self.rules[node]
        known = dict(more)
        for name, value in zip(rule.operands, self._operands(node), strict=True):
            if not isinstance(value, tuple):
                known[name] = ast.Constant(value)
            elif value[0] in self.inlined:
                known[name] = self._trees[value[0]]
            else:
                known[name] = self.ref(value)
        for name, setting in rule.settings.items():
            known[name] = self._setting(name, setting, node)
        return simple(_Substitute(known).visit(ast.parse(expression, mode="eval").body))

    def _setting(self, name: str, setting: Any, node: Function) -> ast.expr:
        key, step = self.group(node)
        number = node.number if step is None else self.reading.nodes[key[0]].number + key[1]
        full = f"{name}_{number}"
        if step is None:
            self.settings[full] = setting
        else:
            self.settings.setdefault(full, {})[step] = setting
        return named(full, step)

    def _forward(self) -> list[Line]:
        lines = []
        for node in self.reading.nodes:
            rule = self.rules[node]
            if node in self.inlined:
                self._trees[node] = self._tree(rule.outputs[0], node, {})
                continue
            if self._whole(node) is not None:
                continue  # x with a step is a part of x
            key, step = self.group(node)
            used = [k for k in range(len(rule.outputs)) if (node, k) in self._ref]
            for k in used:
                term = Term(self._tree(rule.outputs[k], node, {}), (key, k), step)
                lines.append(Line(self._ref[node, k], [term], False, rule.note))
        return lines

    def _backward(self) -> list[Line]:
        ((_, result),) = self.reading.results
        start = self.reading.source_of(result)
        terms: dict[Value, list[Term]] = {start: []}
        if result.size == 1:
            terms[start] = [Term(ast.Constant(1), ("start",), None)]
        lines: list[Line] = []
        for node in reversed(self.reading.nodes):
            outputs = [(node, k) for k in range(len(self.rules[node].outputs))]
            if not any(self._leads(value) for value in outputs) or not any(v in terms for v in outputs):
                continue
            if node in self.inlined:
                for term in terms[node, 0]:
                    self._hand_on(node, {"gy": term.tree}, term.key, term.step, terms)
                continue
            known = {}
            for k, value in enumerate(outputs):
                zeros = f"zeros({node.out_shape[k] if node.multi_output else node.out_shape})"
                gy = self.ref(value, True) if value in terms else ast.parse(zeros, mode="eval").body
                known["gy" if not node.multi_output else f"gy{k}"] = gy
                if terms.get(value):
                    lines.append(self._gradient_line(value, terms[value]))
            self._hand_on(node, known, (), self.group(node)[1], terms)
        lines += [self._gradient_line(v, terms[v]) for v in self.wanted
                  if not isinstance(v[0], Function) and v in terms]  # fmt: skip
        return lines

    def _hand_on(
        self,
        node: Function,
        known: dict[str, ast.expr],
        key: Key,
        step: int | None,
        terms: dict[Value, list[Term]],
    ) -> None:
        """Add to the gradients of a node's inputs what the node gives to them."""
        rule = self.rules[node]
        if not node.multi_output:
            y = self._trees[node] if node in self.inlined else self.ref((node, 0))
            known = {**known, "y": y}
        group, _ = self.group(node)
        operands = self._operands(node)
        for i, value in enumerate(operands):
            gradient = rule.gradients[i]
            if gradient is None or not self._leads(value):
                continue
            tree = self._tree(gradient, node, known)
            size = _shape_of(*value)
            if rule.shapes[i] != size:
                extra = len(rule.shapes[i]) - len(size)
                axes = [
                    *range(extra),
                    *[extra + j for j, n in enumerate(size) if n != rule.shapes[i][extra + j]],
                ]
                tree = call("unbroadcast", tree, ast.parse(f"{tuple(axes)}, {size}", mode="eval").body.elts)  # type: ignore[attr-defined]
            terms.setdefault(value, []).append(Term(tree, (*key, (group, i)), step))

    def _gradient_line(self, value: Value, terms: list[Term]) -> Line:
        ident, step = self._ref[value]
        symbol = self.symbols[ident]
        gradient = Symbol(symbol.name, symbol.below, symbol.timed, symbol.shape, True)
        self.symbols.setdefault(f"g_{ident}", gradient)
        notes = {self.rules[key[0]].note for term in terms for key in term.key if isinstance(key, tuple)
                 and isinstance(key[0], Function)}  # fmt: skip
        return Line((f"g_{ident}", step), terms, True, "; ".join(sorted(notes - {""})))


# --- names ----------------------------------------------------------------------------------------


def _split_name(name: str, is_parameter: bool = False) -> tuple[str, ...]:
    """W_hh is W with hh below; rnn.weight_hh_l0 is W with rnn, hh and l0 below, and L_0 is as it is."""
    *path, last = name.split(".")
    head, *rest = last.split("_")
    if is_parameter and head in ("weight", "bias"):
        return ("W" if head == "weight" else "b", *path, *rest)
    if len(head) == 1 and all(rest):
        return (head, *path, *rest)
    return (last, *path)


def _shape_of(item: Item, k: int) -> tuple[int, ...]:
    if isinstance(item, Function) and item.multi_output:
        return item.out_shape[k]
    return item.out_shape if isinstance(item, Function) else item.shape


# --- expressions ----------------------------------------------------------------------------------


def named(ident: str, step: int | None) -> ast.expr:
    """A name, of a step."""
    name = ast.Name(ident)
    return name if step is None else ast.Subscript(name, ast.Constant(step))


def call(name: str, tree: ast.expr, more: Iterable[ast.expr] = ()) -> ast.Call:
    return ast.Call(ast.Name(name), [tree, *more], [])


class _Substitute(ast.NodeTransformer):
    """Puts expressions in the place of names."""

    def __init__(self, known: Mapping[str, ast.expr]):
        self.known = known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.known.get(node.id, node)


def simple(tree: Any) -> Any:
    """What is transposed twice is not transposed, what is negated twice not negated."""
    return _Simple().visit(tree)


class _Simple(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.expr:
        given = self.generic_visit(node)
        match given:
            case ast.Call(func=ast.Name("T"), args=[ast.Call(func=ast.Name("T"), args=[x])]):
                return x
            case ast.Call(func=ast.Name("T"), args=[ast.Call(func=ast.Name("outer"), args=[a, b])]):
                return ast.Call(ast.Name("outer"), [b, a], [])
        return given  # type: ignore[return-value]

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        given = self.generic_visit(node)
        match given:
            case ast.UnaryOp(op=ast.USub(), operand=ast.UnaryOp(op=ast.USub(), operand=x)):
                return x
        return given  # type: ignore[return-value]


@lru_cache(1024)
def _names(expression: str) -> list[str]:
    return [n.id for n in ast.walk(ast.parse(expression)) if isinstance(n, ast.Name)]


@lru_cache(1024)
def _size(expression: str) -> int:
    """How many names and numbers it has."""
    return sum(isinstance(n, ast.Name | ast.Constant) for n in ast.walk(ast.parse(expression)))
