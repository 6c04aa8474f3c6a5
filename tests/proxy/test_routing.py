"""What the document says, done on real sockets: splits, canaries, sticky cookies, health, middlewares, reload, the end."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from pinfeather.model.document import Document
from pinfeather.model.sticky import Cookie, set_cookie
from pinfeather.proxy.cookies import Seal
from pinfeather.proxy.flow import Settings
from pinfeather.proxy.serving import Serving

if TYPE_CHECKING:
    from conftest import Backend, Message, Play, Stage, Turn

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
CHECK = {"path": "/health", "interval": "50ms", "timeout": "1s"}


def shop(backends: dict[str, Backend]) -> dict[str, object]:
    """Two versions with two servers each: a canary cookie, a split, a variant cookie, a server cookie each."""

    def version(name: str) -> dict[str, object]:
        return {
            "servers": [{"url": backends[f"{name}{letter}"].url} for letter in "ab"],
            "sticky": {"cookie": {"name": f"srv_{name}", "http_only": True, "max_age": 60}},
            "health_check": CHECK,
        }

    return {
        "routes": [
            {
                "name": "shop",
                "hosts": ["a.example"],
                "canaries": [{"when": {"cookie": {"name": "canary", "value": "v2"}}, "to": "v2"}],
                "split": [{"to": "v1", "weight": 90}, {"to": "v2", "weight": 10}],
                "sticky": {"cookie": {"name": "variant", "path": "/shop", "same_site": "lax", "secure": True}},
            }
        ],
        "services": {"v1": version("v1"), "v2": version("v2")},
    }


def four(server: type[Backend]) -> list[Backend]:
    return [server(name) for name in ("v1a", "v1b", "v2a", "v2b")]


def both_cookies(stage: Stage, answer: Message) -> str:
    pairs = [f"{name}={value}" for name in ("variant", "srv_v1", "srv_v2") if (value := stage.cookie(answer, name))]
    return "Cookie: " + "; ".join(pairs)


def test_a_client_stays_where_it_was_sent(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        counts = {"v1": 0, "v2": 0}
        for _ in range(60):
            first = await stage.get()
            version = first.body.decode()[:2]
            counts[version] += 1
            variant, own = first.all("set-cookie")
            assert variant.endswith("; Path=/shop; Secure; SameSite=Lax")
            assert own.startswith(f"srv_{version}=")
            assert own.endswith("; Path=/; Max-Age=60; HttpOnly")
            again = await stage.get("/", both_cookies(stage, first))
            assert again.body == first.body
            assert again.all("set-cookie") == []
        assert counts["v1"] > counts["v2"]  # 90 : 10; that the reverse happens has a chance below 1e-12
        assert len({request.one("host") for backend in stage.backends.values() for request in backend.seen}) == 1

    play(scenario, *four(server), document=shop)


def test_the_canary_is_matched_exactly(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        for _ in range(5):
            assert (await stage.get("/", "Cookie: x=y; canary=v2")).body.startswith(b"v2")
        bodies = [(await stage.get("/", "Cookie: notcanary=v22; canary=v22")).body[:2] for _ in range(40)]
        assert b"v1" in bodies  # all forty to v2 by weight alone: 1e-40

    play(scenario, *four(server), document=shop)


def test_cookies_that_were_not_given_bind_nobody(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        url = stage.backends["v1a"].url
        for forged in ("v1", url, "0" * 16, "", '"', "é"):
            answer = await stage.get("/", f"Cookie: variant={forged}; srv_v1={forged}; srv_v2={forged}")
            assert len(answer.all("set-cookie")) == 2
        first = await stage.get()
        cookies = both_cookies(stage, first)
        swapped = cookies.replace("variant=", "x=").replace("srv_", "variant=")
        assert len((await stage.get("/", swapped)).all("set-cookie")) == 2  # a value is worth nothing in another pool
        # The first cookie of a name counts, and quotes are taken off.
        assert (await stage.get("/", cookies + "; variant=nothing; srv_v1=nothing; srv_v2=nothing")).all("set-cookie") == []
        quoted = cookies.replace("=", '="').replace(";", '";') + '"'
        assert (await stage.get("/", quoted)).all("set-cookie") == []
        assert url not in str(first.fields)

    play(scenario, *four(server), document=shop)


def test_another_key_takes_no_cookie_of_this_one() -> None:
    assert Seal(b"1").value("p", "http://s") != Seal(b"2").value("p", "http://s")
    assert Seal(b"1").value("p", "http://s") != Seal(b"1").value("q", "http://s")
    # printf 'http://10.0.0.1:80' | sha256sum
    assert Seal(b"", traefik_compat=True).value("p", "http://10.0.0.1:80") == "df5bd2f9c0180410"


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({}, "n=v; Path=/"),
        ({"path": ""}, "n=v"),
        ({"max_age": 0, "secure": False, "http_only": False}, "n=v; Path=/"),
        ({"max_age": -5}, "n=v; Path=/; Max-Age=0"),
        (
            {"path": "/p", "domain": "d", "max_age": 9, "http_only": True, "secure": True, "same_site": "strict"},
            "n=v; Path=/p; Domain=d; Max-Age=9; HttpOnly; Secure; SameSite=Strict",
        ),
        ({"secure": True, "same_site": "none"}, "n=v; Path=/; Secure; SameSite=None"),
    ],
)
def test_set_cookie_is_written_as_go_does(attributes: dict[str, object], text: str) -> None:
    assert set_cookie(Cookie.model_validate({"name": "n", **attributes}), "v") == text


def test_a_dead_server_is_left_and_comes_back(play: Play, server: type[Backend]) -> None:
    def is_up(stage: Stage, name: str) -> bool:
        return f"server {stage.backends[name].url} is up" in " ".join(stage.said)

    def is_down(stage: Stage, name: str) -> bool:
        return f"server {stage.backends[name].url} is down" in " ".join(stage.said)

    async def scenario(stage: Stage) -> None:
        first = await stage.get("/", "Cookie: canary=v2")
        name = first.body.decode()
        other = {"v2a": "v2b", "v2b": "v2a"}[name]
        own = "Cookie: canary=v2; srv_v2=" + stage.cookie(first, "srv_v2")
        stage.backends[name].health = 503
        await stage.until(lambda: is_down(stage, name))
        moved = await stage.get("/", own)
        assert moved.body.decode() == other
        assert stage.cookie(moved, "srv_v2")
        stage.backends[other].health = 500
        await stage.until(lambda: is_down(stage, other))
        nobody = await stage.get("/", own)
        assert (nobody.status, nobody.body, nobody.all("set-cookie")) == (503, b"no available server\n", [])
        stage.backends[name].health = 302  # taken as an answer, not followed
        await stage.until(lambda: is_up(stage, name))
        back = await stage.get("/", own)
        assert (back.body.decode(), back.all("set-cookie")) == (name, [])

    play(scenario, *four(server), document=shop)


def unreachable(_: dict[str, Backend]) -> dict[str, object]:
    service = {"servers": [{"url": "http://127.0.0.1:1"}], "sticky": {"cookie": {"name": "c"}}}
    return {"routes": [{"name": "r", "to": "s"}], "services": {"s": service}}


def test_a_server_that_cannot_be_reached_is_a_502_with_its_cookie(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        answer = await stage.get()
        assert (answer.status, answer.body) == (502, b"Bad Gateway")
        assert stage.cookie(answer, "c")
        assert "127.0.0.1:1" not in str(answer.fields)
        post = await stage.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000)
        assert post.status == 502

    play(scenario, document=unreachable)


@pytest.mark.parametrize("scheme", ["https", "h2c"])
def test_a_server_that_does_not_speak_so_is_no_server(play: Play, server: type[Backend], scheme: str) -> None:
    async def scenario(stage: Stage) -> None:
        answer = await stage.get()
        assert answer.status == {"https": 502, "h2c": 503}[scheme]
        assert stage.backends["b"].seen == []
        assert ("h2c" in " ".join(stage.said)) == (scheme == "h2c")

    def document(backends: dict[str, Backend]) -> dict[str, object]:
        url = backends["b"].url.replace("http", scheme)
        return {"routes": [{"name": "r", "to": "s"}], "services": {"s": {"servers": [{"url": url}]}}}

    async def hangs_up(reader: Reader, _: Writer) -> None:
        await reader.read(1)

    play(scenario, server("b", raw=hangs_up), document=document)


def test_no_route(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        answer = await stage.get(host="b.example")
        assert (answer.status, answer.body) == (404, b"404 page not found\n")
        assert answer.one("content-type") == "text/plain; charset=utf-8"
        assert (await stage.get(host="A.EXAMPLE:8080")).status == 200

    play(scenario, server("b"))


def test_a_reload_loses_nothing_and_a_bad_one_changes_nothing(play: Play, server: type[Backend]) -> None:
    go = asyncio.Event()

    async def waits(turn: Turn) -> None:
        if turn.request.line.startswith("GET /slow"):
            await go.wait()
        turn.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold")

    async def scenario(stage: Stage) -> None:
        slow = asyncio.ensure_future(stage.get("/slow"))
        await stage.until(lambda: bool(stage.backends["old"].seen))
        document = {
            "routes": [{"name": "r", "to": "s"}],
            "services": {"s": {"servers": [{"url": stage.backends["new"].url}]}},
        }
        statuses, stop = [], asyncio.Event()

        async def load() -> None:
            while not stop.is_set():
                statuses.append((await stage.get()).status)

        loading = asyncio.ensure_future(load())
        stage.write(document)
        await stage.until(lambda: any(line.startswith("reloaded") for line in stage.said))
        assert (await stage.get()).body == b"new"
        stage.path.write_text("{")
        await stage.until(lambda: any(line.startswith("not reloaded") for line in stage.said))
        assert stage.proxy.reload_error is not None
        assert (await stage.get()).body == b"new"
        stop.set()
        await loading
        assert set(statuses) == {200}
        go.set()
        assert (await slow).body == b"old"

    def old_one(backends: dict[str, Backend]) -> dict[str, object]:
        service = {"servers": [{"url": backends["old"].url}]}
        return {"routes": [{"name": "r", "hosts": ["a.example"], "to": "s"}], "services": {"s": service}}

    play(scenario, server("old", waits), server("new"), document=old_one)


def test_the_end_waits_for_what_is_under_way(play: Play, server: type[Backend]) -> None:
    go = asyncio.Event()

    async def waits(turn: Turn) -> None:
        await go.wait()
        turn.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer), stage.client() as (idle, _):
            writer.write(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
            await stage.until(lambda: bool(stage.backends["b"].seen) and len(stage.proxy.edge.connections) == 2)
            closing = asyncio.ensure_future(stage.proxy.close())
            assert await idle.read() == b""
            with pytest.raises(ConnectionError):
                await asyncio.open_connection(*stage.address)
            go.set()
            answer = await stage.read(reader)
            assert (answer.body, answer.one("connection")) == (b"ok", "close")
            await closing

    play(scenario, server("b", waits))


def test_admin(play: Play, server: type[Backend]) -> None:
    async def ask(stage: Stage, path: str) -> tuple[int, dict[str, object]]:
        assert stage.proxy.admin_address is not None
        reader, writer = await asyncio.open_connection(*stage.proxy.admin_address)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = await stage.read(reader)
        writer.close()
        return answer.status, json.loads(answer.body)

    async def scenario(stage: Stage) -> None:
        assert await ask(stage, "/healthz") == (200, {"status": "ok"})
        status, state = await ask(stage, "/state")
        assert (status, state["routes"], state["closed"]) == (200, 1, {})
        assert state["services"] == {"s": [{"server": stage.backends["b"].url, "status": "up"}]}
        assert (await ask(stage, "/else"))[0] == 404
        assert (await stage.get("/state")).body == b"b"  # a client's port knows nothing of it

    play(scenario, server("b"), settings=Settings(tick=0.05))


def test_what_is_not_executed_is_said() -> None:
    servers = [{"url": "http://a"}]
    said = {
        "is closed: middleware 'strange'": {"r": {"middlewares": ["strange"]}},
        "belongs to another provider": {"r": {"to": "x@docker"}},
        "observability": {"r": {"observability": {"access_logs": False}}},
        "has no http(s) address": {"s": {"servers": [{"kubernetes": {"service": "s", "port": 80}}]}},
        "is not put before": {"s": {"servers": [{"url": "http://a/b", "preserve_path": True}]}},
        "gRPC health checks": {"s": {"servers": servers, "health_check": {"path": "/", "mode": "grpc"}}},
        "follow no redirects": {"s": {"servers": servers, "health_check": {"path": "/", "follow_redirects": True}}},
        "the strategy 'p2c'": {"s": {"servers": servers, "strategy": "p2c"}},
        "by source address": {"s": {"servers": servers, "sticky": {"source_address": {}}}},
        "servers transport": {"s": {"servers": servers, "servers_transport": "t@file"}},
    }
    for part, change in said.items():
        document = Document.model_validate(
            {
                "routes": [{"name": "r", "to": "s", **change.get("r", {})}],
                "services": {"s": change.get("s", {"servers": servers})},
                "middlewares": {"strange": {"other": {"kind": "inFlightReq", "config": {}}}},
            }
        )
        (note,) = Serving.of(document, Seal(b"key"), "r").notes
        assert part in note
    executed = {"servers": servers, "passive_health_check": {"max_failed_attempts": 2}, "health_check": {"path": "/"}}
    assert Serving.of(Document.model_validate({"services": {"s": executed}}), Seal(b"key"), "r").notes == ()
