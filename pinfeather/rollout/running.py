"""The commands of a rollout, one at a time, and the signals that stop it.

A command runs in a session of its own, so that a terminal's Ctrl-C does not cut a deployment in two: it is passed on when this
program says so. What it prints goes to a file that it holds locked: after a `kill -9` of ours the next rollout sees that it still
runs, and waits.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import NamedTuple, Self

from pinfeather._files import FileError

NOT_FOUND = 127
"""As a shell has it, where a command could not be started."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TAIL = 4000  # characters
_MASKED = ("--user", "-u", "-H", "--header", "--token", "--password", "--passphrase")
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")
"""`env TOKEN=… pulumi up`: what a variable is set to is nobody's business."""
_USER_IN_URL = re.compile(r"//[^/@\s]*@")
_STDERR = 2
_PATIENCE = b"pinfeather: stopping where it is safe; what runs is let end, once more interrupts it\n"


class Stop:
    """Whether somebody wants this to end. Use it in a `with`, in the main thread."""

    def __init__(self) -> None:
        self.count = 0
        self.number = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._after = 1
        self._before: dict[int, object] = {}
        self._woken, self._wakes = os.pipe()
        os.set_blocking(self._wakes, False)
        os.set_blocking(self._woken, False)
        self._wakes_before = -1

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            # A pipe and no `threading.Event`: setting one in a signal's handler can wait for itself.
            self._wakes_before = signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
            wanted = [number for number in _SIGNALS if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN]  # nohup
            self._before = {number: signal.signal(number, self._asked) for number in wanted}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # what `signal.signal` returned
        if self._before:
            signal.set_wakeup_fd(self._wakes_before)
        os.close(self._woken)
        os.close(self._wakes)

    def asked(self) -> bool:
        return self.count > 0

    @property
    def code(self) -> int:
        """The exit code of a program that such a signal has ended."""
        return 128 + self.number

    def wait(self, seconds: float, *, after: int = 1) -> bool:
        """Waits; returns at once, and True, when somebody wants this to end for the `after`th time."""
        end = time.monotonic() + seconds
        while self.count < after and (left := end - time.monotonic()) > 0:
            if select.select([self._woken], [], [], left)[0]:
                os.read(self._woken, 512)
        return self.count >= after

    def watch(self, child: subprocess.Popen[bytes], after: int) -> int:
        """Waits for the end of a command, and returns its exit code. It is sent SIGINT at the signal number `after` and each later one."""
        self._child, self._after = child, after
        try:
            if self.count >= after:
                self._pass_on()
            return child.wait()
        finally:
            self._child = None

    def _asked(self, number: int, _: FrameType | None) -> None:
        self.count += 1
        self.number = number
        if self._child is not None and self.count >= self._after:
            self._pass_on()
        elif self._child is not None:
            with contextlib.suppress(OSError):  # by no buffer: this may stand in the middle of another write
                os.write(_STDERR, _PATIENCE)

    def _pass_on(self) -> None:
        child = self._child
        if child is not None and child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGINT)  # the whole of it, as a terminal does


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    seconds: float
    output: str
    """The end of what it printed."""


def run(words: Sequence[str], folder: Path, output: Path, stop: Stop, *, after: int) -> Ended:
    """Runs a command to its end, and never through a shell. Its output replaces the file `output`. Raises FileError for that file."""
    begun = time.monotonic()
    descriptor = _fresh(output)
    try:
        child = subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=descriptor, stderr=descriptor, start_new_session=True)
    except OSError as problem:
        os.close(descriptor)
        return Ended(NOT_FOUND, 0.0, f"{words[0]}: {(problem.strerror or str(problem)).lower()}")
    try:
        code = stop.watch(child, after)
        size = os.fstat(descriptor).st_size
        text = os.pread(descriptor, _TAIL, max(0, size - _TAIL)).decode("utf-8", "replace")
    finally:
        os.close(descriptor)
    return Ended(code, time.monotonic() - begun, text)


def _fresh(path: Path) -> int:
    """A new file, locked for whoever holds its descriptor: us, and the command that inherits it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # what an earlier command left running holds that one, and not this
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as problem:
        raise FileError(path, f"cannot be written: {(problem.strerror or str(problem)).lower()}") from None
    return descriptor


def still_runs(output: Path) -> bool:
    """Whether a command holds this file, though whoever started it is gone."""
    try:
        descriptor = os.open(output, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def shown(words: Sequence[str]) -> list[str]:
    """A command for logs and screens: without what opens a door."""
    found: list[str] = []
    for index, word in enumerate(words):
        flag, equals, _ = word.partition("=")
        if index and words[index - 1] in _MASKED:
            found.append("***")
        elif equals and (flag in _MASKED or _VARIABLE.fullmatch(flag)):
            found.append(f"{flag}=***")
        else:
            found.append(_USER_IN_URL.sub("//***@", word))
    return found
