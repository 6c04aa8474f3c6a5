"""What is written of the corpus for the file provider and for a cluster, on a real Traefik: it has the routers that were kept, and no other.

What the target cannot say has been taken out before, with its losses. Documents of stacks and folders say no namespace: each is
put into one of its own, so that all of them can be in the cluster at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from pinfeather.model.bind import bind
from pinfeather.model.document import Document
from pinfeather.model.metadata import Metadata
from pinfeather.model.project import project
from pinfeather.model.services import Server, TcpServer
from pinfeather.testing.traefik import Json, Traefik, TraefikError
from pinfeather.translators.contract import Parsed
from tests.corpus_real import cluster, containers
from tests.corpus_real.comparing import AS_DEFAULT, POINTS, compare
from tests.corpus_real.test_cluster_on_traefik import PROVIDERS
from tests.parts.docker import Container, DockerApi
from tests.parts.fixtures import StartTraefik
from tests.parts.kubernetes import KubernetesApi
from tests.test_corpus import FORMATS, INDEX, Entry, param, taken

EACH = [
    param(entry) for entry in INDEX if (entry.routers or entry.tcp) and entry.format in ("docker-labels", "ingressroute", "traefik-file")
]
HOMELESS = [entry for entry in INDEX if (entry.routers or entry.tcp) and entry.format in ("docker-labels", "traefik-file")]
EMPTY = "# nothing\n"
ELSEWHERE = {"elsewhere.yml": (Path(__file__).parent / "elsewhere.yml").read_text("utf-8")}
THINGS = {name: f"{name}@file" for part in yaml.safe_load(ELSEWHERE["elsewhere.yml"])["http"].values() for name in part}
"""What documents name and do not hold."""
NEAR = ("near.priority", "near.canary.priority")


class Kept(NamedTuple):
    """What a target can say of an entry, the texts in which it says it, and whether every priority kept its number."""

    document: Document
    files: dict[str, str]
    numbers: bool

    @property
    def text(self) -> str:
        return "".join(self.files.values())


def kept(entry: Entry, target: str, namespace: str | None = None) -> Kept:
    """What is written of an entry. `namespace`: where its routes and middlewares are to be."""
    document = taken(entry).document
    assert document is not None
    bound, wrong = bind(document, containers.ENVIRONMENT)
    assert bound is not None, wrong
    writer = FORMATS[target]
    made = project(bound if namespace is None else homed(bound, namespace), writer.supports(writer.options()))
    files = {file.name: file.text for file in writer.emit(made.kept, writer.options()).files()}
    return Kept(made.kept, files, all(finding.code not in NEAR for finding in made.diagnostics))


def homed(document: Document, namespace: str) -> Document:
    """The document with its routes and middlewares in a namespace."""
    home = {"metadata": Metadata(namespace=namespace)}
    lists = {name: tuple(each.model_copy(update=home) for each in getattr(document, name)) for name in ("routes", "tcp_routes")}
    tables = {
        section: {name: each.model_copy(update=home) for name, each in getattr(document, section).items()}
        for section in ("middlewares", "tcp_middlewares")
    }
    return document.model_copy(update={**lists, **tables})


@pytest.fixture(scope="module")
def file_provider(start_traefik: StartTraefik) -> Traefik:
    return start_traefik(ELSEWHERE, POINTS, AS_DEFAULT)


def refused(running: Traefik, files: Mapping[str, str]) -> str | None:
    """Writes the file for the file provider; why Traefik will not have it, and then it has an empty one."""
    text, held = files.get("pinfeather.yml", EMPTY), running.dynamic / "pinfeather.yml"
    if held.exists() and held.read_text("utf-8") == text:
        return None
    try:
        running.write({held.name: text})
    except TraefikError as why:
        running.write({"pinfeather.yml": EMPTY})
        return str(why)
    return None


@pytest.mark.parametrize("entry", EACH)
def test_the_file_provider_has_what_was_kept(file_provider: Traefik, entry: Entry) -> None:
    held = kept(entry, "traefik-file")

    def address(server: Server | TcpServer) -> Iterable[str]:
        found = server.url if isinstance(server, Server) else server.address
        assert found is not None, server
        return (found,)

    refusal = refused(file_provider, held.files)
    assert refusal is None, f"Traefik refuses what was written: {refusal}"
    compare(Parsed(held.document), file_provider.rawdata(), "file", address, numbers=held.numbers, elsewhere=THINGS)


@pytest.fixture(scope="module")
def daemon(docker: DockerApi, start_traefik: StartTraefik) -> Traefik:
    return start_traefik(ELSEWHERE, POINTS, (*docker.arguments(), *AS_DEFAULT))


@pytest.mark.parametrize("entry", EACH)
def test_labels_and_their_file_have_what_was_kept(daemon: Traefik, docker: DockerApi, entry: Entry) -> None:
    held = kept(entry, "docker-labels")
    texts = [text for name, text in held.files.items() if name.startswith("compose")]
    found = containers.placed(containers.of_compose(texts, "corpus")) if texts else []

    def address(server: Server | TcpServer) -> Iterable[str]:
        ref = server.container
        if ref is None:
            plain = server.url if isinstance(server, Server) else server.address
            assert plain is not None, server
            return (plain,)
        return containers.urls(found, ref.name, ref.port, "tcp" if isinstance(server, TcpServer) else ref.scheme)

    docker.run({each.name: Container(each.labels, each.address, each.exposed, each.network) for each in found})
    refusal = refused(daemon, held.files)
    assert refusal is None, f"Traefik refuses what was written: {refusal}"
    docker.in_force(daemon)
    compare(
        Parsed(held.document),
        daemon.rawdata(),
        "docker+file",
        address,
        numbers=held.numbers,
        elsewhere={**THINGS, "geoblock": "geoblock@docker"},
    )


class Held(NamedTuple):
    """One entry in the cluster."""

    kept: Kept
    namespace: str
    objects: list[cluster.Object]


class Filled(NamedTuple):
    """A cluster with what was written of every entry, and what Traefik makes of it."""

    raw: Mapping[str, Json]
    entries: Mapping[str, Held]


@pytest.fixture(scope="module")
def filled(kubernetes_server: KubernetesApi, start_traefik: StartTraefik) -> Mapping[str, Filled]:
    found = {}
    for target, (option, _) in PROVIDERS.items():
        kubernetes_server.delete_all()
        asked = dict.fromkeys((option, "kubernetescrd"))  # Middlewares are its objects
        options = [word for each in asked for word in kubernetes_server.arguments(each, allowExternalNameServices=True)]
        running = start_traefik(ELSEWHERE, POINTS, (*options, *AS_DEFAULT))
        entries = {}
        for number, entry in enumerate(each for each in HOMELESS if each.format in FORMATS):
            namespace = f"of{number}x"
            held = kept(entry, target, namespace)
            objects = cluster.completed(cluster.of_text(held.text, namespace)) if held.text else []
            for each in objects:
                kubernetes_server.apply(yaml.safe_dump(each))
            entries[entry.path] = Held(held, namespace, objects)
        for each in asked:
            kubernetes_server.in_force(running, each)
        found[target] = Filled(running.rawdata(), entries)
        running.stop()
    return found


@pytest.mark.parametrize("target", PROVIDERS)
@pytest.mark.parametrize("entry", [param(entry) for entry in HOMELESS])
def test_the_cluster_has_what_was_kept(filled: Mapping[str, Filled], entry: Entry, target: str) -> None:
    held = filled[target].entries[entry.path]

    def address(server: Server | TcpServer) -> Iterable[str]:
        ref = server.kubernetes
        if ref is None:
            found = server.url if isinstance(server, Server) else server.address
            assert found is not None, server
            return (found,)
        scheme = "tcp" if isinstance(server, TcpServer) else ref.scheme
        return cluster.urls(held.objects, str(ref.namespace or held.namespace), str(ref.service), ref.port, scheme)

    within = f"{held.namespace}-"
    compare(Parsed(held.kept.document), filled[target].raw, PROVIDERS[target][1], address, within=within, numbers=held.kept.numbers)
