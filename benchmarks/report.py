"""What a run found, as Markdown tables, as JSON and as an SVG picture for a slide."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .peers import CANDIDATES

Result = dict[str, Any]  # of `runner.measure`

COLORS = {
    "ours": "#111111",
    "ours-capture": "#b08900",
    "ours-table": "#d4a017",
    "ours-pause-gc": "#777777",
    "ours-create-graph": "#777777",
    "floor": "#2a9d8f",
    "torch-fused": "#f4a261",
    "torch-cell": "#e76f51",
    "torch-ops": "#b5352a",
    "jax": "#6a4c93",
    "dezero": "#1982c4",
    "hips": "#8ac926",
    "mygrad": "#c77dff",
}
DOCUMENT = "docs/speed.md"
BEGIN, END = "<!-- begin: python -m benchmarks -->\n", "<!-- end -->\n"
LAYERS = ("lstm", "gru", "rnn", "training")  # groups in the table of all layers
COLUMNS = {
    "ours": "eager",
    "ours-capture": "captured",
    "ours-table": "table",
    "torch-fused": "PyTorch fused",
    "jax": "jax",
    "floor": "NumPy by hand",
}
TITLES = {
    "lstm": "LSTM, forward and all parameter gradients",
    "gru": "GRU, forward and all parameter gradients",
    "rnn": "RNN, forward and all parameter gradients",
    "inference": "LSTM, inference (no_grad)",
    "chain": "Scalar operations with graph, and back; by the number of operations",
    "training": "A training step: model, loss, clip, Adam; of a character model, and of LSTM(1, 32) for sums",
    "memory": "Peak memory above the baseline of one LSTM forward and backward pass",
    "length": "LSTM with B=1, H=64, by the number of time steps",
    "second": "LSTM, the backward pass alone, first-order and recorded (create_graph)",
}


def quartile(measurement: dict[str, Any]) -> float:
    """What candidates are compared by, in seconds (or bytes): the lower quartile of all calls."""
    return float(np.percentile(measurement["seconds"], 25))


def median(measurement: dict[str, Any]) -> float:
    return float(np.median(measurement["seconds"]))


def summarize(results: list[Result]) -> None:
    """Add lower quartile, median, and both relative to ours, to every measurement."""
    for result in results:
        found = result["candidates"]
        for m in found.values():
            if m.get("seconds"):
                m["quartile"], m["median"] = quartile(m), median(m)
        ours = found.get("ours", {})
        for m in found.values():
            if "quartile" in m and "quartile" in ours:
                m["to_ours"] = m["quartile"] / ours["quartile"]
                m["median_to_ours"] = m["median"] / ours["median"]


def markdown(meta: dict[str, Any], results: list[Result], missing: dict[str, str]) -> str:
    where = f"{meta['cpu']}, {meta['cores']} cores, {_threads(meta['threads'])} for every candidate"
    lines = ["# Benchmarks", "", f"{meta['date']}, {where}; {meta['python']}; {meta['blas']}."]
    versions = {}
    for result in results:
        for name, m in result["candidates"].items():
            if "versions" in m:
                key = CANDIDATES[name].environment or "ours and hand-written NumPy"
                versions[key] = ", ".join(f"{k} {v}" for k, v in m["versions"].items())
    lines += ["", *[f"- {name}: {text}" for name, text in versions.items()]]
    lines += ["", f"Made by `{meta['command']}`.", ""]
    lines += [
        "Time of each candidate relative to ours (above 1: slower than ours), by lower quartiles; in brackets"
        " by medians; then the lower quartile itself. All candidates took turns in one run, each in a process"
        " of its own, and computed the same numbers."
    ]
    if any(result["group"] in LAYERS for result in results):
        lines += ["", "## All layers", "", layers(meta, results).rstrip()]
    groups: dict[tuple[str, int], list[Result]] = {}
    for result in results:
        groups.setdefault((result["group"], result["threads"]), []).append(result)
    for (group, threads), members in groups.items():
        lines += ["", f"## {TITLES.get(group, group)}; {_threads([threads])}", ""]
        lines += table(group, members)
    notes = [f"- {peer} was left out: {hint}." for peer, hint in missing.items()]
    notes += [
        f"- {CANDIDATES[name].title} failed in {result['name']}: {m['failed']}"
        for result in results
        for name, m in result["candidates"].items()
        if "failed" in m
    ]
    return "\n".join([*lines, *(["", "## Missing", "", *notes] if notes else []), ""])


def layers(meta: dict[str, Any], results: list[Result]) -> str:
    """One table of all recurrent layers: a line for each of them and number of threads, a column for each way
    to compute it, each with its lower quartile and, in brackets, that relative to PyTorch's fused layer."""
    lines = [result for result in results if result["group"] in LAYERS]
    names = [name for name in COLUMNS if any("quartile" in r["candidates"].get(name, {}) for r in lines)]
    where = f"{meta['cpu']}, {meta['cores']} cores; {meta['python']}; {meta['blas']}"
    text = [f"{meta['date']}, {where}; made by `{meta['command']}`."]
    if "torch-fused" in names:
        text[0] += " In brackets, relative to PyTorch's fused layer (below 1: faster)."
    text += ["", "| (T, B, I, H) | " + " | ".join([COLUMNS[name] for name in names]) + " |"]
    text.append("| --- " * (1 + len(names)) + "|")
    for result in lines:
        T, B, I, H = result["size"]  # noqa: E741
        cell = "training" if result["group"] == "training" else result["cell"]
        head = f"{cell} {result['label']} ({T}, {B}, {I}, {H}), {_threads([result['threads']])}"
        found = result["candidates"]
        fused = found.get("torch-fused", {}).get("quartile")
        cells = []
        for name in names:
            m = found.get(name, {})
            seconds = m.get("quartile")
            ratio = f" ({_number(seconds / fused)})" if seconds and fused and name != "torch-fused" else ""
            cells.append("failed" if "failed" in m else _time(seconds) + ratio if seconds else "")
        text.append(f"| {head} | " + " | ".join(cells) + " |")
    return "\n".join([*text, ""])


def replace(document: str, text: str) -> str:
    """A document with ``text`` between the markers."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def _threads(numbers: Sequence[int]) -> str:
    words = " and ".join(map(str, numbers))
    return f"{words} thread" + ("s" if numbers[-1] > 1 else "")


def table(group: str, members: list[Result]) -> list[str]:
    rows = {name: None for member in members for name in member["candidates"]}
    heads = []
    for member in members:
        T, B, I, H = member["size"]  # noqa: E741
        heads.append(f"T={T:,}" if group == "length" else member["label"])
        if (
            member["kind"] in ("backward", "inference", "second", "training", "sums", "conv", "convlstm")
            and group != "length"
        ):
            heads[-1] += f" ({T},{B},{I},{H})"
    if group == "memory":
        heads = ["one pass", "three passes"]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (1 + len(heads)) + "|"]
    for name in rows:
        cells = []
        for member in members:
            m = member["candidates"].get(name, {})
            if "failed" in m:
                cells += ["failed"] * (2 if group == "memory" else 1)
            elif "bytes" in m:
                cells += [f"{b / 1e6:,.0f} MB" for b in m["bytes"]]
            elif "quartile" not in m:
                cells.append("")
            elif group == "length":
                cells.append(_per_step(name, m, member, members))
            elif "to_ours" in m:
                ratios = f"{_number(m['to_ours'])} ({_number(m['median_to_ours'])})"
                cells.append(f"{ratios} · {_time(m['quartile'])}")
            else:
                cells.append(_time(m["quartile"]))
        lines.append(f"| {CANDIDATES[name].title} | " + " | ".join(cells) + " |")
    if group == "length":
        lines += ["", "Time per step by lower quartiles; in brackets, relative to the shortest sequence."]
    return lines


def _per_step(name: str, m: dict[str, Any], member: Result, members: list[Result]) -> str:
    step = m["quartile"] / member["size"][0]
    first = members[0]["candidates"].get(name, {})
    relative = f" ({step * members[0]['size'][0] / first['quartile']:.2f})" if "quartile" in first else ""
    return f"{_time(step)}{relative}"


def _number(x: float) -> str:
    return f"{x:.2f}" if x < 10 else f"{x:.0f}"


def _time(seconds: float) -> str:
    for unit, size in (("s", 1), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def write(folder: Path, meta: dict[str, Any], results: list[Result], missing: dict[str, str]) -> str:
    """Write results.md, results.json and, where matplotlib is installed, results.svg; returns the text."""
    folder.mkdir(parents=True, exist_ok=True)
    summarize(results)
    text = markdown(meta, results, missing)
    (folder / "results.md").write_text(text, encoding="utf-8")
    data = {"machine": meta, "cases": results, "missing": missing}
    (folder / "results.json").write_text(json.dumps(data, indent=1), encoding="utf-8")
    try:
        import matplotlib
    except ImportError:
        return text + "\nNo plot: `pip install matplotlib` provides it.\n"
    matplotlib.use("Agg")
    plot(folder / "results.svg", meta, results)
    return text


# --- the picture --------------------------------------------------------------------------------


def plot(file: Path, meta: dict[str, Any], results: list[Result]) -> None:
    """Panels of what was measured: relative times by size, time per step by length, memory, the rest; with
    the most threads."""
    from matplotlib import pyplot as plt

    threads = max(meta["threads"])
    results = [result for result in results if result["threads"] == threads]
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result["group"], []).append(result)
    panels: list[tuple[str, Any]] = [(g, groups[g]) for g in ("lstm", "gru", "rnn", "length") if g in groups]
    rest = [r for g in ("inference", "chain", "training", "second") for r in groups.get(g, [])]
    panels += [("rest", rest)] * bool(rest) + [("memory", g) for g in [groups.get("memory")] if g]
    if not panels:
        return
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    style = {"font.size": 11, "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "none"}
    with plt.rc_context(style):
        figure, axes = plt.subplots(
            rows, columns, figsize=(5.3 * columns, 4.2 * rows + 0.9), squeeze=False, layout="constrained"
        )
        for ax in axes.flat[len(panels) :]:
            ax.set_axis_off()
        for ax, (group, members) in zip(axes.flat, panels, strict=False):
            {"length": _plot_length, "memory": _plot_memory}.get(group, _plot_ratios)(ax, group, members)
        handles = {}
        for ax in axes.flat:
            for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
        figure.legend(
            handles.values(),
            handles.keys(),
            loc="outside upper center",
            ncols=min(len(handles), 6),
            frameon=False,
        )
        figure.supxlabel(f"{meta['cpu']}, {_threads([threads])}, {meta['date']}", fontsize=9, color="#666666")
        figure.savefig(file)
        plt.close(figure)


def _plot_ratios(ax: Any, group: str, members: list[Result]) -> None:
    for name in CANDIDATES:
        points = [
            (i, member["candidates"][name]["to_ours"])
            for i, member in enumerate(members)
            if "to_ours" in member["candidates"].get(name, {})
        ]
        if points and name != "ours":
            line = "none" if group == "rest" else "-"
            ax.plot(*zip(*points, strict=True), marker="o", linestyle=line, color=COLORS.get(name, "#999999"),
                    label=CANDIDATES[name].title, linewidth=1.8)  # fmt: skip
    ax.axhline(1, color=COLORS["ours"], linewidth=2.2, label=CANDIDATES["ours"].title)
    ax.set_yscale("log")
    _plain_numbers(ax.yaxis)
    labels = [m["name"] if group == "rest" else m["label"] for m in members]
    ax.set_xticks(range(len(members)), labels, rotation=30 if group == "rest" else 0)
    ax.set_xlim(-0.4, len(members) - 0.6)
    ax.set_ylabel("time relative to ours")
    ax.set_title("Other work" if group == "rest" else f"{group.upper()}, forward and backward", loc="left")
    ax.grid(axis="y", alpha=0.25)


def _plot_length(ax: Any, group: str, members: list[Result]) -> None:
    for name in CANDIDATES:
        points = [
            (member["size"][0], member["candidates"][name]["quartile"] / member["size"][0] * 1e6)
            for member in members
            if "quartile" in member["candidates"].get(name, {})
        ]
        if points:
            ax.plot(*zip(*points, strict=True), marker="o", color=COLORS.get(name, "#999999"),
                    label=CANDIDATES[name].title, linewidth=1.8)  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    _plain_numbers(ax.yaxis)
    ax.set_xlabel("time steps")
    ax.set_ylabel("µs per step")
    ax.set_title("LSTM by length, B=1, H=64", loc="left")
    ax.grid(axis="y", alpha=0.25)


def _plot_memory(ax: Any, group: str, members: list[Result]) -> None:
    member = members[0]
    found = {n: m["bytes"][0] / 1e6 for n, m in member["candidates"].items() if "bytes" in m}
    names = sorted(found, key=lambda n: found[n], reverse=True)
    bars = ax.barh(
        [CANDIDATES[n].title for n in names],
        [found[n] for n in names],
        color=[COLORS.get(n, "#999999") for n in names],
    )
    ax.bar_label(bars, fmt="{:,.0f}", padding=3)
    ax.set_xlabel("MB")
    T, B, _, H = member["size"]
    ax.set_title(f"Peak memory, LSTM T={T}, B={B}, H={H}", loc="left")


def _plain_numbers(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_formatter(NullFormatter())
