"""What a proxy adds to a request's time at half of its capacity: its p99 less that of asking the backend directly, at the same pace.

Requests are sent at fixed times over 32 kept connections, and each is timed from the moment at which it was due, not from when a
connection was free for it: so a proxy that stalls cannot hide it. The client runs as a process of its own.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

from bench.backend import HOST, SIZE
from bench.proxies import DIRECT, OURS, TRAEFIK, MissingError, cookies_of, pinned, proxies, wrk

ROUNDS = 5
SECONDS = 4
CONNECTIONS = 32


def measure() -> None:
    """Capacity by wrk first, then the proxies take turns at half of it, each beside the direct way at the same pace."""
    try:
        with tempfile.TemporaryDirectory() as folder, proxies(Path(folder)) as running:
            names = (OURS, TRAEFIK)
            jars = {name: cookies_of(running[name].port) for name in names}
            paces = {name: wrk(running[name].port, jars[name], running[name].process).per_second / 2 for name in names}
            added: dict[str, list[float]] = {name: [] for name in names}
            for round_ in range(ROUNDS + 1):
                for name in names:
                    through = _p99(running[name].port, paces[name], jars[name])
                    direct = _p99(running[DIRECT].port, paces[name], "")
                    if round_:  # the first one warms up
                        added[name].append(through - direct)
            medians = {name: statistics.median(times) for name, times in added.items()}
            for name in names:
                print(f"  {name}: {medians[name]:.2f} ms added at the p99, at {paces[name]:,.0f}/s, half of what it can")
            held = medians[OURS] <= medians[TRAEFIK]
            print(f"  bar: at most Traefik's: {'holds' if held else 'MISSED'}")
    except MissingError as missing:
        print(f"  not measured: {missing}")


def _p99(port: int, pace: float, cookies: str) -> float:
    words = [*pinned(0), sys.executable, "-m", "bench.latency", str(port), str(pace), cookies]
    return float(subprocess.run(words, capture_output=True, text=True, check=True, timeout=SECONDS + 30).stdout)


class _Connection(asyncio.Protocol):
    """One request at a time; knows when it was due. Answers have 1 KiB."""

    def __init__(self, paced: _Paced) -> None:
        self._paced = paced
        self._due = 0.0
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, due: float) -> None:
        self._due = due
        self._transport.write(self._paced.request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end >= 0 and len(self._buffer) >= end + 4 + SIZE:
            self._buffer.clear()
            self._paced.answered(self, time.perf_counter() - self._due)


class _Paced:
    """Requests that are due at fixed times; where no connection is free they wait, and the wait counts."""

    def __init__(self, count: int, request: bytes) -> None:
        self.request = request
        self.times: list[float] = []
        self.done = asyncio.Event()
        self._count = count
        self._free: list[_Connection] = []
        self._waiting: deque[float] = deque()

    async def run(self, port: int, pace: float) -> None:
        loop = asyncio.get_running_loop()
        self._free = [(await loop.create_connection(lambda: _Connection(self), "127.0.0.1", port))[1] for _ in range(CONNECTIONS)]
        began = time.perf_counter()
        for number in range(self._count):
            due = began + number / pace
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if self._free:
                self._free.pop().ask(due)
            else:
                self._waiting.append(due)
        async with asyncio.timeout(10):
            await self.done.wait()

    def answered(self, connection: _Connection, seconds: float) -> None:
        self.times.append(seconds)
        if self._waiting:
            connection.ask(self._waiting.popleft())
        else:
            self._free.append(connection)
        if len(self.times) == self._count:
            self.done.set()


async def _paced(port: int, pace: float, cookies: str) -> float:
    """The p99 in milliseconds."""
    request = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n{f'Cookie: {cookies}' if cookies else 'X: y'}\r\n\r\n".encode()
    paced = _Paced(int(pace * SECONDS), request)
    await paced.run(port, pace)
    return statistics.quantiles(paced.times, n=100)[98] * 1000


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(_paced(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]))}\n")
