"""Rollouts that are killed or stopped: the same command goes on, and says where it stands."""

from __future__ import annotations

import json
import re
import signal

import pytest

from tests.parts.proxies import DEADLINE
from tests.rollout.stage import Stage, edited


@pytest.mark.parametrize("way", ["on", "back"])
def test_a_kill_in_a_deployment_is_waited_for_and_gone_on_from(shop: Stage, way: str) -> None:
    shop.says("waits", "2")
    with shop.begun(steps="30,60,100") as process:
        shop.until_waiting(2)
        process.kill()
        process.communicate(timeout=DEADLINE)
    assert shop.document.read_bytes() == edited(shop.before, 40, 60)
    told = shop.run("--status").stdout
    assert "a rollout was cut off at v1 40, v2 60, in the middle of `" in told
    assert "the same command goes on, with --back it goes back" in told
    with shop.begun(*(["--back"] if way == "back" else []), steps="30,60,100") as process:
        assert process.stdout is not None
        first, second = process.stdout.readline(), process.stdout.readline()
        assert "a rollout was cut off at v1 40, v2 60" in first
        assert "waiting for the end of `" in second
        assert shop.ups == 2, "nothing is deployed beside what still runs"
        shop.open()
        out, err = process.communicate(timeout=2 * DEADLINE)
    assert process.returncode == 0, out + err
    if way == "on":
        assert "going on: 60 %, 100 %" in out
        assert shop.document.read_bytes() == shop.served() == edited(shop.before, 0, 100)
        assert shop.ups == 4
    else:
        assert shop.document.read_bytes() == shop.served() == shop.before
        assert shop.ups == 3


def test_kills_anywhere_one_after_the_other_converge(shop: Stage) -> None:
    """Each run is killed when it has written so many lines more, wherever that is; the last one comes to its end."""
    for more in (1, 4, 1, 2, 3, 5, 6, 7):
        already = len(shop.whole())
        with shop.begun() as process:
            shop.until_longer(already + more, process)
            process.kill()
            _, errors = process.communicate(timeout=DEADLINE)
        assert process.returncode in (-signal.SIGKILL, 0), errors
        assert shop.document.read_bytes() in {edited(shop.before, *weights) for weights in ((70, 30), (0, 100))} | {shop.before}
    done = shop.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert shop.document.read_bytes() == shop.served() == edited(shop.before, 0, 100)
    assert sum(record["what"] == "done" for record in shop.records) == 1
    assert [path.name for path in shop.document.parent.glob(".*")] == [".pinfeather"], "no lock and no temporary file is left"


def test_a_torn_line_and_a_write_that_did_not_come_are_no_hindrance(shop: Stage) -> None:
    with shop.begun("--hold", "30s") as process:
        shop.until_logged("holds")
        process.kill()
        process.communicate(timeout=DEADLINE)
    # As if it had been killed between the line that says what will be written, and the writing.
    text = shop.log.read_text()
    cut = text[: text.index('"what":"runs"', text.index('"what":"writes"'))]
    shop.log.write_text(cut[: cut.rindex("\n") + 1] + '{"time":"2026-01-01T00:00:0')
    shop.document.write_bytes(shop.before)
    (shop.folder / "served.yaml").write_bytes(shop.before)
    done = shop.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a rollout was cut off at v1 70, v2 30, before its step was verified" in done.stdout
    assert shop.document.read_bytes() == edited(shop.before, 0, 100)
    assert '{"time":"2026-01-01T00:00:0\n' in shop.log.read_text(), "the log is only appended to"
    assert shop.run("--back").returncode == 0
    shop.log.write_text("mine\n" + shop.log.read_text())
    refused = shop.run("--status")
    assert refused.returncode == 4
    assert "line 1 is no line of a rollout's log; say another with --log" in refused.stderr


@pytest.mark.parametrize("then", ["writes", "runs"])
def test_a_write_may_not_come_twice(shop: Stage, then: str) -> None:
    """Killed between the announcement and the write; and again at the next announcement, or in the first verify of the second run."""
    assert shop.run(steps="30", up="false").returncode == 4, "nothing is deployed"
    records = shop.records
    (began,) = [record for record in records if record["what"] == "began"]
    writes = next(record for record in records if record["what"] == "writes")
    runs = next(record for record in records if record["what"] == "runs")
    gone_on = {**writes, "what": "goes on", "weights": began["weights"], "digest": began["digest"]}
    lines = [began, writes, gone_on, {"writes": writes, "runs": runs}[then]]
    shop.log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    shop.document.write_bytes(shop.before)
    done = shop.run(steps="30")
    assert done.returncode == 0, done.stderr
    assert "was cut off" in done.stdout
    assert shop.document.read_bytes() == edited(shop.before, 70, 30)
    assert [record["digest"] for record in shop.records if record["what"] == "goes on"] == [began["digest"]] * 2


def test_a_stop_while_it_holds_ends_it_at_once_where_it_is(shop: Stage) -> None:
    with shop.begun("--hold", "10m") as process:
        shop.until_logged("holds")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, out + err
    assert re.search(r"stopped where it is: \S+shop.yaml has v1 70, v2 30; the same command goes on, with --back it goes back\n\Z", out)
    assert shop.document.read_bytes() == shop.served() == edited(shop.before, 70, 30)
    assert "before its step was verified" in shop.run("--status").stdout
    own, shop.document = shop.document, shop.document.with_name("other.yaml")
    shop.document.write_bytes(shop.before)
    refused = shop.run()
    assert refused.returncode == 2
    assert f"is of a rollout of the route 'shop' in {own} that was cut off: say another with --log" in refused.stderr
    shop.document = own
    assert "finish it, or say --back or --anew" in shop.run("--to", "v1").stderr
    done = shop.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "going on: 30 %, 100 %" in done.stdout


def test_a_stop_lets_the_deployment_end_and_a_second_does_not(shop: Stage) -> None:
    shop.says("waits", "1 2")
    with shop.begun() as process:
        shop.until_waiting(1)
        process.send_signal(signal.SIGINT)
        shop.open()
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, out + err
    assert shop.served() == edited(shop.before, 70, 30), "the deployment came to its end"
    with shop.begun() as process:
        shop.until_waiting(2)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "what runs is let end, once more interrupts it" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, out + err
    assert re.search(r"stopped \(at 30 % `.*` was ended by signal 2\) where it is: \S+ has v1 70, v2 30", out)
    back = shop.run("--back")
    assert back.returncode == 0, back.stdout + back.stderr
    assert shop.served() == shop.before


def test_a_stop_ends_a_verify_at_once(shop: Stage) -> None:
    with shop.begun("--verify-options=--rate 5") as process:
        shop.until_logged("runs")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 143, out + err
    assert shop.document.read_bytes() == shop.before
    assert shop.ups == 0


def test_going_back_is_not_stopped_half_way(shop: Stage) -> None:
    shop.says("fails", "1")
    shop.says("waits", "2")
    with shop.begun() as process:
        shop.until_waiting(2)
        process.send_signal(signal.SIGINT)
        shop.open()
        out, err = process.communicate(timeout=2 * DEADLINE)
    assert process.returncode == 1, out + err
    assert out.endswith("back: v1 90, v2 10, as before the first step\n")
    assert shop.document.read_bytes() == shop.served() == shop.before


# What is refused before anything -------------------------------------------------------------------------------------------------
