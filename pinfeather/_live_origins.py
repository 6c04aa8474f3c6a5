"""Where the routers of a running Traefik came from, and who is in whose way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pinfeather._live import Live
from pinfeather.model.decide import Request, State, Table, outcomes
from pinfeather.model.decide_tcp import Connection, TcpTable
from pinfeather.model.diagnostics import Path, Span, span_at
from pinfeather.model.document import Document, canary_name
from pinfeather.model.match import both, conjuncts
from pinfeather.model.normal import lifted, precedence, tcp_lifted
from pinfeather.model.overlap import covers
from pinfeather.model.routes import Route
from pinfeather.model.trace import rivals
from pinfeather.model.trace_tcp import rivals_tcp


class _Router(NamedTuple):
    """A route, a canary as if it were one, or a TCP route: what would be one router in Traefik."""

    name: str
    path: Path
    form: tuple[object, ...]
    """What it asks for; entry points and TLS are not in it, since Traefik may have added them."""
    route: Route | None


class Origins(NamedTuple):
    """Which line each router came from."""

    spans: Mapping[Path, Span]
    """By the path of a route, canary, service or middleware in the live document."""
    nowhere: tuple[str, ...]
    """Routers that stand in no file, in Traefik's names."""
    changed: tuple[tuple[str, Span], ...]
    """Routers that a file calls so and gives another rule, and where."""


def origins(live: Live, document: Document, files: Document, spans: Mapping[Path, Span]) -> Origins:
    """By what a router asks for and by its name without its provider; else by what it asks for alone, if one in the files asks for that;
    else by its name alone, which then is said to have changed.
    """
    known = list(_routers(files))
    found: dict[Path, Span] = {}
    nowhere: list[str] = []
    changed: list[tuple[str, Span]] = []
    for router in _routers(document):
        theirs = live.theirs(router.name)
        base = theirs.partition("@")[0]
        named = [each for each in known if base == each.name or base.endswith(f"-{each.name}")]
        alike = [each for each in known if each.form == router.form]
        same = [each for each in named if each in alike] or (alike if len(alike) == 1 else [])
        one = same[0] if same else next((each for each in named if each.name == base), None)
        span = None if one is None else _rule_at(spans, one.path)
        if one is None or span is None:
            nowhere.append(theirs)
            continue
        found[router.path] = span
        if not same:
            changed.append((theirs, span))
    for section in ("services", "middlewares", "tcp_services", "tcp_middlewares"):
        there = getattr(files, section)
        for name in getattr(document, section):
            base = live.theirs(name).partition("@")[0]
            span = span_at(spans, (section, base)) if base in there else None
            if span is not None:
                found[section, name] = span
    return Origins(found, tuple(nowhere), tuple(changed))


def _rule_at(spans: Mapping[Path, Span], path: Path) -> Span | None:
    """Where the conditions of a route or canary stand; else the thing itself."""
    parts = ((*path, key) for key in ("hosts", "when", "sni", "match", "path"))
    return next((span for part in parts if (span := spans.get(part)) is not None), None) or span_at(spans, path)


def _routers(document: Document) -> Iterator[_Router]:
    for rung in precedence(document):
        route = document.routes[rung.route]
        path: Path = ("routes", rung.route)
        if rung.canary is not None:
            canary = route.canaries[rung.canary]
            path = (*path, "canaries", rung.canary)
            match = both((*conjuncts(route.match), canary.when))
            name = canary_name(route, rung.canary)
            route = route.model_copy(update={"name": name, "priority": canary.priority, "canaries": (), "match": match})
        form = lifted(route)
        yield _Router(route.name, path, ("http", frozenset(form.hosts), form.path, frozenset(conjuncts(form.match))), form)
    for index, tcp in enumerate(map(tcp_lifted, document.tcp_routes)):
        yield _Router(tcp.name, ("tcp_routes", index), ("tcp", frozenset(tcp.sni), None, frozenset(conjuncts(tcp.match))), None)


def ties(document: Document, asked: Request | Connection, state: State) -> tuple[str, ...]:
    """The routers of one priority that would all take a request, if the winner is one of them: Traefik's order among them is none."""
    if isinstance(asked, Connection):
        tcp = TcpTable.of(document)
        way = tcp.first(asked)
        names = [document.tcp_routes[each.route].name for each in rivals_tcp(tcp, asked) if each.criterion != "priority"]
        return (way.route, *names) if way is not None and names else ()
    table = Table.of(document)
    won = outcomes(table, asked, state).parts[0].decision
    tied = [each.rung for each in rivals(table, asked, state) if each.criterion != "priority"]
    if won.route is None or not tied:
        return ()
    routes = {route.name: route for route in document.routes}
    winner = won.route if won.canary is None else canary_name(routes[won.route], won.canary)
    rungs = [(document.routes[rung.route], rung.canary) for rung in tied]
    return (winner, *(route.name if canary is None else canary_name(route, canary) for route, canary in rungs))


def shadowed(document: Document) -> Iterator[tuple[str, str]]:
    """HTTP routers that no request can reach, each with one of a higher priority that takes whatever it would take."""
    by_host: dict[str, list[_Router]] = {}
    everywhere: list[_Router] = []  # those that may hold for hosts that they do not name
    for router in _routers(document):
        route = router.route
        if route is None:
            continue
        wide = not route.hosts or any(host.startswith("*") for host in route.hosts)
        before = [*everywhere, *by_host.get(route.hosts[0] if route.hosts else "", ())]
        for other in before:
            if other.route is not None and other.route.priority != route.priority and covers(other.route, route):
                yield router.name, other.name
                break
        for shelf in [everywhere] if wide else [by_host.setdefault(host, []) for host in route.hosts]:
            shelf.append(router)
