"""The lecture with all that it shows: `python -m docs.slides OUT` writes a folder that needs nothing else."""

import argparse
import re
import shutil
from pathlib import Path

import numpy as np

import autograd as ag
import nn
from autograd import Parameter, Variable
from autograd.bptt import live, player

SLIDES = Path(__file__).with_name("bptt.html")


def film() -> str:
    """The page of both passes of a network of three steps."""
    rng = np.random.default_rng(0)
    U, W = Parameter(rng.normal(size=(2, 3)), name="U"), Parameter(rng.normal(size=(3, 3)) / 2, name="W")
    with player.film() as film:
        h = Variable(np.zeros((1, 3)), requires_grad=False, name="0")
        for t in range(3):
            with ag.step(t):
                x = Variable(rng.normal(size=(1, 2)), requires_grad=False, name="x")
                h = ag.tanh(x @ U + h @ W)
                h.name = "h"
        loss = (h**2).sum()
    return film.record(loss).html()


def networks() -> str:
    """The live page of three networks on one input."""
    x, nets = np.random.default_rng(0).normal(size=(20, 1, 2)), {}
    for kind in (nn.RNN, nn.GRU, nn.LSTM):
        nn.manual_seed(1)
        nets[kind.__name__] = kind(2, 8, dtype=float)
    with live.record() as page:
        losses = {name: ag.square(net(x)[0][-1] - 0.5).sum() for name, net in nets.items()}
    return page.html(losses, params=nets)


def write(out: Path) -> None:
    """Write the slides, their pictures and their pages."""
    out.mkdir(parents=True, exist_ok=True)
    text = SLIDES.read_text(encoding="utf-8")
    for picture in re.findall(r'<img src="(.*?)"', text):
        shutil.copy(SLIDES.parent / picture, out)
    (out / "bptt.html").write_text(re.sub(r'(<img src=")[^"]*/', r"\1", text), encoding="utf-8")
    (out / "film.html").write_text(film(), encoding="utf-8")
    (out / "live.html").write_text(networks(), encoding="utf-8")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("docs.slides", description=__doc__)
    parser.add_argument("out", type=Path, help="a folder, made if it is not there")
    write(parser.parse_args(argv).out)


if __name__ == "__main__":
    main()
