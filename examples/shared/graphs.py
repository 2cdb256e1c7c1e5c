"""The kinds of sequence models as loops over named inputs, so that an example can draw its own graph.

Each function runs trained parts of a model for a few time steps and returns its outputs by name. A token is a
pair of a name, which the picture shows, and what the model reads.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autograd import Variable, concatenate, graph, step

Token = tuple[str, Any]
Part = Callable[[Any], Variable]  # an embedding, or a readout


def read(embed: Part, tokens: Sequence[Token]) -> list[Variable]:
    """The inputs of a cell, (1, I) each, in their time steps and under their names."""
    inputs = []
    for t, (name, token) in enumerate(tokens):
        with step(t):
            inputs.append(embed(token))
            inputs[-1].name = name
    return inputs


def run(cell: Any, inputs: Sequence[Variable], state: Any = None, reverse: bool = False) -> list[Any]:
    """The state of a cell after each of its inputs, which it reads from the first or from the last."""
    states: list[Any] = [None] * len(inputs)
    for t in reversed(range(len(inputs))) if reverse else range(len(inputs)):
        with step(t):
            state = states[t] = cell(inputs[t], state)
    return states


def h(state: Any) -> Variable:
    """The output of a cell whose state is h or (h, c)."""
    return state[0] if isinstance(state, tuple) else state


def many_to_one(tokens: Sequence[Token], embed: Part, layer: Any, readout: Part) -> dict[str, Variable]:
    """Read all, answer once."""
    ((_, cell),) = layer.cells()
    last = run(cell, read(embed, tokens))[-1]
    with step(len(tokens) - 1):
        return {"answer": readout(h(last))}


def many_to_many(tokens: Sequence[Token], embed: Part, layer: Any, readout: Part) -> dict[str, Variable]:
    """An output for every input; where the layer reads in both directions, each knows all inputs."""
    inputs, outputs = read(embed, tokens), {}
    runs = [run(cell, inputs, reverse=suffix.endswith("_reverse")) for suffix, cell in layer.cells()]
    for t, (name, _) in enumerate(tokens):
        with step(t):
            states = [h(states[t]) for states in runs]
            outputs[f"{t}: {name}"] = readout(concatenate(states, -1) if len(states) > 1 else states[0])
    return outputs


def one_to_many(
    tokens: Sequence[Token],
    embed: Part,
    layer: Any,
    readout: Part,
    name: Callable[[int], str],
    state: Any = None,
) -> dict[str, Variable]:
    """Three outputs; the likeliest after what is given is the next input, and so on."""
    ((_, cell),) = layer.cells()
    tokens, outputs, steps = list(tokens), {}, len(tokens) + 2
    for t in range(steps):
        with step(t):
            x = embed(tokens[t][1])
            x.name = tokens[t][0]
            state = cell(x, state)
            if t == len(tokens) - 1:
                scores = readout(h(state))
                best = scores.data.argmax(-1)
                tokens.append((name(int(best[0])), best))
                outputs[f"{t}: {tokens[-1][0]}"] = scores
    return outputs


def save_graph(outputs: Mapping[str, Variable], model: Any, path: Path, **options: Any) -> None:
    """Draw what was recorded behind the outputs, without operations that only move numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        graph.render(graph.draw(outputs, params=model, **{"hide": ["mover"]} | options), path)
    except RuntimeError as error:  # nothing here can render it
        print(f"no {path.name}: {error}")
    else:
        print(f"wrote {path}")
