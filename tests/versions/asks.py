"""What every version of Traefik is asked: small documents, each with one thing in it that a version may not know.

The example of each feature, and beside them what is finer than features: fields of cookies and health checks, kinds of
middlewares, strategies. Each under names, hosts and addresses of its own, so that one Traefik can hold all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pinfeather.model.build import build
from pinfeather.model.document import Document
from pinfeather.model.features import Feature
from pinfeather.model.noun import Tree
from pinfeather.model.rename import rename
from pinfeather.testing.examples import CHANGES, example

Change = Mapping[str, Tree]


class Call(NamedTuple):
    """A request, and whether a router is to take it. The host's `example.com` becomes the ask's own domain."""

    hit: bool
    target: str = "/"
    host: str = "shop.example.com"
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "GET"


class Ask(NamedTuple):
    feature: Feature
    document: Document
    calls: tuple[Call, ...] = (Call(True),)
    """What is sent, where the file is loaded; the cookies of answers are looked at too."""


_X = "X-Canary"
CALLS: Mapping[Feature, tuple[Call, ...]] = {
    Feature.HOST: (Call(True, host="a.example.com"), Call(False, host="b.example.com")),
    Feature.HOST_WILDCARD: (Call(True, host="b.example.com"), Call(False, host="c.b.example.com")),
    Feature.HOST_REGEX: (Call(True), Call(False, host="shop.nowhere.example.com")),
    Feature.PATH_EXACT: (Call(True, "/a"), Call(False, "/a/b")),
    Feature.PATH_PREFIX: (Call(True, "/ab"), Call(False, "/b")),
    Feature.PATH_REGEX: (Call(True, "/abc"), Call(False, "/a1")),
    Feature.METHOD: (Call(True, method="POST"), Call(False)),
    Feature.HEADER: (Call(True, headers=((_X, "always"),)), Call(False, headers=((_X, "Always"),))),
    Feature.HEADER_REGEX: (Call(True, headers=((_X, "ab"),)), Call(False, headers=((_X, "ba"),))),
    Feature.COOKIE: (Call(True, headers=(("Cookie", "a=b; canary=v2"),)), Call(False, headers=(("Cookie", "notcanary=v2"),))),
    Feature.COOKIE_REGEX: (Call(True, headers=(("Cookie", "canary=v3"),)), Call(False, headers=(("Cookie", "canary=v33"),))),
    Feature.QUERY: (Call(True, "/?q=1"), Call(False, "/?q=2")),
    Feature.QUERY_REGEX: (Call(True, "/?q=7"), Call(False, "/?q=77")),
    Feature.CLIENT_IP: (Call(True),),
    Feature.ANY: (Call(True, method="PUT"), Call(False)),
    Feature.NOT: (Call(True), Call(False, method="POST")),
    Feature.WHEN_DOWN_REDRAW: (),  # whether its servers have been asked already is a matter of time
    Feature.TLS: (),
    Feature.TLS_OPTIONS: (),
    Feature.TLS_RESOLVER: (),
    Feature.TLS_DOMAINS: (),
    Feature.REDIRECT_SCHEME: (),
    Feature.REDIRECT_REGEX: (),
    Feature.FORWARD_AUTH: (),
    Feature.BASIC_AUTH: (),
}
"""Requests for conditions. Where another feature is meant, one plain request comes to its server; to none, where it would not."""


def _document(route: Change | None = None, service: Change | None = None, server: Change | None = None, **further: Tree) -> Document:
    one: Tree = [{"url": "http://10.0.0.1:80", **(server or {})}]
    tree: dict[str, Tree] = {
        "pinfeather": "v1",
        "routes": [{"name": "r", "hosts": ["shop.example.com"], "to": "s", **(route or {})}],
        "services": {"s": {"servers": one, **(service or {})}, "t": {"servers": [{"url": "http://10.0.0.2:80"}]}},
        **further,
    }
    return _built(tree)


def _built(tree: Tree) -> Document:
    document, problems = build(tree)
    assert document is not None, problems
    return document


def _cookie(**attributes: Tree) -> Document:
    return _document(service={"sticky": {"cookie": {"name": "pin", "secure": True, **attributes}}})


_SPLIT: Tree = [{"to": "s"}, {"to": "t"}]


def _split(split: Change) -> Document:
    tree = _document().model_dump(mode="json", exclude_defaults=True)
    tree["services"]["u"] = dict(split)
    tree["routes"][0]["to"] = "u"
    return _built({"pinfeather": "v1", **tree})


def _passed(kind: str, config: Tree) -> Document:
    return _document({"middlewares": ["m"]}, middlewares={"m": {kind: config}})


def _tcp(kind: str, config: Tree) -> Document:
    route: Tree = [{"name": "p", "entry_points": ["db"], "to": "q", "sni": ["p.example.com"], "tls": {}, "middlewares": ["m"]}]
    services: Tree = {"q": {"servers": [{"address": "10.0.0.1:80"}]}}
    return _document(tcp_routes=route, tcp_services=services, tcp_middlewares={"m": {kind: config}})


def _transport(tcp: bool, config: Tree) -> Document:
    used: Tree = {"servers": [{"address": "10.0.0.1:80"}], "servers_transport": "x"}
    route: Tree = [{"name": "p", "entry_points": ["db"], "to": "q", "sni": ["p.example.com"], "tls": {}}]
    if tcp:
        return _document(tcp_routes=route, tcp_services={"q": used}, servers_transports={"x": config})
    return _document(service={"servers_transport": "x"}, servers_transports={"x": config})


F = Feature
OTHERS: Mapping[str, Tree] = {
    "buffering": {"maxRequestBodyBytes": 1000},
    "circuitBreaker": {"expression": "NetworkErrorRatio() > 0.5"},
    "contentType": {},
    "digestAuth": {"users": ["a:realm:x"]},
    "encodedCharacters": {"allowEncodedSlash": True},
    "errors": {"status": ["500"], "service": "s", "query": "/"},
    "grpcWeb": {"allowOrigins": ["*"]},
    "inFlightReq": {"amount": 10},
    "ipWhiteList": {"sourceRange": ["10.0.0.0/8"], "ipStrategy": {"excludedIPs": ["10.0.0.1"]}},
    "passTLSClientCert": {"pem": True},
    "stripPrefixRegex": {"regex": ["^/a"]},
}
"""Kinds of middlewares that the model carries to the letter."""


COOKIES: Mapping[str, tuple[Feature, Change]] = {
    "max_age -1": (F.COOKIE_MAX_AGE, {"max_age": -1}),
    "same_site none": (F.COOKIE_SAME_SITE, {"same_site": "none"}),
    "same_site strict": (F.COOKIE_SAME_SITE, {"same_site": "strict"}),
}
VARIANTS: Mapping[str, tuple[Feature, Tree]] = {
    "max_age": (F.COOKIE_MAX_AGE, 3600),
    "http_only": (F.COOKIE_HTTP_ONLY, True),
    "same_site": (F.COOKIE_SAME_SITE, "lax"),
    "path": (F.COOKIE_PATH, "/a"),
    "domain": (F.COOKIE_DOMAIN, "example.com"),
}
"""Of the cookie of a split."""
HEALTH: Change = {
    "interval": "5s", "unhealthy_interval": "5s", "timeout": "2s", "status": 204, "port": 8080, "scheme": "https",
    "hostname": "shop.example.com", "mode": "grpc", "follow_redirects": False, "headers": {"X-A": "b"},
}  # fmt: skip
OBSERVED: Change = {"metrics": False, "tracing": False, "trace_verbosity": "detailed"}
TRANSPORTS: Mapping[str, Change] = {
    "rootCAs": {"rootCAs": ["/nowhere.pem"]},
    "spiffe": {"spiffe": {"trustDomain": "spiffe://a"}},
    "disableHTTP2": {"disableHTTP2": True},
    "peerCertURI": {"peerCertURI": "spiffe://a/b"},
    "forwardingTimeouts": {"forwardingTimeouts": {"dialTimeout": "1s"}},
    "minVersion": {"minVersion": "VersionTLS12"},
    "maxVersion": {"maxVersion": "VersionTLS13"},
    "cipherSuites": {"cipherSuites": ["TLS_RSA_WITH_AES_128_GCM_SHA256"]},
    "maxIdleConnsPerHost": {"maxIdleConnsPerHost": 5},
}
TCP_TRANSPORTS: Mapping[str, Change] = {
    "dialTimeout": {"dialTimeout": "1s"},
    "tls": {"tls": {"serverName": "a.example.com"}},
    "proxyProtocol": {"proxyProtocol": {"version": 2}},
    "terminationDelay": {"terminationDelay": "1s"},
}
TLS_OPTIONS: Change = {
    "max_version": "VersionTLS13", "cipher_suites": ["TLS_RSA_WITH_AES_128_GCM_SHA256"], "curve_preferences": ["X25519"],
    "alpn_protocols": ["h2"], "sni_strict": True, "client_auth_type": "NoClientCert",
}  # fmt: skip


def _finer() -> Iterator[tuple[str, Ask]]:
    for name, (feature, fields) in COOKIES.items():
        yield f"cookie {name}", Ask(feature, _cookie(**fields))
    for name, (feature, value) in VARIANTS.items():
        yield f"cookie of a split {name}", Ask(feature, _split({"split": _SPLIT, "sticky": {"cookie": {"name": "variant", name: value}}}))
    for strategy in ("wrr", "p2c", "hrw"):
        yield f"strategy {strategy}", Ask(F.STRATEGY, _document(service={"strategy": strategy}))
    for name, value in HEALTH.items():
        yield f"health_check {name}", Ask(F.HEALTH_CHECK_DETAIL, _document(service={"health_check": {"path": "/healthz", name: value}}))
    yield "passive failure_window", Ask(F.PASSIVE_HEALTH_CHECK, _document(service={"passive_health_check": {"failure_window": "5s"}}))
    for name, value in OBSERVED.items():
        yield f"observability {name}", Ask(F.OBSERVABILITY, _document({"observability": {name: value}}))
    yield "priority below 0", Ask(F.PRIORITY, _document({"priority": -1}))
    servers: Tree = [{"url": "http://10.0.0.1:80", "weight": 1}, {"url": "http://10.0.0.2:80", "weight": 0}]
    yield "server weight 0", Ask(F.SERVER_WEIGHT, _document(service={"servers": servers}))
    yield from ((name, ask._replace(calls=())) for name, ask in _quiet())


def _quiet() -> Iterator[tuple[str, Ask]]:
    """Those that no request is needed for."""
    for kind, config in OTHERS.items():
        yield f"middleware {kind}", Ask(F.OTHER, _passed("other", {"kind": kind, "config": config}))
    ranges: Change = {"source_ranges": ["10.0.0.0/8"]}
    yield "ip_allow_list depth", Ask(F.IP_ALLOW_LIST, _passed("ip_allow_list", {**ranges, "depth": 1}))
    yield "ip_allow_list reject_status", Ask(F.IP_ALLOW_LIST, _passed("ip_allow_list", {**ranges, "reject_status": 404}))
    yield "tcp inFlightConn", Ask(F.TCP_MIDDLEWARES, _tcp("other", {"kind": "inFlightConn", "config": {"amount": 5}}))
    for name, transport in TRANSPORTS.items():
        yield f"servers_transport {name}", Ask(F.SERVERS_TRANSPORT, _transport(False, dict(transport)))
    for name, transport in TCP_TRANSPORTS.items():
        yield f"tcp servers_transport {name}", Ask(F.SERVERS_TRANSPORT, _transport(True, dict(transport)))
    for name, value in TLS_OPTIONS.items():
        yield f"tls_options {name}", Ask(F.TLS_OPTIONS_DEFINITION, _document({"tls": {"options": "o"}}, tls_options={"o": {name: value}}))


def _all() -> Iterator[tuple[str, Ask]]:
    for feature in CHANGES:
        usual = () if feature.startswith(("tcp", "middleware.")) else (Call(True),)
        yield str(feature), Ask(feature, example(feature, "url"), CALLS.get(feature, usual))
    yield from _finer()


def _apart(ask: Ask, word: str) -> Ask:
    """The same under names, hosts and ports of its own; servers are where nobody listens."""
    text = json.dumps({"pinfeather": "v1", **ask.document.model_dump(mode="json", exclude_defaults=True)})
    for old, new in (
        ("example.com", f"{word}.test"), ("example\\\\.com", f"{word}\\\\.test"), ("10.0.0.", "127.0.0."), (":80\"", ":9\""),
        ("\"options\": \"o\"", f"\"options\": \"{word}\""), ("\"o\": {", f"\"{word}\": {{"), ("\"x\": {", f"\"{word}\": {{"),
        ("\"servers_transport\": \"x\"", f"\"servers_transport\": \"{word}\""), ("\"service\": \"s\"", f"\"service\": \"{word}-s\""),
    ):  # fmt: skip
        text = text.replace(old, new)
    document = _built(json.loads(text))
    sections: dict[str, Mapping[str, str]] = {}
    for section in ("services", "middlewares", "tcp_services", "tcp_middlewares"):
        sections[section] = {name: f"{word} {name}" if " " in name else f"{word}-{name}" for name in getattr(document, section)}
    for section in ("routes", "tcp_routes"):
        names = [route.name for route in getattr(document, section)]
        sections[section] = {name: f"{word} {name}" if " " in name else f"{word}-{name}" for name in names}
    calls = tuple(call._replace(host=call.host.replace("example.com", f"{word}.test")) for call in ask.calls)
    return ask._replace(document=rename(document, sections), calls=calls)


def _word(number: int) -> str:
    return f"q{chr(97 + number // 26)}{chr(97 + number % 26)}"


ASKS: Mapping[str, Ask] = {name: _apart(ask, _word(number)) for number, (name, ask) in enumerate(_all())}
"""By a name for people."""
WORDS: Mapping[str, str] = {name: _word(number) for number, name in enumerate(ASKS)}
"""What the names and hosts of each begin with."""
