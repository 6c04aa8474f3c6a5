"""The case sheets on the other surfaces of a real Traefik: labels, by the stand-in of Docker's API, and objects and Ingresses, by a real
API server. What `helm-values` writes are the texts of the same objects.

The documents are those of the sheets, with a real server behind each server of theirs. Of containers there are as many as the sheet
has servers, each with an address of its own. In the cluster a service has one: the API server takes no address of loopback, so it is
an ExternalName to `localhost`; rows that speak of a second server are left to the other proxies. What a row says is worked out
by the decision core, of what the format can say of the document, as in `test_sheets.py`; what Traefik calls a variant is read
from its own reading, `/api/rawdata`, which is also held against what was meant. The instances have no ingress class, so the sheets'
is taken out, and entry points that do not speak TLS: where no route says `tls`, https rows are asked in plain HTTP.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

from pinfeather.model.decide import Request, State, Status, Table
from pinfeather.model.document import Document
from pinfeather.model.project import project
from pinfeather.model.services import LoadBalancer, Split
from pinfeather.proxy.cookies import Seal
from pinfeather.testing import checks, sheets
from pinfeather.testing.sheets import Row, Sheet
from pinfeather.testing.traefik import Json
from pinfeather.translators import builtin, traefik_file
from pinfeather.translators._syntax import yaml
from tests.parts.docker import DockerApi
from tests.parts.fixtures import StartTraefik
from tests.parts.kubernetes import KubernetesApi
from tests.parts.servers import Servers
from tests.real.playing import PASSWORD, Play, document_of, meet, target_of, tree_of
from tests.real.surfaces import POINTS, SHEETS, Cluster, Ingresses, Labels, Placed, Surface


@dataclass(frozen=True, slots=True)
class Values(Seal):
    """Cookie values as this Traefik makes them: of its own names of variants, and its URLs of servers."""

    called: Mapping[str, str] = field(default_factory=dict)

    def value(self, pool: str, binding: str) -> str:
        child = self.called.get(f"{pool}|{binding}", self.called.get(binding, binding))
        return hashlib.sha256(child.encode()).hexdigest()[:16]


# One sheet on one surface ------------------------------------------------------------------------------------------------


def place(surface: Surface, sheet: Sheet, servers: Servers) -> Placed:
    """The document of a sheet with real servers; TCP is left out, nothing here asks it."""
    assert sheet.document is not None
    tree = {key: value for key, value in tree_of(servers.placed(sheet.document.text)).items() if not key.startswith("tcp_")}
    services, routes = tree.get("services", {}), tree.get("routes", [])
    assert isinstance(services, dict)
    assert isinstance(routes, list)
    for route in routes:
        assert isinstance(route, dict)
        metadata = route.get("metadata")
        if isinstance(metadata, dict) and isinstance(annotations := metadata.get("annotations"), dict):
            annotations.pop("kubernetes.io/ingress.class", None)
        if isinstance(metadata, dict) and surface.name == "ingress":
            metadata.pop("namespace", None)
    keys: dict[str, str] = {}
    names: dict[str, str] = {}
    urls: dict[str, str] = {}
    down = {name for row in sheet.rows for _, name, _ in row.states}
    before = document_of(tree_of(sheet.document.text))
    for name, service in services.items():
        noun = before.services[name]
        if not isinstance(noun, LoadBalancer):
            continue
        assert isinstance(service, dict)
        made = [surface.server(name, index, servers) for index in range(len(noun.servers))]
        service["servers"] = [each[0] for each in made if each is not None]
        if "health_check" in service or name in down:
            service["health_check"] = {"path": "/healthz", "interval": "250ms", "timeout": "2s"}
        after = document_of({"pinfeather": "v1", "services": {"s": {"servers": service["servers"]}}}).services["s"]
        assert isinstance(after, LoadBalancer)
        there = [each for each in made if each is not None]
        for old, new, (_, url, called) in zip(noun.servers, after.servers, there, strict=False):
            keys[old.key] = new.key
            names[new.key], urls[new.key] = called, url
    return Placed(document_of(tree), keys, names, urls)


def serve(surface: Surface, sheet: Sheet, servers: Servers) -> Play:
    """Writes what the format can say of the sheet's document, and has it served."""
    placed = place(surface, sheet, servers)
    translator, options = builtin.load(surface.name), surface.options()
    kept = project(placed.document, translator.supports(options)).kept
    surface.serve(translator.emit(kept, options), placed)
    called = {**placed.urls, **dict(variants(surface, kept))}
    play = Play(servers, kept, Table.of(kept), Values(b"", True, called=called), True, surface.running.port)
    object.__setattr__(play, "names", placed.names)  # a cached property: the keys are no URLs here
    object.__setattr__(play, "placed", placed)
    return play


def services(surface: Surface) -> list[dict[str, Json]]:
    """Every service that Traefik has."""
    return [each for provider in surface.providers for each in surface.running.items("services", provider).values()]


def variants(surface: Surface, kept: Document) -> Iterator[tuple[str, str]]:
    """What Traefik calls the variants of each split, by the split's pool and our name of the variant."""
    splits = [(f"route:{each.name}", each) for each in kept.routes if each.split]
    more = [(f"service:{name}", each) for name, each in kept.services.items() if isinstance(each, Split)]
    shown = [each["weighted"] for each in services(surface) if "weighted" in each]
    for pool, split in (*splits, *more):
        if split.sticky is None or split.sticky.cookie is None:
            continue
        weights = [entry.weight for entry in split.split]
        for weighted in shown:
            assert isinstance(weighted, dict)
            sticky, children = weighted.get("sticky"), weighted["services"]
            assert isinstance(children, list)
            same = isinstance(sticky, dict) and sticky["cookie"]["name"] == split.sticky.cookie.name  # type: ignore[index,call-overload]
            if same and [child.get("weight", 0) for child in children if isinstance(child, dict)] == weights:
                yield from ((f"{pool}|{entry.to}", str(child["name"])) for entry, child in zip(split.split, children, strict=True))  # type: ignore[index,call-overload]


class Stage:
    """The surfaces, and the sheet that one of them serves now: two of them share the API server."""

    def __init__(self, servers: Servers, surfaces: Mapping[str, Surface]) -> None:
        self.servers = servers
        self.surfaces = surfaces
        self._served: tuple[str, Sheet, Play] | None = None

    def play(self, surface: str, sheet: Sheet) -> Play:
        if self._served is None or self._served[:2] != (surface, sheet):
            self.servers.down.clear()
            self._served = surface, sheet, serve(self.surfaces[surface], sheet, self.servers)
        return self._served[2]


@pytest.fixture(scope="module")
def stage(servers: Servers, docker: DockerApi, kubernetes_server: KubernetesApi, start_traefik: StartTraefik) -> Stage:
    kubernetes_server.delete_all()
    made: tuple[Surface, ...] = (
        Labels(docker, start_traefik),
        Cluster(kubernetes_server, start_traefik),
        Ingresses(kubernetes_server, start_traefik),
    )
    return Stage(servers, {each.name: each for each in made})


# What Traefik reads ------------------------------------------------------------------------------------------------------

SURFACES = ("docker-labels", "ingressroute", "ingress")
EACH = pytest.mark.parametrize("surface", SURFACES)


class Shown(NamedTuple):
    """A router, whatever it is called. `rule`: nothing where another one means the same."""

    rule: str
    priority: object
    entry_points: tuple[str, ...]
    tls: bool
    middlewares: int


def shown(item: Mapping[str, Json], *, ruled: bool) -> Shown:
    points, middlewares = item.get("entryPoints", ()), item.get("middlewares", ())
    assert isinstance(points, list | tuple)
    assert isinstance(middlewares, list | tuple)
    named = tuple(sorted(map(str, points))) or POINTS
    return Shown(str(item["rule"]) if ruled else "", item["priority"], named, "tls" in item, len(middlewares))


@EACH
@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.name)
def test_traefik_reads_what_was_meant(stage: Stage, surface: str, sheet: Sheet) -> None:
    play, on = stage.play(surface, sheet), stage.surfaces[surface]
    items = on.running.items("routers", on.providers[0])
    tree = traefik_file.file_tree(play.document)
    http = tree.get("http", {})
    assert isinstance(http, dict)
    routers = http.get("routers", {})
    assert isinstance(routers, dict)
    assert not [item for item in items.values() if item.get("status") != "enabled" or item.get("error")]
    ingress = surface == "ingress"  # a router a host there, and another spelling of the path
    hosts = {route.name: max(1, len(route.hosts)) if ingress else 1 for route in play.document.routes}
    meant = [shown(item, ruled=not ingress) for name, item in routers.items() if isinstance(item, dict) for _ in range(hosts.get(name, 1))]
    assert sorted(shown(item, ruled=not ingress) for item in items.values() if not is_mark(item)) == sorted(meant)


def is_mark(item: Mapping[str, Json]) -> bool:
    """Whether it is what the API server's fixture writes to see that Traefik has caught up."""
    return "mark-" in str(item.get("service"))


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.name)
def test_the_values_of_a_chart_hold_the_same_objects(sheet: Sheet) -> None:
    objects, values = builtin.load("ingressroute"), builtin.load("helm-values")
    document = checks.document_of(sheet)
    kept = project(document, objects.supports(objects.options())).kept
    assert kept == project(document, values.supports(values.options())).kept
    texts = tree_of(values.emit(kept, values.options()).files()[0].text)["customResources"]
    assert isinstance(texts, list)
    stream = "".join(file.text for file in objects.emit(kept, objects.options()).files())
    written = [each.value for each in yaml.read(stream, "stream", yaml.KUBERNETES) if each.value is not None]
    plain = [str(text).replace('{{ "{{" }}', "{{") for text in texts]
    assert [each.value for text in plain for each in yaml.read(text, "text", yaml.KUBERNETES)] == written


# What it does ------------------------------------------------------------------------------------------------------------


class Asked(NamedTuple):
    surface: str
    sheet: Sheet
    row: Row


def rows() -> list[Asked]:
    """Every row that a surface has servers for, but those with a draining one: nothing in labels or objects makes a server drain."""
    found = []
    for surface in SURFACES:
        for sheet in SHEETS:
            balancers = {name: each for name, each in checks.document_of(sheet).services.items() if isinstance(each, LoadBalancer)}
            here = {server.key for each in balancers.values() for server in each.servers[: None if surface == "docker-labels" else 1]}
            everywhere = {server.key for each in balancers.values() for server in each.servers}
            for row in sheet.rows:
                bound = set(row.request.bindings.values()) & everywhere
                first = surface == "docker-labels" or all(not index for _, _, index in row.states)
                checked = surface != "ingress" or not row.states  # an Ingress has no health checks
                if bound <= here and first and checked and all(status is not Status.DRAINING for status, _, _ in row.states):
                    found.append(Asked(surface, sheet, row))
    return found


def here(request: Request, row: Row, placed: Placed, kept: Document) -> tuple[Request, State]:
    """The row with the servers of this run."""
    bindings = {cookie: placed.keys.get(binding, binding) for cookie, binding in request.bindings.items()}
    states: dict[str, list[Status]] = {}
    for status, name, index in row.states:
        service = kept.services.get(name)
        if isinstance(service, LoadBalancer):
            assert service.health_check is not None, f"nobody would see that {name} is down"
            line = states.setdefault(name, [Status.UP] * len(service.servers))
            for at in range(len(line)) if index is None else (index,):
                line[at] = status
    tls = request.tls and any(route.tls is not None for route in kept.routes)
    return request._replace(bindings=bindings, tls=tls), State({name: tuple(line) for name, line in states.items()})


@pytest.mark.parametrize("asked", rows(), ids=lambda asked: f"{asked.surface}-{asked.sheet.name}-{asked.row.line + 1}")
def test_traefik_does_what_the_row_says(stage: Stage, asked: Asked) -> None:
    play, surface = stage.play(asked.surface, asked.sheet), stage.surfaces[asked.surface]
    placed = play.__dict__["placed"]
    assert isinstance(placed, Placed)
    client = sheets.request_of(stage.servers.placed(asked.row.text))[0].client
    request, state = here(asked.row.request._replace(client=client), asked.row, placed, play.document)
    stage.servers.down.clear()
    for name, line in state.servers.items():
        service = play.document.services[name]
        assert isinstance(service, LoadBalancer)
        stage.servers.down.update(
            placed.names[each.key] for each, status in zip(service.servers, line, strict=True) if status is not Status.UP
        )
    wanted = {placed.urls[key]: placed.names[key] not in stage.servers.down for key in placed.urls}
    surface.running.wait(lambda: settled(surface, wanted), f"the state {state}")
    guarded = any(each.basic_auth is not None for each in play.document.middlewares.values())
    for password in (None, PASSWORD) if guarded else (None,):
        meet(play, asked.sheet, request, target_of(asked.row.text), state, password)


def settled(surface: Surface, wanted: Mapping[str, bool]) -> bool:
    """Whether each server that Traefik checks is up or down as wanted."""
    for item in services(surface):
        balancer, status = item.get("loadBalancer"), item.get("serverStatus")
        checked = isinstance(balancer, dict) and "healthCheck" in balancer
        if checked and isinstance(status, dict) and any((state == "UP") is not wanted.get(url, True) for url, state in status.items()):
            return False
    return True
