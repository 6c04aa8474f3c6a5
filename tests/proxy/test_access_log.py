"""The access log: what stands in a line, that no client can write one, and what happens when it cannot be written."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinfeather.proxy import access_log
from pinfeather.proxy.access_log import AccessLog
from tests.parts.proxies import DEADLINE, answering, get, running, until, write

if TYPE_CHECKING:
    from conftest import Backend, Play, Stage, Turn


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def document(backends: dict[str, Backend]) -> dict[str, object]:
    return {
        "routes": [
            {
                "name": "shop",
                "hosts": ["a.example"],
                "canaries": [{"when": {"cookie": {"name": "canary", "value": "v2"}}, "to": "v2"}],
                "split": [{"to": "v1", "weight": 1}, {"to": "v2", "weight": 1}],
                "sticky": {"cookie": {"name": "variant"}},
            },
            {"name": "closed", "hosts": ["closed.example"], "to": "v1", "middlewares": ["strange"]},
            {"name": "moved", "hosts": ["moved.example"], "to": "v1", "middlewares": ["secure"]},
            {"name": "dead", "hosts": ["dead.example"], "to": "dead"},
        ],
        "services": {
            **{name: {"servers": [{"url": backends[name].url}], "sticky": {"cookie": {"name": "srv"}}} for name in ("v1", "v2")},
            "dead": {"servers": [{"url": "http://127.0.0.1:1"}]},
        },
        "middlewares": {"secure": {"redirect_scheme": {"scheme": "https"}}, "strange": {"other": {"kind": "inFlightReq", "config": {}}}},
    }


def test_a_line_says_what_was_done_and_why(play: Play, server: type[Backend], tmp_path: Path) -> None:
    path = tmp_path / "access.log"

    async def scenario(stage: Stage) -> None:
        stage.proxy.edge.log = AccessLog(str(path), stage.said.append)
        asked = 0

        async def line() -> dict[str, object]:
            nonlocal asked
            asked += 1
            await stage.until(lambda: len(lines(path)) == asked)
            return lines(path)[-1]

        first = await stage.get("/a%0Ab?x=%22&y", "Authorization: Basic c2VjcmV0", "Cookie: canary=v2; other=secret")
        seen = await line()
        assert seen.pop("StartUTC")
        assert isinstance(seen.pop("Duration"), int)
        port = seen.pop("ClientPort")
        assert seen.pop("ClientAddr") == f"127.0.0.1:{port}"
        assert seen == {
            "entryPointName": "web",
            "ClientHost": "127.0.0.1",
            "RequestScheme": "http",
            "RequestMethod": "GET",
            "RequestAddr": "a.example",
            "RequestHost": "a.example",
            "RequestPort": "-",
            "RequestPath": "/a%0Ab?x=%22&y",
            "RequestProtocol": "HTTP/1.1",
            "RequestContentSize": 0,
            "DownstreamStatus": 200,
            "DownstreamContentSize": 2,
            "RetryAttempts": 0,
            "Reason": "answered",
            "OriginStatus": 200,
            "RouterName": "shop",
            "ServiceName": "v2",
            "ServiceURL": stage.backends["v2"].url,
            "ServiceAddr": stage.backends["v2"].url.removeprefix("http://"),
            "Canary": 0,
            "Variant": "v2",
            "VariantWhy": "canary",
            "Server": stage.backends["v2"].url,
            "ServerWhy": "only",
        }
        drawn = await stage.get()
        seen = await line()
        assert (seen["Variant"], seen["VariantWhy"], seen["ServerWhy"]) == (drawn.body.decode(), "drawn", "only")
        assert "Canary" not in seen
        cookies = f"Cookie: variant={stage.cookie(drawn, 'variant')}; srv={stage.cookie(drawn, 'srv')}"
        await stage.get("/", cookies)
        seen = await line()
        assert (seen["Variant"], seen["VariantWhy"], seen["ServerWhy"]) == (drawn.body.decode(), "bound", "bound")
        for host, reason, status in (
            ("nowhere.example", "no route", 404),
            ("closed.example", "closed", 503),
            ("moved.example", "middleware", 302),
            ("dead.example", "server failed", 502),
        ):
            await stage.get(host=host)
            seen = await line()
            assert (seen["RequestHost"], seen["Reason"], seen["DownstreamStatus"]) == (host, reason, status)
            assert ("OriginStatus" in seen, "Whole" in seen) == (False, False)
        text = path.read_text()
        for secret in ("c2VjcmV0", "secret", stage.cookie(first, "srv"), stage.cookie(drawn, "variant"), "Authorization", "Cookie"):
            assert secret not in text

    play(scenario, server("v1"), server("v2"), document=document)


def test_a_line_of_what_did_not_end_well(play: Play, server: type[Backend], tmp_path: Path) -> None:
    path = tmp_path / "access.log"

    async def half(turn: Turn) -> None:
        turn.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await turn.writer.drain()
        turn.writer.close()

    async def scenario(stage: Stage) -> None:
        stage.proxy.edge.log = AccessLog(str(path), stage.said.append)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await stage.get()
        await stage.until(lambda: len(lines(path)) == 1)
        assert (lines(path)[0]["DownstreamStatus"], lines(path)[0]["Whole"]) == (200, False)
        assert (await stage.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")).status == 400
        await stage.until(lambda: len(lines(path)) == 2)
        assert (lines(path)[1]["DownstreamStatus"], lines(path)[1]["Reason"]) == (400, "refused: no Host, or several")
        assert "RequestPath" not in lines(path)[1]

    play(scenario, server("s1", half))


def test_no_client_writes_a_line(play: Play, server: type[Backend], tmp_path: Path) -> None:
    """Targets of every byte that the profile lets through: as many lines as requests, each of visible ASCII alone."""
    path = tmp_path / "access.log"
    targets = [b"/" + bytes([byte]) * 2 + b"?" + bytes([byte]) for byte in range(256)]
    targets += [b'/"}\\n{"RequestPath":"/forged"}', b"/%0d%0a%00%1b[31m", b"/\xe2\x80\xa8"]

    async def scenario(stage: Stage) -> None:
        stage.proxy.edge.log = AccessLog(str(path), stage.said.append)
        for target in targets:
            await stage.send(b"GET " + target + b" HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
        await stage.until(lambda: path.read_bytes().count(b"\n") == len(targets))
        assert set(path.read_bytes()) <= {*range(0x20, 0x7F), 0x0A}
        assert len(lines(path)) == len(targets)

    play(scenario, server("s1"))


def test_a_full_disk_is_said_and_stops_nobody() -> None:
    said: list[str] = []
    log = AccessLog("/dev/full", said.append)
    log.write({"n": 1})
    until(lambda: log.dropped == 1)
    log.write({"n": 2})
    until(lambda: log.dropped == 2)
    log.close()
    assert said == ["access log: /dev/full: No space left on device; lines are dropped until it can be written"]


def test_what_was_dropped_is_said_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk takes a part of a line and is full; when it takes lines again, what was cut stands alone, and a count follows."""
    path, said, write_ = tmp_path / "access.log", list[str](), os.write
    full = threading.Event()
    full.set()
    parts = iter((5,))

    def narrow(descriptor: int, data: memoryview) -> int:
        if full.is_set() and threading.current_thread().name == "pinfeather-access-log":
            for part in parts:
                return write_(descriptor, data[:part])
            raise OSError(28, "No space left on device")
        return write_(descriptor, data)

    monkeypatch.setattr(access_log.os, "write", narrow)
    log = AccessLog(str(path), said.append)
    log.write({"n": 1})
    until(lambda: log.dropped == 1)
    full.clear()
    log.write({"n": 2})
    until(lambda: path.read_text().count("\n") == 3)
    log.close()
    cut, second, count = path.read_text().splitlines()
    assert (cut, second) == ('{"n":', '{"n":2}')
    assert json.loads(count)["Dropped"] == 1
    assert [line.split(": ")[2] for line in said] == [
        "No space left on device; lines are dropped until it can be written",
        "it is written again, 1 lines were dropped since the start",
    ]


def test_what_waits_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that nobody reads: lines are dropped, and neither writing nor closing waits for it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    monkeypatch.setattr(access_log, "_WAITING", 100_000)
    monkeypatch.setattr(access_log, "_LAST", 0.1)
    log = AccessLog(str(pipe), lambda _: None)
    for number in range(5000):
        log.write({"n": number, "filling": "x" * 100})
    assert log.dropped > 3000
    log.close()
    assert log._thread.is_alive()  # it ends with the process
    read = b""
    while log._thread.is_alive():
        try:
            read += os.read(reader, 65536)
        except BlockingIOError:
            log._thread.join(0.01)
    while True:
        try:
            more = os.read(reader, 65536)
        except BlockingIOError:
            break
        if not more:
            break
        read += more
    os.close(reader)
    os.close(log._descriptor)
    found = [json.loads(line) for line in read.splitlines()]
    numbers = [line["n"] for line in found if "n" in line]
    assert (len(numbers), sorted(set(numbers))) == (5000 - log.dropped, numbers)  # in order, each once
    assert sum(line["Dropped"] for line in found if "Dropped" in line) == log.dropped


@pytest.mark.parametrize("workers", ["1", "2"])
def test_rotation(tmp_path: Path, workers: str) -> None:
    path, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    with answering() as backend:
        write(tmp_path / "document.yaml", backend)
        arguments = (str(tmp_path / "document.yaml"), "--listen", "web=127.0.0.1:0", "--access-log", str(path), "--workers", workers)
        with running(*arguments) as proxy:
            port = proxy.port("'web' listens")
            for _ in range(5):
                get(port)
            until(lambda: len(lines(path)) == 5)
            path.rename(moved)
            proxy.process.send_signal(10)  # SIGUSR1
            until(path.exists)

            def in_the_new_one() -> bool:
                get(port)
                return len(lines(path)) > 3

            until(in_the_new_one)
    assert len(lines(moved)) >= 5


def test_on_stdout(tmp_path: Path) -> None:
    with answering() as backend:
        write(tmp_path / "document.yaml", backend)
        arguments = (str(tmp_path / "document.yaml"), "--listen", "web=127.0.0.1:0", "--access-log", "-")
        process = subprocess.Popen(
            [sys.executable, "-m", "pinfeather.proxy", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        assert process.stdout is not None
        line = next(line for line in process.stderr if "'web' listens" in line)
        get(int(line.rsplit(":", 1)[1]), "/hello")
        assert json.loads(process.stdout.readline())["RequestPath"] == "/hello"
        process.terminate()
        process.communicate(timeout=DEADLINE)
