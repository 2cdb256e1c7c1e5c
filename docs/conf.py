"""The site: `python -m sphinx -W -b html docs OUT` builds it, `python -m http.server -d OUT` serves it."""

import hashlib
import os
import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS)]
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), str(DOCS / "course"), os.environ.get("PYTHONPATH", "")]
)

import autograd  # noqa: E402

project, author, copyright = "bptt", "the authors of bptt", "the authors of bptt"
release = autograd.__version__
extensions = ["myst_nb", "mathml", "docstrings", "names", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
default_role = "py:obj"  # of `names` in docstrings: a link where there is such a name
autodoc_typehints = "none"
autodoc_member_order = "groupwise"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
smartquotes = False
exclude_patterns = ["_build", "slides"]
suppress_warnings = ["misc.highlighting_failure"]  # `py` blocks that are parts of programs

html_theme = "furo"
html_title = "bptt"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_copy_source = False
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist", "html_image"]
myst_fence_as_directive = {"math"}
myst_heading_anchors = 4
nb_merge_streams = True
nb_output_stderr = "warn"  # an error under -W
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_code_prompt_show = "Show a solution"  # what is folded away in a chapter is one
nb_code_prompt_hide = "Hide the solution"


def version_of_the_code() -> str:
    """A hash of everything that cells run: outputs are kept for as long as neither cells nor code change."""
    found = hashlib.sha256()
    for folder in ("autograd", "nn", "optim", "docs/course"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".html", ".js", ".c"):
                found.update(path.read_bytes())
    return found.hexdigest()[:16]


nb_execution_cache_path = str(DOCS / "_build" / "cells" / version_of_the_code())


PAGES = {"README": "overview", "CONTRIBUTING": "contributing", "CHANGELOG": "changelog"}


def links_of_the_site(app, *of_the_event) -> None:
    """Links between documents are written for readers of the repository: here they lead to pages."""
    content = of_the_event[-1]
    top = "../" if "course/" in str(of_the_event[-2]) else ""
    for name, page in PAGES.items():
        content[0] = re.sub(rf"\]\((?:\.\./)*{name}\.md", f"]({top}{page}.md", content[0])
    if of_the_event[-2] in PAGES.values():  # what stands in the root of the repository
        content[0] = re.sub(r"\]\(docs/", "](", content[0])
        content[0] = re.sub(r"\]\((?=examples/|autograd/|nn/|optim/|tests/|benchmarks/)", "](../", content[0])


def slides(app, error) -> None:
    """The lecture with its pictures and pages goes beside the pages of the site."""
    if error is None and app.builder.format == "html":
        from docs.slides.__main__ import write

        write(Path(app.outdir) / "slides")


def setup(app) -> None:
    app.connect("build-finished", slides)
    app.connect("source-read", links_of_the_site)
    app.connect("include-read", links_of_the_site)
