"""The case sheets on the other surfaces of a real Traefik: labels, by the stand-in of Docker's API, and objects, by a real API server.

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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from pinfeather.model.decide import Request, State, Status, Table
from pinfeather.model.document import Document
from pinfeather.model.noun import Tree
from pinfeather.model.project import project
from pinfeather.model.services import LoadBalancer, Split
from pinfeather.proxy.cookies import Seal
from pinfeather.testing import checks, sheets
from pinfeather.testing.sheets import Row, Sheet
from pinfeather.testing.traefik import Json, Traefik
from pinfeather.translators import builtin, traefik_file
from pinfeather.translators.contract import Options, TextFile
from tests.parts.docker import Container, DockerApi
from tests.parts.fixtures import StartTraefik
from tests.parts.kubernetes import KubernetesApi
from tests.parts.servers import Servers
from tests.real.playing import PASSWORD, Play, document_of, meet, target_of, tree_of

SHEETS = [sheet for sheet in sheets.load(Path(__file__).parent.parent / "cases") if sheet.document is not None]
POINTS = tuple(
    sorted({"web", "websecure", *(point for sheet in SHEETS for route in checks.document_of(sheet).routes for point in route.entry_points)})
)


class Placed(NamedTuple):
    """A document with real servers, and what the keys of its servers were in the sheet."""

    document: Document
    keys: Mapping[str, str]
    """Server's key in the sheet -> its key here; what is not in it has no server here."""
    names: Mapping[str, str]
    """Server's key here -> what the server calls itself."""
    urls: Mapping[str, str]
    """Server's key here -> the URL that Traefik makes of it."""


@dataclass(frozen=True, slots=True)
class Values(Seal):
    """Cookie values as this Traefik makes them: of its own names of variants, and its URLs of servers."""

    called: Mapping[str, str] = field(default_factory=dict)

    def value(self, pool: str, binding: str) -> str:
        child = self.called.get(f"{pool}|{binding}", self.called.get(binding, binding))
        return hashlib.sha256(child.encode()).hexdigest()[:16]


class Surface(Protocol):
    """One way into Traefik."""

    name: str
    providers: tuple[str, ...]
    """Its own, and then those that help it."""
    running: Traefik

    def options(self) -> Options: ...
    def server(self, service: str, index: int, servers: Servers) -> tuple[Tree, str, str] | None:
        """The server of a service, as a tree; its URL to Traefik; and its name."""

    def serve(self, files: tuple[TextFile, ...], placed: Placed) -> None: ...


class Labels:
    name = "docker-labels"
    providers = ("docker", "file")

    def __init__(self, docker: DockerApi, start: StartTraefik) -> None:
        self._docker = docker
        self.running = start({"pinfeather.yml": ""}, POINTS, docker.arguments(exposedByDefault=False))
        self._places: dict[str, tuple[str, int]] = {}

    def options(self) -> Options:
        made = builtin.load(self.name).options()
        assert isinstance(made, Options)
        return made

    def server(self, service: str, index: int, servers: Servers) -> tuple[Tree, str, str] | None:
        called = f"c-{hashlib.sha256(service.encode()).hexdigest()[:8]}-{index}"
        address, _, port = servers.at(called).partition(":")
        self._places[called] = address, int(port)
        return {"container": {"name": called, "port": int(port)}}, f"http://{address}:{port}", called

    def serve(self, files: tuple[TextFile, ...], placed: Placed) -> None:
        """Runs a container for each service of the compose file; the other file is the file provider's."""
        containers: dict[str, Container] = {}
        companion = "".join(file.text for file in files if file.name == "pinfeather.yml")
        for file in files:
            services = tree_of(file.text).get("services") if file.name.startswith("compose") else None
            for name, service in (services if isinstance(services, dict) else {}).items():
                assert isinstance(service, dict)
                labels = service["labels"]
                assert isinstance(labels, list)
                pairs = (str(label).replace("$$", "$").partition("=") for label in labels)
                address, port = self._places[name]
                containers[name] = Container({key: value for key, _, value in pairs}, address, (port,))
        self._docker.run(containers)
        self._docker.in_force(self.running)
        self.running.write({"pinfeather.yml": companion})


class Cluster:
    name = "ingressroute"
    providers = ("kubernetescrd",)

    def __init__(self, kubernetes: KubernetesApi, start: StartTraefik) -> None:
        self._kubernetes = kubernetes
        self.running = start({}, POINTS, kubernetes.arguments("kubernetescrd", allowExternalNameServices=True))

    def options(self) -> Options:
        made = builtin.load(self.name).options.model_validate({"allow_external_name_services": True})
        assert isinstance(made, Options)
        return made

    def server(self, service: str, index: int, servers: Servers) -> tuple[Tree, str, str] | None:
        if index:
            return None
        called = f"s-{hashlib.sha256(service.encode()).hexdigest()[:8]}"
        url = f"http://localhost:{servers.at(called).rpartition(':')[2]}"
        return {"url": url}, url, called

    def serve(self, files: tuple[TextFile, ...], placed: Placed) -> None:
        self._kubernetes.delete_all()
        for file in files:
            if "kind:" in file.text:
                self._kubernetes.apply(file.text)
        self._kubernetes.in_force(self.running)


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
    surface.serve(translator.emit(kept, options).files(), placed)
    called = {**placed.urls, **dict(variants(surface, kept))}
    play = Play(servers, kept, Table.of(kept), Values(b"", True, called), True, surface.running.port)
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
    """The surfaces, each with the sheet that it serves now."""

    def __init__(self, servers: Servers, surfaces: Mapping[str, Surface]) -> None:
        self.servers = servers
        self.surfaces = surfaces
        self._served: dict[str, tuple[Sheet, Play]] = {}

    def play(self, surface: str, sheet: Sheet) -> Play:
        served = self._served.get(surface)
        if served is None or served[0] is not sheet:
            self.servers.down.clear()
            served = sheet, serve(self.surfaces[surface], sheet, self.servers)
            self._served[surface] = served
        return served[1]


@pytest.fixture(scope="module")
def stage(servers: Servers, docker: DockerApi, kubernetes_server: KubernetesApi, start_traefik: StartTraefik) -> Stage:
    kubernetes_server.delete_all()
    return Stage(servers, {"docker-labels": Labels(docker, start_traefik), "ingressroute": Cluster(kubernetes_server, start_traefik)})


# What Traefik reads ------------------------------------------------------------------------------------------------------

SURFACES = ("docker-labels", "ingressroute")
EACH = pytest.mark.parametrize("surface", SURFACES)


class Shown(NamedTuple):
    """A router, whatever it is called."""

    rule: str
    priority: object
    entry_points: tuple[str, ...]
    tls: bool
    middlewares: int


def shown(item: Mapping[str, Json]) -> Shown:
    points, middlewares = item.get("entryPoints", ()), item.get("middlewares", ())
    assert isinstance(points, list | tuple)
    assert isinstance(middlewares, list | tuple)
    named = tuple(sorted(map(str, points))) or POINTS
    return Shown(str(item["rule"]), item["priority"], named, "tls" in item, len(middlewares))


@EACH
@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.name)
def test_traefik_reads_what_was_meant(stage: Stage, surface: str, sheet: Sheet) -> None:
    play, on = stage.play(surface, sheet), stage.surfaces[surface]
    items = on.running.items("routers", on.providers[0])
    tree = traefik_file.file_tree(play.document)
    http = tree.get("http", {})
    assert isinstance(http, dict)
    meant = http.get("routers", {})
    assert isinstance(meant, dict)
    assert not [item for item in items.values() if item.get("status") != "enabled" or item.get("error")]
    assert sorted(map(shown, items.values())) == sorted(shown(item) for item in meant.values() if isinstance(item, dict))


# What it does ------------------------------------------------------------------------------------------------------------


class Asked(NamedTuple):
    surface: str
    sheet: Sheet
    row: Row


def rows() -> list[Asked]:
    """Every row but those with a draining server: nothing in labels or objects makes one drain."""
    found = []
    for surface in SURFACES:
        for sheet in SHEETS:
            found += [Asked(surface, sheet, row) for row in sheet.rows if all(status is not Status.DRAINING for status, _, _ in row.states)]
    return found


def here(request: Request, row: Row, placed: Placed, kept: Document) -> tuple[Request, State] | None:
    """The row with the servers of this run; None where it speaks of one that is not there."""
    bindings: dict[str, str] = {}
    for cookie, binding in request.bindings.items():
        if "://" in binding or binding.startswith(("kubernetes:", "container:")):
            if binding not in placed.keys:
                return None
            bindings[cookie] = placed.keys[binding]
        else:
            bindings[cookie] = binding
    states = {}
    for status, name, index in row.states:
        service = kept.services.get(name)
        if not isinstance(service, LoadBalancer) or (index is not None and index >= len(service.servers)) or service.health_check is None:
            return None
        line = states.setdefault(name, [Status.UP] * len(service.servers))
        for at in range(len(line)) if index is None else (index,):
            line[at] = status
    tls = request.tls and any(route.tls is not None for route in kept.routes)
    return replace(request, bindings=bindings, tls=tls), State({name: tuple(line) for name, line in states.items()})


@pytest.mark.parametrize("asked", rows(), ids=lambda asked: f"{asked.surface}-{asked.sheet.name}-{asked.row.line + 1}")
def test_traefik_does_what_the_row_says(stage: Stage, asked: Asked) -> None:
    play, surface = stage.play(asked.surface, asked.sheet), stage.surfaces[asked.surface]
    placed = play.__dict__["placed"]
    assert isinstance(placed, Placed)
    found = here(asked.row.request, asked.row, placed, play.document)
    if found is None:
        pytest.skip("the row speaks of a server, or of its health, that this surface does not have")
    request, state = found
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
