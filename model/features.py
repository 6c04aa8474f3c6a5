"""Everything that a document can use, as one closed table: what it is called, where it stands, and how it is taken out.

A format says which of these it can say (`Support`); `project.py` takes out the rest, so that no format has an `if` about
losses and none can forget one.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from enum import Enum, auto
from functools import cache
from types import UnionType
from typing import Annotated, Literal, NamedTuple, Union, get_args, get_origin

from pinfeather.model import match as m
from pinfeather.model.canary import Canary, SplitEntry
from pinfeather.model.diagnostics import Path
from pinfeather.model.document import Document
from pinfeather.model.feature import NAMES, SERVERS, Feature
from pinfeather.model.metadata import Metadata
from pinfeather.model.middlewares import KINDS, Middleware
from pinfeather.model.noun import Noun, Template, external
from pinfeather.model.routes import Route, TcpRoute, Tls
from pinfeather.model.services import HealthCheck, LoadBalancer, Server, Split, TcpLoadBalancer, TcpServer, TcpSplit
from pinfeather.model.sticky import Cookie, refused_by_browsers
from pinfeather.model.support import FULL, NONE, Becomes, Derived, Full, Near, Nothing, Support, When

__all__ = (
    "ALL_ROWS", "FULL", "NAMES", "NONE", "ROWS", "SERVERS", "Becomes", "Derived", "Feature", "Full", "Near", "Nothing", "Place", "Row",
    "Support", "Take", "When", "places", "refused_cookies", "walk",
)  # fmt: skip


class Take(Enum):
    """How a feature is taken out. What narrows or protects is never taken out alone: its route goes."""

    FIELD = auto()  # back to its default
    CONDITION = auto()  # the canary around it, else the route
    DEMAND = auto()  # a demand (TLS, entry points): its route
    SERVICE = auto()  # the service, and all that leads there
    MIDDLEWARE = auto()  # the middleware, and every route through it
    REFERENCE = auto()  # the route, service or middleware that names it


class Row(NamedTuple):
    """One place kind of a feature: a noun, the field (None: the noun itself), and whether it is in use there."""

    feature: Feature
    noun: type[Noun]
    field: str | None
    take: Take
    instead: str = ""
    used: Callable[[Noun, Document], bool] | None = None
    carried: bool = False


class Place(NamedTuple):
    """A feature in use."""

    row: Row
    path: Path
    noun: Noun


def _leaf(name: str, part: str) -> Callable[[Noun, Document], bool]:
    def used(found: Noun, _document: Document) -> bool:
        return getattr(getattr(found, name), part) is not None

    return used


def _hosts(wildcard: bool) -> Callable[[Noun, Document], bool]:
    def used(route: Noun, _document: Document) -> bool:
        assert isinstance(route, Route)
        return any(host.startswith("*") is wildcard for host in route.hosts)

    return used


def _host(wildcard: bool) -> Callable[[Noun, Document], bool]:
    return lambda leaf, _document: isinstance(leaf, m.Host) and leaf.host.startswith("*") is wildcard


def _sticky(cookie: bool) -> Callable[[Noun, Document], bool]:
    def used(service: Noun, _document: Document) -> bool:
        sticky = service.sticky if isinstance(service, LoadBalancer | TcpLoadBalancer) else None
        return sticky is not None and (sticky.cookie is not None) is cookie

    return used


def _nested(entry: Noun, document: Document) -> bool:
    return isinstance(entry, SplitEntry) and isinstance(document.services.get(entry.to), Split)


def _kind(kind: str) -> Callable[[Noun, Document], bool]:
    return lambda middleware, _document: isinstance(middleware, Middleware) and middleware.kind == kind


_D = "the route is left out"
_FIELDS: tuple[tuple[Feature, type[Noun], str, Take, str], ...] = (
    (Feature.PRIORITY, Route, "priority", Take.FIELD, "the target's own order decides"),
    (Feature.PRIORITY, TcpRoute, "priority", Take.FIELD, "the target's own order decides"),
    (Feature.CANARY_PRIORITY, Canary, "priority", Take.FIELD, "the canary stands directly before its route"),
    (Feature.CANARY_BINDS, Canary, "binds", Take.FIELD, "the canary does not set the variant cookie"),
    (Feature.SPLIT, Route, "split", Take.CONDITION, _D),
    (Feature.TCP_SPLIT, TcpRoute, "split", Take.CONDITION, _D),
    (Feature.STICKY_VARIANT, Route, "sticky", Take.FIELD, "clients are drawn anew at each request"),
    (Feature.STICKY_VARIANT, Split, "sticky", Take.FIELD, "clients are drawn anew at each request"),
    (Feature.COOKIE_MAX_AGE, Cookie, "max_age", Take.FIELD, "the cookie ends with the browser's session"),
    (Feature.COOKIE_SECURE, Cookie, "secure", Take.FIELD, "the target's default holds"),
    (Feature.COOKIE_HTTP_ONLY, Cookie, "http_only", Take.FIELD, "the target's default holds"),
    (Feature.COOKIE_SAME_SITE, Cookie, "same_site", Take.FIELD, "the attribute is not sent"),
    (Feature.COOKIE_PATH, Cookie, "path", Take.FIELD, "the cookie holds for `/`"),
    (Feature.COOKIE_DOMAIN, Cookie, "domain", Take.FIELD, "the cookie is host-only"),
    (Feature.SERVER_URL, Server, "url", Take.SERVICE, ""),
    (Feature.SERVER_KUBERNETES, Server, "kubernetes", Take.SERVICE, ""),
    (Feature.SERVER_CONTAINER, Server, "container", Take.SERVICE, ""),
    (Feature.SERVER_KUBERNETES, TcpServer, "kubernetes", Take.SERVICE, ""),
    (Feature.SERVER_CONTAINER, TcpServer, "container", Take.SERVICE, ""),
    (Feature.SERVER_WEIGHT, Server, "weight", Take.FIELD, "every server gets the same share"),
    (Feature.PRESERVE_PATH, Server, "preserve_path", Take.FIELD, "the target's default holds"),
    (Feature.HEALTH_CHECK, LoadBalancer, "health_check", Take.FIELD, "a dead server keeps its clients"),
    *(
        (Feature.HEALTH_CHECK_DETAIL, HealthCheck, name, Take.FIELD, "the target's default holds")
        for name in ("unhealthy_interval", "method", "status", "port", "scheme", "hostname", "mode", "follow_redirects", "headers")
    ),
    (Feature.PASSIVE_HEALTH_CHECK, LoadBalancer, "passive_health_check", Take.FIELD, "failing servers stay in"),
    (Feature.STRATEGY, LoadBalancer, "strategy", Take.FIELD, "servers are drawn by weight"),
    (Feature.PASS_HOST, LoadBalancer, "pass_host_header", Take.FIELD, "the target's default holds"),
    (Feature.FLUSH_INTERVAL, LoadBalancer, "flush_interval", Take.FIELD, "the target's default holds"),
    (Feature.SERVERS_TRANSPORT, LoadBalancer, "servers_transport", Take.SERVICE, ""),
    (Feature.SERVICE_MIDDLEWARES, LoadBalancer, "middlewares", Take.SERVICE, ""),
    (Feature.SERVICE_MIDDLEWARES, Split, "middlewares", Take.SERVICE, ""),
    (Feature.ENTRY_POINTS, Route, "entry_points", Take.DEMAND, _D),
    (Feature.ENTRY_POINTS, TcpRoute, "entry_points", Take.DEMAND, _D),
    (Feature.TLS_OPTIONS, Tls, "options", Take.DEMAND, _D),
    (Feature.TLS_OPTIONS_DEFINITION, Document, "tls_options", Take.FIELD, "the target's own way of speaking TLS holds"),
    (Feature.TLS_RESOLVER, Tls, "resolver", Take.FIELD, "no certificate is asked for"),
    (Feature.TLS_DOMAINS, Tls, "domains", Take.FIELD, "certificates are asked for by host"),
    (Feature.TLS_SECRET, Tls, "secret", Take.FIELD, "the proxy shows the certificate that it has"),
    (Feature.TLS_ISSUER, Tls, "issuer", Take.FIELD, "nobody renews the certificate"),
    (Feature.DNS_RECORDS, Metadata, "dns", Take.FIELD, "external-dns makes no records"),
    (Feature.TCP_PASSTHROUGH, Tls, "passthrough", Take.DEMAND, _D),
    (Feature.TCP_SNI, TcpRoute, "sni", Take.CONDITION, _D),
    (Feature.TCP_SERVER_TLS, TcpServer, "tls", Take.SERVICE, ""),
    (Feature.TCP_PROXY_PROTOCOL, TcpLoadBalancer, "proxy_protocol", Take.SERVICE, ""),
    (Feature.TCP_MIDDLEWARES, TcpRoute, "middlewares", Take.DEMAND, _D),
    (Feature.SERVERS_TRANSPORT, TcpLoadBalancer, "servers_transport", Take.SERVICE, ""),
)
_CARRIED: tuple[tuple[Feature, type[Noun], str, str], ...] = (
    (Feature.PORTS, Document, "entry_points", "the proxy's own configuration says where it listens"),
    (Feature.TRANSPORT_DEFINITION, Document, "servers_transports", "they are not written"),
    (Feature.OBSERVABILITY, Route, "observability", "the target's default holds"),
    (Feature.COOKIE_HASH, Cookie, "hash", "clients are drawn anew once"),
    (Feature.NAMESPACE, Metadata, "namespace", "it is not written"),
    (Feature.OBJECT_NAME, Metadata, "object", "it is not written"),
    (Feature.LABELS, Metadata, "labels", "they are not written"),
    (Feature.ANNOTATIONS, Metadata, "annotations", "they are not written"),
)
_LEAVES: tuple[tuple[Feature, type[Noun], Callable[[Noun, Document], bool] | None], ...] = (
    (Feature.HOST, m.Host, _host(False)),
    (Feature.HOST_WILDCARD, m.Host, _host(True)),
    (Feature.HOST_REGEX, m.HostRegex, None),
    (Feature.METHOD, m.Method, None),
    (Feature.HEADER, m.Header, _leaf("header", "value")),
    (Feature.HEADER_REGEX, m.Header, _leaf("header", "regex")),
    (Feature.COOKIE, m.Cookie, _leaf("cookie", "value")),
    (Feature.COOKIE_REGEX, m.Cookie, _leaf("cookie", "regex")),
    (Feature.QUERY, m.Query, _leaf("query", "value")),
    (Feature.QUERY_REGEX, m.Query, _leaf("query", "regex")),
    (Feature.CLIENT_IP, m.ClientIP, None),
    (Feature.ANY, m.AnyOf, None),
    (Feature.NOT, m.Not, None),
    (Feature.TCP_SNI, m.ServerNameIs, None),
    (Feature.TCP_SNI_REGEX, m.ServerNameRegex, None),
    (Feature.TCP_ALPN, m.Alpn, None),
)
ROWS: tuple[Row, ...] = (
    *(Row(feature, noun, name, take, instead) for feature, noun, name, take, instead in _FIELDS),
    *(Row(feature, noun, name, Take.FIELD, instead, carried=True) for feature, noun, name, instead in _CARRIED),
    *(Row(feature, noun, None, Take.CONDITION, used=used) for feature, noun, used in _LEAVES),
    *(
        Row(feature, m.PathMatch, name, Take.CONDITION)
        for feature, name in ((Feature.PATH_EXACT, "exact"), (Feature.PATH_PREFIX, "prefix"), (Feature.PATH_REGEX, "regex"))
    ),
    *(Row(Feature(f"middleware.{kind.replace('_', '-')}"), Middleware, None, Take.MIDDLEWARE, used=_kind(kind)) for kind in KINDS),
    Row(Feature.HOST, Route, "hosts", Take.CONDITION, used=_hosts(False)),
    Row(Feature.HOST_WILDCARD, Route, "hosts", Take.CONDITION, used=_hosts(True)),
    Row(Feature.CANARY, Canary, None, Take.CONDITION),
    Row(Feature.SPLIT_SERVICE, Split, None, Take.SERVICE),
    Row(Feature.SPLIT_NESTED, SplitEntry, None, Take.CONDITION, used=_nested),
    Row(Feature.SPLIT_UNBOUND, SplitEntry, "binds", Take.FIELD, "it sets the variant cookie too", lambda n, _: not n.binds),  # type: ignore[attr-defined]
    Row(Feature.BINDING_FIRST, Route, "order", Take.FIELD, "the canaries are asked before the variant cookie"),
    *(
        Row(Feature.WEIGHT_ZERO_KEEP, noun, "weight_zero", Take.FIELD, "a variant of weight 0 loses its clients at once")
        for noun in (Route, Split)
    ),
    *(Row(Feature.WHEN_DOWN_REDRAW, noun, "when_down", Take.FIELD, "its clients meet 503") for noun in (Route, Split)),
    Row(Feature.STICKY_SERVER, LoadBalancer, "sticky", Take.FIELD, "each request is drawn anew", _sticky(True)),
    Row(Feature.STICKY_SOURCE, LoadBalancer, "sticky", Take.FIELD, "each request is drawn anew", _sticky(False)),
    Row(Feature.STICKY_SOURCE, TcpLoadBalancer, "sticky", Take.FIELD, "each connection is drawn anew"),
    Row(Feature.SERVERS_NONE, LoadBalancer, "servers", Take.SERVICE, used=lambda n, _: not n.servers),  # type: ignore[attr-defined]
    Row(Feature.TLS, Tls, None, Take.DEMAND, _D, lambda n, _: n.terminate or bool(n.passthrough)),  # type: ignore[attr-defined]
    Row(Feature.TLS_OFF, Tls, None, Take.DEMAND, _D, lambda n, _: not n.terminate and not n.passthrough),  # type: ignore[attr-defined]
    Row(Feature.TCP, TcpRoute, None, Take.CONDITION),
    *(Row(Feature.TCP, noun, None, Take.SERVICE) for noun in (TcpLoadBalancer, TcpSplit)),
    Row(Feature.TCP_SPLIT, TcpSplit, None, Take.SERVICE),
)
_BY_NOUN: dict[type[Noun], tuple[Row, ...]] = {}
for _row in ROWS:
    _BY_NOUN[_row.noun] = (*_BY_NOUN.get(_row.noun, ()), _row)
_EXTERNAL = Row(Feature.EXTERNAL, Noun, None, Take.REFERENCE, "what names it is left out")
_ALONE = Row(Feature.SERVICE_ALONE, Noun, None, Take.SERVICE, "it is not written", carried=True)
_TEMPLATE = Row(Feature.TEMPLATE, Noun, None, Take.REFERENCE, "write the value in its place")
ALL_ROWS = (*ROWS, _EXTERNAL, _TEMPLATE, _ALONE)
_REFERENCES = frozenset({"to", "middlewares", "options", "servers_transport"})


def refused_cookies(document: Document) -> Iterator[tuple[Path, Feature, str]]:
    """Cookies that a loss has made one that no browser keeps: the path of their `sticky`, its feature, and why."""
    for path, noun in walk(document):
        if isinstance(noun, Cookie) and (why := refused_by_browsers(noun)) is not None:
            balancer = path[0] == "services" and isinstance(document.services[str(path[1])], LoadBalancer)
            yield path[:-1], Feature.STICKY_SERVER if balancer else Feature.STICKY_VARIANT, why


def walk(document: Document) -> Iterator[tuple[Path, Noun]]:
    """Every noun of a document with its path, from the root, in the order of the fields."""
    yield (), document
    for section, value in document.__dict__.items():
        held = enumerate(value) if isinstance(value, tuple) else value.items() if isinstance(value, dict) else ()
        for key, item in held:
            found: list[tuple[Path, Noun]] = []  # of one route or service at a time
            _collect((section, key), item, found)
            yield from found


@cache
def _holders(noun: type[Noun]) -> tuple[tuple[str, str], ...]:
    """The fields that may hold a noun, each with its key in a text."""
    return tuple((name, info.alias or name) for name, info in noun.model_fields.items() if not _is_plain(info.annotation))


def _is_plain(annotation: object) -> bool:
    """Whether a type surely holds no noun: texts, numbers, literals, and lists and mappings of them."""
    if get_origin(annotation) is Literal:
        return True
    if get_origin(annotation) in (Annotated, Union, UnionType, tuple, dict):
        return all(map(_is_plain, get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)))
    return annotation in (str, int, bool, None, type(None), ...)


def _collect(path: Path, value: object, found: list[tuple[Path, Noun]]) -> None:
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            _collect((*path, index), item, found)
    elif isinstance(value, dict):
        for key, item in value.items():
            _collect((*path, key), item, found)
    elif isinstance(value, Noun):
        found.append((path, value))
        held = value.__dict__
        for name, key in _holders(type(value)):
            if inner := held[name]:
                _collect((*path, key), inner, found)


class _Table(NamedTuple):
    """What is asked of every noun of a kind."""

    rows: tuple[tuple[Row, str | None, object], ...]
    """With the field and its default, where the field is in use as soon as it holds something else."""
    refers: bool
    """Whether one of its fields is a reference."""


@cache
def _table(noun: type[Noun]) -> _Table:
    rows = tuple(
        (row, None, None)
        if row.field is None or row.used is not None
        else (row, row.field, noun.model_fields[row.field].get_default(call_default_factory=True))
        for row in _BY_NOUN.get(noun, ())
    )
    return _Table(rows, not _REFERENCES.isdisjoint(noun.model_fields))


def places(document: Document, without: Container[Feature] = ()) -> Iterator[Place]:
    """Every feature that a document uses, and where. Those in `without` are not looked for."""
    named = {target for route in document.routes for target in route.targets}
    named |= {entry.to for service in document.services.values() if isinstance(service, Split) for entry in service.split}
    tables: dict[type[Noun], _Table] = {}
    for path, noun in walk(document):
        kind = type(noun)
        held = noun.__dict__
        if len(path) == 2 and path[0] == "services" and path[1] not in named and Feature.SERVICE_ALONE not in without:
            yield Place(_ALONE, path, noun)
        if (table := tables.get(kind)) is None:
            rows, refers = _table(kind)
            table = tables[kind] = _Table(tuple(each for each in rows if each[0].feature not in without), refers)
        for row, field, default in table.rows:
            if field is not None:
                value = held[field]
                if value is not default and value != default:
                    yield Place(row, (*path, field), noun)
            elif row.used is None or row.used(noun, document):
                yield Place(row, path if row.field is None else (*path, row.field), noun)
        if table.refers or not _TEXTS.isdisjoint(map(type, held.values())):
            yield from _texts(path, noun)


_TEXTS = frozenset({tuple, dict, Template})
"""Where there may be a reference, or a template, beside the fields that are references themselves."""


def _texts(path: Path, noun: Noun) -> Iterator[Place]:
    for name, value in noun.__dict__.items():
        kind = type(value)
        if kind is str:
            if "@" in value and name in _REFERENCES:
                yield Place(_EXTERNAL, (*path, name), noun)
        elif kind is Template:
            yield Place(_TEMPLATE, (*path, name), noun)
        elif value and kind in _TEXTS:
            for key, text in _items(value):
                if isinstance(text, Template):
                    yield Place(_TEMPLATE, (*path, name, key), noun)
                elif name in _REFERENCES and isinstance(text, str) and external(text):
                    yield Place(_EXTERNAL, (*path, name, key), noun)


def _items(value: tuple[object, ...] | dict[str, object]) -> Iterable[tuple[str | int, object]]:
    return value.items() if isinstance(value, dict) else enumerate(value)
