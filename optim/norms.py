"""Norms of gradients, parameter by parameter: which vanish, which explode, and which are missing."""

from collections.abc import Iterable

import numpy as np

from autograd import Variable

from .clip import gradient_norm


class GradientNorms:
    """A log of the norm of every parameter's gradient; ``print(log)`` shows it as a table.

    Args:
        named_parameters: pairs of a name and a Variable, such as ``model.named_parameters()``.
        norm_type: p of the norm (Σ |g|ᵖ)^(1/p), ``math.inf`` for the largest |g|.

    Call `record` after ``backward``, before gradients are clipped.

    Attributes:
        history: by name, one norm per record; None where a parameter had no gradient.

    Raises:
        ValueError: a name twice, or norm_type is not above 0. TypeError: something else than such pairs.

    >>> w, b = nn.Parameter([1.5, 2.0]), nn.Parameter([1.0])
    >>> log = optim.GradientNorms([("weight", w), ("bias", b)])
    >>> (w * w).sum().backward()
    >>> log.record()
    {'weight': 5.0, 'bias': None}
    """

    def __init__(self, named_parameters: Iterable[tuple[str, Variable]], norm_type: float = 2.0):
        if not norm_type > 0:
            raise ValueError(f"GradientNorms expected norm_type above 0, got {norm_type}")
        self.norm_type = float(norm_type)
        self.parameters: dict[str, Variable] = {}
        for pair in named_parameters:
            match pair:
                case (str(name), Variable() as p) if name not in self.parameters:
                    self.parameters[name] = p
                case (str(name), Variable()):
                    raise ValueError(f"GradientNorms got the name {name!r} twice")
                case _:
                    raise TypeError(
                        "GradientNorms expected pairs of a name and a Variable, such as"
                        f" model.named_parameters(), got {type(pair).__name__}"
                    )
        self.history: dict[str, list[float | None]] = {name: [] for name in self.parameters}

    def record(self) -> dict[str, float | None]:
        """Add the present norms to ``history``, and return them by name."""
        norms = {
            name: None if p.grad is None else gradient_norm(p.grad.data, self.norm_type)
            for name, p in self.parameters.items()
        }
        for name, norm in norms.items():
            self.history[name].append(norm)
        return norms

    def __str__(self) -> str:
        table: list[tuple[str, ...]] = [("parameter", "last", "smallest", "median", "largest", "without")]
        for name, norms in self.history.items():
            found = [n for n in norms if n is not None]
            numbers = [norms[-1], min(found), float(np.median(found)), max(found)] if found else [None] * 4
            texts = ["-" if n is None else f"{n:.3g}" for n in numbers]
            table.append((name, *texts, str(len(norms) - len(found))))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in table]
        return "\n".join(lines)
