"""New names for what a target names itself: every definition and every reference at once, so that nothing comes apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from pinfeather.model.canary import SplitEntry
from pinfeather.model.diagnostics import Diagnostic, Path, Severity
from pinfeather.model.document import Document, canary_name
from pinfeather.model.features import Derived, Feature, Support
from pinfeather.model.middlewares import Middleware
from pinfeather.model.noun import Noun
from pinfeather.model.routes import Route, TcpRoute
from pinfeather.model.services import LoadBalancer, Split, TcpSplit

Names = Mapping[str, Mapping[str, str]]
"""By section of the document (`routes`, `services`, `middlewares`, `tcp_...`): the old name and the new one."""

N = TypeVar("N", bound=Noun)
_NONE: Mapping[str, str] = {}


def rename(document: Document, names: Names) -> Document:
    """The same document under other names. The new names of a section must differ from each other and from those that stay."""
    if not any(names.values()):
        return document
    services, middlewares = names.get("services", _NONE), names.get("middlewares", _NONE)
    tcp_services, tcp_middlewares = names.get("tcp_services", _NONE), names.get("tcp_middlewares", _NONE)
    return document.model_copy(
        update={
            "routes": tuple(_route(route, names.get("routes", _NONE), services, middlewares) for route in document.routes),
            "services": _keys({name: _service(service, services, middlewares) for name, service in document.services.items()}, services),
            "middlewares": _keys({name: _middleware(each, middlewares) for name, each in document.middlewares.items()}, middlewares),
            "tcp_routes": tuple(
                _tcp_route(route, names.get("tcp_routes", _NONE), tcp_services, tcp_middlewares) for route in document.tcp_routes
            ),
            "tcp_services": _keys(
                {
                    name: service.model_copy(update={"split": _entries(service.split, tcp_services)})
                    if isinstance(service, TcpSplit)
                    else service
                    for name, service in document.tcp_services.items()
                },
                tcp_services,
            ),
            "tcp_middlewares": _keys(document.tcp_middlewares, tcp_middlewares),
        }
    )


def derive(
    document: Document, supports: Mapping[Feature, Support], origins: Mapping[str, Sequence[int]]
) -> tuple[Document, tuple[Diagnostic, ...]]:
    """The document under the names that the target makes, and what was said about each.

    `origins`: for `routes` and `tcp_routes`, where each stood in the document that the findings speak of.
    """
    names: dict[str, dict[str, str]] = {}
    found: list[Diagnostic] = []
    for feature, sections in _SECTIONS.items():
        support = supports.get(feature)
        if not isinstance(support, Derived):
            continue
        for section in sections:
            wanted = {name: (path, support.rule(document, path)) for name, path in _named(document, section)}
            taken = {name for name, (_, new) in wanted.items() if new == name}
            nouns = getattr(document, section) if support.merge and section not in origins else {}
            held = {name: nouns[name] for name in taken if name in nouns}
            for name, (path, base) in wanted.items():
                if base == name:
                    continue
                number, new = 1, base
                while new in taken and (name not in nouns or held.get(new) != nouns[name]):
                    number += 1
                    new = f"{base}-{number}"
                taken.add(new)
                held.setdefault(new, nouns.get(name))
                if new == name:
                    continue
                names.setdefault(section, {})[name] = new
                where = (section, origins[section][int(path[1])], *path[2:]) if section in origins else path
                said = f"the target makes its own names; {name!r} cannot be kept"
                found.append(Diagnostic(f"carried.{feature}", Severity.WARNING, said, where, f"it is called {new!r}"))
    return rename(document, names), tuple(found)


_SECTIONS = {
    Feature.ROUTE_NAME: ("routes", "tcp_routes"),
    Feature.SERVICE_NAME: ("services", "tcp_services"),
    Feature.MIDDLEWARE_NAME: ("middlewares", "tcp_middlewares"),
}


def _named(document: Document, section: str) -> Iterator[tuple[str, Path]]:
    """The names of a section; those of routes and of canaries are of one kind."""
    value = getattr(document, section)
    if isinstance(value, dict):
        yield from ((name, (section, name)) for name in value)
        return
    for index, route in enumerate(value):
        yield route.name, (section, index)
        for number in range(len(route.canaries) if isinstance(route, Route) else 0):
            yield canary_name(route, number), (section, index, "canaries", number)


def _keys(section: Mapping[str, N], names: Mapping[str, str]) -> dict[str, N]:
    return {names.get(name, name): value for name, value in section.items()}


def _all(references: tuple[str, ...], names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(names.get(reference, reference) for reference in references)


def _entries(split: tuple[SplitEntry, ...], names: Mapping[str, str]) -> tuple[SplitEntry, ...]:
    return tuple(entry.model_copy(update={"to": names.get(entry.to, entry.to)}) for entry in split)


def _route(route: Route, own: Mapping[str, str], services: Mapping[str, str], middlewares: Mapping[str, str]) -> Route:
    canaries = tuple(
        canary.model_copy(update={"to": services.get(canary.to, canary.to), "name": own.get(canary_name(route, number), canary.name)})
        for number, canary in enumerate(route.canaries)
    )
    return route.model_copy(
        update={
            "name": own.get(route.name, route.name),
            "to": None if route.to is None else services.get(route.to, route.to),
            "split": _entries(route.split, services),
            "canaries": canaries,
            "middlewares": _all(route.middlewares, middlewares),
        }
    )


def _tcp_route(route: TcpRoute, own: Mapping[str, str], services: Mapping[str, str], middlewares: Mapping[str, str]) -> TcpRoute:
    return route.model_copy(
        update={
            "name": own.get(route.name, route.name),
            "to": None if route.to is None else services.get(route.to, route.to),
            "split": _entries(route.split, services),
            "middlewares": _all(route.middlewares, middlewares),
        }
    )


def _service(service: LoadBalancer | Split, services: Mapping[str, str], middlewares: Mapping[str, str]) -> LoadBalancer | Split:
    passed = {"middlewares": _all(service.middlewares, middlewares)}
    if isinstance(service, Split):
        return service.model_copy(update={**passed, "split": _entries(service.split, services)})
    return service.model_copy(update=passed)


def _middleware(middleware: Middleware, names: Mapping[str, str]) -> Middleware:
    if middleware.chain is None:
        return middleware
    chain = middleware.chain.model_copy(update={"middlewares": _all(middleware.chain.middlewares, names)})
    return middleware.model_copy(update={"chain": chain})
