"""`make soak`: what the reference proxy does over time and under faults. One row of bench/README.md each; needs no other program.

`python -m bench.soak` runs all, `python -m bench.soak reloads` one; `--minutes` is for `faults`. The exit code is 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from bench.backend import HOST
from bench.load import Client, Tally, keep_asking
from bench.stage import POOLS, Stage

_GIGABYTE = 1 << 30


@contextlib.asynccontextmanager
async def load(port: int, tally: Tally, clients: int = 8, *, posts: Tally | None = None, pause: float = 0.0) -> AsyncIterator[None]:
    """Clients that ask all the time: as many on kept connections as on new ones; with `posts`, POSTs beside them."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(keep_asking(port, stop, tally, number=at, fresh=at % 2 == 1, pause=pause)) for at in range(clients)]
    if posts is not None:
        tasks += [asyncio.create_task(keep_asking(port, stop, posts, method="POST", number=at, pause=0.01)) for at in range(4)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def memory(folder: Path) -> bool:
    """1,000 clients that keep their connection, and 1 GiB to a client that reads 20 MB a second."""
    with Stage(folder) as stage:
        client = Client(stage.port)
        await client.ask()
        empty = stage.memory
        idle = [Client(stage.port) for _ in range(1000)]
        for one in idle:
            await one.ask()
        full = stage.memory
        print(f"  1,000 idle clients: {empty:.0f} MB -> {full:.0f} MB, {(full - empty) * 1000 / len(idle):.0f} KB each")
        for one in idle:
            one.close()
        peak = await _slow_reader(stage)
        print(f"  1 GiB through a slow reader: at most {peak:.0f} MB")
        return _bar("flat: the body adds less than 8 MB", peak - full < 8)


async def _slow_reader(stage: Stage) -> float:
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port, limit=1 << 16)
    writer.write(f"GET /bytes/{_GIGABYTE} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    got, peak, began = 0, 0.0, time.monotonic()
    while got < _GIGABYTE:
        got += len(await reader.read(1 << 16))
        if got % (16 << 20) < 1 << 16:
            peak = max(peak, stage.memory)
        ahead = got / 20e6 - (time.monotonic() - began)
        if ahead > 0:
            await asyncio.sleep(ahead)
    writer.transport.abort()
    return peak


async def reloads(folder: Path) -> bool:
    """100 reloads while clients ask, on kept connections and on new ones."""
    with Stage(folder) as stage:
        tally = Tally()
        async with load(stage.port, tally):
            for number in range(100):
                before = stage.state()["revision"]
                stage.write(91 + number)
                await stage.until("reloaded", lambda state, before=before: state["revision"] != before)  # type: ignore[misc]
        print(f"  100 reloads: {tally}")
        return _bar("0 failed", tally.failed == 0)


async def kills(folder: Path) -> bool:
    """A server killed with SIGKILL and started again, ten times, while clients ask and post."""
    with Stage(folder) as stage:
        gets, posts = Tally(), Tally()
        async with load(stage.port, gets, posts=posts):
            for number in range(10):
                name = POOLS["v1"][number % 3]
                stage.kill(name)
                await stage.until(f"{name} is down", lambda state: _down(state) == 1)
                stage.start(name)
                await stage.until(f"{name} is up", lambda state: _down(state) == 0)
        twice = [request for request, count in stage.deliveries().items() if count > 1]
        begun = gets.broken.pop("BrokenOffError", 0)
        print(f"  10 kills: GET {gets} ({begun} broken off after their answer had begun); POST {posts}, {len(twice)} delivered twice")
        return _bar("0 GETs failed, 0 POSTs delivered twice", gets.failed == 0 and not twice)


def _down(state: dict[str, object]) -> int:
    services = state["services"]
    assert isinstance(services, dict)
    return sum(server["status"] == "down" for servers in services.values() for server in servers)


async def cookies(folder: Path) -> bool:
    """10,000 cookies that were made up, belong to another pool, or were signed with another key."""
    other, here = folder / "other", folder / "here"
    other.mkdir()
    here.mkdir()
    with Stage(other) as elsewhere:
        old = [await _jar(Client(elsewhere.port), canary) for canary in (False, True)]
    with Stage(here) as stage:
        own = [await _jar(Client(stage.port), canary) for canary in (False, True)]
        chance = random.Random(7)  # noqa: S311 - a draw of test data
        client, tally, outside = Client(stage.port), Tally(), 0
        for number in range(10_000):
            canary = number % 2 == 0
            kind = number % 5
            values = [
                secrets.token_hex(8), next(iter(chance.choice(old).values())), chance.choice(list(own[0].values())),
                "http://127.0.0.1:1", "".join(chance.choice("az09=\"\\%\xe9") for _ in range(chance.randrange(40))),
            ]  # fmt: skip
            pairs = [f"{name}={values[kind]}" for name in ("srv_v1", "srv_v2", "variant")] + (["canary=v2"] if canary else [])
            answer = await client.ask(headers={"Cookie": "; ".join(pairs)})
            tally.asked += 1
            tally.statuses[answer.status] += 1
            outside += canary and answer.one("x-server") not in POOLS["v2"]
        print(f"  10,000 forged, old and other pools' cookies: {tally}, {outside} outside of the pool")
        return _bar("0 outside, 0 errors", tally.failed == 0 and outside == 0)


async def _jar(client: Client, canary: bool) -> dict[str, str]:
    answer = await client.ask(headers={"Cookie": "canary=v2"} if canary else {})
    client.close()
    pairs = (text.partition(";")[0].partition("=") for text in answer.headers.get("set-cookie", ()))
    return {name: value for name, _, value in pairs}


async def slow(folder: Path) -> bool:
    """1,000 clients that send a byte a second, while others ask."""
    with Stage(folder) as stage:
        alone, beside = Tally(), Tally()
        async with load(stage.port, alone):
            await asyncio.sleep(5)
        began = time.monotonic()
        async with load(stage.port, beside):
            ends = await asyncio.gather(*(_drip(stage.port, began) for _ in range(1000)))
        took = time.monotonic() - began
        print(
            f"  1,000 slow clients: cut off after {min(ends):.1f} to {max(ends):.1f} s; others meanwhile {beside.asked / took:,.0f}/s "
            f"({alone.asked / 5:,.0f}/s without them), {beside}"
        )
        return _bar("all cut off within 12 s of their first byte, 0 of the others failed", max(ends) < 12 and beside.failed == 0)


async def _drip(port: int, began: float) -> float:
    """Seconds from the beginning until it is cut off."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    ended = asyncio.create_task(reader.read())
    for byte in b"GET / HTTP/1.1\r\nHost: shop.localhost\r\nX: " + b"y" * 60:
        try:
            writer.write(bytes((byte,)))
        except OSError:
            break
        done, _ = await asyncio.wait([ended], timeout=1)
        if done:
            break
    with contextlib.suppress(OSError):
        await ended
    writer.transport.abort()
    return time.monotonic() - began


async def faults(folder: Path, minutes: float = 10.0) -> bool:
    """Load with kills, reloads, slow clients, clients that go in the middle, and big bodies, all mixed; then quiet, and what is left."""
    with Stage(folder) as stage:
        warm = Tally()
        async with load(stage.port, warm):
            await asyncio.sleep(5)
        await stage.until("quiet", lambda state: state["connections"] == 0)
        before, handles = stage.memory, stage.process.num_fds()
        tally, rounds, end = Tally(), 0, time.monotonic() + minutes * 60
        async with load(stage.port, tally, pause=0.005):
            while time.monotonic() < end:
                rounds += 1
                name = POOLS["v1"][rounds % 3]
                drips = [asyncio.create_task(_drip(stage.port, time.monotonic())) for _ in range(20)]
                stage.kill(name)
                await asyncio.gather(*(_leaves(stage.port) for _ in range(20)))
                stage.write(90 + rounds)
                stage.start(name)
                await stage.until("all are up", lambda state: _down(state) == 0)
                await asyncio.gather(*drips)
        state = await stage.until("quiet", lambda state: state["connections"] == 0, 60)
        after, left = stage.memory, stage.process.num_fds()
        begun = tally.broken.pop("BrokenOffError", 0)
        print(f"  {minutes:g} min of faults, {rounds} rounds: {tally}, {begun} broken off after their answer had begun")
        print(f"  memory {before:.0f} -> {after:.0f} MB, files {handles} -> {left}, connections to servers {state['server_connections']}")
        return _bar("no leak: less than 10 MB and 32 files more", after - before < 10 and left - handles < 32)


async def _leaves(port: int) -> None:
    """A client that asks for much and goes in the middle."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /bytes/{_GIGABYTE} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    with contextlib.suppress(OSError, EOFError):
        await reader.readexactly(100_000)
    writer.transport.abort()


def _bar(what: str, holds: bool) -> bool:
    print(f"    bar: {what}: {'holds' if holds else 'MISSED'}")
    return holds


ROWS: dict[str, Callable[[Path], Awaitable[bool]]] = {
    "memory": memory,
    "reloads": reloads,
    "kills": kills,
    "cookies": cookies,
    "slow": slow,
    "faults": faults,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak")
    parser.add_argument("only", nargs="*", choices=[[], *ROWS], help="the rows to measure (default: all)")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long `faults` lasts (default: 10)")
    given = parser.parse_args()
    held = True
    for name in given.only or list(ROWS):
        print(f"\n{name}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            row = ROWS[name](Path(folder)) if name != "faults" else faults(Path(folder), given.minutes)
            held &= asyncio.run(_waited(row))
    return 0 if held else 1


async def _waited(row: Awaitable[bool]) -> bool:
    return await row


if __name__ == "__main__":
    sys.exit(main())
