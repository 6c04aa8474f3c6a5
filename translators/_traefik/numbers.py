"""The priorities that are written: the given ones where they keep the order, else all anew."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, combinations, pairwise, product

from pinfeather.model.document import Document
from pinfeather.model.match import PathMatch
from pinfeather.model.normal import Rung, alone, lifted, precedence, tcp_precedence
from pinfeather.model.noun import Template
from pinfeather.model.overlap import overlap
from pinfeather.model.routes import Route

_ROOT = PathMatch.model_construct(prefix="/")
_MANY = 200
"""Routes without a plain host that are still held against all others."""


def numbers(document: Document) -> dict[Rung, int]:
    """The priority that is written for each route and canary: the given ones where they keep the order, else all anew."""
    order = precedence(document)
    given = [_given(document, rung) for rung in order]
    numbers = [number for number in given if number]
    kept = len(numbers) == len(order) and all(one >= other for one, other in pairwise(numbers))
    if kept and (len(set(numbers)) == len(numbers) or (_steady(document, order) and not _tied(document, order, numbers))):
        return dict(zip(order, numbers, strict=True))
    return dict(zip(order, _descending(given), strict=True))


def _steady(document: Document, order: Sequence[Rung]) -> bool:
    """Whether the order is the same where a route without a path says `/`, as on a surface that has no rule without a path.

    Asked twice: such a surface may have another word for a choice of paths, and then only routes without one say `/`.
    """
    bare = [index for index, route in enumerate(document.routes) if route.path is None and lifted(route).path is None]
    empty = [index for index in bare if lifted(document.routes[index]).match is None]
    return all(_with_root(document, indices) == tuple(order) for indices in (bare, empty) if indices)


def _with_root(document: Document, indices: Sequence[int]) -> tuple[Rung, ...]:
    """The order where these routes say `/`."""
    routes = list(document.routes)
    for index in indices:
        routes[index] = routes[index].model_copy(update={"path": _ROOT})
    return precedence(document.model_copy(update={"routes": tuple(routes)}))


def _tied(document: Document, order: Sequence[Rung], numbers: Sequence[int]) -> bool:
    """Whether two of one number may hold for one request, so that Traefik would choose at random."""
    runs: dict[int, list[Route]] = {}
    for rung, number in zip(order, numbers, strict=True):
        route = document.routes[rung.route]
        single = route if rung.canary is None else alone(route, rung.canary)
        if single is None:
            return True
        runs.setdefault(number, []).append(single)
    return any(_overlapping(run) for run in runs.values() if len(run) > 1)


def _overlapping(routes: Sequence[Route]) -> bool:
    """Whether two of these routes overlap. Those with plain hosts are held against those of the same hosts only."""
    by_host: dict[str, list[Route]] = {}
    everywhere: list[Route] = []
    for route in routes:
        hosts = route.hosts or lifted(route).hosts
        plain = hosts and not any("*" in host or isinstance(host, Template) for host in hosts)
        if not plain:
            everywhere.append(route)
        for host in dict.fromkeys(hosts) if plain else ():
            by_host.setdefault(host, []).append(route)
    if len(everywhere) > _MANY:
        return True
    forms = [lifted(route) for route in everywhere]
    pairs = chain(
        (pair for among in by_host.values() if len(among) > 1 for pair in combinations(map(lifted, among), 2)),
        combinations(forms, 2),
        product(forms, (lifted(route) for among in by_host.values() for route in among) if forms else ()),
    )
    return any(overlap(one, other) for one, other in pairs)


def tcp_numbers(document: Document) -> dict[int, int]:
    """The same for the TCP routes, by index."""
    order = tcp_precedence(document.tcp_routes)
    given = [document.tcp_routes[index].priority for index in order]
    plain = [None if number is None or isinstance(number, Template) else int(number) for number in given]
    return dict(zip(order, _descending(plain), strict=True))


def _given(document: Document, rung: Rung) -> int | None:
    route = document.routes[rung.route]
    number = route.priority if rung.canary is None else route.canaries[rung.canary].priority
    return None if number is None or isinstance(number, Template) else int(number)


def _descending(given: Sequence[int | None]) -> list[int]:
    """Numbers from highest to lowest that hold every given one, if they can; none is 0, which Traefik takes for unset."""
    if all(number is None for number in given):
        return [10 * place for place in range(len(given), 0, -1)]
    out: list[int] = []
    for number in reversed(given):
        least = (out[-1] + 1 or 1) if out else 1
        if number is not None and (number == 0 or (out and number < least)):
            return [10 * place for place in range(len(given), 0, -1)]
        out.append(least if number is None else number)
    return out[::-1]
