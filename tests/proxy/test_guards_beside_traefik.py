"""Middlewares that ask, count or pack, on this proxy and on a real Traefik: both must answer, and forward, alike."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.proxy.test_beside_traefik import tell

if TYPE_CHECKING:
    from conftest import Backend, Message, Play, Stage, Turn

    from pinfeather.testing.traefik import Traefik

OWN = ("date", "connection", "content-length", "transfer-encoding", "x-content-type-options", "content-type", "x-retry-in")
"""Framing, and what is a time."""
TAKEN = ["X-User", "X-Saw"]


async def auth(turn: Turn) -> None:
    """Lets in who has the cookie, and tells the server behind what it was asked."""
    request = turn.request
    if request.all("cookie") != ["in=1"]:
        status = "302 Found" if request.all("cookie") != ["in=0"] else "401 Unauthorized"
        turn.writer.write(f"HTTP/1.1 {status}\r\nLocation: /login\r\nSet-Cookie: a=b\r\nX-Why: no\r\nContent-Length: 2\r\n\r\nno".encode())
        return
    names = ("x-forwarded-method", "x-forwarded-uri", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-for", "x-kept", "x-dropped")
    saw = " ".join(f"{name}={','.join(request.all(name))}" for name in names)
    turn.writer.write(
        f"HTTP/1.1 200 OK\r\nX-User: anna\r\nX-Saw: {request.line} {saw}\r\nX-Other: no\r\nContent-Length: 2\r\n\r\nok".encode()
    )


TEXT = b"a line that is sent again and again\n" * 100


async def texts(turn: Turn) -> None:
    """By path: what may be packed, and what not."""
    _, path, _ = turn.request.line.split(" ")
    kind = {"png": "image/png", "plain": "text/plain", "json": "application/json; charset=utf-8", "none": ""}[path.split("/")[2]]
    body = TEXT if path.split("/")[3] == "big" else b"small"
    fields = f"Content-Type: {kind}\r\n" if kind else ""
    fields += "Content-Encoding: br\r\n" if path.endswith("/packed") else ""
    fields += "Cache-Control: no-transform\r\n" if path.endswith("/asis") else ""
    turn.writer.write(f"HTTP/1.1 200 OK\r\n{fields}Vary: Cookie\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


def ours(backends: dict[str, Backend]) -> dict[str, object]:
    address = f"{backends['auth'].url}/check"
    return {
        "routes": [
            {"name": "auth", "path": {"prefix": "/auth"}, "to": "b", "middlewares": ["auth"]},
            {"name": "some", "path": {"prefix": "/some"}, "to": "b", "middlewares": ["some"]},
            {"name": "chain", "path": {"prefix": "/chain"}, "to": "b", "middlewares": ["chain"]},
            {"name": "few", "path": {"prefix": "/few"}, "to": "b", "middlewares": ["few"]},
            {"name": "pack", "path": {"prefix": "/pack"}, "to": "t", "middlewares": ["pack"]},
            {"name": "large", "path": {"prefix": "/large"}, "to": "t", "middlewares": ["large"]},
        ],
        "middlewares": {
            "auth": {"forward_auth": {"address": address, "auth_response_headers": TAKEN}},
            "some": {"forward_auth": {"address": address, "auth_response_headers": TAKEN, "auth_request_headers": ["Cookie", "X-Kept"]}},
            "strip": {"strip_prefix": {"prefixes": ["/chain"]}},
            "chain": {"chain": {"middlewares": ["auth", "strip"]}},
            "few": {"rate_limit": {"average": 1, "period": "1m", "burst": 3}},
            "pack": {"compress": {}},
            "large": {"compress": {"min_response_body_bytes": 100_000, "excluded_content_types": ["text/plain"]}},
        },
        "services": {"b": {"servers": [{"url": backends["b"].url}]}, "t": {"servers": [{"url": backends["t"].url}]}},
    }


def traefiks(backends: dict[str, Backend]) -> str:
    address = f"{backends['auth'].url}/check"
    uses = {"auth": "b", "some": "b", "chain": "b", "few": "b", "pack": "t", "large": "t"}
    routers = {name: {"rule": f"PathPrefix(`/{name}`)", "service": to, "middlewares": [name]} for name, to in uses.items()}
    middlewares = {
        "auth": {"forwardAuth": {"address": address, "authResponseHeaders": TAKEN}},
        "some": {"forwardAuth": {"address": address, "authResponseHeaders": TAKEN, "authRequestHeaders": ["Cookie", "X-Kept"]}},
        "strip": {"stripPrefix": {"prefixes": ["/chain"]}},
        "chain": {"chain": {"middlewares": ["auth", "strip"]}},
        "few": {"rateLimit": {"average": 1, "period": "1m", "burst": 3}},
        "pack": {"compress": {}},
        "large": {"compress": {"minResponseBodyBytes": 100_000, "excludedContentTypes": ["text/plain"]}},
    }
    services = {name: {"loadBalancer": {"servers": [{"url": backends[name].url}]}} for name in ("b", "t")}
    return json.dumps({"http": {"routers": routers, "middlewares": middlewares, "services": services}})


IN, GZIP = "Cookie: in=1", "Accept-Encoding: gzip"
PROBES: list[tuple[str, str, tuple[str, ...]]] = [
    *((method, f"/{name}/x?a=b", lines) for name in ("auth", "some", "chain") for method in ("GET", "POST") for lines in ((IN, "X-Kept: 1", "X-Dropped: 2"), (), ("Cookie: in=0",))),
    ("GET", "/auth", (IN, "X-User: forged", "X-Saw: forged")),
    ("GET", "/auth", (IN, "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Uri: /forged", "X-Forwarded-Method: PUT")),
    ("HEAD", "/auth", ()),
    *(("GET", "/few", ()) for _ in range(6)),
    *(("GET", f"/{name}/{kind}/{size}{end}", lines) for name in ("pack", "large") for kind in ("png", "plain", "json") for size in ("big", "small") for end in ("", "/packed") for lines in ((GZIP,), ())),
    ("GET", "/pack/plain/big", ("Accept-Encoding: gzip;q=0",)),
    ("GET", "/pack/plain/big", ("Accept-Encoding: identity",)),
    ("GET", "/pack/plain/big", (GZIP, "Range: bytes=0-3")),
    ("HEAD", "/pack/plain/big", (GZIP,)),
]  # fmt: skip


def comparable(answer: Message) -> tuple[str, list[str], bytes]:
    packed = "gzip" in answer.all("content-encoding") and answer.body
    body = gzip.decompress(answer.body) if packed else answer.body
    return answer.line, sorted(f"{name.title()}: {value}" for name, value in answer.fields if name.lower() not in OWN), body


def test_both_answer_alike(play: Play, server: type[Backend], traefik: Callable[..., Traefik]) -> None:
    async def scenario(stage: Stage) -> None:
        real = await asyncio.to_thread(traefik, {"dynamic.yml": traefiks(stage.backends)})
        different = {}
        for number, (method, target, lines) in enumerate(PROBES):
            more = ("Content-Length: 0",) if method == "POST" else ()
            raw = "\r\n".join((f"{method} {target} HTTP/1.1", "Host: a.io:8080", *lines, *more, "Connection: close", "", "")).encode()
            here = comparable(await stage.send(raw))
            there = comparable(await stage.send(raw, ("127.0.0.1", real.port())))
            if here != there:
                different[number, method, target, lines] = (here, there)
        await asyncio.to_thread(real.stop)  # its kept connections would hold the server open
        assert not different, "\n".join(f"{probe}:\n  here  {pair[0]}\n  there {pair[1]}" for probe, pair in different.items())

    play(scenario, server("b", tell), server("t", texts), server("auth", auth), document=ours)
