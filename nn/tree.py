"""Recursive networks: the same weights at every node of a tree, from the leaves up to the root.

A tree is a nested tuple: a tuple is a node, its items are its children, and anything else is a leaf. A
`TreeCell` says what happens at a leaf and at a node; `Recursive` is the walk that applies it to any number
of trees at once (Goodfellow et al. 2016, section 10.6; Socher et al. 2011). `chain` and `balanced` put a
sequence into the two extreme shapes.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autograd import Parameter, Variable, concatenate, linear, split, stack, step, unstack
from autograd.extend import Array

from . import init
from .cells.base import Activation
from .functional import activation_function
from .layers import check_float
from .module import Module, kind_of
from .recurrent import State, as_variable

Leaf = Any
Tree = Any  # a Leaf, or a tuple of Trees


class TreeCell(Module):
    """Base of tree cells: `leaf` and `node` make states, which are tuples; ``state[0]`` is the output.

    N leaves or nodes are computed together: x (N, I), and every part of a state (N, H).
    """

    input_size: int
    hidden_size: int
    zero_bias: bool = False

    def leaf(self, x: Variable) -> State:
        """The state of leaves, from their inputs x (N, I)."""
        raise NotImplementedError(f"{type(self).__name__} must define leaf(x)")

    def node(self, children: list[State]) -> State:
        """The state of nodes, from the states of their first children, of their second children, ..."""
        raise NotImplementedError(f"{type(self).__name__} must define node(children)")

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """Uniform within ±1/√H; with zero_bias, biases are zeros."""
        for p in self.parameters():
            init.fan_in_uniform_(p, self.hidden_size, rng)
            if self.zero_bias and p.ndim == 1:
                init.zeros_(p)

    def make(self, input_size: int, hidden_size: int, rows: int, fed_back: int, dtype: DTypeLike) -> None:
        """Allocate W (rows, I), U (rows', fed_back) and b (rows), the parameters of all three cells."""
        if input_size < 1 or hidden_size < 1:
            raise ValueError(
                f"{type(self).__name__} expected sizes of at least 1, got {input_size} and {hidden_size}"
            )
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W = Parameter(np.empty((rows, input_size), dtype))
        self.U = Parameter(np.empty((rows, fed_back), dtype))
        self.b = Parameter(np.empty(rows, dtype))

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class TreeLSTMCell(TreeCell):
    """Base of the two tree LSTMs: what stands for σ and for both tanh."""

    def use(self, activation: Activation, output_activation: Activation, gates: Activation) -> None:
        """Set what stands for tanh in g, for tanh in h, and for σ."""
        who = type(self).__name__
        self.activation = activation_function(who, activation)
        self.output_activation = activation_function(who, output_activation)
        self.recurrent_activation = activation_function(who, gates)


class RecursiveCell(TreeCell):
    """The plain recursive network (Socher et al. 2011), for nodes with ``arity`` children each:

        h = tanh(W x + b)                        of a leaf
        h = tanh(U [h_1 ... h_arity] + b_U)      of a node

    Args:
        activation: what stands for tanh; a name or a function.
        zero_bias: start with biases of zero; by default they are drawn as the weights.

    >>> layer = nn.Recursive(nn.RecursiveCell(2, 3))
    >>> a, b, c = np.eye(3, 2, dtype="f")
    >>> h, _ = layer([((a, b), c), (a, b)])  # two trees
    >>> h.shape
    (2, 3)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        arity: int = 2,
        dtype: DTypeLike = np.float32,
        *,
        activation: Activation = "tanh",
        zero_bias: bool = False,
    ):
        _need_arity(type(self).__name__, arity)
        self.arity, self.zero_bias = arity, zero_bias
        self.activation = activation_function(type(self).__name__, activation)
        self.make(input_size, hidden_size, hidden_size, arity * hidden_size, dtype)
        self.b_U = Parameter(np.empty(hidden_size, dtype))
        self.reset_parameters()

    def leaf(self, x: Variable) -> State:
        return (self.activation(linear(x, self.W, self.b)),)

    def node(self, children: list[State]) -> State:
        if len(children) != self.arity:
            raise ValueError(f"RecursiveCell expected nodes of {self.arity} children, got {len(children)}")
        h = concatenate([h for (h,) in children], -1)
        return (self.activation(linear(h, self.U, self.b_U)),)


class ChildSumTreeLSTMCell(TreeLSTMCell):
    """Tree LSTM for any number of children in no order (Tai et al. 2015, equations 2 to 8):

        h~ = Σ_k h_k
        [i o g] = W x + U h~ + b         x only at leaves, h~ only at nodes
        f_k = σ(U_f h_k + b_f)           one forget gate per child
        c = σ(i) ∘ tanh(g) + Σ_k f_k ∘ c_k
        h = σ(o) ∘ tanh(c)

    U_f and b_f are the last H rows of U and b, in the order i, o, g, f. A chain of nodes with one child
    is an LSTM without inputs.

    Args:
        activation, output_activation: what stands for tanh in g and in h; names or functions.
        recurrent_activation: what stands for σ.
        zero_bias: start with biases of zero; by default they are drawn as the weights.

    >>> layer = nn.Recursive(nn.ChildSumTreeLSTMCell(2, 3))
    >>> a, b, c = np.eye(3, 2, dtype="f")
    >>> np.allclose(layer((a, b, c))[0].data, layer((c, a, b))[0].data)  # children have no order
    True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        dtype: DTypeLike = np.float32,
        *,
        activation: Activation = "tanh",
        output_activation: Activation = "tanh",
        recurrent_activation: Activation = "sigmoid",
        zero_bias: bool = False,
    ):
        self.zero_bias = zero_bias
        self.use(activation, output_activation, recurrent_activation)
        self.make(input_size, hidden_size, 4 * hidden_size, hidden_size, dtype)
        self.reset_parameters()

    def leaf(self, x: Variable) -> State:
        σ = self.recurrent_activation
        i, o, g, _ = split(linear(x, self.W, self.b), 4, axis=-1)
        c = σ(i) * self.activation(g)
        return σ(o) * self.output_activation(c), c

    def node(self, children: list[State]) -> State:
        σ = self.recurrent_activation
        H = self.hidden_size
        (U, U_f), (b, b_f) = split(self.U, [3 * H]), split(self.b, [3 * H])
        i, o, g = split(linear(_sum([h for h, _ in children]), U, b), 3, axis=-1)
        c = σ(i) * self.activation(g)
        for h_k, c_k in children:
            c = c + σ(linear(h_k, U_f, b_f)) * c_k
        return σ(o) * self.output_activation(c), c


class NaryTreeLSTMCell(TreeLSTMCell):
    """Tree LSTM for ordered children, at most ``arity`` (Tai et al. 2015, equations 9 to 14):

        [i o g f_1 ... f_N] = W x + U [h_1 ... h_N] + b      x only at leaves, h_k = 0 where there is no child
        c = σ(i) ∘ tanh(g) + Σ_k σ(f_k) ∘ c_k
        h = σ(o) ∘ tanh(c)

    Every child has weights of its own, and every forget gate sees all children.

    Args:
        activation, output_activation: what stands for tanh in g and in h; names or functions.
        recurrent_activation: what stands for σ.
        zero_bias: start with biases of zero; by default they are drawn as the weights.

    >>> layer = nn.Recursive(nn.NaryTreeLSTMCell(2, 3, arity=2))
    >>> a, b = np.eye(2, dtype="f")
    >>> np.allclose(layer((a, b))[0].data, layer((b, a))[0].data)  # the order of the children matters
    False
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        arity: int = 2,
        dtype: DTypeLike = np.float32,
        *,
        activation: Activation = "tanh",
        output_activation: Activation = "tanh",
        recurrent_activation: Activation = "sigmoid",
        zero_bias: bool = False,
    ):
        _need_arity(type(self).__name__, arity)
        self.arity, self.zero_bias = arity, zero_bias
        self.use(activation, output_activation, recurrent_activation)
        self.make(input_size, hidden_size, (3 + arity) * hidden_size, arity * hidden_size, dtype)
        self.reset_parameters()

    def leaf(self, x: Variable) -> State:
        σ = self.recurrent_activation
        i, o, g, *_ = split(linear(x, self.W, self.b), 3 + self.arity, axis=-1)
        c = σ(i) * self.activation(g)
        return σ(o) * self.output_activation(c), c

    def node(self, children: list[State]) -> State:
        if len(children) > self.arity:
            raise ValueError(
                f"NaryTreeLSTMCell expected nodes of at most {self.arity} children, got {len(children)}"
            )
        σ = self.recurrent_activation
        h = concatenate([h for h, _ in children], -1)
        U = self.U[:, : h.shape[-1]]  # a child that is not there has a state of zeros
        i, o, g, *f = split(linear(h, U, self.b), 3 + self.arity, axis=-1)
        c = σ(i) * self.activation(g)
        for f_k, (_, c_k) in zip(f, children, strict=False):
            c = c + σ(f_k) * c_k
        return σ(o) * self.output_activation(c), c


class Recursive(Module):
    """Applies a `TreeCell` to trees, from the leaves up.

    Nodes of equal height and number of children are computed together, over all trees; so the work is
    done in as many rounds as the highest tree is high. A drawing has a frame for every height.

    Args:
        cell: any `TreeCell`.
        leaves: makes x (N, I) of the list of all leaves, as an `Embedding` does of numbers; by default a
            leaf is its own input, an array or a Variable (I).

    Call: ``h, state = layer(tree)`` for one tree: a nested tuple, h (H); or ``layer([tree, ...])`` for a
    list of trees: h (len, H). ``state`` holds all parts of the state at the roots.

    Raises:
        ValueError: a node without children, no trees, leaves of a wrong size.

    >>> words = nn.Embedding(10, 4)
    >>> layer = nn.Recursive(nn.RecursiveCell(4, 3), leaves=words)
    >>> h, _ = layer(((1, 2), (3, (4, 5))))
    >>> h.shape
    (3,)
    """

    def __init__(self, cell: TreeCell, leaves: Callable[[Array], Variable] | None = None):
        if not isinstance(cell, TreeCell):
            raise TypeError(f"Recursive expected a TreeCell, got {kind_of(cell)}")
        self.cell, self.leaves = cell, leaves

    def forward(self, trees: Tree) -> tuple[Variable, State]:
        forest: list[Tree] = trees if isinstance(trees, list) else [trees]
        if not forest:
            raise ValueError("Recursive expected at least one tree, got an empty list")
        leaves, levels, roots = flatten(forest)
        with step(0, "height"):
            if self.leaves is None:
                x = stack([as_variable(leaf) for leaf in leaves])
            else:
                x = self.leaves(np.array(leaves))
            if x.ndim != 2 or x.shape[1] != self.cell.input_size:
                size = self.cell.input_size
                raise ValueError(f"Recursive expected leaves of shape ({size},), got {x.shape[1:]}")
            check_float("Recursive", x, self.cell.W)
            rows = _rows(self.cell.leaf(x))  # the state of every leaf and node so far, by its number
        for height, level in enumerate(levels, 1):
            with step(height, "height"):
                new: dict[int, State] = {}
                for group in _by_arity(level):
                    children = zip(*[kids for _, kids in group], strict=True)
                    states = self.cell.node([_join([rows[k] for k in child]) for child in children])
                    new.update(zip([number for number, _ in group], _rows(states), strict=True))
                rows += [new[number] for number, _ in level]
        state = _join([rows[root] for root in roots])
        if not isinstance(trees, list):
            state = tuple([part[0] for part in state])
        return state[0], state


def flatten(trees: Sequence[Tree]) -> tuple[list[Leaf], list[list[tuple[int, list[int]]]], list[int]]:
    """All leaves from left to right, all nodes by height, and the roots.

    Leaves are numbered first, then the nodes, the lowest first. Every node is (number, numbers of its
    children). There is no recursion, so trees may be as high as memory allows.

    >>> nn.tree.flatten([(("a", "b"), "c")])
    (['a', 'b', 'c'], [[(3, [0, 1])], [(4, [3, 2])]], [4])
    """
    leaves: list[Leaf] = []
    found: list[tuple[int, list[int]]] = []  # per node: its height and its children, nodes as -1, -2, ...
    open_: list[tuple[Iterator[Tree], list[int], int]] = []  # items left, children, height of a node
    roots: list[int] = []
    for tree in trees:
        item, done = tree, False
        while not done:
            while isinstance(item, tuple):
                if not item:
                    raise ValueError("a tree expected every node to have children, got an empty tuple")
                rest = iter(item)
                open_.append((rest, [], 0))
                item = next(rest)
            leaves.append(item)
            number, height = len(leaves) - 1, 0
            while True:  # this node is complete: add it to its parent, which may be complete then
                if not open_:
                    roots.append(number)
                    done = True
                    break
                rest, children, highest = open_.pop()
                children.append(number)
                highest = max(highest, height)
                try:
                    item = next(rest)
                except StopIteration:
                    found.append((highest + 1, children))
                    number, height = -len(found), highest + 1
                else:
                    open_.append((rest, children, highest))
                    break
    order = sorted(range(len(found)), key=lambda n: found[n][0])
    numbers = {-1 - n: len(leaves) + place for place, n in enumerate(order)}
    levels: list[list[tuple[int, list[int]]]] = [[] for _ in range(max([h for h, _ in found], default=0))]
    for n in order:
        height, children = found[n]
        levels[height - 1].append((numbers[-1 - n], [numbers.get(k, k) for k in children]))
    return leaves, levels, [numbers.get(r, r) for r in roots]


def height(tree: Tree) -> int:
    """The number of nodes from the root down to the farthest leaf: 0 for a leaf by itself.

    >>> nn.tree.height((("a", "b"), "c"))
    2
    """
    return len(flatten([tree])[1])


def chain(leaves: Sequence[Leaf]) -> Tree:
    """The tree of a recurrent network: n leaves in a tree of height n - 1.

    >>> nn.tree.chain("abcd")
    ((('a', 'b'), 'c'), 'd')
    """
    tree = _first(leaves)
    for leaf in leaves[1:]:
        tree = (tree, leaf)
    return tree


def balanced(leaves: Sequence[Leaf]) -> Tree:
    """The lowest binary tree: n leaves in a tree of height ⌈log2 n⌉.

    >>> nn.tree.balanced("abcd")
    (('a', 'b'), ('c', 'd'))
    """
    _first(leaves)
    level: list[Tree] = list(leaves)
    while len(level) > 1:
        pairs: list[Tree] = list(zip(level[::2], level[1::2], strict=False))
        level = pairs + level[2 * len(pairs) :]
    return level[0]


def _first(leaves: Sequence[Leaf]) -> Leaf:
    if len(leaves) == 0:
        raise ValueError("a tree expected at least one leaf, got none")
    return leaves[0]


def _need_arity(who: str, arity: int) -> None:
    if arity < 1:
        raise ValueError(f"{who} expected an arity of at least 1, got {arity}")


def _by_arity(level: list[tuple[int, list[int]]]) -> list[list[tuple[int, list[int]]]]:
    groups: dict[int, list[tuple[int, list[int]]]] = {}
    for node in level:
        groups.setdefault(len(node[1]), []).append(node)
    return list(groups.values())


def _rows(state: State) -> list[State]:
    """One state (H) per row of a state (N, H)."""
    return list(zip(*[unstack(part) for part in state], strict=True))


def _join(states: list[State]) -> State:
    return tuple([stack(part) for part in zip(*states, strict=True)])


def _sum(values: list[Variable]) -> Variable:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total
