"""List the examples: what to type, and the first line of what each says about itself."""

import ast
import pkgutil
from pathlib import Path

import examples

if __name__ == "__main__":
    for module in pkgutil.iter_modules(examples.__path__):
        path = Path(examples.__path__[0], f"{module.name}.py")
        if path.exists() and not module.name.startswith("_"):
            about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            print(f"python -m examples.{module.name:<16} {about.partition(chr(10))[0]}")
