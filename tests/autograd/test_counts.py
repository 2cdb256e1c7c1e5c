"""What a recurrent step costs, in counts instead of seconds, so that no slow machine can hide a slower step.

Every number stands for one time step: it is the difference between sequences of 7 and of 6 steps. A count
that goes up fails, and so does one that goes down: then write the better number here. What the numbers
mean is said next to them; how long it all takes is measured by ``python -m benchmarks``.
"""

import gc
import tracemalloc
from collections import Counter

import numpy as np
import pytest

import nn
import optim
from autograd import Function, Variable, capture
from nn import recurrent
from nn.functional import cross_entropy

B, I, H = 4, 3, 8  # noqa: E741
UNIT = B * H * 4  # bytes of one state: B rows of H float32 numbers

NODES = {
    # addmm; split into gates; 3 sigmoid; tanh; f*c, i*g, their sum; tanh; o*tanh(c)
    "LSTM": 11,
    # addmm; split into gates and candidate; plus; sigmoid; split; r*n; plus; tanh; lerp
    "GRU": 9,
    # addmm; tanh
    "RNN": 2,
}
CALLS = {  # there and back; a sigmoid is 4 calls and 3 on the way back, tanh 1 and 3, a product 1 and 2
    # 3 sigmoids 21, 2 tanhs 8, 3 products 9, sum 1; addmm 2 and 1 back; gates' gradients joined 1;
    # gradients of c and of h added up 2
    "LSTM": 45,
    # sigmoid 7, tanh 4, product 3, 2 sums, lerp 3 and 4 back; addmm 2 and 1 back; joined 2; gradients of h
    # added up twice 2, that of b_hh summed over the batch and added up 2
    "GRU": 32,
    # tanh 4; addmm 2 and 1 back; gradients of h added up 1
    "RNN": 8,
}
SAVED = {  # in states of B*H numbers; besides, x is kept for W_ih, I/H of a state
    "LSTM": 7.0,  # i, f, g, o, c, tanh(c), h: the least there is without computing any of them twice
    "GRU": 7.0,  # r, z, n, h, and W_hn h + b_hn together with the 2 it was cut from
    "RNN": 1.0,  # h
}

KNOWN = {  # objects that the garbage collector goes through: every node and the tuple of its edges, ...
    "LSTM": 28,  # 11 of each; 4 outputs of the split in use, 1 of the inputs taken apart; the place
    "GRU": 25,  # 9 of each; 5 outputs of the splits in use, 1 of the inputs taken apart; the place
    "RNN": 6,  # 2 of each; 1 of the inputs taken apart; the place
}


REPLAYED = {  # memory of a captured step, in states: what is kept, and the projection or its gradient, ...
    "LSTM": 15.1,
    "GRU": 14.7,
    "RNN": 3.6,
}


class Counted(np.ndarray):
    """An array whose NumPy calls are counted: ufuncs (operators and methods too) and np functions."""

    calls: Counter = Counter()

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        Counted.calls[ufunc.__name__] += 1
        if out is not None:
            kwargs["out"] = tuple([data_of(x) for x in out])
        result = getattr(ufunc, method)(*[data_of(x) for x in inputs], **kwargs)
        return counted(result)

    def __array_function__(self, func, types, args, kwargs):
        Counted.calls[func.__name__] += 1
        return counted(func(*data_of(args), **data_of(kwargs)))


def data_of(x):
    if isinstance(x, Counted):
        return x.view(np.ndarray)
    if isinstance(x, tuple | list):
        return type(x)([data_of(part) for part in x])
    return {k: data_of(v) for k, v in x.items()} if isinstance(x, dict) else x


def counted(x):
    return x.view(Counted) if isinstance(x, np.ndarray) else x


def make(kind, T, wrap=lambda a: a):
    """A layer, an input (T, B, I) and a gradient of its output, all float32."""
    rng = np.random.default_rng(0)
    layer = getattr(nn, kind)(I, H)
    for p in layer.parameters():
        p.data = wrap(p.data)
    x, gy = (wrap(rng.standard_normal((T, B, n), np.float32)) for n in (I, H))
    return layer, x, gy


def graph(y):
    """All nodes behind a Variable."""
    found, todo = set(), [y.creator]
    while todo:
        node = todo.pop()
        node = getattr(node, "node", node)  # an edge to one of several outputs
        if isinstance(node, Function) and node not in found:
            found.add(node)
            todo += node.edges
    return found


def per_step(measure, kind):
    return measure(kind, 7) - measure(kind, 6)


def nodes(kind, T):
    layer, x, _ = make(kind, T)
    return len(graph(layer(x)[0]))


def saved_bytes(kind, T):
    """Bytes of all arrays that the graph keeps for the way back, memory that several share once."""
    layer, x, _ = make(kind, T)
    y = layer(x)[0]
    parameters = {id(owner(p.data)) for p in layer.parameters()}
    found = {}
    for node in graph(y):
        for a in flat(node.saved):
            found[id(owner(a))] = owner(a)
    return sum(a.nbytes for key, a in found.items() if key not in parameters)


def owner(a):
    """The array whose memory ``a`` looks into."""
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a


def flat(saved):
    for a in saved or ():
        if isinstance(a, tuple | list):
            yield from flat(a)
        elif isinstance(a, np.ndarray):
            yield a


def numpy_calls(kind, T):
    layer, x, gy = make(kind, T, counted)
    Counted.calls.clear()
    layer(x)[0].backward(gy)
    assert all(isinstance(p.grad.data, Counted) for p in layer.parameters())  # nothing slipped away
    return Counted.calls.total()


@pytest.mark.parametrize("kind", NODES)
def test_nodes_per_step(kind):
    assert per_step(nodes, kind) == NODES[kind]


def known(kind, T):
    """Objects of the graph that the collector goes through, leaves and classes aside."""
    layer, x, _ = make(kind, T)
    found = graph(layer(x)[0])
    for _ in range(3):  # from now on it leaves tuples of numbers and of arrays alone, and tuples of such
        gc.collect()
    reached = [o for node in found for o in (node, *gc.get_referents(node), node.edges, *node.edges)]
    return len({id(o) for o in reached if gc.is_tracked(o) and not isinstance(o, (type, Variable))})


@pytest.mark.parametrize("kind", KNOWN)
def test_objects_per_step_that_the_collector_knows(kind):
    assert per_step(known, kind) == KNOWN[kind]


@pytest.mark.parametrize("kind", CALLS)
def test_numpy_calls_per_step(kind):
    assert per_step(numpy_calls, kind) == CALLS[kind]


@pytest.mark.parametrize("kind", SAVED)
def test_bytes_kept_per_step(kind):
    assert per_step(saved_bytes, kind) / UNIT == SAVED[kind] + I / H


def program(kind, T):
    layer, x, _ = make(kind, T)
    step = capture(lambda x: layer(x)[0].sum())
    step(x)
    return step.recordings[0][1].program


@pytest.mark.parametrize("kind", REPLAYED)
def test_calls_and_memory_of_a_captured_step(kind):
    assert per_step(lambda kind, T: len(program(kind, T).calls), kind) == CALLS[kind]  # those of a run
    assert (program(kind, 39).nbytes - program(kind, 7).nbytes) / 32 / UNIT <= REPLAYED[kind]


class Model(nn.Module):
    def __init__(self):
        self.embedding = nn.Embedding(5, I)
        self.lstm = nn.LSTM(I, H)
        self.linear = nn.Linear(H, 5)

    def forward(self, x):
        return self.linear(self.lstm(self.embedding(x))[0])


@pytest.fixture
def no_collector():
    """Reference counting alone has to free everything."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


def arrays_alive():
    """How many blocks of memory arrays own, of those made since tracing began."""
    numpy_only = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
    return len(tracemalloc.take_snapshot().filter_traces([numpy_only]).traces)


def test_memory_of_a_long_sequence(no_collector):
    """States, gates and little more: neither the projection nor its gradient is there as a whole."""
    T, B, H = 400, 32, 128
    x, gy = np.zeros((T, B, H), np.float32), np.ones((T, B, H), np.float32)
    layer = nn.LSTM(H, H)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recurrent, "PIECE", x.size // 8)
        tracemalloc.reset_peak()
        y, _ = layer(x)
        y.backward(gy)
    _, peak = tracemalloc.get_traced_memory()
    assert peak < 12 * x.nbytes  # x, gy; i, f, g, o, c, tanh(c), h; the output; a piece; the nodes


def objects_alive(kind):
    return sum(issubclass(type(obj), kind) for obj in gc.get_objects())


def test_arrays_alive_after_a_training_step(no_collector):
    text = [[0, 1, 2, 3]] * 6
    before = arrays_alive(), objects_alive(Function), objects_alive(Variable)
    model = Model()
    optimizer = optim.Adam(model.parameters())

    def step():
        optimizer.zero_grad()
        cross_entropy(model(np.array(text[:-1])).reshape(20, 5), np.array(text[1:]).reshape(20)).backward()
        optim.clip_grad_norm_(model.parameters(), 1e-3)
        optimizer.step()

    for _ in range(2):  # the second step leaves no more behind than the first
        step()
        parameters = len(list(model.parameters()))
        assert parameters == 7
        # every parameter has its data, its gradient and two moments in Adam; the two biases of the LSTM
        # get one gradient, and clipping makes two arrays of it
        assert arrays_alive() - before[0] == 4 * parameters
        assert objects_alive(Function) - before[1] == 0  # no graph
        assert objects_alive(Variable) - before[2] == 2 * parameters  # parameters and gradients
