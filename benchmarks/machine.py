"""What a figure depends on besides the code: the build of Python, and which BLAS NumPy calls.

Every worker says it of its own Python; only the standard library and NumPy are needed.
"""

import platform
import sysconfig


def python_build() -> str:
    """The Python that runs, and whether it was built with profile-guided optimisation.

    An interpreter without it runs eager code about a tenth slower, and captured code as fast.
    """
    return f"{platform.python_implementation()} {platform.python_version()}, {optimisation()}"


def optimisation() -> str:
    """With or without PGO, as the arguments of its configure say; Windows and others have none."""
    arguments = sysconfig.get_config_var("CONFIG_ARGS")
    if not arguments:
        return "build unknown"
    return "PGO" if "--enable-optimizations" in arguments else "no PGO"


def blas() -> str:
    """The BLAS of NumPy: of the library that is loaded if threadpoolctl is there, else of NumPy's build."""
    import numpy as np

    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        pass
    else:
        found = [pool for pool in threadpool_info() if pool.get("user_api") == "blas"]
        if found:
            words = [found[0]["internal_api"], found[0].get("version"), found[0].get("architecture")]
            return " ".join([str(word) for word in words if word])
    build = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{build.get('name', 'unknown')} {build.get('version', '')}".strip()
