"""Programs that a test starts: on free ports of loopback, with their log in a file, waited for with a deadline, ended with the test."""

from __future__ import annotations

import random
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

DEADLINE = 60.0
"""Seconds that a start or a condition may take."""


class PartError(Exception):
    """A part did not start, refused what it was given, or did not come to what was waited for. The message ends with its log."""


class Process:
    """One program, from its start to `stop`."""

    def __init__(self, command: Iterable[str | Path], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._words = [str(word) for word in command]
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                self._words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=log.parent,
                env={"HOME": str(log.parent), **(environment or {})},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
        """Returns once the condition holds. Raises PartError at the deadline, or when the program has ended."""
        end = time.monotonic() + seconds
        while not condition():
            name = Path(self._words[0]).name
            if self._process.poll() is not None:
                raise PartError(f"{name} has ended while waiting for {what}:\n{self.log()}")
            if time.monotonic() > end:
                raise PartError(f"after {seconds:g} s {name} still is not at {what}:\n{self.log()}")
            time.sleep(0.02)

    def log(self) -> str:
        """The last of its log."""
        return self._log.read_text("utf-8", "replace")[-4000:]

    def stop(self, patience: float = 10.0) -> None:
        """Ends it; a second call does nothing."""
        self._process.terminate()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


_OWN_TO_US = range(10_000, 20_900)
"""Below what a system hands out by itself (from 32768 on Linux, from 49152 on macOS): whatever starts meanwhile takes none of them."""


def free_ports(count: int) -> list[int]:
    """Free ports of loopback, all different, that stay free until they are used: they are drawn, so that runs side by side differ."""
    held: list[socket.socket] = []
    try:
        for port in random.SystemRandom().sample(_OWN_TO_US, len(_OWN_TO_US)):
            held.append(socket.socket())
            try:
                held[-1].bind(("127.0.0.1", port))
            except OSError:
                held.pop().close()
            if len(held) == count:
                break
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def listening(port: int) -> bool:
    """Whether something on loopback takes connections at that port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
