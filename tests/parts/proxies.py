"""The reference proxy as a process on loopback, a server behind it, and plain questions to both."""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DEADLINE = 30.0  # seconds


class Answering(BaseHTTPRequestHandler):
    """A server that keeps connections and says little; `/slow` waits until the test lets it go."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    free = threading.Event()
    begun = threading.Semaphore(0)

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.begun.release()
            self.free.wait(DEADLINE)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering() -> Iterator[str]:
    """A server that runs; its URL."""
    Answering.free.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        Answering.free.set()
        server.shutdown()
        thread.join(DEADLINE)
        server.server_close()


class Running:
    """A proxy as a process, and the lines of its stderr."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "pinfeather.proxy", *arguments], stderr=subprocess.PIPE, text=True)
        self.lines: queue.Queue[str] = queue.Queue()
        self.all: list[str] = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.all.append(line.rstrip("\n"))
            self.lines.put(line.rstrip("\n"))

    def line(self, part: str) -> str:
        while part not in (line := self.lines.get(timeout=DEADLINE)):
            pass
        return line

    def port(self, part: str) -> int:
        return int(self.line(part).rsplit(":", 1)[1])


@contextmanager
def running(*arguments: str) -> Iterator[Running]:
    """Start it, and end it as gracefully as it can."""
    run = Running(*arguments)
    try:
        yield run
    finally:
        run.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait(DEADLINE)
        run.process.kill()
        run.process.wait(DEADLINE)
        run.reader.join(DEADLINE)
        assert run.process.stderr is not None
        run.process.stderr.close()


def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def get(port: int, path: str = "/", **headers: str) -> tuple[int, bytes]:
    """One request on a connection of its own: status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("GET", path, headers={"Connection": "close", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def said(port: int, path: str) -> dict[str, object]:
    """What the second port says as JSON."""
    found = json.loads(get(port, path)[1])
    assert isinstance(found, dict)
    return found


def write(path: Path, backend: str, name: str = "r", sticky: str = "null") -> None:
    """A document with one route to one server, put in place as a whole."""
    aside = path.with_suffix(".new")
    aside.write_text(
        f"pinfeather: v1\nentry_points: {{web: 8000}}\nroutes: [{{name: {name}, to: s}}]\n"
        f"services: {{s: {{servers: [{{url: '{backend}'}}], sticky: {sticky}}}}}\n"
    )
    aside.replace(path)


def counted(admin: int, name: str) -> float:
    """The sum of a metric's samples."""
    text = get(admin, "/metrics")[1].decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(rf"{name}[{{ ]", line))
