"""Steps with a name and a clock, processes that never outlive them, and one set-up at a time."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

TAIL = 6  # lines of a failed command's output that a message repeats


class FailedError(Exception):
    """A step cannot be done. The message is for the user: what happened, and what to do."""


class CommandError(Exception):
    """A command ended badly; the message is the end of what it wrote, or why it was ended."""


class Clock:
    """One step: its name, what it is doing, and how long that has taken. On a terminal the time counts up."""

    WIDTH = 22

    def __init__(self, name: str) -> None:
        self.name = name
        self.started = time.monotonic()
        self.doing = ""
        self.live = sys.stdout.isatty()

    @property
    def elapsed(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self.started

    def now(self, doing: str) -> None:
        """Say what comes next, where that may take long."""
        self.doing = doing
        if self.live:
            self.tick()
        else:
            write(f"{self.name}: {doing}")

    def note(self, text: str) -> None:
        """One line that stays."""
        self._clear()
        write(f"{self.name}: {text}")

    def tick(self) -> None:
        """Show the time on a terminal; on anything else nothing moves."""
        if self.live:
            self._clear()
            sys.stdout.write(f"{self.name}: {self.doing} {self.elapsed:.0f} s ")
            sys.stdout.flush()

    def done(self, result: str) -> None:
        """The step's one line: name, elapsed time, result."""
        self._clear()
        write(f"{self.name + ' ':.<{self.WIDTH}} {self.elapsed:5.1f} s  {result}")

    def _clear(self) -> None:
        if self.live:
            sys.stdout.write("\r\033[K")


def write(line: str) -> None:
    """One line to standard output, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def run(
    command: Sequence[str | Path],
    clock: Clock,
    *,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    idle: float | None = None,
    limit: float | None = None,
    growing: Path | None = None,
) -> str:
    """Run a command to its end and return what it wrote.

    It is ended, with all its children, after `limit` seconds, or after `idle` seconds in which neither its output nor the
    folder `growing` grew, or when this process is interrupted. Raises CommandError when it fails or is ended.
    """
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                [str(word) for word in command],
                cwd=cwd,
                env=None if environment is None else dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise CommandError(f"{command[0]}: {error.strerror}") from error
        try:
            reason = _watch(process, clock, output.fileno(), idle, limit, growing)
        finally:
            _end(process)
        output.seek(0)
        text = output.read().decode("utf-8", "replace").strip()
    if reason or process.returncode:
        raise CommandError(reason or "\n".join(text.splitlines()[-TAIL:]) or f"exit code {process.returncode}")
    return text


def _watch(
    process: subprocess.Popen[bytes],
    clock: Clock,
    output: int,
    idle: float | None,
    limit: float | None,
    growing: Path | None,
) -> str:
    """Wait for the end; returns why it must be ended before, or nothing."""
    began = moved = time.monotonic()
    size = 0
    while True:
        try:
            process.wait(0.25)
        except subprocess.TimeoutExpired:
            clock.tick()
        else:
            return ""
        now = time.monotonic()
        seen = os.fstat(output).st_size + (_size(growing) if growing else 0)
        if seen != size:
            size, moved = seen, now
        if idle is not None and now - moved > idle:
            return f"nothing moved for {idle:.0f} s"
        if limit is not None and now - began > limit:
            return f"not done after {limit:.0f} s"


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except OSError:  # it went away between the listing and the look
            continue
    return total


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process's whole session: first asked, then made to."""
    for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, None)):
        if process.poll() is not None:
            return
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


@contextmanager
def alone(folder: Path, clock: Clock) -> Iterator[None]:
    """Hold `folder` against other set-ups: the system drops the lock with the process, so an aborted one leaves none.

    Raises FailedError where the folder cannot be made or locked.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise FailedError(f"cannot use {folder}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            clock.now("waiting for another set-up to end")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
