"""Never wider: what would serve the requests of a route that goes, with less in its way, goes too."""

from __future__ import annotations

from pinfeather.model.cut import Cut
from pinfeather.model.diagnostics import Diagnostic, Path, Severity
from pinfeather.model.document import Document
from pinfeather.model.feature import Feature
from pinfeather.model.normal import Rung, lifted, precedence
from pinfeather.model.overlap import overlap, passes
from pinfeather.model.reset import reset
from pinfeather.model.routes import Route


def guard(document: Document, cut: Cut) -> list[Diagnostic]:
    """Later routes that would serve the requests of one that goes, with less in their way, go too."""
    if not (cut.routes or cut.canaries or any(path[-1] == "priority" for path in cut.fields)):
        return _guard_tcp(document, cut)
    order = precedence(document)
    forms = tuple(lifted(route) for route in document.routes)
    found = _guard_order(document, cut, order, forms)
    if not cut.routes and not cut.canaries:
        return found + _guard_tcp(document, cut)
    while True:  # a route that goes for a later rung's sake has earlier ones, of its canaries, whose requests fall, too
        more = _fallen(document, cut, order, forms)
        if not more:
            return found + _guard_tcp(document, cut)
        found += more


def _fallen(document: Document, cut: Cut, order: tuple[Rung, ...], forms: tuple[Route, ...]) -> list[Diagnostic]:
    """The routes to which requests of what is left out would fall: they are left out as well."""
    found: list[Diagnostic] = []
    gone: list[tuple[int, frozenset[str]]] = []
    for rung in order:
        route = document.routes[rung.route]
        sure = passes(document, rung, surely=True)
        if rung.route in cut.routes or (rung.canary is not None and (rung.route, rung.canary) in cut.canaries):
            wanted = passes(document, rung, surely=False)
            if wanted:
                gone.append((rung.route, wanted))
            continue
        for index, wanted in gone:
            if not wanted <= sure and overlap(forms[index], forms[rung.route]):
                path: Path = ("routes", rung.route)
                cut.routes.setdefault(rung.route, path)
                found.append(
                    Diagnostic(
                        f"loss.{Feature.PRIORITY}",
                        Severity.ERROR,
                        f"the route {route.name!r} would serve requests of {document.routes[index].name!r}, which is left out, "
                        f"without {', '.join(sorted(wanted - sure))}",
                        path,
                        "it is left out as well",
                        security=True,
                    )
                )
                gone.append((rung.route, sure | wanted))
                break
    return found


def _guard_order(document: Document, cut: Cut, order: tuple[Rung, ...], forms: tuple[Route, ...]) -> list[Diagnostic]:
    """Without the priorities that go, a later route may come first: it goes too, if it has less in its way."""
    lost = {path for path in cut.fields if path[-1] == "priority"}
    if not lost:
        return []
    whole = reset(document, (), lost)
    assert isinstance(whole, Document)
    now = {rung: position for position, rung in enumerate(precedence(whole))}
    wanted = {rung: passes(document, rung, surely=False) for rung in order}
    sure = {rung: passes(document, rung, surely=True) for rung in order}
    found: list[Diagnostic] = []
    for position, first in enumerate(order):
        if not wanted[first]:  # nothing is in its way that could be missing
            continue
        for later in order[position + 1 :]:
            if later.route == first.route or later.route in cut.routes or first.route in cut.routes or now[later] > now[first]:
                continue
            missing = wanted[first] - sure[later]
            if missing and overlap(forms[first.route], forms[later.route]):
                path: Path = ("routes", later.route)
                cut.routes.setdefault(later.route, path)
                name, other = document.routes[later.route].name, document.routes[first.route].name
                said = f"without its priority the route {name!r} would come before {other!r}, without {', '.join(sorted(missing))}"
                found.append(Diagnostic(f"loss.{Feature.PRIORITY}", Severity.ERROR, said, path, "it is left out as well", security=True))
    return found


def _guard_tcp(document: Document, cut: Cut) -> list[Diagnostic]:
    wanted = {name for index in cut.tcp_routes for name in document.tcp_routes[index].middlewares}
    found: list[Diagnostic] = []
    for index, route in enumerate(document.tcp_routes):
        if wanted and index not in cut.tcp_routes and not wanted <= set(route.middlewares):
            path: Path = ("tcp_routes", index)
            cut.tcp_routes[index] = path
            message = f"the TCP route {route.name!r} could serve connections of a route that is left out, without its middlewares"
            found.append(Diagnostic(f"loss.{Feature.TCP}", Severity.ERROR, message, path, "it is left out as well", security=True))
    return found
