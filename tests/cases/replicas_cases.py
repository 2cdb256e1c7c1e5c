"""Trainings that tests run in one process, and in two and three under mpiexec, to compare.

mpiexec -n 2 python -m tests.cases.replicas_cases FOLDER      all of them; rank 0 writes what comes out
mpiexec -n 2 python -m tests.cases.replicas_cases FOLDER raise    one that rank 1 does not survive
"""

import os
import signal
import sys
import warnings
from pathlib import Path

import numpy as np

import autograd as ag
import nn
import optim
from autograd import Variable, capture
from nn.data import BucketLoader, DataLoader, StreamLoader
from nn.functional import cross_entropy

B, T, CLASSES, STEPS = 12, 5, 7, 8
SHARES = {  # rows of each rank in a batch of 12
    "even": {2: (6, 6), 3: (4, 4, 4)},
    "uneven": {2: (3, 9), 3: (2, 9, 1)},
    "one without rows": {2: (0, 12), 3: (7, 0, 5)},
}


class Tagger(nn.Module):
    """Numbers (T, B) -> scores (T, B, C); one weight is frozen, one is not used."""

    def __init__(self, always=False):
        self.always = always
        self.embedding = nn.Embedding(CLASSES, 4)
        self.lstm = nn.LSTM(4, 6)
        self.linear = nn.Linear(6, CLASSES)
        self.unused = nn.Linear(2, 2)
        self.rare = nn.Parameter(np.ones(CLASSES, "f"))  # used by rows that begin with 0 1

    def forward(self, x):
        h, _ = self.lstm(self.embedding(x))
        scores = self.linear(h.astype(self.linear.weight.dtype))
        rows = ((x[0] == 0) & (x[-1] == 1)).astype("f")[:, None]
        return scores + self.rare * rows if self.always or rows.any() else scores


def rows_of(shares, rank, size):
    """The rows of a batch that a rank has."""
    if size == 1:
        return slice(0, B)
    ends = np.cumsum(SHARES[shares][size]).tolist()
    return slice(ends[rank] - SHARES[shares][size][rank], ends[rank])


def train(
    comm, shares="even", how="eager", optimizer=optim.SGD, mixed=False, parts=1, given=None, steps=STEPS
):
    """Parameters, reported losses and state after some steps, with this rank's rows."""
    rank, size = (comm.rank, comm.size) if comm else (0, 1)
    nn.manual_seed(rank)  # rank 0's numbers count
    model = Tagger(always=how == "capture" or parts > 1).to_dtype("f8")
    if mixed:
        model.linear.to_dtype("f4")
    model.lstm.bias_hh_l0.requires_grad = False
    sgd = optimizer(model.parameters(), lr=0.1 if optimizer is optim.Adam else 2.0, weight_decay=0.01)
    if given:  # every rank loads the same file
        for part, saved in zip((model, sgd), (given["model"], given["optimizer"]), strict=True):
            part.load_state_dict(saved)
    replicas = optim.Replicas(model.named_parameters(), comm)
    mine, rng, losses = rows_of(shares, rank, size), np.random.default_rng(5), []
    loss_of = lambda x, y: cross_entropy(model(x), y, axis=-1)  # noqa: E731
    step = capture(loss_of) if how == "capture" else None
    begin = given["step"] if given else 0
    for k in range(begin + steps):
        x, y = rng.integers(0, CLASSES, (2, T, B))
        if k < begin:
            continue
        x, y, loss = x[:, mine], y[:, mine], 0.0
        sgd.zero_grad()
        for x_part, y_part in zip(np.split(x, parts, 0), np.split(y, parts, 0), strict=True):
            if y.size and step:
                loss = step(x_part, y_part).item()
            elif y.size:
                part = loss_of(x_part, y_part) / parts
                part.backward()
                loss += part.item()
        if shares == "one without rows" and not y.size:  # what lies there does not count
            loss, model.linear.bias.grad = np.nan, Variable(np.full(CLASSES, np.nan), requires_grad=False)
        total = replicas.average_gradients(weight=y.size)
        assert total == B * T
        losses.append(replicas.average(loss, weight=y.size))
        optim.clip_grad_norm_(model.parameters(), 0.5)
        sgd.step()
    replicas.check()
    assert model.unused.weight.grad is None and model.lstm.bias_hh_l0.grad is None
    assert all(p.grad is None or p.grad.dtype == p.dtype for p in model.parameters())
    found = {name: p.data for name, p in model.named_parameters()} | {"losses": np.array(losses)}
    return found, {"model": model.state_dict(), "optimizer": sgd.state_dict(), "step": begin + steps}


TRAININGS = {
    "even": {},
    "uneven": {"shares": "uneven"},
    "Adam": {"shares": "uneven", "optimizer": optim.Adam},
    "one without rows": {"shares": "one without rows"},
    "captured": {"shares": "uneven", "how": "capture"},
    "mixed dtypes": {"shares": "uneven", "mixed": True},
}


def accumulated(comm):
    """Gradients of three windows added up before they are averaged."""
    return train(comm, shares="uneven", parts=5)[0]


def resumed(comm, folder):
    """Half a training, a file that rank 0 writes, and the other half from the file that all read."""
    rank = comm.rank if comm else 0
    path = Path(folder, f"half-{comm.size if comm else 1}.npz")
    _, saved = train(comm, optimizer=optim.Adam, steps=STEPS // 2)
    if rank == 0:
        nn.save(saved, path)
    if comm:
        comm.Barrier()
    return train(comm, optimizer=optim.Adam, given=nn.load(path), steps=STEPS // 2)[0]


# --- what is not a training -----------------------------------------------------------------------


def average_by_hand(comm):
    """Two parameters, weights and gradients of which nothing but the formula is known; what all 0 leaves."""
    rank, size = comm.rank, comm.size
    p, q = nn.Parameter(np.zeros((3, 2))), nn.Parameter(np.zeros(4, "f"))
    replicas = optim.Replicas([p, q], comm)
    p.grad = Variable(np.arange(6.0).reshape(2, 3).T * (rank + 1))  # not in row order
    q.grad = Variable(np.ones(4, "f")) if rank == 1 else None
    total = replicas.average_gradients(weight=10.0**rank)
    found = {"total": total, "p": p.grad.data, "q": q.grad.data}
    before = p.grad
    assert replicas.average_gradients(weight=0) == 0 and p.grad is before
    kept = p.grad.data.copy()
    p.grad = Variable(np.full((3, 2), 7.0))
    replicas.average_gradients()
    assert (before.data == kept).all()  # a gradient of the step before is not written into
    found["average"] = replicas.average(np.array([rank, 1.0]), weight=rank)
    found["nothing"] = replicas.average(3.0, weight=0)
    found["gathered"] = replicas.gather(np.full((2, rank + 1), rank), axis=1)
    seeds = replicas.gather(np.array([replicas.seed(3, 1)], np.uint64))
    assert len(set(seeds.tolist())) == size
    return found


def drift(comm):
    """One bit of one number in the last rank."""
    model = nn.Linear(3, 2)
    replicas = optim.Replicas(model.named_parameters(), comm)
    replicas.check()
    weight = model.weight.data.copy()
    model.weight.data[0, 0] = np.nan  # the same everywhere is no drift
    replicas.check()
    if comm.rank == comm.size - 1:
        model.bias.data[1] = np.nextafter(model.bias.data[1], np.float32(9))
    try:
        replicas.check()
    except RuntimeError as error:
        return {"message": str(error), "same": np.array_equal(*comm.allgather(weight)[:2])}


def refused(comm):
    """What the constructor, a meeting and `share` say where ranks differ."""
    found = {}

    def catch(name, function):
        try:
            function()
        except (ValueError, RuntimeError) as error:
            found[name] = str(error)
        assert name in found and len(set(comm.allgather(found[name]))) == 1

    last = comm.rank == comm.size - 1
    catch("shape", lambda: optim.Replicas(nn.Linear(3, 2 + last).named_parameters(), comm))
    catch("dtype", lambda: optim.Replicas([nn.Parameter(np.zeros(2, "f8" if last else "f4"))], comm))
    catch("number", lambda: optim.Replicas([nn.Parameter(np.zeros(2))] * (1 + last), comm))
    replicas = optim.Replicas([nn.Parameter(np.zeros(2))], comm)
    catch("place", replicas.check if last else replicas.average_gradients)
    catch("size", lambda: replicas.average(np.ones(2 + last)))
    catch("loaders", lambda: replicas.share(DataLoader(np.arange(8 - last), 2)))
    replicas.average_gradients()
    return found


def shared(comm):
    """The rows that every rank gets, batch by batch, over two epochs; resumed in the second."""
    nn.manual_seed(comm.rank)  # the order is rank 0's
    x, found = np.arange(23), {}
    replicas = optim.Replicas([], comm)
    loaders = {
        "rows": lambda: DataLoader(x, 4, shuffle=True),
        "buckets": lambda: BucketLoader([np.full(1 + k % 5, k) for k in x], 4, shuffle=True),
        "streams": lambda: StreamLoader(np.arange(41), 5, 3),
    }
    for name, make in loaders.items():
        loader, state, batches = replicas.share(make()), None, []
        for epoch in range(2):
            for k, batch in enumerate(loader):
                if (epoch, k) == (1, 1):
                    state = loader.state_dict()
                batches.append(own_rows(batch))
        again = replicas.share(make())
        again.load_state_dict(state)
        rest = [own_rows(batch) for batch in again]
        assert rest == batches[-len(rest) :] and len(rest) == len(loader) - 2
        found[name] = comm.allgather(batches)
        found[f"{name}, states"] = comm.allgather(repr(state))
    return found


def sequences():
    """a, b and weights of 23 steps in all, along the middle axis."""
    rng = np.random.default_rng(11)
    return rng.uniform(0.4, 1.1, (2, 23, 3)), rng.normal(size=(2, 23, 3)), rng.normal(size=(2, 23, 3))


def scanned(comm):
    """The joined scan in both directions: values, gradients, and the gradient of a function of gradients."""
    ends = [0, 4, 14, 23] if comm.size == 3 else [0, 14, 23]
    stretch, found = slice(ends[comm.rank], ends[comm.rank + 1]), {}
    for reverse in (False, True):
        a, b, weights = (np.ascontiguousarray(x[:, stretch]) for x in sequences())
        a, b = Variable(a), Variable(b)
        y = ag.linear_scan_across(a, b, comm, axis=1, reverse=reverse)
        ga, gb = ag.grad((y * y * weights).sum(), [a, b], create_graph=True)
        parts = [y.data, ga.data, gb.data]
        parts += [g.data for g in ag.grad((ga * ga * weights + gb * gb).sum(), [a, b])]
        found[f"reverse={reverse}"] = [np.concatenate(comm.allgather(part), 1) for part in parts]
    try:
        capture(lambda x: ag.linear_scan_across(x, b, comm, axis=1).sum())(a.data)
    except RuntimeError as error:
        found["captured"] = str(error)
    return found


def own_rows(batch):
    if batch is None:
        return []
    return (batch[0][0] if isinstance(batch, tuple) else batch).tolist()


# --- ends -----------------------------------------------------------------------------------------


def die(comm, how):
    """Train; in step 3 rank 1 ends, or leaves a step out, before the others have finished."""
    w = nn.Parameter(np.ones(3))
    params = [w.data] if how == "constructor" and comm.rank == 1 else [w]
    replicas = optim.Replicas(params, comm, timeout=1.0 if how in ("fewer", "asleep") else 300.0)
    for k in range(100 if how != "fewer" else 6):
        if k == 3 and comm.rank == 1:
            if how == "raise":
                raise ValueError("a rank fails")
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "exit":
                sys.exit(3)
            if how == "leave":
                sys.exit(0)
            if how == "asleep":
                signal.pause()
            if how == "fewer":
                continue
        replicas.average_gradients()
    if how == "fewer" and comm.rank == 1:
        signal.pause()


def main():
    from mpi4py import MPI

    comm, folder, *how = MPI.COMM_WORLD, *sys.argv[1:]
    if how:
        die(comm, *how)
        return
    warnings.simplefilter("error")  # but of threads, where there are fewer cores
    warnings.filterwarnings("ignore", "[0-9]+ processes on ")
    found = {name: train(comm, **arguments)[0] for name, arguments in TRAININGS.items()}
    found |= {"accumulated": accumulated(comm), "resumed": resumed(comm, folder)}
    found["through"] = train(comm, optimizer=optim.Adam)[0]
    found |= {f.__name__: f(comm) for f in (average_by_hand, drift, refused, shared, scanned)}
    if comm.rank == 0:
        nn.save(found, Path(folder, f"found-{comm.size}.npz"))


if __name__ == "__main__":
    main()
