"""Whether one request may hold for two routes, and which middlewares are in its way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pinfeather.model.document import Document, EntryPoint
from pinfeather.model.match import AllOf, AnyOf, Match, Method, Not, PathMatch, conjuncts
from pinfeather.model.normal import Rung, lifted, precedence
from pinfeather.model.noun import Template
from pinfeather.model.routes import Route
from pinfeather.model.services import Split


def overlap(one: Route, other: Route) -> bool:
    """Whether a request may hold for both lifted routes. Says no only where it is sure."""
    if one.entry_points and other.entry_points and not set(one.entry_points) & set(other.entry_points):
        return False
    if one.hosts and other.hosts and not any(same_host(a, b) for a in one.hosts for b in other.hosts):
        return False
    if _apart(one.path, other.path):
        return False
    return not any(exclude(a, b) for a in conjuncts(one.match) for b in conjuncts(other.match))


def exclude(one: Match, other: Match) -> bool:
    """Whether no request holds for both conditions. Says yes only where it is sure."""
    if isinstance(one, Method) and isinstance(other, Method):
        return one.method != other.method and not isinstance(one.method, Template) and not isinstance(other.method, Template)
    for first, second in ((one, other), (other, one)):
        if isinstance(first, Not) and implies(second, first.none):
            return True
        if isinstance(first, AnyOf):
            return all(exclude(part, second) for part in first.any)
        if isinstance(first, AllOf):
            return any(exclude(part, second) for part in first.all)
    return False


def same_host(one: str, other: str) -> bool:
    """Whether a request can have a host that both names hold for."""
    for wild, name in ((one, other), (other, one)):
        if wild == "*" or wild == name:
            return True
        if wild.startswith("*.") and name.partition(".")[2] == wild[2:]:
            return True
    return False


def _apart(one: PathMatch | None, other: PathMatch | None) -> bool:
    if one is None or other is None or one.regex is not None or other.regex is not None:
        return False
    for first, second in ((one, other), (other, one)):
        if first.exact is not None:
            return second.exact != first.exact if second.exact is not None else not first.exact.startswith(second.prefix or "")
    a, b = one.prefix or "", other.prefix or ""
    return not a.startswith(b) and not b.startswith(a)


def passes(document: Document, rung: Rung, *, surely: bool) -> frozenset[str]:
    """The middlewares on the way of a rung's requests: on every way (surely), or on any."""
    route = document.routes[rung.route]
    names = route.targets[len(route.canaries) :] if rung.canary is None else (route.canaries[rung.canary].to,)

    def on_way(name: str) -> frozenset[str]:
        service = document.services.get(name)
        if service is None:
            return frozenset()
        below = [on_way(entry.to) for entry in service.split] if isinstance(service, Split) else []
        return frozenset(service.middlewares) | _together(below, surely)

    return frozenset(route.middlewares) | _together([on_way(name) for name in names], surely)


def _together(sets: list[frozenset[str]], surely: bool) -> frozenset[str]:
    if not sets:
        return frozenset()
    return sets[0].intersection(*sets[1:]) if surely else sets[0].union(*sets[1:])


class TlsGap(NamedTuple):
    """A route without `tls`, by index, one with it that comes later, and what the first asks for and the second does not."""

    guarded: int
    open: int
    middleware: str


def tls_gaps(document: Document) -> Iterator[TlsGap]:
    """Where TLS requests may pass by a middleware: a router without `tls` never sees a TLS request in Traefik, unless its entry
    point speaks TLS (3.7.15, tried)."""
    guarded: list[tuple[int, Route]] = []
    by_host: dict[str, list[tuple[int, Route]]] = {}  # and under "" those that may hold for several hosts
    for index in dict.fromkeys(rung.route for rung in precedence(document) if rung.canary is None):
        route = lifted(document.routes[index])
        hosts = ("",) if any(host.startswith("*") for host in route.hosts) else route.hosts or ("",)
        if route.tls is None and route.middlewares:
            guarded.append((index, route))
            for host in hosts:
                by_host.setdefault(host, []).append((index, route))
        elif route.tls is not None and route.tls.terminate:
            before = guarded if hosts == ("",) else [each for host in ("", *hosts) for each in by_host.get(host, ())]
            for at, other in before:
                missing = next((name for name in other.middlewares if name not in route.middlewares), None)
                if missing is not None and overlap(other, route) and not _speak_tls(document, other, route):
                    yield TlsGap(at, index, missing)
                    break


def _speak_tls(document: Document, one: Route, other: Route) -> bool:
    """Whether all that the two may share is known to speak TLS."""
    every = set(document.entry_points)
    shared = (set(one.entry_points) or every) & (set(other.entry_points) or every)
    points = [document.entry_points.get(name) for name in shared]
    return bool(points) and all(isinstance(point, EntryPoint) and point.tls is True for point in points)


# Whether one route takes all that another asks for -------------------------------------------------------------------------


def covers(one: Route, other: Route) -> bool:
    """Whether every request that holds for the second lifted route holds for the first. Says yes only where it is sure."""
    if not _path_within(other.path, one.path) or (one.tls is None) != (other.tls is None):
        return False
    if one.tls is not None and other.tls is not None and one.tls.terminate != other.tls.terminate:
        return False
    points, wanted = set(one.entry_points), set(other.entry_points)
    if points != wanted and not (points and wanted and points >= wanted):
        return False
    if one.hosts and not (other.hosts and all(any(_host_within(name, wide) for wide in one.hosts) for name in other.hosts)):
        return False
    asked = conjuncts(other.match)
    return all(any(implies(given, part) for given in asked) for part in conjuncts(one.match))


def _host_within(name: str, wide: str) -> bool:
    if name == wide or wide == "*":
        return True
    return wide.startswith("*.") and not name.startswith("*") and name.partition(".")[2] == wide[2:]


def _path_within(path: PathMatch | None, wide: PathMatch | None) -> bool:
    if wide is None or wide.prefix == "/":
        return True
    if path is None:
        return False
    if wide.prefix is not None:
        return (path.exact or path.prefix or "").startswith(wide.prefix)
    return path == wide


def implies(given: Match, wanted: Match) -> bool:
    """Whether the first condition cannot hold without the second. Says yes only where it is sure."""
    if given == wanted:
        return True
    if isinstance(given, AnyOf):
        return all(implies(part, wanted) for part in given.any)
    if isinstance(wanted, AnyOf):
        return any(implies(given, part) for part in wanted.any)
    if isinstance(wanted, AllOf):
        return all(implies(given, part) for part in wanted.all)
    return isinstance(given, AllOf) and any(implies(part, wanted) for part in given.all)
