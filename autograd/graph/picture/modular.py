"""The module view: boxes for modules, nested by their paths, with their parameters counted inside.

It is made from the folded graph, so a recurrent layer is one box with an arrow to itself, at any number
of steps. What happens outside of all modules is drawn operation by operation.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ...core import Constant, Function
from ..fold import Fold
from ..reading import Item
from . import dot
from .folded import delay
from .heat import Heat
from .labels import Labels
from .names import scopes_of
from .scene import Path, Scene
from .unrolled import hidden

Key = Any  # a Path for a box, an item otherwise, ("y", i) for a result


def module_scene(
    fold: Fold,
    labels: Labels,
    params: Any,
    depth: int | None,
    hide: Collection[Any],
    direction: str | None,
) -> Scene:
    """The graph by modules; ``depth`` is how many levels of the tree are told apart."""
    scene = Scene(direction or "LR")
    scopes = {n.place.scope for n in fold.nodes}
    inner = {s[:i] for s in scopes for i, c in enumerate(s) if c == "."}  # scopes with others inside
    if depth is not None:
        inner = {s for s in inner if s.count(".") + 1 < depth}
    box: dict[Function, Path] = {}
    around: dict[Key, Path] = {}
    for node in fold.nodes:
        path = tuple(node.place.scope.split(".")) if node.place.scope else ()
        path = path if depth is None else path[:depth]
        if path and ".".join(path) not in inner:
            box[node] = path
        around[node] = path[:-1] if node in box else path
    for path in sorted({p[:i] for p in around.values() for i in range(1, len(p) + 1)}):
        scene.open(path, {**dot.FRAME, "bgcolor": "white", "label": dot.escape(dot.clean(path[-1]))})
    held: dict[Path, dict[Item, None]] = {}  # the parameters that a box uses
    arrows: dict[tuple[Key, Key], dict[str, None]] = {}  # with the words on them
    same: dict[Any, Constant] = {}
    gone = {n for n in fold.nodes if n not in box and hidden(n, hide)}
    ways: dict[Item, list[Key]] = {}  # hidden operation -> what stands for it
    for node in fold.nodes:
        head = box.get(node, node)
        for item, k in fold.sources[node]:
            if labels.names.is_parameter(item) and node in box:
                held.setdefault(box[node], {})[item] = None
            elif not isinstance(item, Function) and hidden(item, hide):
                continue
            elif isinstance(item, Constant) and fold.bends[item, k, node] == {None}:
                continue  # zeros that a layer starts from are its own affair
            else:
                tail: Key = box.get(item, item)
                if isinstance(item, Constant):  # the same for all who start with zeros, say
                    tail = same.setdefault((item.name, item.shape), item)
                for way in ways.get(item, [tail]):
                    if node in gone:
                        ways.setdefault(node, []).append(way)
                    else:
                        words = arrows.setdefault((way, head), {})
                        words.update({fold.words(fold.bends[item, k, node], node): None})
    for i, (_, v) in enumerate(fold.results):
        item, k = fold.source_of(v)
        for way in ways.get(item, [box.get(item, item)]):
            arrows.setdefault((way, ("y", i)), {})
    keys = dict.fromkeys([*box.values(), *[n for n in fold.nodes if n not in box and n not in gone]])
    keys.update(dict.fromkeys([k for arrow in arrows for k in arrow]))
    if labels.heat:
        left_out = {i for i in (*gone, *fold.leaves()) if i in gone or hidden(i, hide)}
        _measure(labels.heat, fold, box, left_out, arrows, keys)
    labels.parameters([k for k in keys if not isinstance(k, tuple | Function)])
    classes = {scope: type(getattr(m, "cell", m)).__name__ for scope, m in scopes_of(params).items()}
    idents: dict[Key, str] = {}
    for key in keys:
        if isinstance(key, tuple) and key[0] == "y" and isinstance(key[1], int):
            idents[key] = f"y{key[1]}"
            scene.add(dot.node(idents[key], *labels.result(key[1])))
        elif isinstance(key, tuple):
            idents[key] = f"m{len(idents)}"
            numbers = sum([math.prod(p.shape) for p in held.get(key, {})])
            kind = classes.get(".".join(key), "")
            lines = [dot.clean(key[-1]), kind, f"{numbers:,} parameters" if numbers else ""]
            values = {"tooltip": dot.lines(dot.clean(".".join(key), 200), kind)}
            if labels.heat:
                lines += labels.heat.lines(key)
                values |= labels.heat.outline(key)
            values = {"label": dot.lines(*lines), **values}
            scene.add(dot.node(idents[key], "module", values), key[:-1])
        else:
            idents[key] = f"n{len(idents)}"
            if isinstance(key, Function):
                style, values = labels.operation(key, scene.reversed)
            else:
                style, values = labels.leaf(key)
            scene.add(dot.node(idents[key], style, values), around.get(key, ()))
    for (tail, head), words in arrows.items():
        look = labels.heat.edge((tail, head)) if labels.heat else {}
        if labels.heat and (size := labels.heat.flow((tail, head))):
            look |= {"label": f"  {size}", "fontcolor": dot.GREY}
        if delays := ", ".join([w for w in words if w]):
            look |= delay(delays, look if labels.heat else None)
            if not _equal(tail, head):
                look["constraint"] = "false"
            if not scene.notes:
                scene.notes.append(f"blue{' words' if labels.heat else ''}: {fold.directions()}")
        elif _equal(tail, head):
            continue
        scene.add(dot.edge(idents[tail], idents[head], look))
    labels.explain(scene)
    return scene


def _measure(
    heat: Heat,
    fold: Fold,
    box: Mapping[Function, Path],
    left_out: Collection[Item],
    arrows: Iterable[tuple[Key, Key]],
    keys: Iterable[Key],
) -> None:
    """Find what flows between the boxes, over all steps."""

    def vertex(item: Item) -> Key:
        return box.get(fold.of(item), fold.of(item))

    def arrow(item: Item, k: int, head: Any, at: int, group: Any) -> tuple[Key, Key] | None:
        end = ("y", fold.result_of[head]) if isinstance(head, int) else vertex(head)
        if _equal(vertex(item), end) and not _later(fold, item, head):
            return None  # inside of the box
        return vertex(item), end

    heat.measure(
        arrows,
        [(key, None) for key in keys],
        arrow,
        spot=vertex,
        gone=lambda item: fold.of(item) in left_out,
        frame=lambda node: None,
        boxes=set(box.values()),
    )


def _later(fold: Fold, item: Function, head: Function) -> bool:
    """Is a node in a later step than one that it depends on?"""
    steps = item.place.step, head.place.step
    return bool(fold.delay(item, head)) if None in steps else steps[0] != steps[1]


def _equal(a: Key, b: Key) -> bool:
    """Variables compare elementwise, paths by what they say."""
    return a is b or (isinstance(a, tuple) and isinstance(b, tuple) and a == b)
