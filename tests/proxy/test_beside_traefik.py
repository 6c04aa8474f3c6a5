"""The same document on this proxy and on a real Traefik, the same servers behind: both must answer, and forward, alike."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from pinfeather.proxy.cookies import Seal

if TYPE_CHECKING:
    from conftest import Backend, Message, Play, Stage, Turn

    from pinfeather.testing.traefik import Traefik

USER = "u:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="  # password
RIGHT = "Authorization: Basic dTpwYXNzd29yZA=="
DEAD = "http://127.0.0.1:1"
# Path prefix -> our middleware, Traefik's.
MIDDLEWARES: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "auth": (
        {"basic_auth": {"users": [USER], "header_field": "X-User"}},
        {"basicAuth": {"users": [USER], "headerField": "X-User"}},
    ),
    "bare": (
        {"basic_auth": {"users": [USER], "remove_header": True, "realm": "r"}},
        {"basicAuth": {"users": [USER], "removeHeader": True, "realm": "r"}},
    ),
    "list": ({"ip_allow_list": {"source_ranges": ["10.0.0.0/8"]}}, {"ipAllowList": {"sourceRange": ["10.0.0.0/8"]}}),
    "https": ({"redirect_scheme": {"scheme": "https"}}, {"redirectScheme": {"scheme": "https"}}),
    "moved": (
        {"redirect_scheme": {"scheme": "https", "port": "8443", "permanent": True}},
        {"redirectScheme": {"scheme": "https", "port": "8443", "permanent": True}},
    ),
    "regex": (
        {"redirect_regex": {"regex": "^http://([^/]+)/regex/(.*)", "replacement": "https://$1/${2}x"}},
        {"redirectRegex": {"regex": "^http://([^/]+)/regex/(.*)", "replacement": "https://$1/${2}x"}},
    ),
    "strip": ({"strip_prefix": {"prefixes": ["/strip"]}}, {"stripPrefix": {"prefixes": ["/strip"]}}),
    "accents": (
        {"strip_prefix": {"prefixes": ["/accents/caf\u00e9", "/accents/a b", "/accents"]}},
        {"stripPrefix": {"prefixes": ["/accents/caf\u00e9", "/accents/a b", "/accents"]}},
    ),
    "add": ({"add_prefix": {"prefix": "/v1"}}, {"addPrefix": {"prefix": "/v1"}}),
    "fixed": ({"replace_path": {"path": "/elsewhere"}}, {"replacePath": {"path": "/elsewhere"}}),
    "turned": (
        {"replace_path_regex": {"regex": "^/turned/(.*)", "replacement": "/z/$1"}},
        {"replacePathRegex": {"regex": "^/turned/(.*)", "replacement": "/z/$1"}},
    ),
    "heads": (
        {"headers": {"request": {"X-Gone": "", "X-Set": "here"}, "response": {"X-Powered-By": "", "X-Frame-Options": "DENY"}}},
        {
            "headers": {
                "customRequestHeaders": {"X-Gone": "", "X-Set": "here"},
                "customResponseHeaders": {"X-Powered-By": "", "X-Frame-Options": "DENY"},
            }
        },
    ),
}
# A redirect goes by the scheme that an earlier middleware says.
_ANY = {"regex": "^(https?|wss?|x)://([^/]+)/(.*)", "replacement": "https://$2/$1/$3"}
MIDDLEWARES |= {"to-https": MIDDLEWARES["https"], "to-any": ({"redirect_regex": _ANY}, {"redirectRegex": _ANY})}
MIDDLEWARES |= {"to-http": ({"redirect_scheme": {"scheme": "http"}}, {"redirectScheme": {"scheme": "http"}})}
for _said in ("https", "http", "wss", "ws", "x", ""):
    MIDDLEWARES |= {
        f"says-{_said}": (
            {"headers": {"request": {"X-Forwarded-Proto": _said}}},
            {"headers": {"customRequestHeaders": {"X-Forwarded-Proto": _said}}},
        )
    }
    for _then in ("to-https", "to-any", "to-http"):
        _chain: dict[str, object] = {"chain": {"middlewares": [f"says-{_said}", _then]}}
        MIDDLEWARES |= {f"{_then}-as-{_said}-": (_chain, _chain)}
PROBES: list[tuple[str, str, tuple[str, ...]]] = [
    *(("GET", f"/{name}", ()) for name in MIDDLEWARES),
    *(("PUT", f"/{name}/x?q=1", (RIGHT, "Content-Length: 0")) for name in MIDDLEWARES),
    *(("HEAD", f"/{name}", ()) for name in ("auth", "list", "https", "nowhere", "dead")),
    ("GET", "/auth", ("Authorization: Basic dTpwYXNzd29yZA",)),
    ("GET", "/auth", (RIGHT, "X-User: forged")),
    ("GET", "/strip../x", ()),
    *(("GET", f"/accents/{rest}", ()) for rest in ("caf%C3%A9/x", "caf%c3%a9", "cafe/x", "a%20b/x", "a+b/x")),
    ("GET", "/turned/a%2fb/%61", ()),
    ("GET", "/heads", ("X-Gone: 1", "X-Set: 1", "Connection: X-Set, X-Kept", "X-Kept: 1")),
    ("GET", "/heads", ("X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Real-Ip: 6.6.6.6", "X-Forwarded-Prefix: /x")),
    ("GET", "/x/../heads//a/./%7E%2f%5c/%2E%2E?y=+;z&%zz", ()),
    ("GET", '/heads/|"{}%5c', ()),
    ("GET", '/heads%2f|"{}%5c%3F', ()),  # beside such characters `%2F` is a slash
    ("GET", "/heads?", ()),
    ("GET", "/nowhere", ()),
    ("GET", "/dead", ()),
    ("GET", "/dead", ("Cookie: c=10d8eb39449320b2",)),
    ("GET", "/dead", ("Cookie: c=0000000000000000",)),
]
ELSEWHERE: list[tuple[str, str, str, tuple[str, ...]]] = [
    (host, "GET", f"/{name}?q", ()) for name in MIDDLEWARES if name.startswith("to-") for host in ("a.io", "a.io:80", "a.io:443", "[::1]")
]
"""Ports that a redirect may take for the usual one."""


def ours(backends: dict[str, Backend]) -> dict[str, object]:
    routes = [{"name": name, "path": {"prefix": f"/{name}"}, "to": "s", "middlewares": [name]} for name in MIDDLEWARES]
    attributes = {"name": "c", "path": "/dead", "max_age": 60, "http_only": True, "secure": True, "same_site": "none"}
    return {
        "routes": [*routes, {"name": "dead", "path": {"prefix": "/dead"}, "to": "dead"}],
        "middlewares": {name: pair[0] for name, pair in MIDDLEWARES.items()},
        "services": {
            "s": {"servers": [{"url": backends["b"].url}]},
            "dead": {"servers": [{"url": DEAD}], "sticky": {"cookie": attributes}},
        },
    }


def traefiks(backends: dict[str, Backend]) -> str:
    cookie = {"name": "c", "path": "/dead", "maxAge": 60, "httpOnly": True, "secure": True, "sameSite": "none"}
    routers = {name: {"rule": f"PathPrefix(`/{name}`)", "service": "s", "middlewares": [name]} for name in MIDDLEWARES}
    services = {
        "s": {"loadBalancer": {"servers": [{"url": backends["b"].url}]}},
        "dead": {"loadBalancer": {"servers": [{"url": DEAD}], "sticky": {"cookie": cookie}}},
    }
    http = {
        "routers": {**routers, "dead": {"rule": "PathPrefix(`/dead`)", "service": "dead"}},
        "middlewares": {name: pair[1] for name, pair in MIDDLEWARES.items()},
        "services": services,
    }
    return json.dumps({"http": http})


async def tell(turn: Turn) -> None:
    """Answers with the request as it came; what Go's client adds to every request is left out."""
    own = ("accept-encoding", "x-forwarded-server", "content-length")
    fields = sorted(f"{name.title()}: {value}" for name, value in turn.request.fields if name.lower() not in own)
    body = "\n".join([turn.request.line, *fields]).encode()
    turn.writer.write(b"HTTP/1.1 200 OK\r\nX-Powered-By: b\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def comparable(answer: Message) -> tuple[str, list[str], bytes]:
    own = ("date", "connection")
    return answer.line, sorted(f"{name.title()}: {value}" for name, value in answer.fields if name.lower() not in own), answer.body


def test_both_answer_alike(play: Play, server: type[Backend], traefik: Callable[..., Traefik]) -> None:
    async def scenario(stage: Stage) -> None:
        real = await asyncio.to_thread(traefik, {"dynamic.yml": traefiks(stage.backends)})
        different = {}
        for host, method, target, lines in [("a.io:8080", *probe) for probe in PROBES] + ELSEWHERE:
            raw = "\r\n".join((f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "Connection: close", "", "")).encode()
            here = comparable(await stage.send(raw))
            there = comparable(await stage.send(raw, ("127.0.0.1", real.port())))
            if here != there:
                different[host, method, target, lines] = (here, there)
        await asyncio.to_thread(real.stop)  # its kept connections would hold the server open
        assert not different, "\n".join(f"{probe}:\n  here  {pair[0]}\n  there {pair[1]}" for probe, pair in different.items())

    play(scenario, server("b", tell), document=ours, seal=Seal(b"", traefik_compat=True))
