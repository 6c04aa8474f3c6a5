"""What Traefik can say of a document: the checks that ask a place.

The surfaces of Traefik (file, labels, CRDs) share these and add their own; what older versions lack is in
`_traefik/versions.py`. Behaviour after Traefik 3.7.15, as observed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from itertools import chain

from pinfeather.model.diagnostics import Path
from pinfeather.model.document import Document
from pinfeather.model.features import FULL, Full, Near, Nothing
from pinfeather.model.match import Match, PathIs, PathMatch, ServerNameIs
from pinfeather.model.middlewares import Headers, IPAllowList, Middleware, Other
from pinfeather.model.normal import Rung
from pinfeather.model.noun import Noun, Template
from pinfeather.model.overlap import TlsGap, tls_gaps
from pinfeather.model.routes import Route, TcpRoute, Tls
from pinfeather.model.services import PassiveHealthCheck, Split
from pinfeather.model.sticky import Cookie
from pinfeather.translators._syntax.rule import Unsayable, flat
from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators._traefik.middlewares import (
    MAY_BE_EMPTY,
    TCP_SPELLINGS,
    known_kinds,
    names_objects,
    spelling_of,
)
from pinfeather.translators._traefik.numbers import numbers, tcp_numbers
from pinfeather.translators._traefik.routing import V3, Rules

Version = tuple[int, int]
Answer = Full | Near | Nothing
Check = Callable[[Document, Path], Answer]

_DEEP = 90  # steps of a path; a rule may be nested 100 deep
_LONG = 60_000  # characters of a rule's hosts


_DNS = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9._-]*[a-zA-Z0-9])?")


def is_dns(name: str) -> bool:
    """Whether a text can be the host of a URL, as names of containers and Services are."""
    return not isinstance(name, Template) and len(name) <= 253 and _DNS.fullmatch(name) is not None


@cache
def _fields(kind: type[Noun]) -> Mapping[str | int, str]:
    """The field behind each step into a noun: its name or its alias."""
    return {step: name for name, info in reversed(kind.model_fields.items()) for step in (info.alias, name) if step is not None}


def found(document: Document, path: Path) -> object:
    """What stands at a path of a document."""
    value: object = document
    for step in path:
        if isinstance(value, Noun):
            value = getattr(value, _fields(type(value))[step])
        elif isinstance(value, dict):
            value = value[step]
        else:
            assert isinstance(value, tuple)
            assert isinstance(step, int)
            value = value[step]
    return value


# Conditions ------------------------------------------------------------------------------------------------------------


def rule_says(document: Document, path: Path) -> Answer:
    """Whether a rule of v3 can hold the condition at a path, and read back as the same."""
    return _rule_says(V3, document, path)


def says_by(rules: Rules) -> Check:
    """The same for rules that are written in another way."""
    return partial(_rule_says, rules)


def _rule_says(rules: Rules, document: Document, path: Path) -> Answer:
    leaf = found(document, path[:-1] if path[-1] in ("exact", "prefix", "regex") else path)
    if isinstance(leaf, tuple):  # the hosts of a route
        if rules.version < (3, 0) and any(host.startswith("*") for host in leaf):
            return Nothing("Traefik 2 has no wildcard: the route is left out")
        return FULL if sum(map(len, leaf)) + 8 * len(leaf) < _LONG else Nothing("a rule this long is not written: the route is left out")
    match: Match = PathIs(path=leaf) if isinstance(leaf, PathMatch) else leaf  # type: ignore[assignment]
    try:
        (rules.tcp if path[0] == "tcp_routes" else rules.http)(match)
    except Unsayable as refusal:
        return Nothing(f"{refusal.message}: what asks for it is left out")
    if (same := flat(match)) != match:
        return Nothing(f"say {same.model_dump(mode='json', exclude_none=True)} instead, which means the same")
    return FULL


def server_name(document: Document, path: Path) -> Answer:
    """Traefik disables a TCP router that asks for a server name and has no TLS."""
    asked = found(document, path)
    names = (asked.sni,) if isinstance(asked, ServerNameIs) else asked if isinstance(asked, tuple) else ()
    route = found(document, path[:2])
    if isinstance(route, TcpRoute) and route.tls is None and any(name != "*" for name in names):
        return Nothing("Traefik wants `tls` on a TCP router that asks for a server name: the route is left out")
    return FULL


def not_too_deep(_document: Document, path: Path) -> Answer:
    return FULL if len(path) < _DEEP else Nothing("it is nested too deeply for a rule: what asks for it is left out")


# Priorities ------------------------------------------------------------------------------------------------------------


def priority_kept() -> Check:
    """Near where another number is written than the given one. Numbers are made once for a document."""
    last: list[tuple[Document, Mapping[Rung, int], Mapping[int, int]]] = []

    def check(document: Document, path: Path) -> Answer:
        if not last or last[0][0] is not document:
            last[:] = [(document, numbers(document), tcp_numbers(document))]
        _, http, tcp = last[0]
        index, given = path[1], found(document, path)
        assert isinstance(index, int)
        canary = path[3] if path[2] == "canaries" else None
        written = tcp[index] if path[0] == "tcp_routes" else http[Rung(index, canary if isinstance(canary, int) else None)]
        return FULL if written == given else Near(f"the given numbers do not keep the order, or are 0: {written} is written for it")

    return check


# Services --------------------------------------------------------------------------------------------------------------


def redraws(document: Document, path: Path) -> Answer:
    """Traefik draws again only where every child has a health check; without, it disables the service."""
    holder = found(document, path[:-1])
    assert isinstance(holder, Route | Split)
    for entry in holder.split:
        if not _is_checked(document, entry.to):
            return Nothing(f"Traefik wants a health check in {entry.to!r} for it: clients of a dead variant meet 503")
    return FULL


def _is_checked(document: Document, name: str) -> bool:
    """Whether the health of a service is known: its own servers are probed, or, all the way down, those of its children."""
    service = document.services.get(name)
    if isinstance(service, Split):
        return service.when_down == "redraw" and all(_is_checked(document, entry.to) for entry in service.split)
    return service is not None and service.health_check is not None


def passive_says(document: Document, path: Path) -> Answer:
    check = found(document, path)
    return FULL if check != PassiveHealthCheck() else Nothing("Traefik refuses an empty one: say `failure_window: 10s`")


def cookie_says(document: Document, path: Path) -> Answer:
    """Values of a cookie that Traefik takes for none."""
    cookie = found(document, path[:-1])
    assert isinstance(cookie, Cookie)
    if path[-1] == "max_age" and cookie.max_age == 0:
        return Nothing("Traefik takes 0 for no Max-Age: the cookie ends with the browser's session; say -1 to delete it")
    return Nothing("Traefik takes it for no Domain: the cookie is host-only") if path[-1] == "domain" and not cookie.domain else FULL


HTTP_TRANSPORT = (
    "serverName", "insecureSkipVerify", "rootCAs", "certificates", "maxIdleConnsPerHost", "forwardingTimeouts", "disableHTTP2",
    "peerCertURI", "spiffe", "cipherSuites", "minVersion", "maxVersion",
)  # fmt: skip
TCP_TRANSPORT = ("dialKeepAlive", "dialTimeout", "proxyProtocol", "terminationDelay", "tls")


def is_tcp_transport(tree: Tree) -> bool:
    """Whether a servers transport is one of TCP: no key of one side is a key of the other."""
    return isinstance(tree, dict) and bool(tree) and set(tree) <= set(TCP_TRANSPORT)


def transport_says(document: Document, path: Path) -> Answer:
    tree = document.servers_transports.get(str(found(document, path)))
    side = "TCP" if path[0] == "tcp_services" else "HTTP"
    if "@" in str(found(document, path)) or is_tcp_transport(tree) == (side == "TCP"):
        return FULL
    return Nothing(f"it is no servers transport of {side}: the service is left out")


def transports_say(document: Document, _path: Path) -> Answer:
    """Whether all definitions can be said without the objects of a cluster."""
    named = next((name for name, tree in document.servers_transports.items() if names_objects(tree)), None)
    return FULL if named is None else Nothing(f"{named!r} names Secrets of a cluster: every service that uses one is left out")


# Middlewares -----------------------------------------------------------------------------------------------------------

HELD = "every route that passes it is left out"


def middleware_says(document: Document, path: Path) -> Answer:
    middleware, tcp = found(document, path), path[0] == "tcp_middlewares"
    assert isinstance(middleware, Middleware)
    config = middleware.config
    if not _listable((str(path[1]), *_texts(config))):
        return Nothing(f"Traefik cuts a text at '║', and blanks at its ends: {HELD}")
    if isinstance(config, Other):
        return _other(config, tcp=tcp)
    if config == Headers():
        return Nothing(f"Traefik refuses the whole file for headers without a header: {HELD}")
    if tcp and (middleware.kind not in {each.field for each in TCP_SPELLINGS} or not _only_ranges(config)):
        return Nothing(f"Traefik has no such middleware for TCP: {HELD}")
    return FULL


def _only_ranges(config: Noun) -> bool:
    return isinstance(config, IPAllowList) and config.depth is None and config.reject_status is None


def _other(other: Other, *, tcp: bool) -> Answer:
    kinds = known_kinds(tcp=tcp)
    if other.kind not in kinds:
        return Nothing(f"Traefik knows no middleware {other.kind!r} and refuses the whole file for it: {HELD}")
    typed = spelling_of(other.kind, other.config, tcp=tcp)
    if typed is not None:
        return Nothing(f"say it as `{typed.field}`: {HELD}")
    if other.kind != "plugin" and names_objects(other.config):
        return Nothing(f"it names Secrets or Services of a cluster, which only objects can: {HELD}")
    if not isinstance(other.config, dict) or not _stands(other.config, other.kind in MAY_BE_EMPTY):
        return Nothing(f"Traefik refuses the whole file for an empty mapping or a null in it: {HELD}")
    return FULL


def _stands(tree: Tree, empty: bool = False) -> bool:
    """Whether nothing in a tree is a null or an empty mapping."""
    if isinstance(tree, dict):
        return (bool(tree) or empty) and all(_stands(child) for child in tree.values())
    return all(map(_stands, tree)) if isinstance(tree, list) else tree is not None


def _texts(noun: Noun) -> tuple[str, ...]:
    lists = (value for value in (getattr(noun, name) for name in type(noun).model_fields) if isinstance(value, tuple))
    return tuple(str(text) for text in chain.from_iterable(lists))


def _listable(texts: tuple[str, ...]) -> bool:
    """Whether texts stay what they are in a list: Traefik joins and splits them at '║' (paerser 0.2.2, parser/element_fill.go)."""
    return all("║" not in text and text == text.strip() for text in texts)


# TLS and the rest ------------------------------------------------------------------------------------------------------


def entry_points_say(document: Document, path: Path) -> Answer:
    names = found(document, path)
    assert isinstance(names, tuple)
    return FULL if _listable(names) else Nothing("Traefik cuts the name of an entry point at '║': the route is left out")


def tls_sees() -> Check:
    """Near where a TLS request may pass by a route that comes before, because that one has no `tls`. Looked for once for a document."""
    last: list[tuple[Document, Mapping[int, TlsGap]]] = []

    def check(document: Document, path: Path) -> Answer:
        if not last or last[0][0] is not document:
            last[:] = [(document, {gap.open: gap for gap in tls_gaps(document)})]
        gap = last[0][1].get(path[1]) if path[0] == "routes" and isinstance(path[1], int) else None
        if gap is None:
            return FULL
        first = document.routes[gap.guarded].name
        return Near(
            f"unless the entry point speaks TLS, Traefik does not ask {first!r}, which comes before and has no `tls`, about a TLS "
            f"request: its {gap.middleware!r} is passed by; say `tls: {{}}` there too, or give each entry points of its own"
        )

    return check


def tcp_says(document: Document, path: Path) -> Answer:
    """Near where a TCP route that does not say `tls` stands beside one that takes TLS.

    Traefik then reads the hello first, and gives what begins with one to routes with TLS alone (3.7, pkg/server/router/tcp/router.go,
    ServeTCP; asked of 3.7.15).
    """
    route = found(document, path)
    if not isinstance(route, TcpRoute) or route.tls is not None:
        return FULL
    others = [(other.name, other.tls, other.entry_points) for other in document.tcp_routes]
    others += [(other.name, other.tls, other.entry_points) for other in document.routes]
    for name, tls, entry_points in others:
        if tls is not None and (tls.terminate or tls.passthrough) and _meet(route.entry_points, entry_points):
            return Near(
                f"Traefik gives it no connection that begins with TLS, since {name!r} takes TLS at the same entry point: "
                "such a one is closed where no route with `tls` asks for its name"
            )
    return FULL


def _meet(these: tuple[str, ...], those: tuple[str, ...]) -> bool:
    """Whether two routes have an entry point in common; none named is all."""
    return not these or not those or not set(these).isdisjoint(those)


def domains_say(document: Document, path: Path) -> Answer:
    domains = found(document, path)
    assert isinstance(domains, tuple)
    kept = all(_listable(domain.sans) for domain in domains)
    return FULL if kept else Nothing("Traefik cuts a name at '║': certificates are asked for by host")


def passthrough_says(document: Document, path: Path) -> Answer:
    tls = found(document, path[:-1])
    assert isinstance(tls, Tls)
    if path[0] == "routes":
        return Nothing("only TCP can be passed through: the route is left out")
    return Nothing("TLS cannot be passed through and ended: the route is left out") if tls.passthrough and tls.terminate else FULL


def observed(document: Document, path: Path) -> Answer:
    values = found(document, path)
    assert isinstance(values, Noun)
    empty = all(getattr(values, name) is None for name in type(values).model_fields)
    return Nothing("Traefik refuses the whole file for an empty one: it is left out") if empty else FULL


def own_reference(*providers: str) -> Check:
    """A reference to the provider that is written must not mean what this document defines: that is said without it."""

    def check(document: Document, path: Path) -> Answer:
        name, _, other = str(found(document, path)).partition("@")
        held = {*document.services, *document.middlewares, *document.tcp_services, *document.tcp_middlewares}
        held |= {*document.tls_options, *document.servers_transports}
        if not _listable((name,)):
            return Nothing("Traefik cuts a name at '║': what names it is left out")
        return Nothing(f"write {name!r}: this document has it") if other in providers and name in held else FULL

    return check
