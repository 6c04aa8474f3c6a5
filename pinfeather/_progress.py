"""What a terminal shows of a run that takes more than a second: the stage, and how long it has been going."""

from __future__ import annotations

import sys
import time
from threading import Event, Thread
from types import TracebackType
from typing import Self

PATIENCE = 1.0
"""Seconds before anything is shown."""
STAGES = 4
_WIDTH = 20


class Progress:
    """A bar on standard error, if that is a terminal. Use it in a `with`, and tell it each stage as it begins."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._stage = ""
        self._number = 0
        self._ended = Event()
        self._thread: Thread | None = None
        self._shown = False

    def __enter__(self) -> Self:
        if sys.stderr is not None and sys.stderr.isatty():
            self._thread = Thread(target=self._show, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def stage(self, name: str) -> None:
        self._stage = name
        self._number = min(self._number + 1, STAGES)

    def _show(self) -> None:
        if self._ended.wait(PATIENCE):
            return
        while True:
            done = _WIDTH * (self._number - 1) // STAGES if self._number else 0
            passed = time.monotonic() - self._begun
            sys.stderr.write(f"\r\x1b[K[{'#' * done}{'.' * (_WIDTH - done)}] {self._stage} {passed:.0f} s")
            sys.stderr.flush()
            self._shown = True
            if self._ended.wait(0.2):
                return
