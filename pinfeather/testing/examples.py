"""One small document for each feature: what the support matrix of the docs is made of, by doing it.

Each is a change to a document with one route `r` to one service `s` with one server. Whose servers a format reaches is its
own affair: `documents(server)` makes all of them over a server of one kind.
"""

from __future__ import annotations

from collections.abc import Mapping

from pinfeather.model.build import build
from pinfeather.model.document import Document
from pinfeather.model.features import Feature
from pinfeather.model.noun import Tree

SERVERS: Mapping[str, Tree] = {
    "url": {"url": "http://10.0.0.1:80"},
    "kubernetes": {"kubernetes": {"namespace": "default", "service": "web", "port": 80}},
    "container": {"container": {"name": "web", "port": 80}},
}
_TCP_SERVERS: Mapping[str, Tree] = {**SERVERS, "url": {"address": "10.0.0.1:80"}}
Change = dict[str, Tree]

_COOKIE: Change = {"name": "pin", "secure": True}
_SPLIT: Tree = [{"to": "s", "weight": 90}, {"to": "t", "weight": 10}]
_VARIANT: Tree = {"cookie": {"name": "variant"}}
_HEALTH: Change = {"path": "/healthz"}


def _when(match: Tree) -> Change:
    return {"canaries": [{"when": match, "to": "t", "priority": 100}], "priority": 10}


def _match(match: Tree) -> Change:
    return {"route": {"match": match}}


def _cookie(**attributes: Tree) -> Change:
    return {"service": {"sticky": {"cookie": {**_COOKIE, **attributes}}}}


def _passed(kind: str, config: Tree) -> Change:
    return {"route": {"middlewares": ["m"]}, "document": {"middlewares": {"m": {kind: config}}}}


_ONE: dict[Feature, Change] = {
    Feature.HOST: {"route": {"hosts": ["a.example.com"]}},
    Feature.HOST_WILDCARD: {"route": {"hosts": ["*.example.com"]}},
    Feature.HOST_REGEX: _match({"host_regex": "^[a-z]+\\.example\\.com$"}),
    Feature.PATH_EXACT: {"route": {"path": {"exact": "/a"}}},
    Feature.PATH_PREFIX: {"route": {"path": {"prefix": "/a"}}},
    Feature.PATH_REGEX: {"route": {"path": {"regex": "^/[a-z]+$"}}},
    Feature.METHOD: _match({"method": "POST"}),
    Feature.HEADER: _match({"header": {"name": "X-Canary", "value": "always"}}),
    Feature.HEADER_REGEX: _match({"header": {"name": "X-Canary", "regex": "^a"}}),
    Feature.COOKIE: _match({"cookie": {"name": "canary", "value": "v2"}}),
    Feature.COOKIE_REGEX: _match({"cookie": {"name": "canary", "regex": "^v[0-9]$"}}),
    Feature.QUERY: _match({"query": {"name": "q", "value": "1"}}),
    Feature.QUERY_REGEX: _match({"query": {"name": "q", "regex": "^[0-9]$"}}),
    Feature.CLIENT_IP: _match({"client_ip": "10.0.0.0/8"}),
    Feature.ANY: _match({"any": [{"method": "POST"}, {"method": "PUT"}]}),
    Feature.NOT: _match({"not": {"method": "POST"}}),
    Feature.PRIORITY: {"route": {"priority": 7}},
    Feature.CANARY: {"route": _when({"header": {"name": "X-Canary", "value": "always"}})},
    Feature.CANARY_PRIORITY: {"route": _when({"cookie": {"name": "canary", "value": "v2"}})},
    Feature.CANARY_BINDS: {
        "route": {
            "canaries": [{"when": {"cookie": {"name": "canary", "value": "v2"}}, "to": "t", "binds": True}],
            "split": _SPLIT, "to": None, "sticky": _VARIANT,
        }
    },
    Feature.SPLIT: {"route": {"split": _SPLIT, "to": None}},
    Feature.SPLIT_NESTED: {
        "route": {"split": [{"to": "u", "weight": 1}, {"to": "t", "weight": 1}], "to": None},
        "services": {"u": {"split": [{"to": "s", "weight": 1}]}},
    },
    Feature.SPLIT_SERVICE: {"route": {"to": "u"}, "services": {"u": {"split": _SPLIT}}},
    Feature.SPLIT_UNBOUND: {"route": {"split": [{"to": "s"}, {"to": "t", "binds": False}], "to": None, "sticky": _VARIANT}},
    Feature.BINDING_FIRST: {
        "route": {
            "canaries": [{"when": {"cookie": {"name": "canary", "value": "v2"}}, "to": "t"}],
            "split": _SPLIT, "to": None, "sticky": _VARIANT, "order": "binding_first",
        }
    },
    Feature.WEIGHT_ZERO_KEEP: {
        "route": {"split": [{"to": "s"}, {"to": "t", "weight": 0}], "to": None, "sticky": _VARIANT, "weight_zero": "keep"}
    },
    Feature.WHEN_DOWN_REDRAW: {
        "route": {"split": _SPLIT, "to": None, "sticky": _VARIANT, "when_down": "redraw"},
        "service": {"health_check": _HEALTH},
        "other": {"health_check": _HEALTH},
    },
    Feature.STICKY_VARIANT: {"route": {"split": _SPLIT, "to": None, "sticky": _VARIANT}},
    Feature.STICKY_SERVER: {"service": {"sticky": {"cookie": {"name": "pin"}}}},
    Feature.STICKY_SOURCE: {
        "document": {
            "tcp_routes": [{"name": "p", "entry_points": ["db"], "to": "q"}],
            "tcp_services": {"q": {"sticky": {"source_address": {}}}},
        }
    },
    Feature.COOKIE_MAX_AGE: _cookie(max_age=3600),
    Feature.COOKIE_SECURE: _cookie(),
    Feature.COOKIE_HTTP_ONLY: _cookie(http_only=True),
    Feature.COOKIE_SAME_SITE: _cookie(same_site="lax"),
    Feature.COOKIE_PATH: _cookie(path="/a"),
    Feature.COOKIE_DOMAIN: _cookie(domain="example.com"),
    Feature.COOKIE_HASH: _cookie(hash="md5"),
    Feature.SERVICE_ALONE: {"services": {"alone": {"servers": ["?"]}}},
    Feature.SERVERS_NONE: {"service": {"servers": []}},
    Feature.SERVER_URL: {"service": {"servers": [SERVERS["url"]]}},
    Feature.SERVER_KUBERNETES: {"service": {"servers": [SERVERS["kubernetes"]]}},
    Feature.SERVER_CONTAINER: {"service": {"servers": [SERVERS["container"]]}},
    Feature.SERVER_WEIGHT: {"servers": {"weight": 3}},
    Feature.PRESERVE_PATH: {"servers": {"preserve_path": True}},
    Feature.HEALTH_CHECK: {"service": {"health_check": _HEALTH}},
    Feature.HEALTH_CHECK_DETAIL: {"service": {"health_check": {**_HEALTH, "method": "HEAD"}}},
    Feature.PASSIVE_HEALTH_CHECK: {"service": {"passive_health_check": {"max_failed_attempts": 3}}},
    Feature.STRATEGY: {"service": {"strategy": "leasttime"}},
    Feature.PASS_HOST: {"service": {"pass_host_header": False}},
    Feature.FLUSH_INTERVAL: {"service": {"flush_interval": "1s"}},
    Feature.SERVERS_TRANSPORT: {
        "service": {"servers_transport": "x"}, "document": {"servers_transports": {"x": {"serverName": "a.example.com"}}},
    },
    Feature.TRANSPORT_DEFINITION: {"document": {"servers_transports": {"x": {"serverName": "a.example.com"}}}},
    Feature.SERVICE_MIDDLEWARES: {
        "service": {"middlewares": ["m"]}, "document": {"middlewares": {"m": {"add_prefix": {"prefix": "/a"}}}},
    },
    Feature.REDIRECT_SCHEME: _passed("redirect_scheme", {"scheme": "https"}),
    Feature.REDIRECT_REGEX: _passed("redirect_regex", {"regex": "^(.*)$", "replacement": "/x$1"}),
    Feature.STRIP_PREFIX: _passed("strip_prefix", {"prefixes": ["/a"]}),
    Feature.ADD_PREFIX: _passed("add_prefix", {"prefix": "/a"}),
    Feature.REPLACE_PATH: _passed("replace_path", {"path": "/a"}),
    Feature.REPLACE_PATH_REGEX: _passed("replace_path_regex", {"regex": "^/a", "replacement": "/b"}),
    Feature.HEADERS: _passed("headers", {"request": {"X-A": "b"}}),
    Feature.BASIC_AUTH: _passed("basic_auth", {"users": ["a:$apr1$x$y"]}),
    Feature.FORWARD_AUTH: _passed("forward_auth", {"address": "http://auth.example.com"}),
    Feature.IP_ALLOW_LIST: _passed("ip_allow_list", {"source_ranges": ["10.0.0.0/8"]}),
    Feature.RATE_LIMIT: _passed("rate_limit", {"average": 10}),
    Feature.COMPRESS: _passed("compress", {}),
    Feature.RETRY: _passed("retry", {"attempts": 2}),
    Feature.CHAIN: {
        "route": {"middlewares": ["m"]},
        "document": {"middlewares": {"m": {"chain": {"middlewares": ["n"]}}, "n": {"add_prefix": {"prefix": "/a"}}}},
    },
    Feature.OTHER: _passed("other", {"kind": "buffering", "config": {"maxRequestBodyBytes": 1000}}),
    Feature.ENTRY_POINTS: {"route": {"entry_points": ["web"]}},
    Feature.PORTS: {"document": {"entry_points": {"web": 80}}},
    Feature.TLS: {"route": {"tls": {}}},
    Feature.TLS_OFF: {"route": {"tls": {"terminate": False}}},
    Feature.TLS_OPTIONS: {"route": {"tls": {"options": "o"}}, "document": {"tls_options": {"o": {"min_version": "VersionTLS12"}}}},
    Feature.TLS_OPTIONS_DEFINITION: {"document": {"tls_options": {"o": {"min_version": "VersionTLS12"}}}},
    Feature.TLS_RESOLVER: {"route": {"tls": {"resolver": "le"}}},
    Feature.TLS_DOMAINS: {"route": {"tls": {"domains": [{"main": "example.com", "sans": ["*.example.com"]}]}}},
    Feature.TLS_SECRET: {"route": {"tls": {"secret": "certificate"}}},
    Feature.TLS_ISSUER: {"route": {"tls": {"secret": "certificate", "issuer": {"name": "letsencrypt"}}}},
    Feature.OBSERVABILITY: {"route": {"observability": {"access_logs": False}}},
    Feature.NAMESPACE: {"route": {"metadata": {"namespace": "shop"}}},
    Feature.OBJECT_NAME: {"route": {"metadata": {"object": "shop"}}},
    Feature.LABELS: {"route": {"metadata": {"labels": {"team": "shop"}}}},
    Feature.ANNOTATIONS: {"route": {"metadata": {"annotations": {"note": "x"}}}},
    Feature.DNS_RECORDS: {"route": {"metadata": {"dns": {"target": "proxy.example.com"}}}},
    Feature.EXTERNAL: {"route": {"to": "elsewhere@file"}},
    Feature.TEMPLATE: {"route": {"hosts": [{"template": "{{ .Values.host }}"}]}},
    Feature.ROUTE_NAME: {"route": {"name": "Shop of A"}},
    Feature.SERVICE_NAME: {"route": {"to": "Shop of A"}, "services": {"Shop of A": {"servers": ["?"]}}},
    Feature.MIDDLEWARE_NAME: {
        "route": {"middlewares": ["Shop of A"]}, "document": {"middlewares": {"Shop of A": {"add_prefix": {"prefix": "/a"}}}},
    },
}  # fmt: skip


def _tcp(route: Change, service: Change | None = None, **document: Tree) -> Change:
    whole: Change = {
        "tcp_routes": [{"name": "p", "entry_points": ["db"], "to": "q", **route}],
        "tcp_services": {"q": service or {}},
        **document,
    }
    return {"document": whole}


_TCP: dict[Feature, Change] = {
    Feature.TCP: _tcp({}),
    Feature.TCP_SNI: _tcp({"sni": ["db.example.com"], "tls": {}}),
    Feature.TCP_SNI_REGEX: _tcp({"match": {"sni_regex": "^db"}, "tls": {}}),
    Feature.TCP_ALPN: _tcp({"match": {"alpn": "h2"}, "tls": {}}),
    Feature.TCP_SPLIT: _tcp({"to": None, "split": [{"to": "q", "weight": 1}]}),
    Feature.TCP_SERVER_TLS: {**_tcp({}), "tcp_servers": {"tls": True}},
    Feature.TCP_PROXY_PROTOCOL: _tcp({}, {"proxy_protocol": 2}),
    Feature.TCP_PASSTHROUGH: _tcp({"sni": ["db.example.com"], "tls": {"terminate": False, "passthrough": True}}),
    Feature.TCP_MIDDLEWARES: _tcp({"middlewares": ["m"]}, tcp_middlewares={"m": {"ip_allow_list": {"source_ranges": ["10.0.0.0/8"]}}}),
}
CHANGES: Mapping[Feature, Change] = {**_ONE, **_TCP}


def plain(server: str) -> Document:
    """The document that every example changes, over a server of one kind."""
    return _built({}, server)


def example(feature: Feature, server: str) -> Document:
    """A document that uses the feature, and as little else as may be."""
    return _built(CHANGES[feature], server)


def _mapping(change: Change, key: str) -> Change:
    found = change.get(key, {})
    assert isinstance(found, dict)
    return found


def _built(change: Change, server: str) -> Document:
    one = {**_as_mapping(SERVERS[server]), **_mapping(change, "servers")}
    service: Change = {"servers": [one], **_mapping(change, "service")}
    route: Change = {"name": "r", "hosts": ["shop.example.com"], "to": "s", **_mapping(change, "route")}
    further = {name: _with_server(tree, SERVERS[server]) for name, tree in _mapping(change, "services").items()}
    named = json_text(route) + json_text(further)
    services: Change = {"s": service, **further}
    if '"t"' in named:
        other = {**_as_mapping(SERVERS[server])}
        other |= {"url": "http://10.0.0.2:80"} if "url" in other else {server: {**_as_mapping(other[server]), **_OTHER[server]}}
        services["t"] = {"servers": [other], **_mapping(change, "other")}
    document = dict(_mapping(change, "document"))
    if "tcp_services" in document:
        tcp: Tree = [{**_as_mapping(_TCP_SERVERS[server]), **_mapping(change, "tcp_servers")}]
        document["tcp_services"] = {
            name: {"servers": tcp, **_as_mapping(tree)} for name, tree in _mapping(document, "tcp_services").items()
        }
    routes: Tree = [{key: value for key, value in route.items() if value is not None}]
    found, problems = build({"pinfeather": "v1", "routes": routes, "services": services, **_without_nothing(document)})
    assert found is not None, problems
    return found


_OTHER: Mapping[str, Change] = {"kubernetes": {"service": "web-2"}, "container": {"name": "web-2"}}


def _with_server(tree: Tree, server: Tree) -> Tree:
    found = _as_mapping(tree)
    servers: Tree = [server]
    return {**found, "servers": servers} if found.get("servers") == ["?"] else found


def _as_mapping(tree: Tree) -> Change:
    assert isinstance(tree, dict)
    return tree


def _without_nothing(document: Change) -> Change:
    routes = document.get("tcp_routes")
    if not isinstance(routes, list):
        return document
    return {**document, "tcp_routes": [{k: v for k, v in _as_mapping(route).items() if v is not None} for route in routes]}


def json_text(tree: Tree) -> str:
    """A tree as text, to look for a name in it."""
    import json

    return json.dumps(tree)
