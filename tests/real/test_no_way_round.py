"""There is no way round a door: what stands behind a password, an address list or a redirect is not reached without it.

Each service of a document is a server of its own, so a server that is reached says which way the request went. Every
request is asked of a real Traefik, which reads the emitted file, and of the reference proxy, which reads the canonical
text. None of them has a right password, none comes from an address that is let in, and all are plain HTTP. A server may be
reached only if the decision core sends this very request there, through middlewares that let it pass.

What the decision core is asked is the request as it was sent; where our own reader refuses it (Traefik's is laxer), or
where a second request came out of it, it is the request as it reached the server.
"""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pinfeather._convert import write
from pinfeather.model.build import build
from pinfeather.model.codes import Code
from pinfeather.model.decide import Request, State, Table, normal_path, outcomes
from pinfeather.model.document import Document
from pinfeather.model.features import Feature, Nothing
from pinfeather.model.lint import lint
from pinfeather.model.noun import Tree
from pinfeather.model.project import project
from pinfeather.proxy.wire import HeadReader, Refused, parse_request
from pinfeather.testing.traefik import Traefik
from pinfeather.translators import builtin
from pinfeather.translators.contract import AnyTranslator

if TYPE_CHECKING:
    from conftest import Hit, Reference, Servers, StartReference, StartTraefik

PATIENCE = 3.0  # seconds for an answer and the end of its connection
FILE = "pinfeather.yml"
NOTHING: dict[str, Tree] = {"pinfeather": "v1"}

# Documents ---------------------------------------------------------------------------------------------------------------

MIDDLEWARES: dict[str, Tree] = {
    "sha": {"basic_auth": {"users": ["u:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="]}},  # password
    "apr1": {"basic_auth": {"users": ["v:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"], "remove_header": True}},  # secret
    "office": {"ip_allow_list": {"source_ranges": ["10.0.0.0/8"]}},
    "behind": {"ip_allow_list": {"source_ranges": ["10.0.0.0/8"], "depth": 1}},
    "https": {"redirect_scheme": {"scheme": "https"}},
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
        {"name": "guarded", "hosts": ["b.test"], "path": {"prefix": "/guarded"}, "to": "guarded"},
    ],
    "services": {
        **{name: {} for name in ("site", "pub", "admin", "admin-next", "inside", "chained", "office", "forwarded", "https", "all")},
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


def _basic(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _aimed(path: str) -> Trick:
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


def _fields(*lines: str) -> Trick:
    def trick(probe: Probe) -> Probe:
        said = tuple(line.format(h=probe.host, p=probe.path) for line in lines)
        return replace(probe, fields=(*probe.fields, *said))

    return trick


def _method(name: str, *lines: str) -> Trick:
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
        (f"Authorization: Basic {_basic(text)}",)
        for text in ("", ":", "u", "u:", "v:", "u:Password", "u:password ", "v:password", "admin:admin")
    ),
    ("Authorization: Basic",),
    ("Authorization:",),
    ("Authorization: Bearer u:password",),
    ("Authorization: Basic u:password",),
    (f"Authorization: Basic {_basic('u:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=')}",),
    ("Authorization: Basic ====", "Authorization: Basic " + _basic("u:x")),
    (f"Proxy-Authorization: Basic {_basic('u:password')}",),
    (f"X-Authorization: Basic {_basic('u:password')}",),
    (f"X_Authorization: Basic {_basic('u:password')}",),
    (f"Cookie: Authorization=Basic {_basic('u:password')}",),
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
    **{f"path {text!r}": _aimed(text) for text in SPELLINGS},
    **{f"target {text!r}": _target(text) for text in TARGETS},
    **{f"host {lines!r}": _hosts(*lines) for lines in HOST_LINES},
    **{f"fields {lines!r}": _fields(*lines) for lines in FIELDS},
    **{f"method {lines!r}": _method(*lines) for lines in METHODS},
    "HTTP/1.0": lambda probe: replace(probe, version="HTTP/1.0"),
    "HTTP/1.0 without a host": lambda probe: replace(probe, version="HTTP/1.0", host_lines=()),
    "HTTP/0.9": lambda probe: replace(probe, version=""),
    "HTTP/2.0": lambda probe: replace(probe, version="HTTP/2.0"),
    "pipelined": lambda probe: replace(probe, before="GET /pub HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    "pipelined after a password": lambda probe: replace(
        probe, before=f"GET {probe.path} HTTP/1.1\r\nHost: b.test\r\nAuthorization: Basic {_basic('nobody:password')}\r\n\r\n"
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
        lambda host, path, tricks: _tricked(Probe(host, path), tricks),
        st.sampled_from(["a.test", "b.test", "x.a.test", "y.a.test", "c.test"]),
        st.sampled_from(["/", "/admin", "/admin/in/x", "/pub", "/pub/x", "/a%2Fb"]),
        st.lists(st.sampled_from(sorted(TRICKS)), max_size=3),
    )


def _tricked(probe: Probe, names: Sequence[str]) -> Probe:
    for name in names:
        probe = TRICKS[name](probe)
    return probe


# What is allowed ---------------------------------------------------------------------------------------------------------


class Core(NamedTuple):
    """What the document says of a request, with the servers by the name of their service."""

    document: Document
    table: Table

    @classmethod
    def of(cls, document: Document) -> Core:
        return cls(document, Table.of(document))

    def reaches(self, request: Request) -> frozenset[str]:
        """The services that this request may reach without a password."""
        return frozenset(
            decision.service
            for _, _, decision in outcomes(self.table, request, State()).parts
            if decision.service is not None and decision.status == 200 and self._open(decision.middlewares)
        )

    def _open(self, names: Sequence[str]) -> bool:
        for name in names:
            middleware = self.document.middlewares[name]
            if middleware.chain is not None:
                if not self._open(middleware.chain.middlewares):
                    return False
            elif middleware.headers is None:
                return False  # a password, an address list or a redirect: it lets nobody pass here
        return True


def sent(probe: Probe) -> Request | None:
    """The request as our own reader has it; None where it refuses it, and where more than one request is sent."""
    if probe.before or probe.body:
        return None
    try:
        head = HeadReader(skips=True).take(bytearray(probe.raw))
        if head is None:
            return None
        read = parse_request(head)
    except Refused:
        return None
    fields = tuple((name, value) for name, value, _ in read.fields)
    return Request(read.host, normal_path(read.path), read.method, fields, read.query or "", "web")


def unlisted(request: Request) -> Request:
    """Without the fields that `Connection` lists: Traefik takes them away before it routes, the reference proxy after.

    Nothing is gained by it: who does not want a field to be seen need not send it.
    """
    listed = {option.strip().lower() for name, value in request.headers if name == "connection" for option in value.split(",")}
    return replace(request, headers=tuple(field for field in request.headers if field[0] not in listed))


def received(hit: Hit) -> Request:
    """The request as it reached a server."""
    method, target, _ = hit.line.split(" ", 2)
    path, _, query = target.partition("?")
    return Request(dict(hit.fields)["host"], normal_path(path), method, hit.fields, query, "web")


# The proxies -------------------------------------------------------------------------------------------------------------


def placed(servers: Servers, tree: Mapping[str, Tree]) -> Document:
    """The document with a server for each service."""
    services = tree.get("services", {})
    assert isinstance(services, dict)
    made: dict[str, Tree] = {}
    for name, service in services.items():
        assert isinstance(service, dict)
        made[name] = {"servers": [{"url": f"http://{servers.at(name)}"}], **service}
    document, findings = build({**tree, "services": made})
    assert document is not None, findings
    return document


def written(name: str, document: Document) -> str:
    translator: AnyTranslator = builtin.load(name)
    (file,) = translator.emit(document, translator.options()).files()
    return file.text


class Pair:
    """A real Traefik and the reference proxy, which serve the same document."""

    def __init__(self, servers: Servers, traefik: Traefik, reference: Reference) -> None:
        self.servers = servers
        self.traefik = traefik
        self._reference = reference

    def serve(self, document: Document) -> None:
        translator: AnyTranslator = builtin.load("traefik-file")
        projection = project(document, translator.supports(translator.options()))
        assert not [finding for finding in projection.diagnostics if finding.code.startswith("loss.")], projection.diagnostics
        self.traefik.write({FILE: written("traefik-file", projection.kept)})
        self._reference.write(written("pinfeather", document))

    @property
    def ports(self) -> dict[str, int]:
        return {"Traefik": self.traefik.port("web"), "the reference proxy": self._reference.port("web")}


@pytest.fixture(scope="module")
def pair(servers: Servers, start_traefik: StartTraefik, start_reference: StartReference) -> Pair:
    document = placed(servers, NOTHING)
    traefik = start_traefik({FILE: ""}, ("web",))
    return Pair(servers, traefik, start_reference(written("pinfeather", document), ("web",)))


def send(port: int, raw: bytes) -> bytes:
    """All that comes back until the connection ends, or nothing more comes."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        try:
            connection.sendall(raw)
            while data := connection.recv(1 << 16):
                answer += data
        except OSError:
            pass  # closed early, or silent: what reached a server is known there
    return answer


def ways_round(servers: Servers, port: int, probe: Probe, allowed: Callable[[Request], frozenset[str] | bool]) -> Iterator[str]:
    """The servers that a probe reached though they are not allowed to be. `allowed` may be of servers or of the request."""
    servers.hits.clear()
    answer = send(port, probe.raw)
    known = sent(probe)
    for number, hit in enumerate(tuple(servers.hits)):
        request = known if known is not None and number == 0 else received(hit)
        may = [allowed(request), allowed(unlisted(request))]
        if not any(each if isinstance(each, bool) else hit.server in each for each in may):
            yield f"{probe.raw!r} reaches {hit.server!r} as {hit.line!r} and is answered {answer[:60]!r}; allowed: {may}"


# Tests -------------------------------------------------------------------------------------------------------------------

BASES = (
    *(
        ("a.test", "/admin"),
        ("a.test", "/admin/in/x"),
        ("b.test", "/admin/x"),
        ("x.a.test", "/pub"),
        ("b.test", "/office"),
        ("b.test", "/secure"),
    ),
    *(("b.test", "/all"), ("b.test", "/guarded"), ("a.test", "/pub"), ("a.test", "/")),
)


def test_every_trick_on_every_door(pair: Pair) -> None:
    document = placed(pair.servers, SHOP)
    pair.serve(document)
    core = Core.of(document)
    found = []
    for name, port in pair.ports.items():
        for host, path in BASES:
            for trick in TRICKS:
                probe = _tricked(Probe(host, path), [trick])
                found += [f"{name}, {trick}: {wrong}" for wrong in ways_round(pair.servers, port, probe, core.reaches)]
                known = sent(probe)
                if known is not None and core.reaches(known) and not pair.servers.hits:
                    found.append(f"{name}, {trick}: {probe.raw!r} reaches nobody; allowed: {core.reaches(known)}")
    assert not found, "\n".join(found)


def with_password(probe: Probe, text: str) -> Probe:
    return replace(probe, fields=(*probe.fields, f"Authorization: Basic {_basic(text)}"))


PLAIN: tuple[tuple[str, str, int, str, int, str], ...] = (  # host, path, and what is met: without a password, with the right one
    ("a.test", "/", 200, "site", 200, "site"),
    ("b.test", "/x", 200, "site", 200, "site"),
    ("a.test", "/pub", 200, "pub", 200, "pub"),
    ("a.test", "/admin", 401, "", 200, "admin"),
    ("a.test", "/admin?v=2", 401, "", 200, "admin-next"),
    ("a.test", "/admin/in", 401, "", 200, "inside"),
    ("b.test", "/admin", 401, "", 200, "chained"),
    ("x.a.test", "/", 403, "", 403, ""),
    ("b.test", "/secure", 307, "", 307, ""),
    ("b.test", "/all", 403, "", 403, ""),
    ("b.test", "/guarded", 401, "", 200, "guarded"),
)


def test_the_doors_open_to_those_who_may_pass(pair: Pair) -> None:
    """Otherwise it would be no feat that nobody passes."""
    pair.serve(placed(pair.servers, SHOP))
    for name, port in pair.ports.items():
        for host, path, closed, stranger, opened, friend in PLAIN:
            probe = Probe(host, path, method="POST" if closed == 307 else "GET")
            for asked, status, server in ((probe, closed, stranger), (with_password(probe, password_of(path)), opened, friend)):
                pair.servers.hits.clear()
                answer = send(port, asked.raw)
                assert answer.startswith(b"HTTP/1.1 %d " % status), f"{name}: {asked.raw!r} is answered {answer!r}"
                reached = {hit.server for hit in pair.servers.hits}
                assert reached <= {server, "admin-next" if server == "admin" else server}, f"{name}: {asked.raw!r} reaches {reached}"
                assert bool(reached) == bool(server), f"{name}: {asked.raw!r} reaches {reached}"


def password_of(path: str) -> str:
    return "v:secret" if path.startswith("/admin/in") else "u:password"


def over_tls(port: int, probe: Probe) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
    with context.wrap_socket(connection, server_hostname=probe.host) as stream, stream.makefile("rb") as answer:
        stream.sendall(probe.raw)
        return answer.read()


@pytest.mark.parametrize(("tls", "status"), [(True, 401), (False, 200)], ids=["tls-on-both", "tls-on-one"])
def test_a_route_without_tls_is_no_door_to_those_who_speak_it(pair: Pair, tls: bool, status: int) -> None:
    """Traefik asks only routers with `tls` about a TLS request. What that lets past is a finding of `lint`."""
    admin: dict[str, Tree] = {"name": "admin", "path": {"prefix": "/admin"}, "middlewares": ["sha"], "to": "s"}
    routes: list[Tree] = [{**admin, "tls": {}} if tls else admin, {"name": "site", "tls": {}, "to": "s"}]
    document = placed(pair.servers, {**NOTHING, "routes": routes, "services": {"s": {}}, "middlewares": MIDDLEWARES})
    pair.traefik.write({FILE: written("traefik-file", document)})
    answer = over_tls(pair.traefik.port("web"), Probe("a.test", "/admin"))
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert [finding.path for finding in lint(document) if finding.code == Code.TLS_MIXED] == ([] if tls else [("routes", 0)])
    writer = builtin.load("traefik-file")
    said = [finding.path for finding in write(document, writer, writer.options()).report.diagnostics if finding.code == "near.tls"]
    assert said == ([] if tls else [("routes", 1, "tls")])


FOUND = settings(max_examples=40, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


@FOUND
@given(tree=documents(), asked=st.lists(probes(), min_size=30, max_size=40))
def test_no_probe_finds_a_way_round(pair: Pair, tree: dict[str, Tree], asked: list[Probe]) -> None:
    document = placed(pair.servers, tree)
    pair.serve(document)
    core = Core.of(document)
    plain = [Probe(host, path) for host in ("a.test", "b.test", "x.a.test") for path in ("/admin", "/pub")]
    found = [
        f"{name}: {wrong}"
        for name, port in pair.ports.items()
        for probe in (*plain, *asked)
        for wrong in ways_round(pair.servers, port, probe, core.reaches)
    ]
    assert not found, "\n".join(found)


LOST = (
    Feature.BASIC_AUTH,
    Feature.IP_ALLOW_LIST,
    Feature.REDIRECT_SCHEME,
    Feature.CHAIN,
    Feature.HEADERS,
    Feature.SERVICE_MIDDLEWARES,
    Feature.COOKIE,
    Feature.HEADER,
    Feature.QUERY,
    Feature.METHOD,
    Feature.NOT,
    Feature.HOST,
    Feature.HOST_WILDCARD,
    Feature.HOST_REGEX,
    Feature.PATH_PREFIX,
    Feature.PATH_EXACT,
    Feature.PATH_REGEX,
    Feature.CANARY,
    Feature.SPLIT,
    Feature.STICKY_VARIANT,
    Feature.PRIORITY,
)
"""What a target may not be able to say; first the doors themselves."""


def remainder(document: Document, lost: Sequence[Feature]) -> Document:
    """What is left for a Traefik that cannot say these, nothing being allowed to be lost."""
    translator: AnyTranslator = builtin.load("traefik-file")
    supports = {**translator.supports(translator.options()), **dict.fromkeys(lost, Nothing("not here"))}
    return project(document, supports).kept


@FOUND
@given(
    tree=documents(),
    lost=st.lists(st.sampled_from(LOST), min_size=1, max_size=3, unique=True),
    asked=st.lists(probes(), min_size=20, max_size=30),
)
@example(tree=SHOP, lost=[Feature.BASIC_AUTH], asked=[])
@example(tree=SHOP, lost=[Feature.CHAIN, Feature.IP_ALLOW_LIST], asked=[])
@example(tree=SHOP, lost=[Feature.PATH_PREFIX], asked=[])
def test_what_is_left_after_losses_admits_nobody_else(pair: Pair, tree: dict[str, Tree], lost: list[Feature], asked: list[Probe]) -> None:
    document = placed(pair.servers, tree)
    pair.traefik.write({FILE: written("traefik-file", remainder(document, lost))})
    core = Core.of(document)
    plain = [Probe(host, path) for host, path in BASES]
    conditions = [_fields("Cookie: canary=v2", "X-Canary: always"), _aimed("{p}?v=2"), _method("POST", "Content-Length: 0")]
    found = [
        wrong
        for probe in (*plain, *(trick(probe) for trick in conditions for probe in plain), *asked)
        for wrong in ways_round(pair.servers, pair.traefik.port("web"), probe, lambda request: bool(core.reaches(request)))
    ]
    assert not found, "\n".join(found)
