"""How a document becomes one Voyager Ingress: which routes Voyager can make itself, and which stand as rules in a frontend.

Voyager sorts the routes that it makes: exact hosts, then wildcards, then none; of one host the longer path first. What
stands in `frontendRules` comes before all of them, in its own order. So the last routes of the document's order that the
sort leaves as they are become Voyager's own, and all before them rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pinfeather.model.canary import SplitEntry
from pinfeather.model.document import Document, canary_name
from pinfeather.model.match import PathMatch, both
from pinfeather.model.metadata import Metadata
from pinfeather.model.normal import conditions, lift, precedence
from pinfeather.model.noun import Template
from pinfeather.model.routes import Route, TcpRoute, Tls
from pinfeather.model.services import Split
from pinfeather.model.sticky import Cookie
from pinfeather.translators._haproxy.rules import WORD, Asked, asked_of
from pinfeather.translators._syntax.kube import is_name

RESERVED = "pinfeather.invalid"
"""A host below this one makes Voyager render a backend that only rules use."""
_HOST = re.compile(r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_PATH = re.compile(r"/[A-Za-z0-9/_.:-]*")
"""Paths that may stand in the name of an ACL, where Voyager puts them."""
_EVERY_PATH = PathMatch.model_construct(prefix="/")
_PORT = re.compile(r"port-([1-9]\d{0,4})")
HTTP, HTTPS = 80, 443


class Draws(NamedTuple):
    """Where a split leads."""

    split: tuple[SplitEntry, ...]
    cookie: Cookie | None
    keeps: bool


class Step(NamedTuple):
    """A route or canary, in the document's order."""

    name: str
    hosts: tuple[str, ...]
    prefix: str | None
    asked: tuple[Asked, ...]
    plain: bool
    """Whether Voyager can make it: hosts and a prefix, to one service."""
    to: str | Draws
    points: tuple[str, ...]
    tls: Tls | None


# Ports -----------------------------------------------------------------------------------------------------------------


def mapping(text: str) -> dict[str, int]:
    """`web=80,websecure=443`. Raises ValueError."""
    found: dict[str, int] = {}
    for part in text.split(","):
        name, _, port = part.strip().partition("=")
        if not name or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536 or int(port) in found.values():
            raise ValueError(part)
        found[name] = int(port)
    return found


def carried(document: Document) -> bool:
    """Whether the document's own entry points can be written: each a port of its own."""
    ports = list(document.entry_points.values())
    plain = all(isinstance(port, int) for port in ports) and len(set(map(str, ports))) == len(ports)
    return plain and all(WORD.fullmatch(name) for name in document.entry_points)


class Ports:
    """Where each entry point listens: as the document says, else as the options do."""

    def __init__(self, document: Document, given: Mapping[str, int]) -> None:
        own = {name: port for name, port in document.entry_points.items() if isinstance(port, int)} if carried(document) else {}
        self._ports: Mapping[str, int] = own or given

    def of(self, name: str) -> int | None:
        found = _PORT.fullmatch(name)
        port = self._ports.get(name)
        if port is None and found is not None and int(found[1]) < 65536 and int(found[1]) not in self._ports.values():
            return int(found[1])
        return port

    def all(self, points: Sequence[str], *, tls: bool) -> list[tuple[int, int | None]]:
        """Each port, and its place among the entry points (from 1); one that was not named has none."""
        if not points:
            return [(HTTPS if tls else HTTP, None)]
        return [(port, place) for place, name in enumerate(points, 1) if (port := self.of(name)) is not None]


# Routes ----------------------------------------------------------------------------------------------------------------


def steps(document: Document) -> list[Step]:
    found: list[Step] = []
    for rung in precedence(document):
        route = document.routes[rung.route]
        canary = None if rung.canary is None else route.canaries[rung.canary]
        form = lift(both((*conditions(route), *((canary.when,) if canary is not None else ()))))
        if form.match is not None and form.path == _EVERY_PATH:
            form = form._replace(path=None)  # asks for nothing; as a canary of a route for every path it would not be read back
        asked = asked_of(form)
        assert asked is not None, "`project` has taken out what is nested"
        prefix = None if form.path is None else form.path.prefix
        to = _target(document, route) if canary is None else _service(document, canary.to)
        plain = form.match is None and (form.path is None or prefix is not None) and isinstance(to, str) and len(route.entry_points) < 2
        plain = plain and all(_HOST.fullmatch(host) for host in form.hosts) and (prefix is None or _PATH.fullmatch(prefix) is not None)
        name = route.name if rung.canary is None else canary_name(route, rung.canary)
        found.append(Step(name, form.hosts, prefix, asked, plain, to, route.entry_points, route.tls))
    return found


def _target(document: Document, route: Route) -> str | Draws:
    if route.to is not None:
        return _service(document, route.to)
    return Draws(route.split, route.sticky.cookie if route.sticky else None, route.weight_zero == "keep")


def _service(document: Document, name: str) -> str | Draws:
    service = document.services.get(name)
    if not isinstance(service, Split):
        return name
    return Draws(service.split, service.sticky.cookie if service.sticky else None, service.weight_zero == "keep")


def acl_name(path: str) -> str:
    """Voyager's name for a path: two paths of one name are one ACL to it."""
    return path.replace("/", "-")


class Place(NamedTuple):
    """Host (None: every host), path and port of a route that Voyager makes."""

    host: str | None
    path: str
    port: int


class Sorted:
    """Routes of Voyager's own, added from the last to the first: whether one more would come before those that are there."""

    def __init__(self) -> None:
        self._by_host: dict[tuple[int, str | None], list[str]] = {}

    def takes(self, place: Place) -> bool:
        same = self._by_host.get((place.port, place.host), ())
        if any(acl_name(path) == acl_name(place.path) or path.startswith(place.path) for path in same):
            return False
        if place.host is None or place.host.startswith("*"):
            # A host that is more exact than this one is asked before it, whatever the document says
            others = (host for port, host in self._by_host if port == place.port and host != place.host)
            mine = 2 if place.host is None else 1
            for host in others:
                if _rank(host) < mine and _covers(place.host, host):
                    below = self._by_host[place.port, host]
                    if any(path.startswith(place.path) or place.path.startswith(path) for path in below):
                        return False
        return True

    def add(self, place: Place) -> None:
        self._by_host.setdefault((place.port, place.host), []).append(place.path)


def _rank(host: str | None) -> int:
    return 2 if host is None else 1 if host.startswith("*") else 0


def _covers(wide: str | None, host: str | None) -> bool:
    return wide is None or (host is not None and host.endswith(wide[1:]))


def places(step: Step, ports: Ports) -> list[Place]:
    port = ports.all(step.points, tls=step.tls is not None)[0][0]
    return [Place(host, step.prefix or "", port) for host in step.hosts or (None,)]


def own_routes(found: Sequence[Step], ports: Ports) -> int:
    """How many steps from the end Voyager makes itself."""
    held = Sorted()
    for number, step in enumerate(reversed(found)):
        here = places(step, ports) if step.plain else []
        for place in reversed(here):
            if not held.takes(place):
                return number
            held.add(place)
        if not here:
            return number
    return len(found)


def default_names(found: Iterable[tuple[str | None, str]]) -> list[str]:
    """What routes without a name are called: after their host and path, with a number where that is taken."""
    return _numbered(f"{(host or 'any').replace('*', 'any')}{path}" for host, path in found)


def tcp_names(ports: Iterable[int]) -> list[str]:
    """The same for TCP: after their port."""
    return _numbered(f"tcp-{port}" for port in ports)


def _numbered(texts: Iterable[str]) -> list[str]:
    names: list[str] = []
    seen: set[str] = set()
    for text in texts:
        base = re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")
        number, name = 1, base
        while name in seen:
            number += 1
            name = f"{base}-{number}"
        seen.add(name)
        names.append(name)
    return names


# What hangs together ---------------------------------------------------------------------------------------------------


def namespace_of(document: Document) -> str | None:
    """The namespace of the Ingress: the one of all routes."""
    found = agreed(document, "namespace")
    return found if isinstance(found, str) and not isinstance(found, Template) and is_name(found) else None


def agreed(document: Document, field: str) -> object:
    """What all routes say in one field of their metadata, empty where they differ."""
    routes: tuple[Route | TcpRoute, ...] = (*document.routes, *document.tcp_routes)
    everyone = [route.metadata or Metadata() for route in routes]
    said = [getattr(each, field) for each in everyone]
    return said[0] if said and all(value == said[0] for value in said) else None
