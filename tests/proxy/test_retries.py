"""Other servers where one fails: when, how often, with whose cookies, and what never happens twice."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from pinfeather.proxy.flow import Settings

if TYPE_CHECKING:
    from tests.proxy.conftest import Backend, Play, Script, Stage, Turn

NOBODY = "http://127.0.0.1:1"  # refuses: a port that needs root


async def dies(turn: Turn) -> None:
    raise ConnectionResetError


def pool(*urls: str, attempts: int = 0, **service: object) -> dict[str, object]:
    document: dict[str, object] = {
        "routes": [{"name": "r", "hosts": ["a.example"], "to": "s", "middlewares": ["again"] if attempts else []}],
        "services": {"s": {"servers": [{"url": url} for url in urls], **service}},
    }
    if attempts:
        document["middlewares"] = {"again": {"retry": {"attempts": attempts, "initial_interval": "10ms"}}}
    return document


def test_a_server_that_cannot_be_reached_is_gone_round(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        for method in ("GET", "POST", "PATCH"):
            for _ in range(6):
                answer = await stage.get(method=method)
                assert (answer.status, answer.body) == (200, b"b")

    play(scenario, server("b"), document=lambda found: pool(NOBODY, found["b"].url))


def test_a_body_that_waits_goes_to_the_other_server_whole(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        for _ in range(6):
            raw = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nConnection: close\r\n\r\nabcde"
            assert (await stage.send(raw)).status == 200
        assert {request.body for request in stage.backends["b"].seen} == {b"abcde"}

    play(scenario, server("b"), document=lambda found: pool(NOBODY, found["b"].url))


def test_the_cookie_names_who_answers(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        values = set()
        for _ in range(8):
            answer = await stage.get()
            assert len(answer.all("set-cookie")) == 1
            values.add(stage.cookie(answer, "srv"))
        (value,) = values
        assert (await stage.get("/", f"Cookie: srv={value}")).all("set-cookie") == []

    sticky = {"sticky": {"cookie": {"name": "srv"}}}
    play(scenario, server("b"), document=lambda found: pool(NOBODY, found["b"].url, **sticky))


@pytest.mark.parametrize(("method", "again"), [("GET", True), ("HEAD", True), ("DELETE", True), ("POST", False), ("PATCH", False)])
def test_what_may_have_been_done_is_done_once(play: Play, server: type[Backend], method: str, again: bool) -> None:
    async def scenario(stage: Stage) -> None:
        statuses = [
            (await stage.send(f"{method} / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n".encode())).status for _ in range(12)
        ]
        good, bad = stage.backends["b"], stage.backends["dies"]
        assert bad.seen
        assert len(good.seen) + (0 if again else len(bad.seen)) == 12
        assert set(statuses) == ({200} if again else {200, 502})

    play(scenario, server("b"), server("dies", dies), document=lambda found: pool(found["b"].url, found["dies"].url))


def test_the_client_stays_with_its_variant(play: Play, server: type[Backend], monkeypatch: pytest.MonkeyPatch) -> None:
    draws = itertools.cycle([0, 2**64 - 1])  # the first server of `old`; a second draw would lead to `new`
    monkeypatch.setattr("pinfeather.proxy.approach.random.getrandbits", lambda _: next(draws))

    async def scenario(stage: Stage) -> None:
        answer = await stage.get()
        assert (answer.status, answer.body) == (200, b"b")

    def split(found: dict[str, Backend]) -> dict[str, object]:
        return {
            "routes": [{"name": "r", "hosts": ["a.example"], "split": [{"to": "old", "weight": 1}, {"to": "new", "weight": 1}]}],
            "services": {
                "old": {"servers": [{"url": NOBODY}, {"url": found["b"].url}]},
                "new": {"servers": [{"url": found["other"].url}]},
            },
        }

    play(scenario, server("b"), server("other"), document=split)


def test_one_other_try_and_no_more(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        answer = await stage.get()
        assert answer.status == 502
        assert sum(len(backend.seen) for backend in stage.backends.values()) == 2

    backends = [server(name, dies) for name in ("x", "y", "z")]
    play(scenario, *backends, document=lambda found: pool(*(backend.url for backend in found.values())))


def test_retries_that_nobody_asked_for_are_one_in_ten(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        statuses = [(await stage.get()).status for _ in range(120)]
        repeated = sum(len(backend.seen) for backend in stage.backends.values()) - 120
        assert set(statuses) == {502}
        assert 20 <= repeated <= 20 + 12

    backends = [server(name, dies) for name in ("x", "y")]
    play(scenario, *backends, document=lambda found: pool(*(backend.url for backend in found.values())))


def test_a_retry_middleware_says_how_often(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        for round_ in range(1, 41):  # beyond what the budget would pay for
            assert (await stage.get()).status == 502
            assert sum(len(backend.seen) for backend in stage.backends.values()) == 3 * round_
        await stage.get(method="POST")
        assert sum(len(backend.seen) for backend in stage.backends.values()) == 121

    backends = [server(name, dies) for name in ("x", "y")]
    play(scenario, *backends, document=lambda found: pool(*(backend.url for backend in found.values()), attempts=3))


def test_the_same_server_is_asked_again_after_a_pause(play: Play, server: type[Backend]) -> None:
    times: list[float] = []

    async def third(turn: Turn) -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) < 3:
            raise ConnectionResetError
        turn.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def scenario(stage: Stage) -> None:
        assert (await stage.get()).body == b"ok"
        assert times[1] - times[0] >= 0.01
        assert times[2] - times[1] >= 0.02

    play(scenario, server("b", third), document=lambda found: pool(found["b"].url, attempts=3))


def test_tries_end_when_the_time_of_a_request_does(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        assert (await stage.get()).status == 502
        assert 2 <= len(stage.backends["b"].seen) < 50

    quick = Settings(tick=0.05, watch=0.05, drain=2.0, first_byte=0.3)
    play(scenario, server("b", dies), document=lambda found: pool(found["b"].url, attempts=10_000), settings=quick)


def test_an_answer_that_has_begun_is_not_asked_for_again(play: Play, server: type[Backend]) -> None:
    async def half(turn: Turn) -> None:
        turn.writer.write(b"HTTP/1.1 200 O")
        await turn.writer.drain()
        raise ConnectionResetError

    async def scenario(stage: Stage) -> None:
        assert (await stage.get()).status == 502
        assert sum(len(backend.seen) for backend in stage.backends.values()) == 1

    backends = [server(name, half) for name in ("x", "y")]
    play(scenario, *backends, document=lambda found: pool(*(backend.url for backend in found.values()), attempts=3))


def test_a_server_that_fails_requests_is_left_out_for_the_window(play: Play, server: type[Backend]) -> None:
    async def fails(turn: Turn) -> None:
        turn.writer.write(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")

    async def scenario(stage: Stage) -> None:
        bad = stage.backends["bad"]
        await stage.until_seen(bad, 2)
        await stage.until(lambda: stage.proxy.edge.live.state.servers["s"][1].name == "DOWN")
        assert {(await stage.get()).status for _ in range(10)} == {200}
        assert len(bad.seen) == 2
        await stage.until(lambda: stage.proxy.edge.live.state.servers["s"][1].name == "UP")
        await stage.until_seen(bad, 3)

    check = {"passive_health_check": {"failure_window": "600ms", "max_failed_attempts": 2}}
    play(scenario, server("good"), server("bad", fails), document=lambda found: pool(found["good"].url, found["bad"].url, **check))


async def _babbles(turn: Turn) -> None:
    turn.writer.write(b"HTTP/1.1 200 OK\nX: y\n\n")


async def _is_silent(turn: Turn) -> None:
    await turn.reader.read()


@pytest.mark.parametrize(("script", "status"), [(_babbles, 502), (_is_silent, 504)])
def test_what_is_no_answer_in_time_is_a_failure(play: Play, server: type[Backend], script: Script, status: int) -> None:
    async def scenario(stage: Stage) -> None:
        assert (await stage.get()).status == status
        assert stage.proxy.edge.live.state.servers["s"][0].name == "DOWN"

    quick = Settings(tick=0.05, watch=0.05, drain=2.0, first_byte=0.3)
    check = {"passive_health_check": {"failure_window": "10s"}}
    play(scenario, server("b", script), document=lambda found: pool(found["b"].url, **check), settings=quick)


def test_good_answers_wipe_failures_out(play: Play, server: type[Backend]) -> None:
    count = 0

    async def every_other(turn: Turn) -> None:
        nonlocal count
        count += 1
        turn.writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % (500 if count % 2 else 200))

    async def scenario(stage: Stage) -> None:
        assert [(await stage.get()).status for _ in range(6)] == [500, 200] * 3
        assert stage.proxy.edge.live.state.servers["s"][0].name == "UP"

    check = {"passive_health_check": {"failure_window": "10s", "max_failed_attempts": 2}}
    play(scenario, server("b", every_other), document=lambda found: pool(found["b"].url, **check))
