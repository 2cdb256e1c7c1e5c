"""Where, in time, a gradient comes from: tables over losses, uses and steps, read from a recorded graph.

    table = flow.decompose(losses, W)       # every loss t, every use k of a shared weight
    chain = flow.jacobian_chain(hs)         # dh_t/dh_k between all states
    norms = flow.gradient_flow(loss)        # per layer and step of a whole model

The tables are NumPy arrays; ``plot()`` draws them with matplotlib. These functions let the engine walk back
over the graph and watch it; nothing here knows a derivative, and ``.grad`` stays as it is.
"""

from .inputs import InputGradients, input_gradients
from .jacobians import Chain, jacobian_chain
from .layers import Flow, gradient_flow, plot_lags
from .table import Decomposition, decompose
from .truncation import plot_windows, truncated_bptt, windows

__all__ = [
    "Chain",
    "Decomposition",
    "Flow",
    "InputGradients",
    "decompose",
    "gradient_flow",
    "input_gradients",
    "jacobian_chain",
    "plot_lags",
    "plot_windows",
    "truncated_bptt",
    "windows",
]
