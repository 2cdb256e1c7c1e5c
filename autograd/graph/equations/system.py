"""The equations of a graph, step by step: first those of values, then, in the order of the backward pass,
those of gradients.
"""

import ast
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...core import Function
from ..picture.names import Names
from ..reading import Output
from .naming import Naming, written_inside
from .recorded import Recorded, shape_of
from .writing import Symbol

Key = tuple[Any, ...]  # where a term comes from, the same in all steps of a loop


class Term(NamedTuple):
    """A part of a gradient: what one use of a value gives to it."""

    tree: ast.expr
    key: Key
    step: int | None  # of the operation that uses it


class Line(NamedTuple):
    """An equation: a name, with its step, and what it is; of a gradient, a sum."""

    target: tuple[str, int | None]
    terms: list[Term]
    note: str = ""


class System:
    """The equations of a graph.

    Attributes:
        forward, backward: the equations.
        symbols, settings: what the names in them stand for.
        sources: the value, or by step the values, behind a name.
        steps: of every group of nodes, the steps that it has.
    """

    def __init__(self, graph: Recorded, params: Any):
        names = Names(graph.reading, params)
        self.graph, self.inlined = graph, written_inside(graph, names)
        self.naming = Naming(graph, names, self.inlined)
        self.symbols, self.sources = self.naming.symbols, self.naming.sources
        self.settings: dict[str, Any] = {}
        self.steps: dict[Any, set[int]] = {}
        for node in graph.reading.nodes:
            group, step = graph.group(node)
            if step is not None:
                self.steps.setdefault(group, set()).add(step)
        self._trees: dict[Function, ast.expr] = {}  # of what is written where it is used
        self.forward = self._forward()
        self.backward = self._backward() if graph.wanted else []

    def _name(self, value: Output, gradient: bool = False) -> ast.expr:
        """A value, or its gradient, by its letter."""
        ident, step = self.naming.of[value]
        if gradient:
            symbol = self.symbols[ident]
            ident = f"g_{ident}"
            self.symbols.setdefault(
                ident, Symbol(symbol.name, symbol.below, symbol.timed, symbol.shape, gradient=True)
            )
        return named(ident, step)

    def _tree(self, expression: str, node: Function, more: Mapping[str, ast.expr] = {}) -> ast.expr:  # noqa: B006
        """An expression of a node's rule with its operands in it."""
        rule, known = self.graph.rules[node], dict(more)
        for name, value in zip(rule.operands, self.graph.operands[node], strict=True):
            if not isinstance(value, tuple):
                known[name] = ast.Constant(value)
            else:
                known[name] = self._trees[value[0]] if value[0] in self.inlined else self._name(value)
        for name, setting in rule.settings.items():
            known[name] = self._setting(name, setting, node)
        return _Simple().visit(_Substitute(known).visit(parsed(expression)))

    def _setting(self, name: str, setting: Any, node: Function) -> ast.expr:
        """A setting of a node by a name, one for all steps of a loop."""
        group, step = self.graph.group(node)
        if step is None:
            ident = f"{name}_{node.number}"
            self.settings[ident] = setting
        else:
            ident = f"{name}_{self.graph.reading.nodes[group[0]].number + group[1]}"
            self.settings.setdefault(ident, {})[step] = setting
        return named(ident, step)

    def _forward(self) -> list[Line]:
        graph, lines = self.graph, []
        for node in graph.reading.nodes:
            rule = graph.rules[node]
            if node in self.inlined:
                self._trees[node] = self._tree(rule.outputs[0], node)
            elif self.naming.sequence(node) is None:
                group, step = graph.group(node)
                for k, expression in enumerate(rule.outputs):
                    if (node, k) in self.naming.of:
                        term = Term(self._tree(expression, node), (group, k), step)
                        lines.append(Line(self.naming.of[node, k], [term], rule.note if graph.wanted else ""))
        return lines

    def _backward(self) -> list[Line]:
        graph = self.graph
        ((_, y),) = graph.reading.results
        start = Term(ast.Constant(1), ("start",), None)
        terms: dict[Output, list[Term]] = {graph.reading.source_of(y): [start] if y.size == 1 else []}
        lines: list[Line] = []
        for node in reversed(graph.reading.nodes):
            outputs = [(node, k) for k in range(len(graph.rules[node].outputs))]
            known = {k: terms[value] for k, value in enumerate(outputs) if value in terms}
            if not known or not any(graph.leads(value) for value in outputs):
                continue
            if node in self.inlined:
                for term in known[0]:
                    self._give(node, {"gy": term.tree}, term, terms)
                continue
            lines += [self._line(outputs[k], own) for k, own in known.items() if own]
            gys = {
                f"gy{k}": self._name(value, True) if k in known else parsed(f"zeros({shape_of(*value)})")
                for k, value in enumerate(outputs)
            }
            self._give(node, gys if node.multi_output else {"gy": gys["gy0"]}, None, terms)
        leaves = [value for value in graph.wanted if not isinstance(value[0], Function) and value in terms]
        return lines + [self._line(value, terms[value]) for value in leaves]

    def _give(
        self, node: Function, gys: Mapping[str, ast.expr], of: Term | None, terms: dict[Output, list[Term]]
    ) -> None:
        """Add what a node gives to its inputs to their terms; ``of`` is the term that stands for its own
        gradient if it has no letter."""
        rule = self.graph.rules[node]
        group, step = self.graph.group(node)
        key: Key = () if of is None else of.key
        y = {}
        if not node.multi_output:
            y["y"] = self._trees[node] if node in self.inlined else self._name((node, 0))
        for i, value in enumerate(self.graph.operands[node]):
            gradient = rule.gradients[i]
            if gradient is not None and self.graph.leads(value):
                tree = _summed(self._tree(gradient, node, {**gys, **y}), rule.shapes[i], shape_of(*value))
                term = Term(tree, (*key, (group, i)), step if of is None else of.step)
                terms.setdefault(value, []).append(term)

    def _line(self, value: Output, terms: list[Term]) -> Line:
        """The equation of a gradient."""
        self._name(value, gradient=True)
        ident, step = self.naming.of[value]
        return Line((f"g_{ident}", step), terms)


# --- expressions ----------------------------------------------------------------------------------


def parsed(expression: str) -> Any:
    """An expression as a tree."""
    return ast.parse(expression, mode="eval").body


def named(ident: str, step: int | None) -> ast.expr:
    """A name, of a step."""
    name = ast.Name(ident)
    return name if step is None else ast.Subscript(name, ast.Constant(step))


def _summed(tree: ast.expr, shape: tuple[int, ...], of: tuple[int, ...]) -> ast.expr:
    """A gradient of the given shape, summed over the axes along which what has shape ``of`` was stretched."""
    if shape == of:
        return tree
    extra = len(shape) - len(of)
    axes = (*range(extra), *[extra + i for i, n in enumerate(of) if n != shape[extra + i]])
    return ast.Call(ast.Name("unbroadcast"), [tree, parsed(str(axes)), parsed(str(of))], [])


class _Substitute(ast.NodeTransformer):
    """Puts expressions in the place of names."""

    def __init__(self, known: Mapping[str, ast.expr]):
        self.known = known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.known.get(node.id, node)


class _Simple(ast.NodeTransformer):
    """Leaves out what is done twice and undone: to transpose, to negate."""

    def visit_Call(self, node: ast.Call) -> Any:
        given = self.generic_visit(node)
        match given:
            case ast.Call(func=ast.Name("T"), args=[ast.Call(func=ast.Name("T"), args=[x])]):
                return x
            case ast.Call(func=ast.Name("T"), args=[ast.Call(func=ast.Name("outer"), args=[a, b])]):
                return ast.Call(ast.Name("outer"), [b, a], [])
        return given

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        given = self.generic_visit(node)
        match given:
            case ast.UnaryOp(op=ast.USub(), operand=ast.UnaryOp(op=ast.USub(), operand=x)):
                return x
        return given
