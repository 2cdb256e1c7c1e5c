"""Equations of single steps, brought together: one with an index t stands for all that differ by it alone.

The trees of all steps are walked side by side. Where numbers differ as the steps do, there is t, or t and a
number; where one step has something else instead of h[t - 1], this is what h was before the first step.
"""

import ast
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .system import Line, System, Term, named

Starts = dict[tuple[str, int], ast.expr]  # name and step -> what stands for it before the loop
FEWEST = 3  # terms, from which a sum of arrays without a common loop is written with an index


class Equation(NamedTuple):
    """What one or several names are: for each of ``steps``, where it has t in it."""

    target: ast.expr
    tree: ast.expr
    steps: ast.expr | None
    note: str = ""


class Different(Exception):
    """Trees that are not one but for their steps."""


def as_they_are(lines: Sequence[Line]) -> list[Equation]:
    """Every line an equation."""
    return [Equation(named(*line.target), _sum([t.tree for t in line.terms]), None, line.note)
            for line in lines]  # fmt: skip


def _sum(trees: Sequence[ast.expr]) -> ast.expr:
    first, *rest = trees
    for tree in rest:
        first = ast.BinOp(first, ast.Add(), tree)
    return first


class Folding:
    """Folds the lines of a system."""

    def __init__(self, system: System):
        self.system = system
        self.starts: Starts = {}

    def equations(self, lines: Sequence[Line]) -> list[Equation]:
        """One equation for all steps of a name, in the place of the first; all where they differ."""
        alike: dict[str, list[Line]] = {}
        for line in lines:
            alike.setdefault(line.target[0], []).append(line)
        found: list[Equation] = []
        for same in alike.values():
            known = dict(self.starts)
            try:
                folded = [self._folded(same)]
            except Different:
                self.starts = known
                folded = as_they_are(same)
            for (ident, step), tree in self.starts.items():
                if (ident, step) not in known:
                    found.append(Equation(named(ident, step), tree, None))
            found += folded
        return found

    def _folded(self, lines: Sequence[Line]) -> Equation:
        first = lines[0]
        ident, step = first.target
        if step is None:
            tree = _sum(self._sums(first.terms))
            return Equation(named(ident, None), tree, None, first.note)
        if len(lines) == 1:
            raise Different
        steps = [t for line in lines if (t := line.target[1]) is not None]
        tree = _sum(self._terms(lines, steps))
        target = ast.Subscript(ast.Name(ident), ast.Name("t"))
        return Equation(target, tree, span(sorted(steps)), first.note)

    # -- terms

    def _terms(self, lines: Sequence[Line], steps: Sequence[int]) -> list[ast.expr]:
        """The terms of all steps; one that some steps have not gets a condition."""
        found: dict[Any, dict[int, Term]] = {}
        for line in lines:
            for term in line.terms:
                key = term.key
                if term.step is None:  # a stack, say, whose inputs are the steps
                    key = (*[part[0] if isinstance(part, tuple) else part for part in key], "any")
                here, step = found.setdefault(key, {}), line.target[1]
                if step is None or step in here:
                    raise Different
                here[step] = term
        return [self._term(here, steps) for here in found.values()]

    def _term(self, terms: Mapping[int, Term], steps: Sequence[int]) -> ast.expr:
        tree = self._one([term.tree for term in terms.values()], list(terms))
        if terms.keys() == set(steps):
            return tree
        first_step, first = next(iter(terms.items()))
        if first.step is not None:
            delay = first.step - first_step
            possible = self._steps_of(first)
            if terms.keys() == {t for t in steps if t + delay in possible}:
                return tree  # the others would be beyond the last step
        at = sorted(terms)
        where: Any = ast.Compare(ast.Name("t"), [ast.Eq()], [ast.Constant(at[0])])
        if len(at) > 1:
            where = ast.Compare(ast.Name("t"), [ast.In()], [ast.Set([ast.Constant(t) for t in at])])
        return ast.BinOp(where, ast.Mult(), tree)

    def _steps_of(self, term: Term) -> set[int]:
        """The steps of the loop that a term comes from."""
        for part in term.key:
            if isinstance(part, tuple) and self.system.steps.get(part[0]):
                return self.system.steps[part[0]]
        return set()

    def _sums(self, terms: Sequence[Term]) -> list[ast.expr]:
        """The terms of what has no steps: those of the steps of a loop are one sum over t."""
        found: dict[Any, list[Term]] = {}
        for term in terms:
            key = term.key if term.step is not None else (term.key, len(found))
            found.setdefault(key, []).append(term)
        sums = []
        for same in found.values():
            steps = [term.step for term in same]
            if len(same) == 1 or None in steps or len(set(steps)) < len(steps):
                sums += [self._listed(term.tree) for term in same]
            else:
                tree = self._one([term.tree for term in same], steps)  # type: ignore[arg-type]
                sums.append(_over("total", ast.GeneratorExp, tree, steps))  # type: ignore[arg-type]
        return sums

    def _listed(self, tree: ast.expr) -> ast.expr:
        """Long lists, and sums, with an index in the place of their parts."""
        match tree:
            case ast.Call(func=ast.Name("stack" | "concat"), args=[ast.List(elts=parts), axis]):
                if (folded := self._series(parts)) is not None:
                    return ast.Call(tree.func, [_comprehension(ast.ListComp, *folded), axis], [])
                return ast.Call(tree.func, [ast.List([self._listed(part) for part in parts]), axis], [])
            case ast.BinOp(op=ast.Add()):
                parts = _summands(tree)
                if len(parts) >= FEWEST and (folded := self._series(parts)) is not None:
                    return ast.Call(ast.Name("total"), [_comprehension(ast.GeneratorExp, *folded)], [])
        match tree:
            case ast.BinOp(left=left, op=op, right=right) if not isinstance(op, ast.Add):
                return ast.BinOp(self._listed(left), op, self._listed(right))
            case ast.Call(func=f, args=[x, *rest]) if not isinstance(x, ast.List):
                return ast.Call(f, [self._listed(x), *rest], [])
        return tree

    def _series(self, parts: Sequence[ast.expr]) -> tuple[ast.expr, list[int]] | None:
        """A part with an index, and what the index goes through."""
        found = [[n for n in ast.walk(part) if self._is_timed(n)] for part in parts]
        steps = [inner[0].slice.value if inner else None for inner in found]  # type: ignore[attr-defined]
        if None in steps or len(set(steps)) < max(2, len(steps)):
            return None
        try:
            return self._one(parts, steps), steps  # type: ignore[arg-type, return-value]
        except Different:
            return None

    # -- trees

    def _is_timed(self, tree: Any) -> bool:
        name = tree.value.id if isinstance(tree, ast.Subscript) and isinstance(tree.value, ast.Name) else ""
        return name in self.system.settings or (
            name in self.system.symbols and self.system.symbols[name].timed
        )

    def _one(self, trees: Sequence[Any], steps: Sequence[int]) -> Any:
        """The tree that becomes each of ``trees`` with one of ``steps`` for t."""
        first = trees[0]
        if all(self._is_timed(tree) for tree in trees) and len({tree.value.id for tree in trees}) == 1:
            index = _index([tree.slice.value for tree in trees], steps)
            return ast.Subscript(first.value, index)
        if any(self._is_timed(tree) for tree in trees):
            return self._started(trees, steps)
        if len({type(tree) for tree in trees}) > 1:
            raise Different
        if isinstance(first, ast.Constant):
            values = [tree.value for tree in trees]
            if all(value == values[0] for value in values):
                return first
            if not all(type(value) is int for value in values):
                raise Different
            return _index(values, steps)
        if isinstance(first, list):
            if len({len(tree) for tree in trees}) > 1:
                raise Different
            return [self._one(parts, steps) for parts in zip(*trees, strict=True)]
        if not isinstance(first, ast.AST):
            if any(tree != first for tree in trees):
                raise Different
            return first
        fields = {name: self._one([getattr(tree, name, None) for tree in trees], steps)
                  for name in first._fields if name not in ("ctx", "keywords", "kind")}  # fmt: skip
        return type(first)(**fields, **({"keywords": []} if isinstance(first, ast.Call) else {}))

    def _started(self, trees: Sequence[Any], steps: Sequence[int]) -> ast.expr:
        """The same where some steps have something else: what there was before the loop."""
        names = Counter([tree.value.id for tree in trees if self._is_timed(tree)])
        name, _ = names.most_common(1)[0]
        usual = [i for i, tree in enumerate(trees) if self._is_timed(tree) and tree.value.id == name]
        if name in self.system.settings:
            raise Different
        tree = self._one([trees[i] for i in usual], [steps[i] for i in usual])
        for i, other in enumerate(trees):
            if i not in usual:
                step = eval(ast.unparse(tree.slice), {"t": steps[i]})
                if step in self.system.sources[name]:
                    raise Different
                before = self.starts.setdefault((name, step), other)
                if ast.dump(before) != ast.dump(other):
                    raise Different
        return tree


def _index(values: Sequence[int], steps: Sequence[int]) -> ast.expr:
    """The number, or what t has to do with it."""
    if len(set(values)) == 1 and len(values) > 1:
        return ast.Constant(values[0])
    apart = {value - step for value, step in zip(values, steps, strict=True)}
    together = {value + step for value, step in zip(values, steps, strict=True)}
    t = ast.Name("t")
    if len(apart) == 1:
        (n,) = apart
        sign: Any = ast.Add() if n > 0 else ast.Sub()
        return ast.BinOp(t, sign, ast.Constant(abs(n))) if n else t
    if len(together) == 1:
        return ast.BinOp(ast.Constant(together.pop()), ast.Sub(), t)
    raise Different


def _summands(tree: ast.expr) -> list[ast.expr]:
    parts: list[ast.expr] = []
    while isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
        parts.append(tree.right)
        tree = tree.left
    return [tree, *reversed(parts)]


def span(steps: Sequence[int]) -> ast.expr:
    """A range, or a list of steps."""
    if len(steps) > 1 and list(steps) == list(range(steps[0], steps[-1] + 1)):
        return ast.Call(ast.Name("range"), [ast.Constant(steps[0]), ast.Constant(steps[-1] + 1)], [])
    if len(steps) > 1 and list(steps) == list(range(steps[0], steps[-1] - 1, -1)):
        ends = steps[0], steps[-1] - 1, -1
        return ast.parse(f"range({ends[0]}, {ends[1]}, {ends[2]})", mode="eval").body
    return ast.List([ast.Constant(t) for t in steps])


def _comprehension(kind: Any, tree: ast.expr, steps: Sequence[int]) -> ast.expr:
    return kind(tree, [ast.comprehension(ast.Name("t"), span(steps), [], 0)])


def _over(name: str, kind: Any, tree: ast.expr, steps: Sequence[int]) -> ast.expr:
    ends = sorted(steps)
    return ast.Call(ast.Name(name), [_comprehension(kind, tree, ends)], [])
