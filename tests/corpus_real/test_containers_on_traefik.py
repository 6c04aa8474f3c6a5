"""The compose files of the corpus, and their like, as containers of a stand-in of Docker's API, on a real Traefik."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from pinfeather.model.services import Server, TcpServer
from pinfeather.testing.traefik import Traefik
from tests.corpus_real import containers
from tests.corpus_real.comparing import AS_DEFAULT, POINTS, compare
from tests.parts.docker import Container, DockerApi
from tests.parts.fixtures import StartTraefik
from tests.test_corpus import CORPUS, INDEX, Entry, param, taken

ELSEWHERE = Path(__file__).parent / "elsewhere.yml"
SHELL = "".join(f"{name}={value}\n" for name, value in containers.ENVIRONMENT.items())
LABELS = [param(entry) for entry in INDEX if entry.format == "docker-labels"]


@pytest.fixture(scope="module")
def running(docker: DockerApi, start_traefik: StartTraefik) -> Traefik:
    return start_traefik({"elsewhere.yml": ELSEWHERE.read_text("utf-8")}, POINTS, (*docker.arguments(exposedByDefault=False), *AS_DEFAULT))


@pytest.mark.parametrize("entry", LABELS)
def test_it_is_read_as_traefik_reads_it(running: Traefik, docker: DockerApi, entry: Entry) -> None:
    found = containers.containers(CORPUS / entry.path)
    docker.run({each.name: Container(each.labels, each.address, each.exposed, each.network) for each in found})
    docker.in_force(running)

    def address(server: Server | TcpServer) -> Iterable[str]:
        held = server.container
        assert held is not None, server
        return containers.urls(found, held.name, held.port, "tcp" if isinstance(server, TcpServer) else held.scheme)

    compare(taken(entry, env=SHELL), running.rawdata(), "docker", address)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a$$b", "a$b"),
        ("$${1}", "${1}"),
        ("x.${DOMAIN}", "x.example.com"),
        ("$DOMAIN/", "example.com/"),
        ("${DOMAIN:-other}", "example.com"),
        ("${NOBODY:-other}", "other"),
        ("${NOBODY-other}", "other"),
        ("${NOBODY}", ""),
        ("${DOMAIN:?say it}", "example.com"),
    ],
)
def test_variables_are_expanded_as_compose_does(text: str, value: str) -> None:
    assert containers.expand(text) == value
