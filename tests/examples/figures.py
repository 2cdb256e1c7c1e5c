"""What every example returns."""

import numpy as np


def assert_figures(figures):
    """Numbers by what is measured and by whom, that fit into a table of the documentation."""
    assert figures and all(figures.values())
    for what, column in figures.items():
        assert isinstance(what, str) and "|" not in what
        for model, value in column.items():
            assert isinstance(model, str) and "|" not in model
            assert np.ndim(value) == 0 and np.isfinite(value), (what, model, value)
