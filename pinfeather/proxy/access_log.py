"""The access log: one JSON object a line for each request, with the route, the variant, the server, and why.

Names are Traefik's where it has one (3.7, pkg/middlewares/accesslog/logdata.go), so that what reads its JSON log reads this
one. No header is written, so no cookie and no Authorization; the query is, as in Traefik. Whatever is not visible ASCII
is escaped by JSON: a line holds no byte that a client could end it with, or steer a terminal by.

Lines are written by a thread of their own. What waits for it is bounded; lines that do not fit, or that cannot be written,
are dropped, counted, and said: to people once, and in the log when it takes lines again.
"""

import json
import os
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pinfeather.proxy.account import Account, StreamAccount
from pinfeather.proxy.fields import split_host
from pinfeather.proxy.reasons import levels

if TYPE_CHECKING:
    from pinfeather.proxy.edge import Connection

_WAITING = 8 * 1024 * 1024  # bytes
_GATHER = 0.05  # seconds for which lines are gathered
_LAST = 2.0  # seconds for what waits at the end
_PIPE = 4096  # bytes that go into a pipe as a whole: at least PIPE_BUF of Linux, more than macOS's 512
_FILE = 256 * 1024

Entry = dict[str, str | int | bool]


def entry(account: Account) -> Entry:
    """The log's line of a request that is over."""
    spent = time.monotonic() - account.began
    request = account.request
    host, port = split_host(request.host)
    said: Entry = {
        **_start(account.client, spent),
        "RequestMethod": request.method,
        "RequestAddr": request.host,
        "RequestHost": host,
        "RequestPort": port or "-",
        "RequestPath": request.path if request.query is None else f"{request.path}?{request.query}",
        "RequestProtocol": f"HTTP/1.{request.minor}",
        "RequestContentSize": account.received,
        "DownstreamStatus": account.status,
        "DownstreamContentSize": account.sent,
        "RetryAttempts": account.retries,
        "Reason": _reason(account),
    }
    if account.origin_status:
        said["OriginStatus"] = account.origin_status
    if not account.whole:
        said["Whole"] = False
    _decided(account, said)
    return said


def stream_entry(account: StreamAccount) -> Entry:
    """The log's line of a TCP connection that is over."""
    said: Entry = {
        **_start(account.client, time.monotonic() - account.began),
        "RequestScheme": "tcp",
        "RequestProtocol": "TCP",
        "RequestContentSize": account.received,
        "DownstreamContentSize": account.sent,
        "RetryAttempts": account.retries,
        "Reason": account.reason or "ended",
    }
    decision = account.decision
    if decision is not None and decision.route is not None:
        said["RouterName"] = decision.route
    if decision is not None and decision.service is not None:
        said["ServiceName"] = decision.service
    if account.origin is not None:
        said["ServiceAddr"] = account.origin.authority
    if decision is not None and decision.server_key is not None:
        said["Server"] = decision.server_key
    return said


def refusal(client: "Connection", why: str, status: int) -> Entry:
    """The log's line of what was sent away unread."""
    return {**_start(client, 0.0), "DownstreamStatus": status, "Reason": f"refused: {why}"}


def _start(client: "Connection", spent: float) -> Entry:
    began = datetime.fromtimestamp(time.time() - spent, UTC)
    transport = client.transport
    peer = transport.get_extra_info("peername")
    port = str(peer[1]) if isinstance(peer, tuple) and len(peer) > 1 else "-"
    tls = transport.get_extra_info("ssl_object")
    said: Entry = {
        "StartUTC": began.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z",
        "Duration": round(spent * 1e9),
        "entryPointName": client.entry_point,
        "ClientAddr": f"[{client.address}]:{port}" if ":" in client.address else f"{client.address}:{port}",
        "ClientHost": client.address,
        "ClientPort": port,
        "RequestScheme": "http" if tls is None else "https",
    }
    if tls is not None:
        said["TLSVersion"] = (tls.version() or "").removeprefix("TLSv")
    return said


def _reason(account: Account) -> str:
    """What ended the request: what the decision says, a closed route, an answer of a middleware, or of a server."""
    decision, live = account.decision, account.live
    if decision is None or live is None:
        return "undecided"
    if account.origin_status:
        return "answered"
    if not account.status:
        return "client went"
    if account.origin is not None:
        return "server failed"
    if decision.route is not None and decision.route in live.serving.closed:
        return "closed"
    return "middleware" if decision.reason == "forward" or decision.middlewares else decision.reason


def _decided(account: Account, said: Entry) -> None:
    decision, live = account.decision, account.live
    if decision is None or live is None or decision.route is None:
        return
    said["RouterName"] = decision.route
    if decision.service is not None:
        said["ServiceName"] = decision.service
    if account.origin is not None:
        said["ServiceURL"] = f"{'https' if account.origin.tls else 'http'}://{account.origin.authority}"
        said["ServiceAddr"] = account.origin.authority
    if decision.canary is not None:
        said["Canary"] = decision.canary
    route = live.serving.numbers[decision.route]
    for level in levels(live.serving.table, route, decision, account.bindings or {}, live.state):
        if level.server:
            said["Server"], said["ServerWhy"] = level.to, level.why
        elif "Variant" not in said:
            said["Variant"], said["VariantWhy"] = level.to, level.why


class AccessLog:
    """Where lines go: a file that is appended to, or `-`, which is stdout."""

    def __init__(self, target: str, say: Callable[[str], None]) -> None:
        """Raises OSError where the file cannot be opened."""
        self._target = target
        self._say = say
        self._descriptor = _open(target)
        self._whole = _PIPE if stat.S_ISFIFO(os.fstat(self._descriptor).st_mode) else _FILE
        self._lines: deque[bytes] = deque()
        self._waiting = 0  # bytes; changed under the lock
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._reopen = False
        self._cut = False  # whether the last line that was written lacks its end
        self._failing = False
        self._untold = 0  # lines dropped since the log has said so
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="pinfeather-access-log", daemon=True)
        self._thread.start()

    def write(self, said: Entry) -> None:
        """Take a line. Never waits for the disk."""
        line = json.dumps(said, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            if self._waiting + len(line) > _WAITING:
                self._drop(1)
                return
            self._lines.append(line)
            self._waiting += len(line)
        if not self._wake.is_set():
            self._wake.set()

    def reopen(self) -> None:
        """The file was moved away: go on in a new one of its name."""
        self._reopen = True
        self._wake.set()

    def close(self) -> None:
        """Write what waits, within a short time."""
        self._closing.set()
        self._wake.set()
        self._thread.join(_LAST)
        if not self._thread.is_alive() and self._target != "-":
            os.close(self._descriptor)

    def _drop(self, lines: int) -> None:
        self.dropped += lines
        self._untold += lines

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()  # before looking at anything: what comes from here on wakes again
            ending = self._closing.wait(_GATHER)
            if self._reopen:
                self._reopen = False
                self._open_again()
            self._write_all()
            if ending:
                return

    def _open_again(self) -> None:
        if self._target == "-":
            return
        try:
            fresh = _open(self._target)
        except OSError as error:
            self._say(f"access log: {self._target}: {error.strerror}; it goes on in the file from before")
            return
        os.close(self._descriptor)
        self._descriptor, self._cut = fresh, False

    def _write_all(self) -> None:
        while True:
            with self._lock:
                batch = self._taken()
            if not batch:
                return
            if not self._written(b"".join(batch)):
                with self._lock:
                    self._drop(len(batch))
                return
            self._tell()

    def _taken(self) -> list[bytes]:
        batch: list[bytes] = []
        size = 0
        while self._lines and (not batch or size + len(self._lines[0]) <= self._whole):
            batch.append(self._lines.popleft())
            size += len(batch[-1])
        self._waiting -= size
        return batch

    def _written(self, data: bytes) -> bool:
        left = memoryview(b"\n" + data if self._cut else data)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
                self._cut = bool(left)
        except OSError as error:
            if not self._failing:
                self._failing = True
                self._say(f"access log: {self._target}: {error.strerror}; lines are dropped until it can be written")
            return False
        if self._failing:
            self._failing = False
            self._say(f"access log: {self._target}: it is written again, {self.dropped} lines were dropped since the start")
        return True

    def _tell(self) -> None:
        """Say in the log itself how many lines are missing."""
        with self._lock:
            missing, self._untold = self._untold, 0
        if missing:
            now = datetime.now(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
            if not self._written(json.dumps({"StartUTC": now, "Dropped": missing}, separators=(",", ":")).encode() + b"\n"):
                with self._lock:
                    self._untold += missing


def _open(target: str) -> int:
    if target == "-":
        return sys.stdout.fileno()
    return os.open(Path(target), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
