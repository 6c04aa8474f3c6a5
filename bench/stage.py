"""The reference proxy with servers behind it, for the long runs: started in a folder of its own, killed and restarted at will."""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.parts.processes import Process, free_ports, listening

DOCUMENT = """\
pinfeather: v1
entry_points: {{web: 80}}
routes:
  - name: shop
    hosts: [shop.localhost]
    middlewares: [again]
    canaries: [{{when: {{cookie: {{name: canary, value: v2}}}}, to: v2}}]
    split: [{{to: v1, weight: {weight}}}, {{to: v2, weight: 10}}]
    sticky: {{cookie: {{name: variant, http_only: true}}}}
services:
  v1:
    servers: [{v1}]
    sticky: {{cookie: {{name: srv_v1, http_only: true}}}}
    health_check: {{path: /health, interval: 500ms, timeout: 400ms}}
  v2:
    servers: [{v2}]
    sticky: {{cookie: {{name: srv_v2, http_only: true}}}}
    health_check: {{path: /health, interval: 500ms, timeout: 400ms}}
middlewares:
  again: {{retry: {{attempts: 3, initial_interval: 20ms}}}}
"""
POOLS = {"v1": ("a", "b", "c"), "v2": ("d", "e", "f")}


class Stage:
    """Six servers in two pools, and the proxy before them."""

    def __init__(self, folder: Path, *further: str) -> None:
        """`further`: more arguments of the proxy."""
        self._folder = folder
        names = [name for pool in POOLS.values() for name in pool]
        self.port, self.admin, *ports = free_ports(2 + len(names))
        self._ports = dict(zip(names, ports, strict=True))
        self._servers: dict[str, Process] = {}
        self._further = further
        self._file = folder / "routes.yaml"
        self._process: Process

    def __enter__(self) -> Self:
        for name in self._ports:
            self.start(name)
        self.write(90)
        words = [sys.executable, "-m", "pinfeather.proxy", str(self._file), "--listen", f"web=127.0.0.1:{self.port}"]
        self._process = Process([*words, "--admin", f"127.0.0.1:{self.admin}", *self._further], self._folder / "proxy.log")
        self._process.wait(lambda: listening(self.port) and listening(self.admin), "listening")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.stop()
        for server in self._servers.values():
            server.stop()

    def write(self, weight: int) -> None:
        """Another document: the split with another weight."""
        pools = {pool: ", ".join(f"{{url: 'http://127.0.0.1:{self._ports[name]}'}}" for name in names) for pool, names in POOLS.items()}
        temporary = self._file.with_suffix(".new")
        temporary.write_text(DOCUMENT.format(weight=weight, **pools), "utf-8")
        temporary.replace(self._file)

    def start(self, name: str) -> None:
        """Start a server, and return when it listens."""
        words = [sys.executable, str(Path(__file__).with_name("server.py")), str(self._ports[name]), name, str(self._log(name))]
        process = Process(words, self._folder / f"server-{name}.log")
        process.wait(lambda: listening(self._ports[name]), f"{name} listening")
        self._servers[name] = process

    def kill(self, name: str) -> None:
        """SIGKILL a server."""
        psutil.Process(self._servers[name].pid).kill()
        self._servers.pop(name).stop()

    async def until(self, what: str, holds: Callable[[dict[str, object]], bool], seconds: float = 30.0) -> dict[str, object]:
        """Return the proxy's state once it holds. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while True:
                state = await asyncio.to_thread(self.state)
                if holds(state):
                    return state
                await asyncio.sleep(0.05)
        raise AssertionError(what)

    def state(self) -> dict[str, object]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/state", timeout=10) as answer:
            found = json.loads(answer.read())
        assert isinstance(found, dict)
        return found

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self._process.pid)

    @property
    def memory(self) -> float:
        """MB that the proxy and its workers hold."""
        return sum(one.memory_info().rss for one in (self.process, *self.process.children(recursive=True))) / 1e6

    def deliveries(self) -> Counter[str]:
        """How often each request with an id has reached a server."""
        return Counter(line for name in self._ports if self._log(name).exists() for line in self._log(name).read_text("ascii").split())

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.ids"
