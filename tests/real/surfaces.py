"""Ways into a real Traefik, and a document of a sheet with real servers behind it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from pinfeather.model.document import Document
from pinfeather.model.noun import Tree
from pinfeather.testing import checks, sheets
from pinfeather.testing.traefik import Traefik
from pinfeather.translators import builtin
from pinfeather.translators.contract import Emitted, KubernetesPatch, Options
from tests.parts.docker import Container, DockerApi
from tests.parts.fixtures import StartTraefik
from tests.parts.kubernetes import KubernetesApi
from tests.parts.servers import Servers
from tests.real.playing import tree_of

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


class Surface(Protocol):
    """One way into Traefik."""

    name: str
    providers: tuple[str, ...]
    """Its own, and then those that help it."""
    running: Traefik

    def options(self) -> Options: ...
    def server(self, service: str, index: int, servers: Servers) -> tuple[Tree, str, str] | None:
        """The server of a service, as a tree; its URL to Traefik; and its name."""

    def serve(self, emitted: Emitted, placed: Placed) -> None: ...


StartSurface = Callable[[str], Surface]


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

    def serve(self, emitted: Emitted, placed: Placed) -> None:
        """Runs a container for each service of the compose file; the other file is the file provider's."""
        files = emitted.files()
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

    def serve(self, emitted: Emitted, placed: Placed) -> None:
        self._kubernetes.delete_all()
        for file in emitted.files():
            if "kind:" in file.text:
                self._kubernetes.apply(file.text)
        self._kubernetes.in_force(self.running)


class Ingresses:
    """Ingresses of one namespace, in front of Services that somebody else has made; sheets' namespaces are taken out."""

    name = "ingress"
    providers = ("kubernetes", "kubernetescrd")

    def __init__(self, kubernetes: KubernetesApi, start: StartTraefik) -> None:
        self._kubernetes = kubernetes
        arguments = [*kubernetes.arguments("kubernetescrd"), *kubernetes.arguments("kubernetesingress", allowExternalNameServices=True)]
        self.running = start({}, POINTS, arguments)

    def options(self) -> Options:
        made = builtin.load(self.name).options()
        assert isinstance(made, Options)
        return made

    def server(self, service: str, index: int, servers: Servers) -> tuple[Tree, str, str] | None:
        if index:
            return None
        called = f"s-{hashlib.sha256(service.encode()).hexdigest()[:8]}"
        port = int(servers.at(called).rpartition(":")[2])
        return {"kubernetes": {"service": called, "port": port}}, f"http://localhost:{port}", called

    def serve(self, emitted: Emitted, placed: Placed) -> None:
        """The Services, what was written, and its patches to the Services."""
        self._kubernetes.delete_all()
        for key, called in placed.names.items():
            port = placed.urls[key].rpartition(":")[2]
            spec = f"spec: {{type: ExternalName, externalName: localhost, ports: [{{port: {port}}}]}}"
            self._kubernetes.apply(f"apiVersion: v1\nkind: Service\nmetadata: {{name: {called}}}\n{spec}\n")
        for artifact in emitted.artifacts:
            if isinstance(artifact, KubernetesPatch):
                assert isinstance(artifact.tree, dict)
                metadata = artifact.tree["metadata"]
                assert isinstance(metadata, dict)
                path = f"/api/v1/namespaces/default/services/{metadata['name']}"
                body = json.dumps({"metadata": {"annotations": metadata["annotations"]}})
                self._kubernetes.request("PATCH", path, body, "application/merge-patch+json")
            else:
                self._kubernetes.apply(Emitted((artifact,)).files()[0].text)
        self._kubernetes.in_force(self.running)
        self._kubernetes.in_force(self.running, "kubernetesingress")


def starting(docker: DockerApi, kubernetes: KubernetesApi, start: StartTraefik) -> StartSurface:
    """Each surface by its name, started when it is first asked for."""
    kubernetes.delete_all()
    made: dict[str, Surface] = {}

    def surface(name: str) -> Surface:
        if name not in made:
            made[name] = {
                "docker-labels": lambda: Labels(docker, start),
                "ingressroute": lambda: Cluster(kubernetes, start),
                "ingress": lambda: Ingresses(kubernetes, start),
            }[name]()
        return made[name]

    return surface
