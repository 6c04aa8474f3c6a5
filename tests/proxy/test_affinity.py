"""TCP by source address: who stays with a server, and the table that knows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from pinfeather.proxy.affinity import Affinities, first_draw
from pinfeather.proxy.entrances import Table
from pinfeather.verify.binomial import bounds
from tests.proxy.streams import to, who

if TYPE_CHECKING:
    from conftest import Backend, Play, Stage


def test_an_address_stays_with_its_server(play: Play, talker: Callable[[str], Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        sources = [f"127.0.0.{number}" for number in range(1, 41)]
        first = {source: await who(stage, source=source) for source in sources}
        assert set(first.values()) == {"one", "two"}
        for _ in range(3):
            assert {source: await who(stage, source=source) for source in sources} == first
        # Another document with a server more: everybody stays. One server less: only its clients move.
        found = json.loads(stage.path.read_text())
        servers = found["tcp_services"]["s"]["servers"]
        stage.write({**found, "tcp_services": {"s": {"servers": [*servers, {"address": "127.0.0.1:1"}], "sticky": {"source_address": {}}}}})
        await stage.until(lambda: any("reloaded: " in line for line in stage.said))
        assert {source: await who(stage, source=source) for source in sources} == first

    document = to("one", "two", sticky={"source_address": {}})
    play(scenario, talker("one"), talker("two"), document=document, listen=["db"])


def test_a_client_moves_when_its_server_is_gone(play: Play, talker: Callable[[str], Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        before = await who(stage)
        gone, other = stage.backends[before], next(name for name in stage.backends if name != before)
        found = json.loads(stage.path.read_text().replace(f":{gone.port}", ":1"))
        stage.write(found)
        await stage.until(lambda: any("reloaded: " in line for line in stage.said))
        assert [await who(stage) for _ in range(5)] == [other] * 5
        assert len(stage.proxy.edge.affinities) == 1

    document = to("one", "two", sticky={"source_address": {}})
    play(scenario, talker("one"), talker("two"), document=document, listen=["db"])


def test_the_table_is_bounded_and_forgets() -> None:
    tables = {"s": Table(3, 10.0)}
    known = Affinities()
    for number in range(5):
        known.remember("s", tables["s"], f"10.0.0.{number}", f"server {number}", now=float(number))
    assert len(known) == 3
    assert known.bindings(tables, "10.0.0.1", 5.0) == {}
    assert known.bindings(tables, "10.0.0.2", 5.0) == {"source:s": "server 2"}
    known.remember("s", tables["s"], "10.0.0.2", "server 2", now=6.0)  # seen again: others go first
    known.remember("s", tables["s"], "10.0.0.9", "server 9", now=7.0)
    assert known.bindings(tables, "10.0.0.3", 7.0) == {}
    assert known.bindings(tables, "10.0.0.2", 15.9) == {"source:s": "server 2"}
    assert known.bindings(tables, "10.0.0.2", 16.0) == {}
    known.remember("s", tables["s"], "10.0.0.8", "server 8", now=30.0)
    assert len(known) == 1
    known.remember("s", Table(3, 0.0), "10.0.0.7", "server 7", now=40.0)
    assert len(known) == 0
    known.remember("s", tables["s"], "10.0.0.8", "server 8", now=30.0)
    known.keep({})
    assert len(known) == 0


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=60), st.integers(1, 5))
def test_the_table_is_what_a_simple_one_would_be(visits: list[tuple[int, int]], size: int) -> None:
    table, now = Table(size, 7.0), 0
    known, simple = Affinities(), dict[str, int]()
    for number, pause in visits:
        now += pause
        client = f"client {number}"
        known.remember("s", table, client, client, float(now))
        simple.pop(client, None)
        simple[client] = now
        for old in [name for name, seen in simple.items() if seen + 7 <= now] + list(simple)[:-size]:
            simple.pop(old, None)
        assert len(known) == len(simple)
        assert all(known.bindings({"s": table}, name, float(now)) for name in simple)


def test_workers_draw_alike_and_evenly() -> None:
    draws = [first_draw(b"key", "s", f"10.0.{number // 256}.{number % 256}") for number in range(2000)]
    low, high = bounds(2000, Fraction(1, 2))
    assert low <= sum(draw < 2**63 for draw in draws) <= high
    assert first_draw(b"key", "s", "10.0.0.0") == draws[0] != first_draw(b"other", "s", "10.0.0.0")
