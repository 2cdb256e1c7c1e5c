"""The directive ``names``: what a package exports, as far as certain modules define it.

    .. names:: nn

       nn.cells nn.recurrent

documents all names of ``nn`` that modules below ``nn.cells`` and ``nn.recurrent`` define; without modules
all names. A name that no page has, or that two have, is a warning, which ``-W`` makes an error.
"""

import importlib
import inspect
import types

from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import autograd

PACKAGES = ("autograd", "autograd.graph", "autograd.bptt", "nn", "optim")
logger = logging.getLogger(__name__)


def exported(module):
    """What a module exports, by name: ``__all__``, else all that it defines without an underscore."""
    own = [
        n
        for n, x in vars(module).items()
        if not n.startswith("_") and getattr(x, "__module__", "") == module.__name__
    ]
    names = getattr(module, "__all__", own)
    return {n: getattr(module, n) for n in names if not isinstance(getattr(module, n), types.ModuleType)}


def is_below(name, prefixes):
    return any(f"{name}.".startswith(f"{prefix}.") for prefix in prefixes)


class Names(SphinxDirective):
    has_content = True
    required_arguments = 1

    def run(self):
        package, prefixes = self.arguments[0], " ".join(self.content).split()
        lines = []
        for name, found in sorted(exported(importlib.import_module(package)).items()):
            if prefixes and not is_below(getattr(found, "__module__", package), prefixes):
                continue
            if package != "autograd" and getattr(autograd, name, None) is found:  # it stands there
                continue
            if inspect.isclass(found):
                lines += [f".. autoclass:: {package}.{name}", "   :members:", "   :show-inheritance:", ""]
            else:
                lines += [f".. {'autofunction' if callable(found) else 'autodata'}:: {package}.{name}", ""]
        if not lines:
            raise self.error(f"no name of {package} is defined below {' '.join(prefixes)}")
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=False)


def all_names_have_a_place(app, env):
    """Names of another package that are the same object have their place there."""
    places = {name for name, _, kind, *_ in env.domains["py"].get_objects() if kind != "module"}
    for package in PACKAGES:
        for name, found in exported(importlib.import_module(package)).items():
            elsewhere = [
                f"{p}.{name}" for p in PACKAGES if getattr(importlib.import_module(p), name, None) is found
            ]
            if places.isdisjoint(elsewhere):
                logger.warning(f"{package}.{name} stands on no page of the reference")


def skip(app, what, name, found, is_skipped, options):
    """Fields of named tuples: their docstrings say nothing that the class's does not."""
    return True if type(found).__name__ == "_tuplegetter" else None


def setup(app):
    app.setup_extension("sphinx.ext.autodoc")
    app.add_directive("names", Names)
    app.connect("env-check-consistency", all_names_have_a_place)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True}
