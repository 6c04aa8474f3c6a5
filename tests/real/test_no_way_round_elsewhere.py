"""There is no way round a door in the other formats: labels, objects of a cluster and Ingresses on a real Traefik, Voyager's on HAProxy.

The document with every kind of door is converted, with its losses, and served through the format's own provider. Who may reach a server
is asked of the document as it was before the conversion: what a format cannot say may only close.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import pytest

from pinfeather.model.decide import Request
from pinfeather.model.document import Document
from pinfeather.model.noun import Tree
from pinfeather.model.project import project
from pinfeather.model.services import LoadBalancer
from pinfeather.translators import builtin, voyager
from tests.parts.servers import Servers
from tests.real.guards import SHOP, TRICKS, Probe, tricked
from tests.real.playing import document_of
from tests.real.surfaces import Placed, StartSurface, Surface
from tests.real.test_no_way_round import BASES, Core, password_of, send, ways_round, with_password
from tests.voyager.stage import Stage, StartHAProxy


class Says(Protocol):
    """What a document says of a request."""

    def reaches(self, request: Request) -> frozenset[str]: ...


class Served(NamedTuple):
    core: Says
    called: Mapping[str, str]
    """Service -> what its server calls itself."""
    port: int


OPEN: Mapping[str, tuple[tuple[str, str, str], ...]] = {  # host, path, service: with the right password
    "docker-labels": (
        ("a.test", "/", "site"),
        ("a.test", "/pub", "pub"),
        ("a.test", "/admin/in", "inside"),
        ("b.test", "/admin", "chained"),
    ),
    "ingressroute": (
        ("a.test", "/", "site"),
        ("a.test", "/pub", "pub"),
        ("a.test", "/admin/in", "inside"),
        ("b.test", "/admin", "chained"),
    ),
    "ingress": (("a.test", "/pub", "pub"), ("a.test", "/admin/in", "inside"), ("b.test", "/admin", "chained")),
}
"""What is not lost (an Ingress has no canaries, so `admin` goes, and `site`, which would get its requests): otherwise it would be no feat that nobody passes."""


def served(surface: Surface, servers: Servers, tree: dict[str, Tree], says: Callable[[Document], Says] = Core.of) -> Served:
    """The document, converted with its losses, on a real Traefik; a server of its own for each service that is no split."""
    services = tree["services"]
    assert isinstance(services, dict)
    made: dict[str, Tree] = {}
    names: dict[str, str] = {}
    urls: dict[str, str] = {}
    called: dict[str, str] = {}
    for name, service in services.items():
        assert isinstance(service, dict)
        if "split" in service:
            made[name] = service
            continue
        found = surface.server(name, 0, servers)
        assert found is not None
        server, url, called[name] = found
        made[name] = {**service, "servers": [server]}
        noun = document_of({"pinfeather": "v1", "services": {"s": {"servers": [server]}}}).services["s"]
        assert isinstance(noun, LoadBalancer)
        names[noun.servers[0].key], urls[noun.servers[0].key] = called[name], url
    document = document_of({**tree, "services": made})
    translator, options = builtin.load(surface.name), surface.options()
    kept = project(document, translator.supports(options)).kept
    surface.serve(translator.emit(kept, options), Placed(document, {}, names, urls))
    return Served(says(document), called, surface.running.port("web"))


@pytest.mark.parametrize("name", OPEN)
def test_every_trick_on_every_door(name: str, surfaces: StartSurface, servers: Servers) -> None:
    on = served(surfaces(name), servers, SHOP)
    wrong = [*not_open(on, servers, OPEN[name]), *(f"{trick}: {each}" for trick, each in past(on, servers))]
    assert not wrong, "\n".join(wrong)


UNLIKE = {
    *(f"path {path!r}" for path in ("/pub/..{p}", "/pub/../{p}", "/pub/%2e%2e{p}", "/pub/%2E%2E{p}", "/pub/.%2e{p}")),
    *(f"path {path!r}" for path in ("/pub;x/..{p}", "/pub/../pub/..{p}", "/pub/x/../..{p}", "{p}/..")),
    *(f"target {target!r}" for target in ("http://{h}:80{p}", "http://u@{h}{p}", "ftp://{h}{p}")),
    "host ('Host: {h},b.test',)",
}
"""HAProxy matches a path as it was sent, dots and all, where the model (and Traefik) brings it to one form first; it takes targets of other
schemes, and each part of a Host with a comma. So `/pub/../admin` gets to the server of `/pub`, which has no door, and never to another."""


def test_every_trick_on_every_door_of_voyager(haproxy: StartHAProxy, servers: Servers) -> None:
    """Voyager knows none of these middlewares: one route without a door is left, and whoever would get a closed one's requests is not."""
    services = SHOP["services"]
    assert isinstance(services, dict)
    made: dict[str, Tree] = {}
    for name, service in services.items():
        assert isinstance(service, dict)
        made[name] = {**service, "servers": [{"kubernetes": {"service": name, "port": 80}}]}
    document = document_of({**SHOP, "services": made})
    options = voyager.VoyagerOptions(secret="cert")
    kept = project(document, voyager.supports(options)).kept
    pods = {name: (f"{name}-0",) for name in made}
    stage = Stage(haproxy, servers, voyager.emit(kept, options).files()[0].text, pods)
    on = Served(Core.of(document), {name: f"{name}-0" for name in made}, stage.haproxy.port("web"))
    assert not [*not_open(on, servers, [("a.test", "/pub", "pub")])]
    found = [*past(on, servers)]
    assert {trick for trick, _ in found} == UNLIKE
    assert all("reaches 'pub-0' as" in each for _, each in found), found


def not_open(on: Served, servers: Servers, doors: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    for host, path, service in doors:
        servers.hits.clear()
        answer = send(on.port, with_password(Probe(host, path), password_of(path)).raw)
        if [hit.server for hit in servers.hits] != [on.called[service]]:
            yield f"{host}{path} reaches {[hit.server for hit in servers.hits]}, not {service!r}: {answer[:60]!r}"


def past(on: Served, servers: Servers) -> Iterator[tuple[str, str]]:
    """Tricks, and what they reached against what the source says."""
    for host, path in BASES:
        for trick in TRICKS:
            probe = tricked(Probe(host, path), [trick])
            found = ways_round(servers, on.port, probe, lambda request: frozenset(on.called[each] for each in on.core.reaches(request)))
            yield from ((str(trick), each) for each in found)
