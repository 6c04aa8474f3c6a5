"""Health checks: what one answer says, what many in a row say, servers that flap, and servers that die."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from pinfeather.model.decide import Status
from pinfeather.model.services import HealthCheck
from pinfeather.proxy.backend import Origin, Pool
from pinfeather.proxy.flow import Settings
from pinfeather.proxy.health import Checks, Judge, Probe

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Backend, Play, Stage, Turn

UP, DOWN = Status.UP, Status.DOWN
QUICK = {"path": "/check", "interval": "20ms", "timeout": "1s"}


def document(backends: dict[str, Backend], **check: object) -> dict[str, object]:
    return {
        "routes": [{"name": "r", "hosts": ["a.example"], "to": "s"}],
        "services": {"s": {"servers": [{"url": backend.url} for backend in backends.values()], "health_check": {**QUICK, **check}}},
    }


def verdicts(judge: Judge, answers: str, every: float = 1.0) -> str:
    """`u` and `d`: what the judge says after each answer, `+` or `-`."""
    return "".join("u" if judge.take(answer == "+", number * every) is UP else "d" for number, answer in enumerate(answers))


def test_one_answer_decides() -> None:
    assert verdicts(Judge(Settings()), "+-+--+") == "ududdu"


def test_rise_and_fall_count_answers_in_a_row() -> None:
    judge = Judge(Settings(rise=2, fall=3))
    assert verdicts(judge, "--+--+---") == "uuuuuuuud"
    assert verdicts(judge, "+-+-++") == "dddddu"


def test_a_flapping_server_stays_down_for_a_while() -> None:
    judge = Judge(Settings(rises=3))
    assert verdicts(judge, "-+-+-+-++++-") == "dudududddddd"
    assert judge.take(True, 61.1) is UP  # the first of its rises was at second 1
    assert judge.take(False, 61.2) is DOWN  # going down is never held up
    assert judge.take(True, 61.3) is DOWN
    assert verdicts(Judge(Settings(rises=3)), "-+" * 20, every=30) == "du" * 20


async def answer(turn: Turn, status: int, *fields: str) -> None:
    lines = [f"HTTP/1.1 {status} X", *fields, "Content-Length: 0", "Connection: close"]
    turn.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())


def elsewhere(turn: Turn) -> str:
    """The address of a server that is not probed."""
    return f"http://127.0.0.1:{turn.backend.port + 1}/x"


REDIRECTS = {
    # Location -> (asked in the end, healthy)
    "/ok": ("GET /ok HTTP/1.1", True),
    "ok": ("GET /ok HTTP/1.1", True),
    "/bad?x=/ok": ("GET /bad?x=/ok HTTP/1.1", False),
    "{own}/ok": ("GET /ok HTTP/1.1", True),
    "{own}/bad": ("GET /bad HTTP/1.1", False),
    "/check": ("GET /check HTTP/1.1", False),  # in a circle
    # Elsewhere: the redirect is the answer.
    "http://localhost:1/bad": ("GET /check HTTP/1.1", True),
    "//127.0.0.2/bad": ("GET /check HTTP/1.1", True),
    "https://127.0.0.1/bad": ("GET /check HTTP/1.1", True),
    "http://127.0.0.1@evil.example/": ("GET /check HTTP/1.1", True),
    "http://[": ("GET /check HTTP/1.1", True),
    "file:///etc/passwd": ("GET /check HTTP/1.1", True),
    "": ("GET /check HTTP/1.1", True),
}


@pytest.mark.parametrize("location", REDIRECTS)
def test_redirects_are_followed_on_the_server_itself_and_nowhere_else(play: Play, server: type[Backend], location: str) -> None:
    async def script(turn: Turn) -> None:
        path = turn.request.line.split(" ")[1]
        if path == "/check":
            await answer(turn, 302, f"Location: {location.format(own=turn.backend.url)}", "Set-Cookie: a=b")
        else:
            await answer(turn, 200 if path == "/ok" else 500, "Set-Cookie: a=b")

    asked, healthy = REDIRECTS[location]

    async def scenario(stage: Stage) -> None:
        backend = stage.backends["b"]
        probe = Probe.of(HealthCheck.model_validate(QUICK), Origin("127.0.0.1", backend.port, False, f"127.0.0.1:{backend.port}"))
        assert await probe.healthy(stage.proxy.edge.pool) is healthy
        assert backend.seen[-1].line == asked
        assert len(backend.seen) <= 10
        assert not any(request.all("cookie") for request in backend.seen)
        backend.seen.clear()
        check = HealthCheck.model_validate({**QUICK, "follow_redirects": False})
        probe = Probe.of(check, Origin("127.0.0.1", backend.port, False, f"127.0.0.1:{backend.port}"))
        assert await probe.healthy(stage.proxy.edge.pool)
        assert [request.line for request in backend.seen] == ["GET /check HTTP/1.1"]

    play(scenario, server("b", script), document=lambda _: {"routes": []})


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [(302, "POST", "GET"), (303, "PUT", "GET"), (307, "POST", "POST"), (308, "PUT", "PUT"), (301, "HEAD", "HEAD")],
)
def test_the_method_of_a_redirect(play: Play, server: type[Backend], status: int, method: str, then: str) -> None:
    async def script(turn: Turn) -> None:
        await answer(turn, *((status, "Location: /ok") if "/check" in turn.request.line else (204,)))

    async def scenario(stage: Stage) -> None:
        backend = stage.backends["b"]
        check = HealthCheck.model_validate({**QUICK, "method": method, "status": 204, "hostname": "h.example", "headers": {"X-A": "b"}})
        probe = Probe.of(check, Origin("127.0.0.1", backend.port, False, "127.0.0.1"))
        assert await probe.healthy(stage.proxy.edge.pool)
        assert [request.line for request in backend.seen] == [f"{method} /check HTTP/1.1", f"{then} /ok HTTP/1.1"]
        for request in backend.seen:
            assert (request.one("host"), request.one("x-a")) == ("h.example", "b")
            assert request.all("content-length") == (["0"] if request.line.startswith(("POST", "PUT")) else [])

    play(scenario, server("b", script), document=lambda _: {"routes": []})


def test_another_port_is_named_in_host() -> None:
    probe = Probe.of(HealthCheck.model_validate({**QUICK, "port": 81, "scheme": "https"}), Origin("::1", 80, False, "[::1]:80"))
    assert (probe.origin.port, probe.origin.tls, probe.fields[0]) == (81, True, "Host: [::1]:81")


@pytest.mark.parametrize(
    "raw", [b"", b"HTTP/1.1 200 OK\nx: y\n\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n", b"SSH-2.0-x\r\n\r\n"]
)
def test_what_is_no_answer_is_not_healthy(play: Play, server: type[Backend], raw: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()

    async def scenario(stage: Stage) -> None:
        backend = stage.backends["b"]
        probe = Probe.of(HealthCheck.model_validate(QUICK), Origin("127.0.0.1", backend.port, False, "b"))
        assert not await probe.healthy(stage.proxy.edge.pool)
        assert not await Probe.of(HealthCheck.model_validate(QUICK), Origin("127.0.0.1", 1, False, "b")).healthy(stage.proxy.edge.pool)

    play(scenario, server("b", raw=speak), document=lambda _: {"routes": []})


def test_a_server_that_says_nothing_is_given_up_in_time(play: Play, server: type[Backend]) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def scenario(stage: Stage) -> None:
        await stage.until(lambda: any("is down" in line for line in stage.said))
        assert (await stage.get()).status == 503

    play(scenario, server("b", raw=silent), document=lambda backends: document(backends, timeout="50ms"))


def test_servers_that_flap(play: Play, server: type[Backend]) -> None:
    """One server changes its mind at every probe: with `fall: 3` nobody notices, with the default everybody would."""
    turns = 0

    async def flapping(turn: Turn) -> None:
        nonlocal turns
        if "/check" in turn.request.line:
            turns += 1
        await answer(turn, 500 if turns % 2 and "/check" in turn.request.line else 200)

    async def scenario(stage: Stage) -> None:
        await stage.until(lambda: turns > 20)
        assert not [line for line in stage.said if " is " in line]
        assert (await stage.get()).status == 200

    play(scenario, server("b", flapping), document=document, settings=Settings(tick=0.05, watch=0.05, fall=3))
    turns = 0

    async def noticed(stage: Stage) -> None:
        await stage.until(lambda: turns > 60)
        await stage.until(lambda: stage.said.count(down) == 5)
        assert stage.said.count(down.replace("down", "up")) == 4  # then it stays down
        before = turns
        await stage.until(lambda: turns > before + 20)
        assert stage.said.count(down) == 5
        assert (await stage.get()).status == 503

    backend = server("b", flapping)
    down = ""

    def named(backends: dict[str, Backend]) -> dict[str, object]:
        nonlocal down
        down = f"service 's': server {backends['b'].url} is down"
        return document(backends)

    play(noticed, backend, document=named, settings=Settings(tick=0.05, watch=0.05, rises=4))


def test_what_was_found_out_outlives_a_reload_as_long_as_somebody_asks(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        bad = stage.backends["bad"]
        await stage.until(lambda: any("is down" in line for line in stage.said))
        again = document(stage.backends, interval="1h", path="/other")
        again["routes"][0]["name"] = "again"  # type: ignore[index]
        stage.write(again)
        await stage.until(lambda: any(line.startswith("reloaded") for line in stage.said))
        assert stage.proxy.edge.live.state.servers["s"] == (UP, DOWN)
        del again["services"]["s"]["health_check"]  # type: ignore[index]
        stage.write(again)
        await stage.until(lambda: sum(line.startswith("reloaded") for line in stage.said) == 2)
        assert stage.proxy.edge.live.state.servers["s"] == (UP, UP)  # nobody would ever ask it again
        asked = len(bad.seen)
        stage.write(document(stage.backends))
        await stage.until(lambda: len(bad.seen) > asked)

    async def script(turn: Turn) -> None:
        await answer(turn, 500)

    play(scenario, server("good"), server("bad", script), document=document)


def test_intervals_vary() -> None:
    numbers = iter([0.0, 0.5, 1.0])
    settings = Settings(jitter=0.2)
    checks = Checks(Pool(settings), lambda *_: None, settings, lambda: next(numbers))
    assert [round(checks.varied(10.0), 6) for _ in range(3)] == [8.0, 10.0, 12.0]


SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "4"); self.end_headers(); self.wfile.write(b"real")
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_server_that_is_killed_and_comes_back(play: Play, server: type[Backend], tmp_path: Path) -> None:
    from tests.parts.processes import free_ports

    (port,) = free_ports(1)
    script = tmp_path / "server.py"
    script.write_text(SERVER)

    def both(backends: dict[str, Backend]) -> dict[str, object]:
        found = document(backends)
        found["services"]["s"]["servers"].append({"url": f"http://127.0.0.1:{port}"})  # type: ignore[index]
        return found

    async def scenario(stage: Stage) -> None:
        said = f"server http://127.0.0.1:{port} is "
        for _ in range(2):
            process = await asyncio.create_subprocess_exec(sys.executable, str(script), str(port))
            try:
                await stage.until(lambda: stage.proxy.edge.live.state.servers["s"] == (UP, UP) and stage.said[-1:] != [])
                bodies = {(await stage.get()).body for _ in range(60)}
                assert bodies == {b"b", b"real"}
            finally:
                process.send_signal(signal.SIGKILL)
                await process.wait()
            await stage.until(lambda: stage.proxy.edge.live.state.servers["s"] == (UP, DOWN))
            answers = [await stage.get() for _ in range(30)]
            assert {(each.status, each.body) for each in answers} == {(200, b"b")}
        assert sum(said + "down" in line for line in stage.said) >= 2

    play(scenario, server("b"), document=both)
