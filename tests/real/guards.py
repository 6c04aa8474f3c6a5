"""Documents whose routes are guarded, and probes that try to get round the guards."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from pinfeather.model.noun import Tree

NOTHING: dict[str, Tree] = {"pinfeather": "v1"}

# Documents ---------------------------------------------------------------------------------------------------------------

MIDDLEWARES: dict[str, Tree] = {
    "sha": {"basic_auth": {"users": ["u:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="]}},  # password
    "apr1": {"basic_auth": {"users": ["v:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"], "remove_header": True}},  # secret
    "office": {"ip_allow_list": {"source_ranges": ["10.0.0.0/8"]}},
    "behind": {"ip_allow_list": {"source_ranges": ["10.0.0.0/8"], "depth": 1}},
    "https": {"redirect_scheme": {"scheme": "https"}},
    "asked": {"forward_auth": {"address": "http://127.0.0.1:1/"}},  # nobody answers there, so nobody is let in
    "slim": {"headers": {"response": {"X-Slim": "yes"}}},
    "door": {"chain": {"middlewares": ["slim", "sha"]}},
    "doors": {"chain": {"middlewares": ["office", "door"]}},
}
RIGHT = {"sha": "u:password", "apr1": "v:secret", "door": "u:password"}
HOSTS = ("a.test", "b.test", "x.a.test", "*.a.test")
PATHS: tuple[Tree, ...] = ({"prefix": "/"}, {"prefix": "/admin"}, {"prefix": "/admin/in"}, {"exact": "/admin"}, {"prefix": "/pub"})
PATHS += ({"regex": "^/adm"}, {"prefix": "/a%2Fb"})
CONDITIONS: tuple[Tree, ...] = (
    {"cookie": {"name": "canary", "value": "v2"}},
    {"header": {"name": "X-Canary", "value": "always"}},
    {"query": {"name": "v", "value": "2"}},
    {"method": "POST"},
    {"not": {"header": {"name": "X-Bot", "value": "yes"}}},
    {"host_regex": "^[ab]\\.test$"},
)
WARDS: tuple[list[Tree], ...] = (
    [],
    [],
    ["slim"],
    ["sha"],
    ["apr1"],
    ["slim", "sha"],
    ["office"],
    ["behind"],
    ["https"],
    ["asked"],
    ["slim", "asked"],
    ["door"],
    ["doors"],
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Tree]:
    """A few routes over the same hosts and paths, some behind a door; each has two services of its own."""
    routes: list[Tree] = []
    services: dict[str, Tree] = {}
    for number in range(draw(st.integers(1, 4))):
        main, other = f"s{number}", f"t{number}"
        services |= {main: {}, other: {}}
        if not draw(st.integers(0, 5)):
            services[other] = {"middlewares": ["sha"]}
        route: dict[str, Tree] = {"name": f"r{number}", "middlewares": draw(st.sampled_from(WARDS))}
        if draw(st.booleans()):
            route["hosts"] = [*draw(st.lists(st.sampled_from(HOSTS), min_size=1, max_size=2, unique=True))]
        if draw(st.booleans()):
            route["path"] = draw(st.sampled_from(PATHS))
        if not draw(st.integers(0, 3)):
            route["match"] = draw(st.sampled_from(CONDITIONS))
        if not draw(st.integers(0, 2)):
            route["priority"] = draw(st.sampled_from([1, 5, 9]))
        if draw(st.booleans()):
            route["canaries"] = [{"when": draw(st.sampled_from(CONDITIONS)), "to": other}]
        if draw(st.booleans()):
            routes.append({**route, "to": main})
            continue
        route["split"] = [{"to": main, "weight": 3}, {"to": other, "weight": 1}]
        routes.append({**route, "sticky": {"cookie": {"name": f"variant{number}"}}} if draw(st.booleans()) else route)
    return {**NOTHING, "routes": routes, "services": services, "middlewares": MIDDLEWARES}


SHOP: dict[str, Tree] = {
    **NOTHING,
    "routes": [
        {"name": "site", "hosts": ["a.test", "b.test"], "to": "site"},
        {"name": "pub", "hosts": ["a.test"], "path": {"prefix": "/pub"}, "to": "pub"},
        {
            "name": "admin",
            "hosts": ["a.test"],
            "path": {"prefix": "/admin"},
            "middlewares": ["sha"],
            "canaries": [
                {"when": {"cookie": {"name": "canary", "value": "v2"}}, "to": "admin-next"},
                {"when": {"header": {"name": "X-Canary", "value": "always"}}, "to": "admin-next"},
                {"when": {"query": {"name": "v", "value": "2"}}, "to": "admin-next"},
            ],
            "split": [{"to": "admin", "weight": 1}, {"to": "admin-next", "weight": 1}],
            "sticky": {"cookie": {"name": "variant"}},
        },
        {"name": "inside", "hosts": ["a.test"], "path": {"prefix": "/admin/in"}, "middlewares": ["apr1"], "to": "inside"},
        {"name": "chained", "hosts": ["b.test"], "path": {"prefix": "/admin"}, "middlewares": ["door"], "to": "chained"},
        {"name": "office", "hosts": ["*.a.test"], "middlewares": ["office"], "to": "office"},
        {"name": "forwarded", "hosts": ["b.test"], "path": {"prefix": "/office"}, "middlewares": ["behind"], "to": "forwarded"},
        {"name": "https", "hosts": ["b.test"], "path": {"exact": "/secure"}, "middlewares": ["https"], "to": "https"},
        {"name": "all", "hosts": ["b.test"], "path": {"prefix": "/all"}, "middlewares": ["doors"], "to": "all"},
        {"name": "asked", "hosts": ["b.test"], "path": {"prefix": "/asked"}, "middlewares": ["asked"], "to": "asked"},
        {"name": "guarded", "hosts": ["b.test"], "path": {"prefix": "/guarded"}, "to": "guarded"},
    ],
    "services": {
        **{
            name: {} for name in ("site", "pub", "admin", "admin-next", "inside", "chained", "office", "forwarded", "https", "all", "asked")
        },
        "guarded": {"middlewares": ["sha"]},
    },
    "middlewares": MIDDLEWARES,
}
"""Every kind of door, beside routes without one, on the same hosts."""


# Probes ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Probe:
    """A request as bytes."""

    host: str
    path: str
    method: str = "GET"
    version: str = "HTTP/1.1"
    target: str | None = None  # else the path
    host_lines: tuple[str, ...] | None = None  # else one, with the host
    fields: tuple[str, ...] = ()
    body: str = ""
    before: str = ""

    @property
    def raw(self) -> bytes:
        hosts = (f"Host: {self.host}",) if self.host_lines is None else self.host_lines
        target = self.path if self.target is None else self.target
        lines = (f"{self.method} {target} {self.version}", *hosts, *self.fields, "Connection: close")
        return (self.before + "\r\n".join(lines) + "\r\n\r\n" + self.body).encode("latin-1")


Trick = Callable[[Probe], Probe]


def basic(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def aimed(path: str) -> Trick:
    """Another spelling of the path: `{p}` is the path, `{q}` the same without its first slash, `{P}` in capitals."""

    def trick(probe: Probe) -> Probe:
        rest = probe.path.removeprefix("/")
        first = f"%{ord(rest[0]):02x}{rest[1:]}" if rest else ""
        twice = f"%25{ord(rest[0]):02x}{rest[1:]}" if rest else ""
        spelled = path.format(p=probe.path, q=rest, P=probe.path.upper(), first=first, twice=twice, slashes=rest.replace("/", "%2F"))
        return replace(probe, path=spelled)

    return trick


def _target(text: str) -> Trick:
    return lambda probe: replace(probe, target=text.format(h=probe.host, p=probe.path))


def _hosts(*lines: str) -> Trick:
    return lambda probe: replace(probe, host_lines=tuple(line.format(h=probe.host, H=probe.host.upper()) for line in lines))


def fields_of(*lines: str) -> Trick:
    def trick(probe: Probe) -> Probe:
        said = tuple(line.format(h=probe.host, p=probe.path) for line in lines)
        return replace(probe, fields=(*probe.fields, *said))

    return trick


def method_of(name: str, *lines: str) -> Trick:
    return lambda probe: replace(probe, method=name, fields=(*probe.fields, *lines))


def _inner(probe: Probe) -> str:
    return f"GET {probe.path} HTTP/1.1\r\nHost: {probe.host}\r\nConnection: close\r\n\r\n"


def _smuggled(*lines: str, chunked: bool) -> Trick:
    """The request hides in the body of a harmless one; `{n}` is the body's length."""

    def trick(probe: Probe) -> Probe:
        body = ("0\r\n\r\n" if chunked else "") + _inner(probe)
        fields = tuple(line.format(n=len(body)) for line in lines)
        return Probe(probe.host, "/pub", "POST", fields=fields, body=body)

    return trick


SPELLINGS = (
    *("/{p}", "//{p}", "/.{p}", "/./{q}", "{p}/", "{p}/.", "{p}//", "{p}/..", "{p}/../pub", "{p}/%2e%2e/pub", "/pub/..{p}", "/pub/../{p}"),
    *(
        "/pub/%2e%2e{p}",
        "/pub/%2E%2E{p}",
        "/pub/.%2e{p}",
        "/pub/..%2f{q}",
        "/pub%2f..{p}",
        "/pub%2f..%2f{q}",
        "/pub/..;{p}",
        "/pub;x/..{p}",
    ),
    *("/pub\\..{p}", "/pub/..\\{q}", "/pub/%5c..{p}", "/..{p}", "/../..{p}", "/%2e%2e{p}", "/%2e{p}", "/%2f{q}", "%2f{q}", "/{first}"),
    *(
        "/{twice}",
        "/pub/%252e%252e{p}",
        "/{slashes}",
        "{P}",
        "{p};x=y",
        "{p}%00",
        "{p}%20",
        "{p}%23",
        "{p}%3f",
        "{p}%2f",
        "{p}?",
        "{p}?v=2",
    ),
    *(
        "{p}?v=1&v=2",
        "{p}?x=;v=2",
        "{p}?/pub",
        "{p}.json",
        "{p}#/pub",
        "{p}%zz",
        "{p}%",
        "/pub/../pub/..{p}",
        "/pub/x/../..{p}",
        "{p}%c0%af",
    ),
    *("/pub/%c0%ae%c0%ae{p}", "{p}\xfc", "/\u200b{q}".encode().decode("latin-1"), "{p}\t", "{p}|", "{p}%0d%0ax"),
)
TARGETS = (
    *("http://{h}{p}", "HTTP://{h}{p}", "http://b.test{p}", "http://a.test{p}", "http://{h}:80{p}", "https://{h}{p}", "http://u@{h}{p}"),
    *("//{h}{p}", "///{h}{p}", "http:{p}", "http:///{p}", "{h}{p}", "*", "ftp://{h}{p}", "http://{h}.{p}", "http://{h}", "http://{h}?{p}"),
)
HOST_LINES: tuple[tuple[str, ...], ...] = (
    *(("Host: {H}",), ("Host: {h}.",), ("Host: {h}..",), ("Host: {h}:80",), ("Host: {h}:443",), ("Host: {h}:",), ("Host: {h}:99999",)),
    *(("Host: u@{h}",), ("Host: {h},b.test",), ("Host: {h} b.test",), ("Host:\t{h}\t",), ("HOST:{h}",), ("Host : {h}",), ("Host: ",), ()),
    *(("Host: {h}", "Host: {h}"), ("Host: {h}", "Host: b.test"), ("Host: b.test", "Host: {h}"), ("Host: {h}/",), ("Host: {h}\x00",)),
    *(
        ("Host: b.test", "X-Forwarded-Host: {h}"),
        ("Host: {h}", "X-Forwarded-Host: b.test"),
        ("Host: .{h}",),
        ("Host: {h}%2e",),
        ("Host: [::1]",),
    ),
    *(("Host: 127.0.0.1",), ("Host: localhost",), ("X: y\r\n Host: b.test", "Host: {h}"), ("Host: {h}\r\n b.test",), ("Host: a.test\xfc",)),
)
FIELDS: tuple[tuple[str, ...], ...] = (
    *(
        (f"Authorization: Basic {basic(text)}",)
        for text in ("", ":", "u", "u:", "v:", "u:Password", "u:password ", "v:password", "admin:admin")
    ),
    ("Authorization: Basic",),
    ("Authorization:",),
    ("Authorization: Bearer u:password",),
    ("Authorization: Basic u:password",),
    (f"Authorization: Basic {basic('u:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=')}",),
    ("Authorization: Basic ====", "Authorization: Basic " + basic("u:x")),
    (f"Proxy-Authorization: Basic {basic('u:password')}",),
    (f"X-Authorization: Basic {basic('u:password')}",),
    (f"X_Authorization: Basic {basic('u:password')}",),
    (f"Cookie: Authorization=Basic {basic('u:password')}",),
    ("X-Forwarded-User: u", "Remote-User: u", "X-Remote-User: u", "X-Auth-Request-User: u", "X-WebAuth-User: u"),
    ("Connection: Authorization",),
    ("Connection: close, Authorization, Cookie, Host, X-Canary, X-Forwarded-For", "X-Canary: always"),
    ("X-Forwarded-For: 10.0.0.1",),
    ("X-Forwarded-For: 10.0.0.1, 10.0.0.2", "X-Forwarded-For: 10.0.0.3"),
    ("X_Forwarded_For: 10.0.0.1", "X-Real-Ip: 10.0.0.1", "True-Client-IP: 10.0.0.1", "CF-Connecting-IP: 10.0.0.1"),
    ('Forwarded: for=10.0.0.1;proto=https;host="b.test"',),
    ("X-Forwarded-Proto: https",),
    ("X-Forwarded-Proto: https", "X-Forwarded-Port: 443", "X-Forwarded-Ssl: on", "Front-End-Https: on", "X-Url-Scheme: https"),
    ("X_Forwarded_Proto: https",),
    ("X-Original-Url: {p}", "X-Rewrite-Url: {p}", "X-Forwarded-Uri: {p}", "X-Replaced-Path: {p}", "X-Forwarded-Prefix: {p}"),
    ("X-Original-Url: /pub", "X-Rewrite-Url: /pub", "X-Forwarded-Uri: /pub", "X-Replaced-Path: /pub", "X-Forwarded-Prefix: /pub"),
    ("X-Http-Method-Override: POST", "X-Http-Method: POST", "X-Method-Override: POST"),
    ("Cookie: canary=v2",),
    ("Cookie: canary=v2", "Cookie: canary=v1"),
    ('Cookie: canary="v2"; canary=v2',),
    ("Cookie: notcanary=v22; x=canary=v2",),
    ("Cookie: " + "; ".join(f"c{number}={number}" for number in range(150)) + "; canary=v2",),
    ("Cookie: variant=0000000000000000; variant=admin-next",),
    ("X-Canary: always",),
    ("X-Canary: never", "X-Canary: always"),
    ("X_Canary: always",),
    ("x-canary:always",),
    ("X-Bot: yes",),
    ("X-Bot: yes", "Connection: X-Bot"),
    ("Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA", "Connection: Upgrade, HTTP2-Settings"),
    ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    ("Expect: 100-continue",),
    ("Range: bytes=0-0", "If-None-Match: *"),
    ("Origin: http://{h}", "Access-Control-Request-Method: GET"),
    ("Transfer-Encoding: identity",),
)
METHODS: tuple[tuple[str, ...], ...] = (
    *(
        ("HEAD",),
        ("POST", "Content-Length: 0"),
        ("PUT", "Content-Length: 0"),
        ("DELETE",),
        ("PATCH",),
        ("TRACE",),
        ("FOO",),
        ("get",),
        ("PRI",),
    ),
    *(("CONNECT",), ("PROPFIND",), ("OPTIONS",)),
    ("OPTIONS", "Origin: http://b.test", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: Authorization"),
    ("POST", "X-Http-Method-Override: GET", "Content-Length: 0"),
)
TRICKS: dict[str, Trick] = {
    "plain": lambda probe: probe,
    **{f"path {text!r}": aimed(text) for text in SPELLINGS},
    **{f"target {text!r}": _target(text) for text in TARGETS},
    **{f"host {lines!r}": _hosts(*lines) for lines in HOST_LINES},
    **{f"fields {lines!r}": fields_of(*lines) for lines in FIELDS},
    **{f"method {lines!r}": method_of(*lines) for lines in METHODS},
    "HTTP/1.0": lambda probe: replace(probe, version="HTTP/1.0"),
    "HTTP/1.0 without a host": lambda probe: replace(probe, version="HTTP/1.0", host_lines=()),
    "HTTP/0.9": lambda probe: replace(probe, version=""),
    "HTTP/2.0": lambda probe: replace(probe, version="HTTP/2.0"),
    "pipelined": lambda probe: replace(probe, before="GET /pub HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "pipelined after a password": lambda probe: replace(
        probe, before=f"GET {probe.path} HTTP/1.1\r\nHost: b.test\r\nAuthorization: Basic {basic('nobody:password')}\r\n\r\n"
    ),
    "an empty line first": lambda probe: replace(probe, before="\r\n\r\n"),
    "a length and chunks": _smuggled("Content-Length: {n}", "Transfer-Encoding: chunked", chunked=True),
    "chunks and a length": _smuggled("Transfer-Encoding: chunked", "Content-Length: {n}", chunked=True),
    "a length of 0": _smuggled("Content-Length: 0", chunked=False),
    "two lengths": _smuggled("Content-Length: {n}", "Content-Length: 0", chunked=False),
    "a length": _smuggled("Content-Length: {n}", chunked=False),
    "a length with a sign": _smuggled("Content-Length: +{n}", chunked=False),
    "chunks": _smuggled("Transfer-Encoding: chunked", chunked=True),
    "chunks twice": _smuggled("Transfer-Encoding: chunked", "Transfer-Encoding: identity", chunked=True),
    "chunks misspelt": _smuggled("Transfer-Encoding: xchunked", chunked=True),
    "chunks behind a space": _smuggled("Transfer-Encoding : chunked", "Content-Length: {n}", chunked=True),
    "chunks on a folded line": _smuggled("Transfer-Encoding:\r\n chunked", "Content-Length: {n}", chunked=True),
}


def probes() -> st.SearchStrategy[Probe]:
    """A host and a path of the documents, with the conditions met that some ask for, and up to three tricks."""
    return st.builds(
        lambda host, path, tricks: tricked(Probe(host, path), tricks),
        st.sampled_from(["a.test", "b.test", "x.a.test", "y.a.test", "c.test"]),
        st.sampled_from(["/", "/admin", "/admin/in/x", "/pub", "/pub/x", "/a%2Fb"]),
        st.lists(st.sampled_from(sorted(TRICKS)), max_size=3),
    )


def tricked(probe: Probe, names: Sequence[str]) -> Probe:
    for name in names:
        probe = TRICKS[name](probe)
    return probe
