"""Rate limits: the buckets with a clock of ours, then on real sockets, and over a reload."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pinfeather.model.middlewares import RateLimit
from pinfeather.proxy.rate_limit import Buckets, Limit, Unshareable, go_duration, retry_fields
from pinfeather.proxy.resources import Resources

if TYPE_CHECKING:
    from conftest import Backend, Message, Play, Stage


def buckets(workers: int = 1, **config: object) -> Buckets:
    limit = Limit.of(RateLimit.model_validate(config), workers)
    assert limit is not None
    return Buckets(limit)


def test_a_burst_then_the_average() -> None:
    limited = buckets(average=2, period="1s", burst=3)
    assert [limited.take("a", 0.0) for _ in range(3)] == [(True, 0.0)] * 3
    assert limited.take("a", 0.0) == (False, 0.5)  # half of what lies between two tokens is 0.25
    assert limited.take("b", 0.0) == (True, 0.0)  # another source
    assert limited.take("a", 0.3) == (True, pytest.approx(0.2))  # near enough: it waits
    assert limited.take("a", 0.3) == (False, pytest.approx(0.7))
    assert limited.take("a", 100.0) == (True, 0.0)


def test_a_refusal_takes_nothing() -> None:
    limited = buckets(average=1)
    assert limited.take("a", 0.0)[0]
    for turn in range(40):
        assert not limited.take("a", turn / 100)[0]
    assert limited.take("a", 0.6)[0]


def test_a_clock_that_goes_back_gives_nothing() -> None:
    limited = buckets(average=1)
    assert limited.take("a", 10.0)[0]
    assert not limited.take("a", 5.0)[0]
    assert not limited.take("a", 5.1)[0]


@pytest.mark.parametrize("config", [{"average": 5, "burst": 7}, {"average": 30, "period": "1m", "burst": 7}, {"average": 40}])
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_never_more_pass_than_was_said(config: dict[str, int], workers: int) -> None:
    shares = [buckets(workers, **config) for _ in range(workers)]
    rate = config["average"] / (60 if "period" in config else 1)
    passed: list[float] = []
    for turn in range(6000):
        now = turn / 199
        passes, wait = shares[turn * turn % workers].take("a", now)
        if passes:
            passed.append(now + wait)
    passed.sort()
    burst = config.get("burst", 1)
    assert all(number <= burst + rate * when + 1e-6 for number, when in enumerate(passed, 1))
    if burst >= workers:  # and in each window that begins with a pass
        for begin in range(0, len(passed), max(1, len(passed) // 50)):
            for end in range(begin, len(passed)):
                assert end - begin + 1 <= burst + rate * (passed[end] - passed[begin]) + 1e-6
    assert len(passed) >= 0.5 * rate * 30 / workers  # and it is no wall either


def test_what_cannot_be_shared_is_said() -> None:
    with pytest.raises(Unshareable, match="burst of 4"):
        Limit.of(RateLimit.model_validate({"average": 1, "period": "1m"}), 4)
    assert Limit.of(RateLimit.model_validate({"average": 1, "period": "1m", "burst": 4}), 4) is not None
    assert Limit.of(RateLimit.model_validate({"average": 0}), 4) is None


def test_memory_is_bounded_and_a_forgotten_bucket_was_full() -> None:
    limited = buckets(average=1, period="1h", burst=2)
    for number in range(70_000):
        limited.take(str(number), 0.0)
    assert len(limited) == 65_536
    quick = buckets(average=10, burst=2)
    for number in range(5_000):
        quick.take(str(number), number / 100)
    assert len(quick) < 200
    slow = buckets(average=1, period="1m", burst=3)
    assert [slow.take("a", 0.0)[0] for _ in range(4)] == [True, True, True, False]
    assert [slow.take("b", 70.0 + turn)[0] for turn in range(2)] == [True, True]
    # Traefik has forgotten `a` after 61 s and lets a whole burst pass again.
    assert [slow.take("a", 75.0)[0] for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (0.0, "0s"),
        (1e-9, "1ns"),
        (1.5e-6, "1.5µs"),
        (0.2505, "250.5ms"),
        (1.0, "1s"),
        (59.999999999, "59.999999999s"),
        (90.5, "1m30.5s"),
        (3600.0, "1h0m0s"),
        (7325.25, "2h2m5.25s"),
    ],
)
def test_durations_are_written_as_go_writes_them(length: float, said: str) -> None:
    assert go_duration(length) == said


def test_buckets_stay_where_the_limit_does() -> None:
    resources = Resources(workers=2)
    config = RateLimit.model_validate({"average": 4, "burst": 6})
    first = resources.buckets("m", config)
    assert first is not None
    assert (first.limit.rate, first.limit.burst) == (2, 3)
    assert resources.buckets("m", RateLimit.model_validate({"average": 4, "burst": 6})) is first
    assert resources.buckets("n", config) is not first
    assert resources.buckets("m", RateLimit.model_validate({"average": 4, "burst": 8})) is not first
    resources.keep([("n", config)])
    assert resources.buckets("m", config) is not first
    assert retry_fields(0.25) == (("Retry-After", "1"), ("X-Retry-In", "250ms"))


def document(backends: dict[str, Backend], **limit: object) -> dict[str, object]:
    return {
        "routes": [{"name": "r", "hosts": ["a.example"], "to": "s", "middlewares": ["limit"]}],
        "services": {"s": {"servers": [{"url": backend.url} for backend in backends.values()]}},
        "middlewares": {"limit": {"rate_limit": limit}},
    }


def test_on_sockets(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        answers = [await stage.get("/", "X-Forwarded-For: 10.0.0.1") for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        refused: Message = answers[2]
        assert refused.body == b"Too Many Requests"
        assert 60 < int(refused.one("retry-after")) <= 900
        assert refused.one("x-retry-in").startswith("14m59.")
        assert len(stage.backends["b"].seen) == 2
        again = document(stage.backends, average=4, period="1h", burst=2)
        again["routes"][0]["name"] = "another"  # type: ignore[index]
        stage.write(again)
        await stage.until(lambda: any(line.startswith("reloaded") for line in stage.said))
        assert (await stage.get()).status == 429  # the bucket is the one from before
        stage.write(document(stage.backends, average=4, period="1h", burst=3))
        await stage.until(lambda: sum(line.startswith("reloaded") for line in stage.said) == 2)
        assert (await stage.get()).status == 200  # another limit, another bucket

    play(scenario, server("b"), document=lambda backends: document(backends, average=4, period="1h", burst=2))


def test_no_limit(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        assert {(await stage.get()).status for _ in range(20)} == {200}

    play(scenario, server("b"), document=lambda backends: document(backends, average=0, burst=1))


def test_who_is_near_enough_waits(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        statuses = [(await stage.get()).status for _ in range(40)]
        assert 200 in statuses[1:]

    play(scenario, server("b"), document=lambda backends: document(backends, average=100))
