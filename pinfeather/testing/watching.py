"""What code touches while it runs: files, sockets, processes, the clock, chance and the environment."""

from __future__ import annotations

import gc
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

_IMPURE = ("open", "os.", "socket.", "subprocess.", "shutil.", "tempfile.", "pathlib.", "glob.", "urllib.", "http.", "ftplib.", "sqlite3.")
_listening: list[list[str]] = []
_installed: list[Callable[[str, tuple[object, ...]], None]] = []


def _heard(event: str, _arguments: tuple[object, ...]) -> None:
    if _listening and event.startswith(_IMPURE):
        _listening[-1].append(event)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Notes what is touched: by CPython's audit events, and by the clock, chance and environment, which have none."""
    touched: list[str] = []
    if _heard not in _installed:
        sys.addaudithook(_heard)  # stays for the life of the process, and does nothing outside of here
        _installed.append(_heard)

    def noted(what: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object, **named: object) -> object:
            touched.append(what)
            return real(*given, **named)

        return call

    class Environment(dict[str, str]):
        def __getitem__(self, key: str) -> str:
            touched.append("os.environ")
            return super().__getitem__(key)

        def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
            touched.append("os.environ")
            return super().get(key, default)

    with ExitStack() as patches:
        for module, names in (
            (time, ("time", "time_ns", "monotonic", "monotonic_ns", "localtime", "gmtime")),
            (random, ("random", "randint", "choice", "shuffle", "getrandbits")),
            (os, ("urandom", "getcwd", "getenv")),
        ):
            for name in names:
                patches.enter_context(mock.patch.object(module, name, noted(f"{module.__name__}.{name}", getattr(module, name))))
        patches.enter_context(mock.patch.object(os, "environ", Environment(os.environ)))
        collecting = gc.isenabled()
        gc.disable()  # finalisers of others would be heard too
        _listening.append(touched)
        try:
            yield touched
        finally:
            _listening.pop()
            if collecting:
                gc.enable()
