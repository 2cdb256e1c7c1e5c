"""A museum of bugs: engines and loops that are wrong in one line, run beside the right ones.

    python -m examples.bug_museum            # all exhibits; pictures into runs/bug_museum
    python -m examples.bug_museum --quick    # without pictures

What one sees of each bug, its cause and how to find it is told in docs/bug_museum.md.
`walk` is reverse mode in a dozen lines, on the graph that this library records. An exhibit exchanges one
line of it, or of a program that it differentiates, and marks in the graph the first edge, in the order of
the backward pass, over which something else flows than in the right one.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

import autograd as ag
from autograd import Variable, graph
from autograd.bptt import derivations, flow
from autograd.extend import Deferred, Function
from examples.shared.options import arguments

Array = np.ndarray
Edge = Any  # a Function, for its output, or a leaf


class Step(NamedTuple):
    """What a node gave over one of its edges, and the sum that was kept at the end of the edge after it."""

    node: Function
    i: int
    given: Array
    kept: Array


# --- the right engine -----------------------------------------------------------------------------


def walk(y: Variable) -> Iterator[Step]:
    """Reverse mode from ``y``, edge by edge."""
    grads: dict[Edge, Any] = {y.creator: np.ones_like(y.data)}
    for node in sorted(depth_first(y), key=lambda node: -node.number):
        for i, (edge, g) in enumerate(zip(node.edges, local(node, grads[node]), strict=True)):
            if g is not None and isinstance(edge, Function | Variable):
                g = sum_to(g, shape_of(edge))
                grads[edge] = grads.get(edge, 0) + g
                yield Step(node, i, g, grads[edge])


def depth_first(y: Variable) -> list[Function]:
    """The nodes behind ``y`` as a depth-first search comes to them: along one branch, then along the next."""
    order: list[Function] = []
    stack = [y.creator]
    while stack:
        node = stack.pop()
        if node not in order:
            order.append(node)
            stack += [edge for edge in reversed(node.edges) if isinstance(edge, Function)]
    return order


def local(node: Function, gy: Array) -> list[Any]:
    """The gradients of a node's inputs, from that of its output and what the node has saved."""
    gxs = node.backward(gy, *node.values())
    return [g.array() if isinstance(g, Deferred) else g for g in (gxs if isinstance(gxs, tuple) else (gxs,))]


def sum_to(g: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of an input of this shape, which was broadcast: summed over its copies."""
    g = g.sum(tuple(range(g.ndim - len(shape))))
    return g.sum(tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


def shape_of(edge: Edge) -> tuple[int, ...]:
    return edge.out_shape if isinstance(edge, Function) else edge.shape


# --- the right programs ---------------------------------------------------------------------------

_rng = np.random.default_rng(0)
B, I, H = 2, 2, 3  # noqa: E741
X = [Variable(_rng.normal(size=(B, I)), requires_grad=False, name="x") for _ in range(4)]
Y = Variable(np.tanh(_rng.normal(size=(B, H))), requires_grad=False, name="target")
H0 = Variable(_rng.normal(size=(B, H)), requires_grad=False, name="h₀")
LEAVES = {"W": 0.7 * _rng.normal(size=(H, H)), "U": 0.5 * _rng.normal(size=(I, H)), "b": _rng.normal(size=H)}


def called(y: Variable, name: str) -> Variable:
    """``y`` under a name."""
    y.name = name
    return y


def elman(t: int, h: Variable, W: Variable, U: Variable, b: Variable) -> Variable:
    return ag.tanh(X[t % 4] @ U + h @ W + b)


def diamond(x: Variable) -> Variable:
    """Two branches from h, and both meet again."""
    h = called(x * x, "h")
    return called(h * 2.0 + h * 5.0, "y")


def recurrent(W: Variable, U: Variable, b: Variable) -> Variable:
    """Three steps of an Elman network, and a loss at the end."""
    h = H0
    for t in range(3):
        with ag.step(t):
            h = called(elman(t, h, W, U, b), "h")
    return called(ag.square(h - Y).sum(), "L")


def windows(W: Variable, U: Variable, b: Variable, count: int = 2) -> Variable:
    """Truncated backpropagation through time: windows of two steps, and the loss of the last."""
    h = H0
    for t in range(0, 2 * count, 2):
        h = h.detach()
        for k in (t, t + 1):
            with ag.step(k):
                h = called(elman(k, h, W, U, b), "h")
    return called(ag.square(h - Y).sum(), "L")


def dropped(U: Variable, T: int = 4) -> Variable:
    """A memory that adds up its inputs, none below 0, with dropout on the state: what is left at the end."""
    rng, h = np.random.default_rng(1), Variable(np.zeros((1, 64)), name="h₀")
    masks = [draw_mask(rng)] * T
    for t in range(T):
        with ag.step(t):
            x = Variable(np.ones((1, 1)), requires_grad=False, name="x")
            h = called(ag.relu(x @ U + h * masks[t]), "h")
    return called(h.sum(), "L")


def draw_mask(rng: np.random.Generator) -> Variable:
    return Variable((rng.random(64) < 0.5) * 1.0, requires_grad=False, name="mask")


BUFFER = np.zeros((B, H))


def in_buffer(h: Variable) -> Variable:
    """``h`` in memory that every step uses again."""
    BUFFER[...] = h.data
    h.data = BUFFER
    return h


# --- the exhibits ---------------------------------------------------------------------------------


class Exhibit(NamedTuple):
    """A line of the walk or of a program, and what stands in its place in the wrong one."""

    title: str
    program: Callable[..., Variable]
    leaf: str  # whose gradient is shown
    line: str
    wrong: str
    measure: Callable[["Finding"], dict[str, str]]  # what else there is to see, in words and numbers

    @property
    def name(self) -> str:
        return self.title.lower().replace(" ", "_").replace("-", "")


class Finding(NamedTuple):
    """What the right run and the wrong one gave."""

    right: Array
    wrong: Array
    differences: Array  # by which the right program changes with each element of the leaf
    loss: Variable  # of the wrong run
    first: Step  # the first wrong edge
    position: int  # of that edge in the backward pass, from 1
    program: Callable[..., Variable]  # the wrong one

    @property
    def edge(self) -> str:
        """The first wrong edge in words."""
        node, i = self.first[:2]
        end = node.edges[i]
        to = end.name_of(0) or end.label if isinstance(end, Function) else end.name
        step = "" if node.place.step is None else f" at t = {node.place.step}"
        return f"{node.label} → {to}{step}"


def exchange(f: Callable[..., Any], line: str, wrong: str) -> Callable[..., Any]:
    """``f`` with one line of its source exchanged."""
    source = inspect.getsource(f)
    if source.count(line) != 1:
        raise ValueError(
            f"exchange expected {line!r} once in {f.__name__}, found it {source.count(line)} times"
        )
    found: dict[str, Any] = {}
    exec(source.replace(line, wrong), {**globals()}, found)
    return found[f.__name__]


def wrong_pair(exhibit: Exhibit) -> tuple[Callable[..., Variable], Callable[..., Iterator[Step]]]:
    """The program and the walk with the line exchanged in one of them."""
    if exhibit.line in inspect.getsource(walk):
        return exhibit.program, exchange(walk, exhibit.line, exhibit.wrong)
    return exchange(exhibit.program, exhibit.line, exhibit.wrong), walk


def leaves_of(program: Callable[..., Variable]) -> dict[str, Variable]:
    """New leaves for a program, by the names of its arguments."""
    values = {**LEAVES, "x": np.array(3.0)}
    if program.__name__ == "dropped":
        values["U"] = np.ones((1, 64))
    names = [name for name, p in inspect.signature(program).parameters.items() if p.default is p.empty]
    return {name: Variable(values[name].copy(), name=name) for name in names}


def gradient(log: list[Step], leaf: Variable) -> Array:
    """What a walk has kept for a leaf in the end."""
    return [step.kept for step in log if step.node.edges[step.i] is leaf][-1]


def differences(program: Callable[..., Variable], name: str, eps: float = 1e-6) -> Array:
    """Central differences of a program by every element of one leaf."""
    leaves = leaves_of(program)
    found = np.zeros(leaves[name].shape)
    for at in np.ndindex(found.shape):
        ends = []
        for change in (eps, -eps):
            moved = leaves[name].data.copy()
            moved[at] += change
            ends.append(program(**{**leaves, name: Variable(moved)}).item())
        found[at] = (ends[0] - ends[1]) / (2 * eps)
    return found


def error(got: Array, expected: Array) -> float:
    """The relative error of a gradient; infinite if it has another shape."""
    if got.shape != expected.shape:
        return np.inf
    return float(np.linalg.norm(got - expected) / np.linalg.norm(expected))


def compare(exhibit: Exhibit) -> Finding:
    """Run the right and the wrong one."""
    program, engine = wrong_pair(exhibit)
    right, wrong = (leaves_of(exhibit.program) for _ in range(2))
    losses = exhibit.program(**right), program(**wrong)
    logs = list(walk(losses[0])), list(engine(losses[1]))
    position = first_wrong(*logs)
    return Finding(
        gradient(logs[0], right[exhibit.leaf]),
        gradient(logs[1], wrong[exhibit.leaf]),
        differences(exhibit.program, exhibit.leaf),
        losses[1],
        logs[1][position],
        position + 1,
        program,
    )


def first_wrong(right: list[Step], wrong: list[Step]) -> int:
    """Where in the log of a wrong walk the first edge stands that gives something else than in the right
    one, or whose end keeps something else than the sum of what the right one has given to it by then.

    The graphs may be two. Their nodes are matched from the newest one on.
    """
    ages = [
        {node: n for n, node in enumerate(sorted({s.node for s in log}, key=lambda node: -node.number))}
        for log in (right, wrong)
    ]
    expected = {(ages[0][step.node], step.i): step.given for step in right}
    sums: dict[Edge, Any] = {}
    for position, (node, i, given, kept) in enumerate(wrong):
        g = expected.get((ages[1][node], i))
        if g is None or not same(given, g):
            return position
        edge = node.edges[i]
        sums[edge] = sums.get(edge, 0) + g
        if not same(kept, sums[edge]):
            return position
    raise ValueError("first_wrong expected two walks that differ: these give the same over every edge")


def same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-9, atol=1e-12)


# --- what can be measured of them -----------------------------------------------------------------


def train(program: Callable[..., Variable], engine: Callable[..., Any], updates: int = 50) -> float:
    """The loss after gradient descent with rate 0.1."""
    values = {name: leaf.data for name, leaf in leaves_of(program).items()}
    for _ in range(updates):
        leaves = {name: Variable(value, name=name) for name, value in values.items()}
        log = list(engine(program(**leaves)))
        values = {name: values[name] - 0.1 * gradient(log, leaf) for name, leaf in leaves.items()}
    return program(**{name: Variable(value) for name, value in values.items()}).item()


def losses(exhibit: Exhibit) -> dict[str, str]:
    """How far the right and the wrong one train."""
    right, wrong = train(exhibit.program, walk), train(*wrong_pair(exhibit))
    return {"loss after 50 updates": f"{wrong:.1g}", "that of the right one": f"{right:.1g}"}


def on_arrival(y: Variable, whole: bool) -> tuple[dict[Variable, Array], int]:
    """The gradients of leaves, and the number of visits, of a walk that goes on from a node whenever a
    gradient arrives there: with all that has arrived so far, or with what is new."""
    sums: dict[Edge, Any] = {}
    stack, visits = [(y.creator, np.ones_like(y.data))], 0
    while stack:
        edge, g = stack.pop()
        sums[edge] = sums.get(edge, 0) + g
        if isinstance(edge, Function):
            visits += 1
            gxs = zip(edge.edges, local(edge, sums[edge] if whole else g), strict=True)
            stack += [pair for pair in gxs if isinstance(pair[0], Function | Variable)][::-1]
    return {leaf: g for leaf, g in sums.items() if isinstance(leaf, Variable)}, visits


def tower(x: Variable, stories: int = 10) -> Variable:
    """Diamonds on top of each other; the derivative is 1."""
    for _ in range(stories):
        x = x * 0.25 + x * 0.75
    return x


def why_topological_order() -> list[tuple[str, float, int, float, int]]:
    """Rows of the lesson: a walk, what it gives for `diamond` and `tower`, and how many nodes it visits."""
    naive = exchange(walk, EXHIBITS[0].line, EXHIBITS[0].wrong)
    rows: list[Any] = [("newest first", walk), ("depth first, every node once", naive)]
    rows += [("at every arrival, with what arrived", False), ("at every arrival, with the sum so far", True)]
    table = []
    for name, how in rows:
        row: list[Any] = [name]
        for program in (diamond, tower):
            x = Variable(3.0, name="x")
            y = program(x)
            if callable(how):
                log = list(how(y))
                row += [gradient(log, x).item(), len({step.node for step in log})]
            else:
                grads, visits = on_arrival(y, how)
                row += [grads[x].item(), visits]
        table.append(tuple(row))
    return table


# --- the collection -------------------------------------------------------------------------------


def of_order(finding: Finding) -> dict[str, str]:
    x = Variable(3.0)
    return {
        "derivative by the wrong walk": f"{finding.wrong:g}",
        "by the right one": f"{finding.right:g}",
        "paths from x to y": f"{graph.query.paths(x, diamond(x))}",
    }


def of_sums(finding: Finding) -> dict[str, str]:
    leaves = leaves_of(recurrent)
    table = flow.decompose(recurrent(**leaves), leaves["W"]).table[0]
    which = [t for t in range(3) if same(finding.wrong, table[t])]
    return {**losses(EXHIBITS[1]), "norm of what each step gives to W": listed(norms(table)),
            "the wrong gradient is that of step": listed(which)}  # fmt: skip


def of_shapes(finding: Finding) -> dict[str, str]:
    b = LEAVES["b"]
    after = (b - 0.1 * finding.wrong).shape
    return {**losses(EXHIBITS[2]), "b before an update": f"{b.shape}", "after": f"{after}"}


def of_values(finding: Finding) -> dict[str, str]:
    told = losses(EXHIBITS[3])
    try:
        ag.gradcheck(finding.program, *LEAVES.values())
    except ag.GradientError as wrong:
        told["gradcheck"] = str(wrong).partition(": expected")[0]
    formula = {"dWaa": lambda v: v.dtanh @ v.a_next.T}  # the same mistake by hand
    (mistake,) = derivations.check(derivations.RNN, formula).mistakes
    return {**told, "derivations.check": mistake.reason}


def of_windows(finding: Finding) -> dict[str, str]:
    def nodes(program: Callable[..., Variable]) -> str:
        return listed([len(depth_first(program(**leaves_of(windows), count=n))) for n in range(1, 5)])

    told = {"nodes behind the loss of windows 1 to 4, wrong": nodes(finding.program), "right": nodes(windows)}
    h, leaves = H0, [Variable(LEAVES[name]) for name in "WUb"]
    for t in (0, 2):
        for k in (t, t + 1):
            with ag.step(k):
                h = elman(k, h, *leaves)
        try:
            ag.square(h - Y).sum().backward()
        except RuntimeError as second:
            told["the second backward"] = str(second).partition(". ")[0]
    return told


def of_masks(finding: Finding) -> dict[str, str]:
    told = {}
    for name, program in (("right", dropped), ("wrong", finding.program)):
        leaves = leaves_of(program)
        loss = program(**leaves)
        masks = [c for c in graph.query.receptive_field(loss).constants if c.name == "mask"]
        told[f"masks, {name}"] = f"{len(masks)} mask{'s' * (len(masks) > 1)}"
        table = flow.decompose(loss, leaves["U"]).table[0]
        told[f"norm of what each step gives to U, {name}"] = listed(norms(table))
    return told


def norms(table: Array) -> Array:
    return np.sqrt(np.sum(table**2, (1, 2)))


def listed(numbers: Iterable[float]) -> str:
    return ", ".join([f"{n:.3g}" for n in numbers])


EXHIBITS = [
    Exhibit(
        "No topological order",
        diamond,
        "x",
        "sorted(depth_first(y), key=lambda node: -node.number)",
        "depth_first(y)",
        of_order,
    ),
    Exhibit(
        "Overwrite instead of add",
        recurrent,
        "W",
        "grads[edge] = grads.get(edge, 0) + g",
        "grads[edge] = g",
        of_sums,
    ),
    Exhibit("No un-broadcast", recurrent, "b", "g = sum_to(g, shape_of(edge))", "", of_shapes),
    Exhibit("Stale h", recurrent, "W", "elman(t, h, W, U, b)", "in_buffer(elman(t, h, W, U, b))", of_values),
    Exhibit("Detach forgotten", windows, "W", "h = h.detach()", "", of_windows),
    Exhibit(
        "Mask drawn per step",
        dropped,
        "U",
        "[draw_mask(rng)] * T",
        "[draw_mask(rng) for t in range(T)]",
        of_masks,
    ),
]


def picture(finding: Finding) -> graph.Drawing:
    """The graph of the wrong run with its first wrong edge."""
    node, i = finding.first[:2]
    has_steps = node.place.step is not None
    visits = {} if has_steps else {own: n for n, own in enumerate(depth_first(finding.loss), 1)}

    def label(item: Any) -> str | None:
        """The number of the visit, below the symbol with numbers and the name."""
        if item not in visits:
            return None
        symbol = " ".join([item.symbol, *[f"{e:g}" for e in item.edges if isinstance(e, float)]])
        return "\n".join([line for line in (symbol, item.name_of(0), f"visit {visits[item]}") if line])

    return graph.draw(finding.loss, mark={(node, i): "first wrong edge"}, label=label)


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv, "bug_museum", __doc__, quick="no pictures", out="for the pictures")
    print(f"{'exhibit':28}{'first wrong edge':28}{'error: right':>14}{'wrong':>10}")
    for exhibit in EXHIBITS:
        finding = compare(exhibit)
        errors = [error(g, finding.differences) for g in (finding.right, finding.wrong)]
        print("{:28}{:28}{:14.0e}{:10.2g}".format(exhibit.title, finding.edge, *errors))
        for what, value in exhibit.measure(finding).items():
            print(f"    {what}: {value}")
        if not options.quick:
            options.out.mkdir(parents=True, exist_ok=True)
            graph.render(picture(finding), options.out / f"bug_{exhibit.name}.svg")
    print(f"\n{'walk':42}{'one diamond':>12}{'visits':>8}{'ten diamonds':>14}{'visits':>8}")
    for row in why_topological_order():
        print("{:42}{:12g}{:8}{:14.3g}{:8}".format(*row))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
