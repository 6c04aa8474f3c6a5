"""Requests that are worth asking of a document: made of its own hosts, prefixes, cookies, bindings and addresses.

For every route and canary one request for each way to meet its conditions, the same with one thing missing or a little
wrong, through other entry points, with and without TLS, and with the client bound to each variant and to servers. Blind
random requests would nearly all end at 404.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from urllib.parse import quote

from pinfeather.model import match as m
from pinfeather.model.decide import DRAWS, Outcomes, Request, State, Status, normal_path
from pinfeather.model.document import Document
from pinfeather.model.match import Match, PathMatch, both
from pinfeather.model.normal import conditions, precedence
from pinfeather.model.routes import Route
from pinfeather.model.services import LoadBalancer, Split
from pinfeather.model.sticky import Sticky

NOWHERE = "nowhere.invalid"
ANYWHERE = "other"
"""An entry point that no document names: where a route is asked that stands at all of them."""
WAYS = 4
"""So many ways to meet one condition are tried."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one condition wants of a request."""

    kind: str  # host, path, method, header, cookie, query, client
    name: str
    value: str
    others: tuple[str, ...] = ()
    """More values that are a little wrong."""

    @property
    def near(self) -> tuple[Part, ...]:
        """The same, a little wrong."""
        if self.kind == "host":
            first = f"x.{self.value}"
        elif self.kind == "client":
            first = "192.0.2.1" if self.value != "192.0.2.1" else "192.0.2.2"
        elif self.kind == "method":
            first = "PUT" if self.value != "PUT" else "GET"
        else:
            first = f"{self.value}2"
        return tuple(replace(self, value=value, others=()) for value in (first, *self.others))


def probes(document: Document, most: int = 200) -> tuple[tuple[Request, State], ...]:
    """At most so many requests, each once, with the state of the servers; the same document gives the same ones."""
    return tuple(islice(dict.fromkeys(_key(request, state) for request, state in _all(document)), most))


def draws(found: Outcomes) -> tuple[int, ...]:
    """Draws just below, at and above every border of a partition of [0, 1)."""
    borders = {0, DRAWS - 1}
    for part in found.parts:
        at = part.high.numerator * DRAWS // part.high.denominator
        borders |= {at - 1, at, at + 1}
    return tuple(sorted(draw for draw in borders if 0 <= draw < DRAWS))


class _Frozen(dict[str, str]):
    """Bindings that can be told apart in a set."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(sorted(self.items())))


class _States(dict[str, tuple[Status, ...]]):
    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(sorted((name, tuple(map(str, row))) for name, row in self.items())))


def _key(request: Request, state: State) -> tuple[Request, State]:
    return request._replace(bindings=_Frozen(request.bindings)), State(_States(state.servers))


def _all(document: Document) -> Iterator[tuple[Request, State]]:
    rungs = [iter(_of_rung(document, document.routes[rung.route], rung.canary)) for rung in precedence(document)]
    yield Request(NOWHERE, "/"), State()
    while rungs:  # in turn, so that a cap cuts off no route
        for rung in tuple(rungs):
            for probe in islice(rung, 8):
                yield probe
                break
            else:
                rungs.remove(rung)


def _of_rung(document: Document, route: Route, canary: int | None) -> Iterator[tuple[Request, State]]:
    when = (route.canaries[canary].when,) if canary is not None else ()
    whole = both((*conditions(route), *when))
    ways = _ways(whole) if whole is not None else [()]
    edges = _edges(document, route)
    for parts in ways:
        base = _request(parts, *edges[0])
        yield base, State()
        for bindings in _bindings(document, route):
            yield base._replace(bindings=bindings), State()
        for state in _states(document, route):
            yield base, state
        for entry_point, tls in edges[1:]:
            yield _request(parts, entry_point, tls), State()
        for number, part in enumerate(parts):
            rest = (*parts[:number], *parts[number + 1 :])
            for near in part.near:
                yield _request((*rest, near), *edges[0]), State()
            yield _request(rest, *edges[0]), State()
        for barred in _barred(whole):
            yield _request((*parts, *barred), *edges[0]), State()


def _edges(document: Document, route: Route) -> list[tuple[str, bool]]:
    """Where a request may come in: first as the route wants it."""
    points = [*route.entry_points, *document.entry_points, ANYWHERE]
    wanted = route.tls is not None and route.tls.terminate
    return list(dict.fromkeys([(points[0], wanted), (points[0], not wanted), *((point, wanted) for point in points[1:])]))


def _ways(match: Match) -> list[tuple[Part, ...]]:
    """A few ways to meet a condition; what is negated is left out."""
    if isinstance(match, m.AllOf):
        merged: list[tuple[Part, ...]] = [()]
        for part in match.all:
            merged = [(*before, *way) for before in merged for way in _ways(part)][:WAYS]
        return merged
    if isinstance(match, m.AnyOf):
        found = [_ways(part) for part in match.any]
        return [ways[at] for at in range(WAYS) for ways in found if at < len(ways)][:WAYS]
    return [()] if isinstance(match, m.Not) else [(part,) for part in _parts(match)] or [()]


def _barred(match: Match | None) -> list[tuple[Part, ...]]:
    """A way to meet each condition that must not hold."""
    parts = m.conjuncts(match)
    return [ways[0] for part in parts if isinstance(part, m.Not) and (ways := _ways(part.none))]


def _parts(leaf: m.Leaf) -> list[Part]:
    if isinstance(leaf, m.Host):
        apex = (leaf.host.removeprefix("*."),) if leaf.host.startswith("*.") else ()
        return [Part("host", "", leaf.host.replace("*", "any"), apex)]
    if isinstance(leaf, m.HostRegex):
        return [Part("host", "", text) for text in _samples(leaf.host_regex)]
    if isinstance(leaf, m.PathIs):
        return [Part("path", "", text, _shorter(text)) for text in _paths(leaf.path)]
    if isinstance(leaf, m.Method):
        return [Part("method", "", leaf.method)]
    if isinstance(leaf, m.ClientIP):
        return [Part("client", "", str(ipaddress.ip_network(leaf.client_ip)[-1]))]
    for kind in ("header", "cookie", "query"):
        value = getattr(leaf, kind, None)
        if isinstance(value, m.ValueMatch):
            texts = [value.value] if value.value is not None else _samples(value.regex or "")
            return [Part(kind, value.name, text, _others(text)) for text in texts]
    return []


def _samples(regex: str) -> list[str]:
    """Texts in which a regex may be found: its letters without its signs and without what stands for anything around; and a plain one."""
    regex = regex.removeprefix("^").removesuffix("$").removeprefix(".*").removesuffix(".*")
    plain = "".join(character for character in regex if character.isalnum() or character in "-_=./")
    return list(dict.fromkeys([plain or "a", "a"]))


def _paths(path: PathMatch) -> list[str]:
    if path.exact is not None:
        return [path.exact]
    if path.prefix is not None:
        return [path.prefix, f"{path.prefix}x"]
    return [f"/{text.lstrip('/')}" for text in _samples(path.regex or "")]


def _others(text: str) -> tuple[str, ...]:
    """The text in the other case, and as long with another letter at its end."""
    return tuple(dict.fromkeys(other for other in (text.swapcase(), text[:-1] + ("z" if text[-1:] != "z" else "y")) if other != text))


def _shorter(path: str) -> tuple[str, ...]:
    """The path without its last letter, and with its letters in the other case."""
    return tuple(text for text in (path[:-1], path.swapcase()) if len(text) > 1 and text != path)


def _request(parts: tuple[Part, ...], entry_point: str, tls: bool) -> Request:
    one = {part.kind: part.value for part in parts}
    headers = [(part.name.lower(), _wire(part.value)) for part in parts if part.kind == "header"]
    headers += [("cookie", _wire(f"{part.name}={part.value}")) for part in parts if part.kind == "cookie"]
    query = "&".join(f"{quote(part.name, safe='')}={quote(part.value, safe='')}" for part in parts if part.kind == "query")
    host = one.get("host", NOWHERE)
    return Request(
        host=host,
        path=normal_path(quote(one.get("path", "/"), safe="/%:@!$&'()*+,;=~")),
        method=one.get("method", "GET"),
        headers=tuple(headers),
        query=query,
        entry_point=entry_point,
        tls=tls,
        sni=host if tls else "",
        client=one.get("client", "127.0.0.1"),
    )


def _wire(text: str) -> str:
    return text.encode("utf-8").decode("latin-1")


# Who is bound to what, and who is there ----------------------------------------------------------------------------------


def _cookie(sticky: Sticky | None) -> str | None:
    return sticky.cookie.name if sticky is not None and sticky.cookie is not None else None


def _bindings(document: Document, route: Route) -> Iterator[dict[str, str]]:
    """To each variant, to each server, to nobody that is there; and to a variant and a server in it at once."""
    known: dict[str, str] = {}
    for cookie, values in _choices(document, route):
        for value in (*values, "nobody"):
            yield {cookie: value}
        if values:
            known[cookie] = values[-1]
    if len(known) > 1:
        yield known


def _choices(document: Document, route: Route) -> Iterator[tuple[str, tuple[str, ...]]]:
    if (cookie := _cookie(route.sticky)) is not None:
        yield cookie, tuple(entry.to for entry in route.split)
    for name in _below(document, route):
        service = document.services[name]
        if (cookie := _cookie(service.sticky)) is not None:
            children = service.split if isinstance(service, Split) else ()
            servers = service.servers if isinstance(service, LoadBalancer) else ()
            yield cookie, (*(entry.to for entry in children), *(server.key for server in servers))


def _below(document: Document, route: Route) -> list[str]:
    found: dict[str, None] = {}
    names = list(route.targets)
    while names:
        name = names.pop(0)
        service = document.services.get(name)
        if service is not None and name not in found:
            found[name] = None
            names += [entry.to for entry in service.split] if isinstance(service, Split) else []
    return list(found)


def _states(document: Document, route: Route) -> Iterator[State]:
    """Each service of the route without a server, and with its first one draining."""
    for name in _below(document, route):
        service = document.services[name]
        if isinstance(service, LoadBalancer) and service.servers:
            count = len(service.servers)
            yield State({name: (Status.DOWN,) * count})
            yield State({name: (Status.DRAINING, *(Status.UP,) * (count - 1))})
