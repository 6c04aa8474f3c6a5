"""Processes of this machine as `LocalProcess` needs them: started in a session of their own, found again, ended.

Who a process is, is not told by its pid, which is used again. It is told by a mark in its environment, which no change
of the clock moves; where the environment cannot be read, by its start time.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final
from urllib.parse import urlsplit

import psutil

from pinfeather.deploy.contract import RefusedError

MARK: Final = "PINFEATHER_PROCESS"
"""The environment variable that a process of ours carries: its state file, `#`, the hash of its specification."""

_KEPT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "PYTHONDONTWRITEBYTECODE")
_CLOCK_SLACK = 2.0  # seconds; the start time is computed from the clock, and the clock is corrected now and then
_PROBE_TIMEOUT = 2.0  # seconds for one health probe
_SYSTEM_DELAY = 1.0  # seconds that the system may take to tell of an end
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25  # seconds between two probes
_AFTER_KILL = 5.0  # seconds that the system may take to end what was killed
_TAIL_BYTES, _TAIL_LINES = 8192, 20

_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Identity:
    """One process, for good: pid, start time in seconds since 1970, and the mark that it carries."""

    pid: int
    started: float
    mark: str


def start(command: Sequence[str], environment: Mapping[str, str], folder: str, log: Path, mark: str) -> Identity:
    """Start `command` detached: own session, no input, output to the end of `log`, no inherited descriptor.

    Of our own environment only the few variables that name places and language go along: the engine's hold the
    passphrase of the stack. Raises `RefusedError` when the system cannot start it.
    """
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
            child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**kept, **environment, MARK: mark},
                start_new_session=True,
            )
    except OSError as error:
        why = (error.strerror or "unknown error").lower()
        raise RefusedError(f"cannot start {command[0]!r}: {why} ({error.filename or log})") from error
    _children[child.pid] = child
    try:
        started = psutil.Process(child.pid).create_time()
    except psutil.NoSuchProcess:  # it ended at once, and something else reaped it; the health check will say so
        started = 0.0
    return Identity(child.pid, started, mark)


def runs(identity: Identity) -> bool:
    """Whether this very process is alive: not another one with its pid, and not a dead one that nobody has reaped."""
    _reap(identity.pid)
    try:
        process = psutil.Process(identity.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return _mark_of(process) == identity.mark or abs(process.create_time() - identity.started) < _CLOCK_SLACK
    except psutil.Error:  # gone, or of another user: then it is none of ours
        return False


def marked(state_file: Path) -> list[Identity]:
    """Every living process that carries the mark of this state file, leaders of their session first.

    This finds what a run left that was killed before it could write down a pid.
    """
    found = []
    for process in psutil.process_iter():
        mark = _mark_of(process)
        if mark is not None and mark.rpartition("#")[0] == str(state_file):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(Identity(process.pid, process.create_time(), mark))
    return sorted((each for each in found if runs(each)), key=lambda each: (not leads_session(each.pid), each.started))


def end(identity: Identity, timeout: float) -> bool:
    """End the process and whatever else lives in its session; return whether it went by itself when asked.

    SIGTERM first, and after `timeout` seconds SIGKILL. Already gone is success.
    """
    if not runs(identity):
        return True
    members = _session(identity.pid)
    _signal(identity.pid, signal.SIGTERM)
    if _wait_gone(members, timeout):
        return True
    for each in [*members, *_session(identity.pid)]:
        if runs(each):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)
    if not _wait_gone(members, _AFTER_KILL):
        raise RefusedError(f"process {identity.pid} does not end, not even by SIGKILL: the system holds it")
    return False


def wait_healthy(identity: Identity, health: str, timeout: float, cancelled: Event) -> str | None:
    """Wait until the health address answers; return None then, or else why it never did.

    `health` is `http://HOST:PORT/PATH` (any answer below 400) or `tcp://HOST:PORT` (it accepts a connection).
    """
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        if not runs(identity):
            return f"it ended{_exit_status(identity.pid)}"
        failure = probe(health, _PROBE_TIMEOUT)
        if failure is None and runs(identity):
            return None
        if time.monotonic() >= deadline:
            return f"{health} did not answer well within {timeout:g} s ({failure})"
        if cancelled.wait(pause):
            return "it was interrupted"
        pause = min(pause * 2, _LONGEST_PAUSE)


def probe(health: str, timeout: float) -> str | None:
    """Ask the health address once; return None when it is well, or else what came instead."""
    parts = urlsplit(health)
    host, port = parts.hostname or "", parts.port or 80
    try:
        if parts.scheme == "tcp":
            socket.create_connection((host, port), timeout).close()
            return None
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
        try:
            connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
            status = connection.getresponse().status
        finally:
            connection.close()
    except OSError as error:
        return (error.strerror or str(error) or type(error).__name__).lower()
    except http.client.HTTPException:
        return "no HTTP answer"
    return None if status < 400 else f"status {status}"


def in_use(address: str) -> str | None:
    """Why nobody could listen on `HOST:PORT` now, naming the process that holds it; None when it is free."""
    host, port = split_address(address)
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what servers do: old connections may linger
            listener.bind(where)
            listener.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"port {port} of {host} is in use by {_holder(port)}"
        if error.errno in (errno.EACCES, errno.EPERM):
            return f"port {port} of {host} needs a privileged user; choose one from 1024 up"
        return f"nothing can listen on {address}: {(error.strerror or 'unknown error').lower()}"
    return None


def split_address(address: str) -> tuple[str, int]:
    """`127.0.0.1:80` and `[::1]:80` as host and port; raises `ValueError` for anything else."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{address!r} is not HOST:PORT with a port from 1 to 65535")
    return host.removeprefix("[").removesuffix("]"), int(port)


def tail(log: Path, since: int) -> str:
    """The last lines that were written to a log after its first `since` bytes, fit to be shown on a terminal."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since, size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = text.splitlines()[-_TAIL_LINES:]
    return "\n".join("".join(char if char.isprintable() or char == "\t" else "?" for char in line) for line in lines)


def _holder(port: int) -> str:
    """The process that listens on a port, as far as the system lets us see it."""
    for process in _listeners(port):
        with contextlib.suppress(psutil.Error):
            return f"process {process.pid} ({process.name()})"
    return "a process that this user may not see"


def _listeners(port: int) -> Iterator[psutil.Process]:
    # Process by process and not by the table of the whole system: macOS shows that one to root only.
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr[1] == port:
                    yield process


def _mark_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def _reap(pid: int) -> None:
    child = _children.get(pid)
    if child is not None:
        child.poll()


def _exit_status(pid: int) -> str:
    child = _children.get(pid)
    try:
        # It may have ended after it was last polled; then the system still has its status for us.
        status = child.wait(_SYSTEM_DELAY) if child is not None else None
    except subprocess.TimeoutExpired:
        status = None
    if status is None:
        return ""
    return f" with status {status}" if status >= 0 else f" by signal {-status}"


def leads_session(pid: int) -> bool:
    """Whether the process is the one that was started, and not a child of it that carries the same mark."""
    try:
        return os.getsid(pid) == pid
    except OSError:
        return False


def _session(leader: int) -> list[Identity]:
    """The living processes of a session, whatever group they have made for themselves."""
    members = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == leader or os.getsid(process.pid) == leader:
                members.append(Identity(process.pid, process.create_time(), _mark_of(process) or ""))
    return members


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        if leads_session(pid):  # then it leads the group of that number as well
            os.killpg(pid, number)
        else:
            os.kill(pid, number)


def _wait_gone(members: Sequence[Identity], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while any(runs(each) for each in members):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_FIRST_PAUSE)
    return True
