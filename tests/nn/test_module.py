"""Module: the tree of parameters, its names, what goes in and out of it; and the containers of modules."""

import copy
import pickle

import numpy as np
import pytest

import nn
from autograd import Variable, capture, no_grad


class Model(nn.Module):
    def __init__(self):
        self.embed = nn.Embedding(5, 3)
        self.layers = [nn.Linear(3, 3), nn.Linear(3, 3, bias=False)]
        self.heads = {"a": nn.Linear(3, 2), "b": nn.Linear(3, 1)}
        self.scale = nn.Parameter(np.ones(3, np.float32))
        self.note = "no parameter"
        self.register_buffer("seen", np.array(0))

    def forward(self, i):
        x = self.embed(i) * self.scale
        for layer in self.layers:
            x = layer(x)
        return self.heads["a"](x)


PATHS = [
    "scale",
    "seen",
    "embed.weight",
    "layers.0.weight",
    "layers.0.bias",
    "layers.1.weight",
    "heads.a.weight",
    "heads.a.bias",
    "heads.b.weight",
    "heads.b.bias",
]


# --- parameters keep their place -------------------------------------------------------------------


def in_place(m):
    with no_grad():
        m.weight -= 0.1 * m.weight.grad


def by_assignment(m):
    m.weight = m.weight - 0.1 * m.weight.grad


def by_array(m):
    m.weight = np.ones((2, 3), np.float32)


def by_module(m):
    m.weight = nn.Identity()


def by_list(m):
    m.weight = [m.weight]


def by_buffer(m):
    m.register_buffer("weight", np.ones((2, 3)))


@pytest.mark.parametrize("change", [in_place, by_assignment, by_array, by_module, by_list, by_buffer])
def test_a_parameter_cannot_be_assigned_over(change):
    model = nn.Linear(3, 2)
    model(np.ones((1, 3), "f")).sum().backward()
    weight, before = model.weight, model.state_dict()
    with pytest.raises(TypeError, match=r"\.data -= lr \* \w.*\.grad\.data.* optim"):
        change(model)
    assert model.weight is weight and list(model.named_buffers()) == []
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_the_error_names_module_and_parameter():
    model = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(TypeError, match=r"Linear\.bias is a Parameter.*got float.*m\.bias = nn\.Parameter"):
        model[0].bias = 0.0


def test_a_parameter_or_none_may_take_the_place_of_one():
    """In the same place of the state dict; what is shared goes on to be."""
    model = nn.Linear(3, 2)
    other = nn.Linear(3, 2)
    model.weight = nn.Parameter(np.ones((4, 3), "f"))
    assert list(model.state_dict()) == ["weight", "bias"]
    model.weight = other.weight
    assert model.weight is other.weight and model.weight.name == "weight"
    model.weight = None
    assert list(model.state_dict()) == ["bias"]
    model.weight = other.weight
    assert list(model.state_dict()) == ["weight", "bias"]
    del model.weight
    model.weight = "no parameter"
    assert list(model.state_dict()) == ["bias"]


# --- the tree -------------------------------------------------------------------------------------


def test_parameters_are_found_in_order_through_lists_and_dicts():
    model = Model()
    assert list(model.state_dict()) == PATHS
    assert [name for name, _ in model.named_parameters()] == [p for p in PATHS if p != "seen"]
    assert [name for name, _ in model.named_buffers()] == ["seen"] and list(model.buffers())[0] == 0
    assert [name for name, _ in model.named_children()] == [
        "embed",
        "layers.0",
        "layers.1",
        "heads.a",
        "heads.b",
    ]
    assert [name for name, _ in model.named_modules()] == [
        "",
        "embed",
        "layers.0",
        "layers.1",
        "heads.a",
        "heads.b",
    ]
    assert len(list(model.modules())) == 6 and len(list(model.children())) == 5


def test_what_is_shared_is_listed_once_and_saved_under_both_names():
    model = nn.Module()
    model.a, model.b = nn.Linear(2, 2), nn.Linear(2, 2)
    model.b.weight = model.a.weight
    model.c = model.a
    assert [name for name, _ in model.named_parameters()] == ["a.weight", "a.bias", "b.bias"]
    assert [name for name, _ in model.named_modules()] == ["", "a", "b"]
    assert list(model.state_dict()) == [f"{m}.{p}" for m in "abc" for p in ("weight", "bias")]
    model.load_state_dict(model.state_dict())


def test_scopes_of_nodes_are_the_paths_of_modules():
    model = Model()
    y = model([1, 2])
    scopes, stack = set(), [y.creator]
    while stack:
        node = stack.pop()
        if hasattr(node, "place"):
            scopes.add(node.place.scope)
            stack += [getattr(e, "node", e) for e in node.edges]
    assert scopes == {"", "embed", "layers.0", "layers.1", "heads.a"}


def test_modes_reach_the_whole_tree():
    model = nn.Sequential(nn.Dropout(0.5), nn.LSTM(2, 3, 2, dropout=0.5))
    assert model.eval() is model and not any(m.training for m in model.modules())
    assert model.train() is model and all(m.training for m in model.modules())


def test_apply_visits_children_first():
    seen = []
    model = nn.Sequential(nn.Tanh(), nn.Sequential(nn.ReLU()))
    assert model.apply(lambda m: seen.append(type(m).__name__)) is model
    assert sorted(seen) == ["ReLU", "Sequential", "Sequential", "Tanh"] and seen[-1] == "Sequential"
    assert seen.index("ReLU") < seen.index("Sequential")


def test_zero_grad_and_requires_grad():
    model = Model()
    model([0, 1]).sum().backward()
    assert model.scale.grad is not None
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    model.layers[0].requires_grad_(False)
    model([0, 1]).sum().backward()
    assert model.layers[0].weight.grad is None and model.scale.grad is not None
    assert model.requires_grad_() is model and all(p.requires_grad for p in model.parameters())


def test_to_dtype_converts_parameters_and_float_buffers():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    model(np.ones((4, 2), "f")).sum().backward()
    assert model.to_dtype(np.float64) is model
    kinds = {name: array.dtype for name, array in model.state_dict().items()}
    assert kinds.pop("1.num_batches_tracked") == np.int64 and set(kinds.values()) == {np.dtype(np.float64)}
    assert all(p.grad is None for p in model.parameters())
    assert model(np.ones((4, 2))).dtype == np.float64


def test_copies_and_pickles_share_nothing():
    model = Model()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for (a, x), (b, y) in zip(model.state_dict().items(), other.state_dict().items(), strict=True):
            assert a == b
            np.testing.assert_array_equal(x, y)
        other.scale.data += 1
        assert (model.scale.data == 1).all()
        assert other([1]).shape == (1, 2)


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Module has no forward method"):
        nn.Module()(1)


def test_repr_is_a_tree():
    assert repr(nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Tanh()))) == (
        "Sequential(\n  (0): Linear(2, 3, bias=True)\n  (1): Sequential(\n    (0): Tanh()\n  )\n)"
    )


# --- hooks, paths, buffers that pass -----------------------------------------------------------------


def test_a_forward_hook_sees_every_call_and_may_change_the_result():
    model, seen = nn.Sequential(nn.Linear(2, 3), nn.Tanh()), []
    x = np.ones((1, 2), "f")
    plain = model(x).data
    first = model[0].register_forward_hook(lambda module, args, y: seen.append((module, args, y)))
    model(x)
    assert len(seen) == 1 and seen[0][0] is model[0] and seen[0][1][0] is x and seen[0][2].shape == (1, 3)
    second = model.register_forward_hook(lambda module, args, y: y * 2.0)
    third = model.register_forward_hook(lambda module, args, y: y + 1.0)  # gets what the second gave
    np.testing.assert_array_equal(model(x).data, plain * 2 + 1)
    other = copy.deepcopy(model)
    second.remove()
    np.testing.assert_array_equal(model(x).data, plain + 1)
    np.testing.assert_array_equal(other(x).data, plain * 2 + 1)
    for hook in (first, third, third):
        hook.remove()
    count = len(seen)
    np.testing.assert_array_equal(model(x).data, plain)
    assert len(seen) == count
    with pytest.raises(TypeError, match="Linear.register_forward_hook expected a function, got int"):
        model[0].register_forward_hook(1)


def test_a_hook_that_is_a_module_does_not_belong_to_the_model():
    class Scale(nn.Module):
        def __init__(self):
            self.scale = nn.Parameter(np.ones(1, np.float32))

        def forward(self, module, args, y):
            return y * self.scale * 3.0

    model, x = nn.Linear(2, 3), np.ones((1, 2), "f")
    plain = model(x).data
    model.register_forward_hook(Scale())
    np.testing.assert_allclose(model(x).data, plain * 3, rtol=1e-6)
    assert list(model.state_dict()) == ["weight", "bias"] and len(list(model.modules())) == 1


def test_a_captured_step_notices_a_hook():
    model, x = nn.Linear(2, 3), np.ones((1, 2), "f")
    step = capture(lambda x: model(x).sum())
    plain = [step(x).item() for _ in range(3)][-1]
    hook = model.register_forward_hook(lambda module, args, y: y * 2.0)
    assert step(x).item() == pytest.approx(2 * plain, rel=1e-6)
    hook.remove()
    assert step(x).item() == pytest.approx(plain, rel=1e-6)


def test_submodules_by_path():
    model = Model()
    model.embed2 = nn.Tanh()  # the name of another one is its beginning
    for path, module in model.named_modules():
        assert model.get_submodule(path) is module
    model.again = model.layers[0]
    assert model.get_submodule("again") is model.layers[0]  # also by a second path
    for path in ("layers", "layers.2", "heads.a.weight", "scale", "embe"):
        with pytest.raises(AttributeError, match="has no submodule"):
            model.get_submodule(path)
    with pytest.raises(
        AttributeError, match=r"Model has no submodule 'x\.y': those in it are embed, layers\.0, l"
    ):
        model.get_submodule("x.y")


def test_a_buffer_that_is_not_persistent_is_in_no_state_dict():
    model = nn.Sequential(nn.Linear(1, 1))
    model[0].register_buffer("table", np.ones(2, "f"), persistent=False)
    model[0].register_buffer("seen", np.array(0))
    assert list(model.state_dict()) == ["0.weight", "0.bias", "0.seen"]
    assert [name for name, _ in model.named_buffers()] == ["0.table", "0.seen"]
    model.load_state_dict(model.state_dict())
    with pytest.raises(KeyError, match="table"):
        model.load_state_dict({**model.state_dict(), "0.table": np.zeros(2, "f")})
    assert model.to_dtype(np.float64)[0].table.dtype == np.float64
    assert list(copy.deepcopy(model).state_dict()) == list(model.state_dict())
    model[0].register_buffer("table", np.zeros(3))  # as PyTorch's, the last call decides
    assert list(model.state_dict()) == ["0.weight", "0.bias", "0.table", "0.seen"]
    assert [name for name, _ in model.named_buffers()] == ["0.table", "0.seen"]


def test_zero_grad_may_set_gradients_to_zero():
    model = nn.Linear(2, 1)
    model(np.ones((1, 2), "f")).sum().backward()
    model.bias.grad = None
    model.zero_grad(set_to_none=False)
    assert model.weight.grad.data.tolist() == [[0.0, 0.0]] and model.bias.grad is None
    assert model.weight.grad.dtype == np.float32 and not model.weight.grad.requires_grad
    model.zero_grad(set_to_none=True)
    assert model.weight.grad is None


def test_a_list_of_parameters():
    model = nn.Module()
    first = nn.Parameter(np.ones(2))
    model.w = nn.ParameterList([first, np.zeros(3, "f")])
    model.w.append(np.ones(1)).extend([nn.Parameter(np.ones(4), name="own"), first])
    assert list(model.state_dict()) == [f"w.{k}" for k in range(5)] and len(model.w) == 5
    assert [p.size for p in model.w] == [2, 3, 1, 4, 2] and len(list(model.parameters())) == 4
    assert model.w[0] is first and model.w[-1] is first and model.w[1].dtype == np.float32
    assert [p.size for p in model.w[1:3]] == [3, 1] and isinstance(model.w[1:3], nn.ParameterList)
    assert [p.name for p in model.w][:2] == ["w.0", "w.1"] and model.w[3].name == "own"
    model.w[-1] = np.zeros(6)
    assert model.w[4].size == 6 and isinstance(model.w[4], nn.Parameter) and len(model.w) == 5
    for wrong in (1.0, Variable(1.0), nn.Linear, "w"):
        with pytest.raises(TypeError, match="ParameterList expected Parameters or arrays, got"):
            model.w.append(wrong)
        with pytest.raises(TypeError, match="expected"):
            model.w[0] = wrong
    with pytest.raises(IndexError):
        model.w[5] = np.ones(1)
    assert len(model.w) == 5 and model.w[0] is first


class Parent(nn.Module):
    def __init__(self):
        self.scale = nn.Parameter(np.ones(2, np.float32))
        self.kids = [Child(self), Child(self)]
        self.itself = self

    def forward(self, x):
        for kid in self.kids:
            x = kid(x) * self.scale
        return x


class Child(nn.Module):
    def __init__(self, parent):
        self.parent, self.siblings = parent, (parent,)
        self.linear = nn.Linear(2, 2)
        self.register_buffer("seen", np.array(0))

    def forward(self, x):
        return self.linear(x)


def test_a_child_may_hold_its_parent():
    """PyTorch's modules() ends as well; its state_dict and repr do not."""
    model = Parent()
    below = [f"kids.{k}.{name}" for k in (0, 1) for name in ("seen", "linear.weight", "linear.bias")]
    assert list(model.state_dict()) == ["scale", *below]
    assert [path for path, _ in model.named_parameters()] == [p for p in ["scale", *below] if "seen" not in p]
    assert [path for path, _ in model.named_buffers()] == ["kids.0.seen", "kids.1.seen"]
    paths = ["", "kids.0", "kids.0.linear", "kids.1", "kids.1.linear"]
    assert [path for path, _ in model.named_modules()] == paths
    assert repr(model).count("(parent): ...") == 2 and repr(model).count("Linear(2, 2") == 2
    assert not any(m.training for m in model.eval().modules())
    seen = []
    model.apply(seen.append)
    assert len(seen) == 5 and seen[-1] is model
    model.load_state_dict({path: array + 1 for path, array in model.state_dict().items()})
    assert model.kids[1].seen == 1
    x = np.ones((1, 2))
    model.to_dtype(np.float64)(x).sum().backward()
    model.requires_grad_(False).zero_grad()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.kids[0].parent is other and list(other.state_dict()) == ["scale", *below]
        np.testing.assert_array_equal(other(x).data, model(x).data)
    assert nn.summary(model, x).parameters == 14
    # from below, the parent is something held like any other
    assert {path.split(".")[0] for path in model.kids[0].state_dict()} == {
        "parent",
        "siblings",
        "seen",
        "linear",
    }

    lstm = nn.LSTM(2, 3)
    names = list(lstm.state_dict())
    lstm.stack.layers[0].cell.owner = lstm
    assert list(lstm.state_dict()) == names and "owner" in repr(lstm.stack)


def test_containers_refuse_to_hold_themselves():
    modules = nn.ModuleList([nn.Tanh()])
    for call in (
        lambda: modules.append(modules),
        lambda: modules.append(nn.ModuleDict({"a": nn.Sequential(modules)})),
    ):
        with pytest.raises(ValueError, match="ModuleList cannot hold itself"):
            call()
    assert len(modules) == 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (lambda: {1: nn.Linear(1, 1), "1": nn.Linear(1, 1)}, r"held\.1 .* the keys 1 and '1'"),
        (lambda: {"a": {"b": nn.Tanh()}, "a.b": nn.Tanh()}, r"held\.a\.b .* 'a' and 'a\.b'"),
        (lambda: [{None: nn.Parameter(np.ones(1)), "None": nn.Tanh()}], r"held\.0\.None .* None and 'None'"),
    ],
)
def test_keys_that_become_one_name_are_refused(value, words):
    """Half of the state dict would be missing."""
    model = nn.Module()
    with pytest.raises(ValueError, match=words):
        model.held = value()
    model.held = {}
    model.held.update(value() if isinstance(value(), dict) else value()[0])
    for call in (model.state_dict, lambda: list(model.named_modules()), lambda: list(model.parameters())):
        with pytest.raises(ValueError, match="rename one"):
            call()
    model.held = {1: "plain", "1": 2, "x": nn.Linear(1, 1), 2: nn.Linear(1, 1)}  # these are two names
    assert list(model.state_dict()) == ["held.x.weight", "held.x.bias", "held.2.weight", "held.2.bias"]


# --- state ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_buffer_that_is_none_is_in_no_state_dict(suffix, tmp_path):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    model = nn.Linear(2, 1)
    model.register_buffer("mask", None)
    model.register_buffer("count", np.array(3))
    assert list(model.state_dict()) == ["weight", "bias", "count"] and len(list(model.buffers())) == 1
    nn.save(model.to_dtype(np.float64).state_dict(), tmp_path / f"m{suffix}")
    model.load_state_dict(nn.load(tmp_path / f"m{suffix}"))
    with pytest.raises(KeyError, match=r"unexpected \['mask'\]"):
        model.load_state_dict({**model.state_dict(), "mask": np.ones(1)})
    model.mask = np.ones(2)
    assert list(model.state_dict()) == ["weight", "bias", "mask", "count"]


def test_a_state_dict_is_a_copy_and_goes_back():
    model = Model()
    state = model.state_dict()
    state["scale"][:] = 7
    assert (model.scale.data == 1).all()
    array = model.scale.data
    model.load_state_dict(state)
    assert (model.scale.data == 7).all() and np.shares_memory(array, model.scale.data)
    state["scale"][:] = 8
    assert (model.scale.data == 7).all()


def test_loading_casts_to_the_dtype_of_the_module():
    model = Model()
    model.load_state_dict(
        {k: v.astype(np.float64) if k != "seen" else v for k, v in model.state_dict().items()}
    )
    assert model.scale.dtype == np.float32
    model.load_state_dict({"scale": [1, 2, 3]}, strict=False)
    assert model.scale.data.tolist() == [1, 2, 3] and model.scale.dtype == np.float32


BAD = {
    "missing": (lambda s: s.pop("scale"), KeyError, r"missing \['scale'\], unexpected \[\]"),
    "unexpected": (lambda s: s.update(x=np.ones(1)), KeyError, r"missing \[\], unexpected \['x'\]"),
    "shape": (
        lambda s: s.update({"heads.b.bias": np.ones(2)}),
        ValueError,
        r"heads.b.bias expected shape \(1,\)",
    ),
    "text": (
        lambda s: s.update({"scale": np.array(list("abc"))}),
        ValueError,
        "scale expected float32 numbers",
    ),
    "objects": (lambda s: s.update({"scale": [None] * 3}), ValueError, "scale expected float32 numbers"),
    "complex": (lambda s: s.update({"scale": np.ones(3) * 1j}), ValueError, "got complex128"),
    "float for a counter": (
        lambda s: s.update(seen=np.array(0.5)),
        ValueError,
        "seen expected int64 numbers",
    ),
    "too large": (
        lambda s: s.update({"scale": np.array([1, 1e300, 1])}),
        ValueError,
        "too large for float32",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_state_changes_nothing_at_all(case):
    model = Model()
    before = model.state_dict()
    bad = {k: v + 1 for k, v in before.items()}
    change, error, message = BAD[case]
    change(bad)
    with pytest.raises(error, match=message):
        model.load_state_dict(bad)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_read_only_parameter_changes_nothing_at_all():
    model = nn.Linear(2, 2)
    before = model.state_dict()
    frozen = np.zeros(2, np.float32)
    frozen.flags.writeable = False
    model.bias.data = frozen
    with pytest.raises(ValueError, match="bias is a read-only array"):
        model.load_state_dict({"weight": np.ones((2, 2)), "bias": np.ones(2)})
    np.testing.assert_array_equal(model.weight.data, before["weight"])


def test_strict_false_loads_what_matches():
    model = Model()
    model.load_state_dict({"scale": np.full(3, 2.0), "other": np.ones(1)}, strict=False)
    assert (model.scale.data == 2).all()


def test_loading_after_forward_is_noticed_by_backward():
    model = nn.Linear(2, 2)
    y = model(Variable(np.ones((1, 2), "f")))
    model.load_state_dict(model.state_dict())
    with pytest.raises(RuntimeError, match="weight .* was replaced or changed"):
        y.sum().backward()


def test_non_finite_numbers_are_loaded_as_they_are():
    model = nn.Linear(2, 1)
    model.load_state_dict({"weight": [[np.inf, np.nan]], "bias": [0.0]})
    assert np.isinf(model.weight.data[0, 0]) and np.isnan(model.weight.data[0, 1])


# --- containers -----------------------------------------------------------------------------------


def test_sequential():
    first, last = nn.Linear(2, 3), nn.Linear(3, 1)
    model = nn.Sequential(first, nn.Tanh(), last)
    x = np.ones((4, 2), "f")
    np.testing.assert_array_equal(model(x).data, last(np.tanh(first(x))).data)
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert len(model) == 3 and model[-1] is last and list(model) == [model[0], model[1], model[2]]
    assert isinstance(model[:2], nn.Sequential) and len(model[:2]) == 2
    model.append(nn.Sigmoid())
    assert len(model) == 4 and model(x).shape == (4, 1)
    named = nn.Sequential({"inner": nn.Linear(2, 2), "act": nn.ReLU()}).append(nn.Tanh())
    assert [name for name, _ in named.named_children()] == ["inner", "act", "2"]
    assert nn.Sequential()(x) is x


def test_module_list_is_a_list():
    a, b, c = nn.Linear(1, 1), nn.Linear(1, 2), nn.Linear(1, 3)
    modules = nn.ModuleList([a]).append(c)
    modules.insert(1, b)
    assert list(modules) == [a, b, c] and modules[1] is b and len(modules) == 3
    assert isinstance(modules[1:], nn.ModuleList) and list(modules[1:]) == [b, c]
    modules[0] = c
    del modules[2]
    modules.extend([a])
    assert list(modules) == [c, b, a]
    assert list(modules.state_dict())[::2] == ["0.weight", "1.weight", "2.weight"]
    with pytest.raises(IndexError):
        modules[3]


def test_module_dict_is_a_dict():
    a, b = nn.Linear(1, 1), nn.Linear(1, 2)
    modules = nn.ModuleDict({"a": a})
    modules["b"] = b
    assert (
        modules.keys() == ["a", "b"]
        and modules.values() == [a, b]
        and modules.items() == [("a", a), ("b", b)]
    )
    assert "a" in modules and "c" not in modules and list(modules) == ["a", "b"] and len(modules) == 2
    modules.update({"a": b})
    assert modules["a"] is b and modules.keys() == ["a", "b"]
    del modules["a"]
    assert modules.keys() == ["b"]
    with pytest.raises(KeyError):
        del modules["a"]


def test_modules_in_containers_appear_under_their_whole_path():
    class Net(nn.Module):
        def __init__(self):
            self.stack = nn.ModuleList([nn.Linear(2, 2)])
            self.stack.append(nn.Linear(2, 2))
            self.heads = nn.ModuleDict({"out": nn.Sequential(nn.Linear(2, 1))})

        def forward(self, x):
            for layer in self.stack:
                x = layer(x)
            return self.heads["out"](x)

    y = Net()(Variable(np.ones((1, 2), "f")))
    scopes, node = [], y.creator
    while hasattr(node, "place"):
        scopes.append(node.place.scope)
        node = node.edges[0]
    assert scopes == ["heads.out.0", "stack.1", "stack.0"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.Sequential(np.tanh), TypeError, "Sequential expected modules, got ufunc for '0'"),
        (lambda: nn.ModuleList([None]), TypeError, "ModuleList expected modules, got NoneType"),
        (lambda: nn.ModuleDict({"a.b": nn.Tanh()}), KeyError, "cannot use 'a.b'"),
        (lambda: nn.ModuleDict({"forward": nn.Tanh()}), KeyError, "cannot use 'forward'"),
        (lambda: nn.ModuleDict({"": nn.Tanh()}), KeyError, "cannot use ''"),
    ],
)
def test_bad_modules_are_refused_and_the_container_stays(call, error, message):
    with pytest.raises(error, match=message):
        call()
    modules = nn.ModuleList([nn.Tanh()])
    with pytest.raises(TypeError):
        modules.append(3)
    assert len(modules) == 1
