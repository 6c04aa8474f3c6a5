"""The metrics: what is counted, the text that Prometheus reads, workers put together, and a bound on series."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from pinfeather.proxy.flow import Settings
from pinfeather.proxy.metrics import Family, Metrics, exposition, merged

if TYPE_CHECKING:
    from conftest import Backend, Play, Stage, Turn

# The grammar of the text format 0.0.4 (prometheus.io, exposition formats), written apart from what writes it.
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*"'
SAMPLE = re.compile(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{({LABEL}(?:,{LABEL})*)\}})? ([0-9.e+-]+|\+Inf|NaN)")


def read(text: str) -> dict[str, float]:
    """Every sample by its name and labels; the format is checked on the way, and that no series stands twice."""
    found: dict[str, float] = {}
    kinds: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            sample = SAMPLE.fullmatch(line)
            assert sample is not None, line
            base = re.sub("_(bucket|sum|count)$", "", sample[1])
            assert sample[1] in kinds or kinds.get(base) == "histogram", line
            key = line.rsplit(" ", 1)[0]
            assert key not in found, line
            found[key] = float(sample[3])
    assert text.endswith("\n")
    return found


async def scrape(stage: Stage) -> dict[str, float]:
    answer = await stage.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", stage.proxy.admin_address)
    assert answer.one("content-type") == "text/plain; version=0.0.4; charset=utf-8"
    return read(answer.body.decode())


def two(backends: dict[str, Backend]) -> dict[str, object]:
    return {
        "routes": [
            {"name": 'odd "name"\\', "hosts": ["a.example"], "to": "s"},
            {"name": "dead", "hosts": ["dead.example"], "to": "dead"},
        ],
        "services": {
            "s": {"servers": [{"url": backend.url} for backend in backends.values()]},
            "dead": {"servers": [{"url": "http://127.0.0.1:1"}], "health_check": {"path": "/", "interval": "50ms", "timeout": "1s"}},
        },
    }


def test_what_is_counted(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.until(lambda: any("is down" in line for line in stage.said))
        for _ in range(3):
            await stage.get()
        await stage.get(host="dead.example")
        await stage.get(host="nowhere.example")
        await stage.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        document = two(stage.backends)
        stage.path.write_text("{")
        await stage.proxy.reload()
        found = await scrape(stage)
        odd = r'route="odd \"name\"\\"'
        assert found[f'pinfeather_requests_total{{{odd},service="s",code="2xx"}}'] == 3
        assert found['pinfeather_requests_total{route="dead",service="dead",code="5xx"}'] == 1
        assert found['pinfeather_requests_total{route="",service="",code="4xx"}'] == 1
        assert found['pinfeather_refused_total{reason="no Host, or several"}'] == 1
        assert found['pinfeather_reloads_total{result="failed"}'] >= 1
        assert found['pinfeather_server_up{service="dead",server="http://127.0.0.1:1"}'] == 0
        assert found[f'pinfeather_server_up{{service="s",server="{stage.backends["s1"].url}"}}'] == 1
        assert found['pinfeather_request_duration_seconds_count{service="s"}'] == 3
        assert found['pinfeather_request_duration_seconds_bucket{service="s",le="+Inf"}'] == 3
        buckets = [value for name, value in found.items() if name.startswith('pinfeather_request_duration_seconds_bucket{service="s"')]
        assert buckets == sorted(buckets)
        assert 0 < found['pinfeather_request_duration_seconds_sum{service="s"}'] < 3
        assert found["pinfeather_peak_memory_bytes"] > 1 << 20
        async with stage.client() as (_, writer):
            writer.write(b"GET /")
            await stage.until(lambda: len(stage.proxy.edge.connections) == 1)
            assert (await scrape(stage))["pinfeather_open_connections"] == 1
        # What a reload takes out of the document is counted no more.
        document["routes"] = [{"name": "dead", "hosts": ["dead.example"], "to": "dead"}]
        stage.write(document)
        await stage.until(lambda: len(stage.proxy.edge.live.serving.document.routes) == 1)
        found = await scrape(stage)
        assert not [name for name in found if "odd" in name]
        assert found['pinfeather_requests_total{route="dead",service="dead",code="5xx"}'] == 1
        assert found['pinfeather_reloads_total{result="ok"}'] >= 1

    play(scenario, server("s1"), document=two)


def test_what_breaks_and_what_is_too_much(play: Play, server: type[Backend]) -> None:
    async def half(turn: Turn) -> None:
        turn.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await turn.writer.drain()
        turn.writer.close()

    async def scenario(stage: Stage) -> None:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await stage.get()
        async with stage.client(), stage.client():
            await stage.until(lambda: len(stage.proxy.edge.connections) == 2)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await stage.get()
        found = await scrape(stage)
        assert found['pinfeather_broken_off_total{service="s"}'] == 1
        assert found['pinfeather_refused_total{reason="connections over the limit"}'] == 1

    play(scenario, server("s1", half), settings=Settings(tick=0.05, watch=0.05, drain=2.0, connections=2))


def test_no_client_makes_a_series(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        for number in range(300):
            await stage.get(f"/{number}", f"X-{number}: {number}", host=f"h{number}.example", method=f"M{number}" if number % 2 else "GET")
        assert len(await scrape(stage)) < 60

    play(scenario, server("s1"))


def test_reasons_are_bounded() -> None:
    metrics = Metrics()
    for number in range(1000):
        metrics.refused(str(number))
    (family,) = [family for family in metrics.families() if family.name == "pinfeather_refused_total"]
    assert len(family.samples) == 65
    assert sum(value for _, _, value in family.samples) == 1000


def test_workers_together() -> None:
    def of(requests: int, up: int, memory: int) -> list[Family]:
        return [
            Family("n", "counter", "N.", [("", (("route", "r"),), requests)]),
            Family("up", "gauge", "U.", [("", (("server", "s"),), up)], "min"),
            Family.gauge("memory", "M.", memory, "apart"),
        ]

    only_one = [Family("n", "counter", "N.", [("", (("route", "other"),), 5)])]
    assert read(exposition(merged({"1": of(2, 1, 10), "2": of(3, 0, 20), "3": only_one}))) == {
        'n{route="r"}': 5,
        'n{route="other"}': 5,
        'up{server="s"}': 0,
        'memory{worker="1"}': 10,
        'memory{worker="2"}': 20,
    }
