"""Turns: one thread records at a time, one at a time replays a recording, and forked processes start free."""

from __future__ import annotations

import os
import threading
from functools import cache
from weakref import ref

from .sources import Sources


class Turn:
    """A lock, and the thread that holds it or held it last."""

    def __init__(self) -> None:
        self.lock, self.holder = threading.Lock(), 0
        TURNS.append(ref(self))


TURNS: list[ref[Turn]] = []  # no WeakSet: an interrupt that comes while one is tidied up would be lost
RECORDING = Turn()  # one at a time in a process, as it puts other arrays into leaves
being_recorded: list[Sources] = []


@cache
def mind_forks() -> None:
    """Make forked processes, which have one thread, wait for no other thread and find all leaves whole."""

    def forked() -> None:
        for turn in [reference() for reference in TURNS]:
            if turn is not None and turn.holder != threading.get_ident():
                turn.lock = threading.Lock()
                if turn is RECORDING:
                    for sources in being_recorded:
                        sources.put_back()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forked)
