"""List the examples: what to type, and the first line of what each says about itself."""

import ast
import pkgutil
from pathlib import Path

import examples

if __name__ == "__main__":
    for module in pkgutil.iter_modules(examples.__path__):
        path = Path(examples.__path__[0], f"{module.name}.py")
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if 'if __name__ == "__main__"' in text and not module.name.startswith("_"):
            about = ast.get_docstring(ast.parse(text)) or ""
            print(f"python -m examples.{module.name:<16} {about.partition(chr(10))[0]}")
