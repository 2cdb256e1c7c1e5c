"""Where gradients come from in time: tables, a film, a report, and the other ways to compute them.

    from autograd import bptt

    table = bptt.decompose(losses, W)                    # every loss t, every use k of a shared weight
    chain = bptt.jacobian_chain(hs)                      # dh_t/dh_k between all states
    norms = bptt.gradient_flow(loss)                     # per layer and step of a whole model
    bptt.player.record(loss, "bptt.html", params=model)  # the backward pass as a film
    seen = bptt.input_gradients(ys, x)                   # every output by every earlier input
    units = bptt.gates(y, model)                         # what the gates did, units by time
    with bptt.live.record() as page:                     # page.save writes a page whose sliders run the graph
        loss = loss_of(model)
    with bptt.first_bad_step(model=model):               # where the first NaN or infinity comes from
        loss_of(model).backward()
    bptt.rtrl.rtrl(step, h0, T, params)                  # forward in time, to compare with
    print(inspect.getsource(bptt.formulas.lstm))         # the backward pass of a cell, derived by hand
    bptt.derivations.check(bptt.derivations.LSTM, page)  # a page like that one against the engine
    bptt.scans.blelloch(a, b)                            # h_t = a_t h_{t-1} + b_t, not one by one

The tables are in `flow`. This package stands on the engine and on `autograd.graph`, which reads and draws
graphs.
"""

from . import derivations, flow, formulas, live, player, report, rtrl, scans
from .flow import (
    Chain,
    Decomposition,
    Flow,
    InputGradients,
    decompose,
    gradient_flow,
    input_gradients,
    jacobian_chain,
    plot_lags,
    truncated_bptt,
)
from .gating import Gates, gates
from .report import BadStep, first_bad_step

__all__ = [
    "BadStep",
    "Chain",
    "Decomposition",
    "Flow",
    "Gates",
    "InputGradients",
    "decompose",
    "derivations",
    "first_bad_step",
    "flow",
    "formulas",
    "gates",
    "gradient_flow",
    "input_gradients",
    "jacobian_chain",
    "live",
    "player",
    "plot_lags",
    "report",
    "rtrl",
    "scans",
    "truncated_bptt",
]
