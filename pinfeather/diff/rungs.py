"""The routes and canaries of one side, in their order, as conditions that may be asked of a request of which not all is known yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

from pinfeather.diff.sides import STATE, Side
from pinfeather.model.balance import Fork
from pinfeather.model.conditions import http_leaf
from pinfeather.model.decide import Request
from pinfeather.model.match import AllOf, AnyOf, ClientIP, Cookie, Header, Leaf, Match, Method, Not, PathMatch, Query, both, leaves
from pinfeather.model.normal import Rung, conditions, lift
from pinfeather.model.request import Asked, searched, undotted
from pinfeather.model.table import Way


class Attribute(NamedTuple):
    """One thing of a request that conditions ask for: its kind, and the name of a header, cookie, parameter or sticky cookie."""

    kind: str
    name: str = ""


ENTRY_POINT, TLS, METHOD, CLIENT, COOKIES = (Attribute(kind) for kind in ("entry point", "tls", "method", "client", "cookies"))
Values = tuple[str, ...]
"""Of one attribute: none where it is absent, several where it comes more than once. TLS is `("yes",)` or none."""
Known = bool | Attribute
"""Whether a condition holds, or what has to be known first."""


@dataclass(frozen=True)
class Region:
    """The requests of one host and path that have these values; of what is not in `values` nothing is known."""

    host: str
    path: str
    values: Mapping[Attribute, Values] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()
    """The names of all cookies that somebody asks for."""

    def having(self, attribute: Attribute, values: Values) -> Region:
        return Region(self.host, self.path, {**self.values, attribute: values}, self.cookies)

    @cached_property
    def request(self) -> Request:
        """One of them: what is not known is absent."""
        pairs = [(key.name, value) for key, row in self.values.items() if key.kind == "cookie" for value in row]
        raw = [*self.values.get(COOKIES, ()), *(f"{name}={value}" for name, value in pairs)]
        headers = [(key.name, value) for key, row in self.values.items() if key.kind == "header" for value in row]
        query = "&".join(f"{quoted(key.name)}={quoted(value)}" for key, row in self.values.items() if key.kind == "query" for value in row)
        raw, headers = [_wire(text) for text in raw], [(name, _wire(value)) for name, value in headers]
        return Request(
            self.host,
            self.path,
            self._one(METHOD, "GET"),
            (*sorted(headers), *((("cookie", "; ".join(raw)),) if raw else ())),
            query,
            self._one(ENTRY_POINT, ""),
            bool(self.values.get(TLS)),
            self.host if self.values.get(TLS) else "",
            self._one(CLIENT, "127.0.0.1"),
        )

    def _one(self, attribute: Attribute, default: str) -> str:
        return next(iter(self.values.get(attribute, ())), default)

    @property
    def bound(self) -> dict[str, str]:
        """Sticky cookie -> the variant that the client is bound to."""
        return {key.name: row[0] for key, row in self.values.items() if key.kind == "bound" and row}

    @cached_property
    def asked(self) -> Asked:
        return Asked(self.request, STATE)


def _wire(text: str) -> str:
    """A text as it is sent in a header: one character a byte of its UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("latin-1")


def quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="-._~", errors="surrogateescape")


test = lru_cache(maxsize=65536)(http_leaf)


@dataclass(frozen=True, eq=False)
class Step:
    """One rung: what it asks for, and where it leads."""

    rung: Rung
    way: Way
    hosts: tuple[str, ...]
    path: PathMatch | None
    entry_points: tuple[str, ...]
    tls: bool | None
    match: Match | None
    unbound: Fork | None
    """Under `binding_first`: a client that is bound to a variant of this split is none of this canary's."""
    side: Side

    @cached_property
    def signature(self) -> object:
        """Equal for two rungs only if they take the same requests and do the same with them."""
        hosts = tuple(sorted(map(undotted, self.hosts)))
        points = tuple(sorted(self.entry_points))
        whose = self.side.node(self.unbound) if self.unbound is not None else None
        terms = self.side.terms(self.side.document.routes[self.rung.route])
        return hosts, self.path, points, self.tls, terms, self.match, whose, self.side.signature(self.way)

    @cached_property
    def leaves(self) -> tuple[Leaf, ...]:
        return tuple(leaves(self.match)) if self.match is not None else ()

    def at(self, host: str) -> bool:
        """Whether it may take requests for a host."""
        return not self.hosts or any(_host_holds(name, host) for name in self.hosts)

    def along(self, path: str) -> bool:
        """Whether it may take requests for a path, as conditions see it (`matched_path`)."""
        if self.path is None:
            return True
        if self.path.exact is not None:
            return path == self.path.exact
        if self.path.prefix is not None:
            return path.startswith(self.path.prefix)
        from pinfeather.model.noun import compile_regex

        assert self.path.regex is not None
        return bool(compile_regex(self.path.regex)(searched(path)))

    def holds(self, region: Region) -> Known:
        """Host and path are known to fit."""
        known: Known = True
        for found in self._parts(region):
            if found is False:
                return False
            if known is True:
                known = found
        return known

    def _parts(self, region: Region) -> Iterator[Known]:
        if self.entry_points:
            yield region.values[ENTRY_POINT][0] in self.entry_points if ENTRY_POINT in region.values else ENTRY_POINT
        if self.tls is not None:
            yield bool(region.values[TLS]) is self.tls if TLS in region.values else TLS
        if self.match is not None:
            yield _holds(self.match, region)
        if self.unbound is not None and self.unbound.cookie is not None:
            name = self.side.pools[self.unbound.cookie.name][0].name
            attribute = Attribute("bound", name)
            if attribute not in region.values:
                yield attribute
            else:
                bound = {self.unbound.cookie.name: row[0]} if (row := region.values[attribute]) else {}
                yield self.unbound.held(bound, STATE) is None


def _host_holds(wanted: str, host: str) -> bool:
    if wanted == "*":
        return True
    wanted = undotted(wanted)
    return host.partition(".")[2] == wanted[2:] if wanted.startswith("*.") else host == wanted


def consulted(leaf: Leaf) -> tuple[Attribute, ...] | None:
    """What a condition asks for beside host and path; None: every cookie there is."""
    match leaf:
        case Method():
            return (METHOD,)
        case Header():
            name = leaf.header.name.lower()
            return None if name == "cookie" else (Attribute("header", name),)
        case Cookie():
            return Attribute("cookie", leaf.cookie.name), COOKIES
        case Query():
            return (Attribute("query", leaf.query.name),)
        case ClientIP():
            return (CLIENT,)
        case _:
            return ()


def _holds(match: Match, region: Region) -> Known:
    if isinstance(match, AllOf):
        return _all([_holds(part, region) for part in match.all])
    if isinstance(match, AnyOf):
        found = _all([_not(_holds(part, region)) for part in match.any])
        return _not(found)
    if isinstance(match, Not):
        return _not(_holds(match.none, region))
    wanted = consulted(match)
    if wanted is None:
        wanted = (*(Attribute("cookie", name) for name in region.cookies), COOKIES)
    for attribute in wanted:
        if attribute not in region.values:
            return attribute
    return test(match)(region.asked)


def _all(parts: list[Known]) -> Known:
    if any(part is False for part in parts):
        return False
    return next((part for part in parts if part is not True), True)


def _not(known: Known) -> Known:
    return known if isinstance(known, Attribute) else not known


def steps(side: Side) -> tuple[Step, ...]:
    """All rungs of a side in their order."""
    return tuple(_steps(side))


def _steps(side: Side) -> Iterator[Step]:
    document = side.table.document
    for rung in side.table.order:
        route = document.routes[rung.route]
        when = (route.canaries[rung.canary].when,) if rung.canary is not None else ()
        form = lift(both((*conditions(route), *when)))
        split = side.table.splits.get(rung.route)
        first = rung.canary is not None and route.order == "binding_first"
        terminate = route.tls.terminate if route.tls is not None else None
        yield Step(
            rung, side.table.way(rung), form.hosts, form.path, route.entry_points, terminate, form.match, split if first else None, side
        )
