"""Finds, on import, that PyPI's unrelated distribution ``autograd`` has installed its files among these."""

import os


def check(folder: str) -> None:
    """Raise where a distribution called ``autograd`` has installed its files into ``folder``.

    Asks for the record that installers leave beside a package. Where there is none (a source tree, a zip
    file, WebAssembly) all is well. A listing of names takes 0.1 ms; `importlib.metadata`, imported only
    when one of them is a record to read, 20 ms.

    Raises:
        ImportError: the package in this folder is made of the files of two distributions.
    """
    site = os.path.dirname(folder)
    try:
        names = os.listdir(site)
    except OSError:
        return
    for name in names:
        if name.startswith("autograd-") and name.endswith((".dist-info", ".egg-info")):
            from importlib.metadata import Distribution

            other = Distribution.at(os.path.join(site, name))
            if "autograd/__init__.py" in map(str, other.files or ()):
                raise ImportError(
                    f"PyPI's autograd {other.version}, which has nothing to do with bptt, is installed in the"
                    f" same folder, {folder}: each has overwritten files of the other. Keep one environment"
                    " for each, or remove both (pip uninstall autograd bptt) and install bptt again",
                    name="autograd",
                )


check(os.path.dirname(__file__))
