"""Who gets the requests of a route that the proxy disables."""

from __future__ import annotations

from pinfeather.model.document import Document
from pinfeather.model.normal import lifted, precedence
from pinfeather.model.overlap import covers, overlap
from pinfeather.model.routes import Route


def falls_to(document: Document, index: int) -> str:
    """One clause: which routes take the requests of this one if it were not there, or that nothing does."""
    route = lifted(document.routes[index])
    takers: list[Route] = []
    for rung in precedence(document):
        other = document.routes[rung.route]
        if rung.canary is not None or rung.route == index:
            continue
        form = lifted(other)
        if (form.tls is None) == (route.tls is None) and overlap(form, route):
            takers.append(form)
        if covers(form, route):
            break
    else:
        return "its requests meet 404" if not takers else f"its requests fall to {_names(takers, route)}, or meet 404"
    return f"its requests fall to {_names(takers, route)}"


def _names(takers: list[Route], route: Route) -> str:
    """The first three by name, and what the route asks for and they do not."""
    open_doors = [name for name in route.middlewares if any(name not in taker.middlewares for taker in takers)]
    names = " or ".join(repr(taker.name) for taker in takers[:3])
    return f"{names}, without {', '.join(map(repr, open_doors))}" if open_doors else names
