"""There is no way round the doors of the corpus: files as people have them, converted and served, on plain HTTP and without a password.

Of each file of `tests/corpus` that has a door (a password, an address list, an asked server, a redirect to HTTPS) the routes are kept with
their conditions and middlewares; entry points and TLS are taken away, so that a plain request meets them, and each service is a server
of ours. Who may reach a server is asked of the document before it is converted.

Files that take a middleware of another provider are left out: Traefik (3.7.15) forgets a router of which a middleware is missing, and
another router takes its requests, which the source has in common with what is written of it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest

from pinfeather._convert import read
from pinfeather.model.decide import Request, State, Table, UndecidedError, outcomes
from pinfeather.model.document import Document
from pinfeather.model.middlewares import Middleware
from pinfeather.model.noun import Tree
from pinfeather.testing.probes import probes
from tests.parts.servers import Servers
from tests.real.conftest import StartReference, StartTraefik
from tests.real.guards import NOTHING, TRICKS, Probe, tricked
from tests.real.playing import document_of, tree_of
from tests.real.surfaces import StartSurface
from tests.real.test_no_way_round import FILE, Pair, placed, ways_round, written
from tests.real.test_no_way_round_elsewhere import served
from tests.test_corpus import INDEX, Entry, options_of, translator_of

CLIENT = ipaddress.ip_address("127.0.0.1")
USER = "u:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="
NOBODY = "http://127.0.0.1:1/"  # where a server would be asked
PLACES = 3
"""Hosts and paths of a document that are tried, in the order of its routes."""
EVERY = 6
"""A file meets each sixth trick, another one the next sixth."""


class Doors(NamedTuple):
    """Which services of a document a stranger may reach. What is no door lets anybody pass."""

    document: Document
    table: Table

    @classmethod
    def of(cls, document: Document) -> Doors:
        return cls(document, Table.of(document))

    def reaches(self, request: Request) -> frozenset[str]:
        return frozenset(
            decision.service
            for _, _, decision in outcomes(self.table, request, State()).parts
            if decision.service is not None and decision.status == 200 and not self.closed(decision.middlewares)
        )

    def closed(self, names: Sequence[str]) -> bool:
        """Whether one of these lets no stranger pass."""
        said = False
        for middleware in self._flat(names):
            if self._closes(middleware, said=said):
                return True
            # A redirect behind it may believe that the client came by HTTPS.
            said |= middleware.other is not None or "x-forwarded-proto" in map(
                str.lower, middleware.headers.request if middleware.headers is not None else ()
            )
        return False

    def _closes(self, middleware: Middleware, *, said: bool) -> bool:
        addresses = middleware.ip_allow_list
        if addresses is not None:
            inside = any(CLIENT in ipaddress.ip_network(text, strict=False) for text in addresses.source_ranges)
            return not inside and addresses.depth is None  # a depth believes what a client says
        if middleware.redirect_scheme is not None:
            return not said
        return middleware.basic_auth is not None or middleware.forward_auth is not None

    def _flat(self, names: Sequence[str]) -> Iterator[Middleware]:
        for name in names:
            middleware = self.document.middlewares[name]
            if middleware.chain is None:
                yield middleware
            else:
                yield from self._flat(middleware.chain.middlewares)


def plain(entry: Entry) -> dict[str, Tree] | None:
    """The file as a document whose doors a plain request meets, its services without servers; None where it has no door."""
    found = read(entry.source(), translator_of(entry), options_of(entry, {})).document if entry.routers else None
    if found is None:
        return None
    if any("@" in name for route in found.routes for name in route.middlewares):
        return None
    text = written("pinfeather", found)
    elsewhere = {name for route in found.routes for name in route.targets if "@" in name}
    for name in elsewhere:
        text = text.replace(name, name.replace("@", "-at-"))
    tree = tree_of(text)
    services = {name: service if "split" in service else {} for name, service in _of(tree, "services")}
    services |= {name.replace("@", "-at-"): {} for name in elsewhere}
    routes = tree["routes"]
    assert isinstance(routes, list)
    kept = [{key: value for key, value in each.items() if key not in ("entry_points", "tls")} for each in routes if isinstance(each, dict)]
    middlewares = {name: _at_hand(it) for name, it in _of(tree, "middlewares")}
    return {"pinfeather": "v1", "routes": kept, "services": services, "middlewares": middlewares}


def _at_hand(middleware: dict[str, Tree]) -> dict[str, Tree]:
    """The same without what is not here: a server to be asked, a file of users."""
    asks = middleware.get("basic_auth")
    if isinstance(asks, dict) and "users_file" in asks:
        return {"basic_auth": {"users": [USER], **{key: value for key, value in asks.items() if key != "users_file"}}}
    return {"forward_auth": {"address": NOBODY}} if "forward_auth" in middleware else middleware


def _of(tree: dict[str, Tree], key: str) -> Iterator[tuple[str, dict[str, Tree]]]:
    found = tree.get(key, {})
    assert isinstance(found, dict)
    for name, value in found.items():
        assert isinstance(value, dict)
        yield name, value


def guarded(tree: dict[str, Tree]) -> bool:
    """Whether a route has a door; not where a value is missing, since nobody can tell then who meets it."""
    served = {name: service if "split" in service else {"servers": [{"url": NOBODY}]} for name, service in _of(tree, "services")}
    try:
        doors = Doors.of(document_of({**tree, "services": served}))
    except UndecidedError:
        return False
    return any(doors.closed(route.middlewares) for route in doors.document.routes)


def places(document: Document) -> Iterator[Probe]:
    """Where the routes of a document can be met."""
    found = dict.fromkeys((request.host, request.path) for request, _ in probes(document, 60))
    yield from (Probe(host, path) for host, path in list(found)[:PLACES])


TREES = {entry.path: tree for entry in INDEX if (tree := plain(entry)) is not None and guarded(tree)}
GUARDED = pytest.mark.parametrize("path", TREES)


def ways(on: Doors, path: str) -> Iterator[Probe]:
    """The probes that a file meets: each place as it is, and every sixth trick on it."""
    first = list(TREES).index(path) % EVERY
    for place in places(on.document):
        yield place
        yield from (tricked(place, [trick]) for trick in list(TRICKS)[first::EVERY])


def test_there_are_doors() -> None:
    assert len(TREES) >= 19


@pytest.fixture(scope="module")
def pair(servers: Servers, start_traefik: StartTraefik, start_reference: StartReference) -> Pair:
    nothing = written("pinfeather", placed(servers, NOTHING))
    return Pair(servers, start_traefik({FILE: ""}, ("web",)), start_reference(nothing, ("web",)))


@GUARDED
def test_on_files_and_on_the_reference_proxy(path: str, pair: Pair) -> None:
    document = placed(pair.servers, TREES[path])
    pair.serve(document)
    on = Doors.of(document)
    wrong = [
        f"{name}: {each}"
        for name, port in pair.ports.items()
        for probe in ways(on, path)
        for each in ways_round(pair.servers, port, probe, on.reaches)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ["docker-labels", "ingressroute", "ingress"])
@GUARDED
def test_in_other_formats(path: str, name: str, surfaces: StartSurface, servers: Servers) -> None:
    """With their losses: what a format cannot say may only close."""
    on = served(surfaces(name), servers, TREES[path], Doors.of)
    assert isinstance(on.core, Doors)
    wrong = [
        each
        for probe in ways(on.core, path)
        for each in ways_round(servers, on.port, probe, lambda request: frozenset(on.called[each] for each in on.core.reaches(request)))
    ]
    assert not wrong, "\n".join(wrong)
