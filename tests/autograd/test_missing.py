"""What Variables and modules say of names that PyTorch's have and they have not."""

import copy
import pickle

import numpy as np
import pytest

import autograd
import nn
import optim
from autograd import Parameter, Variable
from autograd.extend import hint
from autograd.missing import TENSORS, TORCH
from nn.module import HINTS

# Name -> PyTorch's expression, of tensors t and u with the numbers of x and y.
THEIRS = {
    "view": "t.view(2, -1)",
    "view_as": "t.view_as(u)",
    "reshape_as": "t.reshape_as(u)",
    "unsqueeze": "t.unsqueeze(axis)",
    "permute": "t.permute(1, 0)",
    "t": "t.t()",
    "adjoint": "t.adjoint()",
    "movedim": "t.movedim(source, destination)",
    "dim": "t.dim()",
    "numel": "t.numel()",
    "nelement": "t.nelement()",
    "expand": "t.expand(shape)",
    "expand_as": "t.expand_as(u)",
    "unflatten": "t.unflatten(1, (3, -1))",
    "contiguous": "t.contiguous()",
    "is_contiguous": "t.is_contiguous()",
    "stride": "tuple(8 * n for n in t.stride())",
    "chunk": "t.chunk(n, axis)",
    "split": "t.split([1, 1, 1], axis)",
    "unbind": "t.unbind(axis)",
    "narrow": "t.narrow(1, start, length)",
    "select": "t.select(1, i)",
    "index_select": "t.index_select(1, torch.tensor(index))",
    "gather": "t.gather(axis, torch.tensor(places))",
    "scatter": "t.index_fill(0, torch.tensor(index), value)",
    "index_fill": "t.index_fill(0, torch.tensor(index), value)",
    "index_copy": "t.index_fill(0, torch.tensor(index), value)",
    "masked_fill": "t.masked_fill(torch.tensor(mask), value)",
    "masked_select": "t.masked_select(torch.tensor(mask))",
    "where": "t.where(torch.tensor(mask), u)",
    "topk": "t.topk(n, axis).values",
    "tile": "t.tile((1, 2))",
    "repeat_interleave": "t.repeat_interleave(2, axis)",
    "flip": "t.flip(axis)",
    "roll": "t.roll(n, axis)",
    "tril": "t.tril()",
    "triu": "t.triu()",
    "add": "t.add(u)",
    "sub": "t.sub(u)",
    "mul": "t.mul(u)",
    "div": "t.div(u)",
    "neg": "t.neg()",
    "pow": "t.pow(2)",
    "square": "t.square()",
    "rsqrt": "t.rsqrt()",
    "reciprocal": "t.reciprocal()",
    "sign": "t.sign()",
    "log1p": "t.log1p()",
    "expm1": "t.expm1()",
    "clamp": "t.clamp(low, high)",
    "clamp_min": "t.clamp_min(low)",
    "clamp_max": "t.clamp_max(high)",
    "maximum": "t.maximum(u)",
    "minimum": "t.minimum(u)",
    "lerp": "t.lerp(u, 0.3)",
    "amax": "t.amax(axis)",
    "amin": "t.amin(axis)",
    "norm": "t.norm()",
    "mm": "t.mm(torch.tensor(w))",
    "bmm": "t[None].bmm(torch.tensor(w)[None])[0]",
    "mv": "t.mv(torch.tensor(v))",
    "matmul": "t.matmul(torch.tensor(w))",
    "outer": "t.flatten().outer(u.flatten())",
    **{name: f"t.{name}(u)" for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    "isnan": "t.isnan()",
    "numpy": "t.detach().numpy()",
    "clone": "t.clone()",
    **{name: f"t.{name}()" for name in ("float", "double", "half", "long", "int", "bool", "cpu")},
    "type_as": "t.type_as(u)",
    "to": "t.to(torch.float32)",
    "cuda": "t",
    "pin_memory": "t",
    "is_cuda": "t.is_cuda",
    "is_floating_point": "t.is_floating_point()",
    "element_size": "t.element_size()",
    "new_zeros": "t.new_zeros(shape)",
    "new_ones": "t.new_ones(shape)",
    "new_full": "t.new_full(shape, value)",
    "new_tensor": "t.new_tensor(value)",
    "grad_fn": "t.grad_fn",
    "requires_grad_": "t.requires_grad_(True)",
    "detach_": "t.detach_()",
    "zero_": "t.zero_()",
    "fill_": "t.fill_(value)",
    "copy_": "t.copy_(u)",
    "add_": "t.add_(u)",
    "sub_": "t.sub_(u)",
    "mul_": "t.mul_(u)",
    "div_": "t.div_(u)",
    "clamp_": "t.clamp_(low, high)",
    "masked_fill_": "t.masked_fill_(torch.tensor(mask), value)",
}
RANDOM = {"uniform_", "normal_"}
NOTHING = {"device"}  # there is nothing to write


def numbers():
    return np.array([[0.5, 2.0, 1.25], [3.0, 0.75, 1.5]])


def names_of_the_hints():
    """What the expressions of the table use besides x."""
    y = Variable(np.array([[1.0, 2.0, 0.5], [0.25, 4.0, 2.0]]))
    return {
        "np": np, "autograd": autograd, "nn": nn, "y": y, "w": np.arange(12.0).reshape(3, 4),
        "v": np.arange(3.0), "shape": (2, 3), "axis": 1, "source": 0, "destination": 1, "n": 1, "i": 2,
        "start": 1, "length": 2,
        "index": np.array([0, 1]), "places": np.array([[2, 0], [1, 1]]), "value": 7.0,
        "mask": np.array([[True, False, True], [False, False, True]]), "low": 0.7, "high": 1.6,
    }  # fmt: skip


def written(name, code, found):
    """What the code gives, or leaves in x."""
    if name.endswith("_"):
        exec(code, found)
        return found["x" if "x" in found else "t"]
    return eval(code, found)


@pytest.mark.parametrize("name", TENSORS)
def test_the_error_says_what_to_write_and_that_runs(name):
    code, _, remark = TENSORS[name].partition("  # ")
    for x in (Variable(numbers()), Parameter(numbers()), Variable(numbers()) * 2.0, Variable([1, 2])):
        with pytest.raises(AttributeError) as caught:
            getattr(x, name)
        said = str(caught.value)
        assert said.startswith(f"{type(x).__name__} has no attribute {name!r}: ")
        assert code in said and remark in said and not hasattr(x, name) and getattr(x, name, 5) == 5
        assert name not in dir(x)
    if name not in NOTHING:
        found = {**names_of_the_hints(), "x": Variable(numbers())}
        written(name, code, found)
        assert isinstance(found["x"], Variable)


@pytest.mark.parametrize("name", [name for name in TENSORS if name not in RANDOM | NOTHING])
def test_what_is_written_gives_what_pytorch_gives(name):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    found = names_of_the_hints()
    theirs = {**found, "torch": torch, "t": torch.tensor(numbers()), "u": torch.tensor(found["y"].data)}
    expected = written(name, THEIRS[name], theirs)
    got = written(name, TENSORS[name].partition("  # ")[0], {**found, "x": Variable(numbers(), False)})
    pairs = zip(got, expected, strict=True) if isinstance(expected, tuple) else [(got, expected)]
    for a, b in pairs:
        if isinstance(b, torch.Tensor | np.ndarray):
            a = np.asarray(a.data if isinstance(a, Variable) else a)
            b = np.asarray(b.detach() if isinstance(b, torch.Tensor) else b)
            assert a.dtype == b.dtype and a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-7)
        else:
            assert a == b


def test_the_table_has_names_that_pytorch_has():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    assert all(hasattr(torch.Tensor, name) for name in TENSORS) and len(TENSORS) >= 80
    assert THEIRS.keys() | RANDOM | NOTHING == TENSORS.keys()


EQUAL = {  # functions of PyTorch's module, with numbers that can be compared
    "zeros": "torch.zeros(shape)",
    "ones": "torch.ones(shape)",
    "full": "torch.full(shape, value)",
    "zeros_like": "torch.zeros_like(t)",
    "ones_like": "torch.ones_like(t)",
    "eye": "torch.eye(n)",
    "arange": "torch.arange(n)",
    "linspace": "torch.linspace(low, high, n)",
    "cat": "torch.cat([t, u], axis)",
    "argmax": "torch.argmax(t, axis)",
    "argsort": "torch.argsort(t, axis)",
    "isfinite": "torch.isfinite(t)",
    "allclose": "torch.allclose(t, u)",
    "equal": "torch.equal(t, u)",
    "tensor": "torch.tensor([1.0, 2.0])",
    "as_tensor": "torch.as_tensor([1.0, 2.0])",
    "unsqueeze": "torch.unsqueeze(t, axis)",
}


@pytest.mark.parametrize("name", [*TORCH, "unsqueeze", "clamp", "mm"])
def test_the_package_says_what_to_write_for_functions_of_pytorch(name, tmp_path):
    way = {**TENSORS, **TORCH}[name]
    code, _, remark = way.partition("  # ")
    with pytest.raises(AttributeError) as caught:
        getattr(autograd, name)
    assert str(caught.value).startswith(f"module 'autograd' has no attribute {name!r}: ")
    assert code in str(caught.value) and remark in str(caught.value) and not hasattr(autograd, name)
    model = nn.Linear(1, 1)
    found = {
        **names_of_the_hints(), "x": Variable(numbers()), "shape": (2, 3), "model": model,
        "path": tmp_path / "model.npz",
    }  # fmt: skip
    nn.save(model.state_dict(), tmp_path / "model.npz")
    exec(code, found)
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    assert hasattr(torch, name)
    if name in EQUAL:
        theirs = {**found, "torch": torch, "t": torch.tensor(numbers()), "u": torch.tensor(found["y"].data)}
        got = eval(code, found)
        got = got.data if isinstance(got, Variable) else got
        np.testing.assert_allclose(got, np.asarray(eval(EQUAL[name], theirs)), rtol=1e-6)


def test_utilities_of_modules():
    with pytest.raises(
        AttributeError, match="no attribute 'utils': clip_grad_norm_ is in optim, pad_sequence in nn"
    ):
        nn.utils.clip_grad_norm_([], 1.0)
    with pytest.raises(AttributeError, match="^module 'nn' has no attribute 'Liner'$"):
        nn.Liner  # noqa: B018
    assert hasattr(nn, "pad_sequence") and hasattr(optim, "clip_grad_norm_") and not hasattr(nn, "utils")


def test_other_names_of_the_package_are_errors_as_always():
    with pytest.raises(AttributeError, match="^module 'autograd' has no attribute 'grahp'$"):
        autograd.grahp  # noqa: B018
    assert not TORCH.keys() & set(dir(autograd))


@pytest.mark.parametrize("name", [*HINTS, "flatten_parameters"])
def test_modules_say_what_to_write(name):
    model, seen = nn.LSTM(2, 3), []
    way = HINTS.get(name, "x  # leave it out: weights are used as they lie in memory")
    code, _, remark = way.partition("  # ")
    with pytest.raises(AttributeError) as caught:
        getattr(model, name)
    assert str(caught.value).startswith(f"LSTM has no attribute {name!r}: write {code}")
    assert remark in str(caught.value) and not hasattr(model, name) and name not in dir(model)
    y, _ = model(np.ones((1, 1, 2), "f"))
    found = {
        "x": model, "y": y, "np": np, "nn": nn, "autograd": autograd, "array": np.ones(2),
        "path": "weight_ih_l0", "change": lambda x: x * 0.0, "see": seen.append, "step": lambda: y,
    }  # fmt: skip
    exec(code, found)
    if "backward_hook" in name:
        y.sum().backward()
        assert len(seen) == 1
    if name in ("double", "type", "to"):
        assert {p.dtype for p in model.parameters()} == {np.dtype(float)}
    if name == "register_forward_pre_hook":
        assert not np.array_equal(model(np.ones((1, 1, 2), "f"))[0].data, y.data)
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    assert hasattr(torch.nn.LSTM, name) or name == "register_module"


def test_hints_change_nothing_else():
    x = Parameter(numbers())
    for other in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        np.testing.assert_array_equal(other.data, x.data)
    np.testing.assert_array_equal(np.asarray(Variable(numbers(), False)), numbers())
    with pytest.raises(AttributeError, match="object has no attribute 'spare'"):
        x.spare  # noqa: B018
    with pytest.raises(AttributeError):
        x.data.view_as  # noqa: B018  arrays are NumPy's
    assert "__getattr__" not in dir(Variable)  # which would cost every attribute that is there


def test_what_a_class_or_an_object_has_comes_first():
    class Measured(Variable):
        def view(self):
            return "a view"

    assert Measured(1.0).view() == "a view"
    model = nn.Module()
    with pytest.raises(AttributeError):
        model.to  # noqa: B018
    model.to = nn.Linear(1, 1)
    assert isinstance(model.to, nn.Linear) and list(model.state_dict()) == ["to.weight", "to.bias"]
    assert "to" in dir(model) and "cuda" not in dir(model)


def test_a_name_that_is_there_gets_no_hint():
    with pytest.raises(ValueError, match="Linear has an attribute 'weight'"):
        hint(type("Linear", (nn.Linear,), {"weight": None}), {"weight": "x"})
