"""The stand-in of the Docker API with a real Traefik in front."""

from __future__ import annotations

import pytest

from tests.parts.docker import Container, DockerApi, SwarmService
from tests.parts.fixtures import StartTraefik
from tests.parts.servers import Servers

LABELS = {
    "traefik.http.routers.shop.rule": "Host(`shop.test`)",
    "com.docker.compose.project": "p",
    "com.docker.compose.service": "shop",
}


def place(servers: Servers, name: str) -> tuple[str, tuple[int, ...]]:
    address, _, port = servers.at(name).partition(":")
    return address, (int(port),)


@pytest.mark.parametrize("version", ["2.11", "3.0", None])
def test_two_containers_of_one_service_are_merged(docker: DockerApi, servers: Servers, traefik: StartTraefik, version: str | None) -> None:
    docker.run({name: Container(LABELS, *place(servers, name)) for name in ("a", "b")})
    running = traefik({}, arguments=docker.arguments(exposedByDefault=True), version=version)
    docker.in_force(running)
    assert list(running.items("routers", "docker")) == ["shop"]
    (service,) = running.items("services", "docker").values()
    urls = {f"http://{servers.at(name)}" for name in ("a", "b")}
    assert {server["url"] for server in service["loadBalancer"]["servers"]} == urls  # type: ignore[index,call-overload,union-attr]
    answers = [running.request(host="shop.test").all("X-Server")[0] for _ in range(4)]
    assert sorted(answers) == ["a", "a", "b", "b"]


def test_what_runs_changes(docker: DockerApi, servers: Servers, traefik: StartTraefik) -> None:
    docker.run({"a": Container(LABELS, *place(servers, "a")), "off": Container({"traefik.enable": "false"}, "127.0.0.1", (1,))})
    running = traefik({}, arguments=docker.arguments())
    docker.in_force(running)
    assert list(running.items("routers", "docker")) == ["shop"]
    docker.run({"c": Container({**LABELS, "traefik.http.routers.shop.rule": "Path(`/c`)"}, *place(servers, "c"))})
    docker.in_force(running)
    assert running.request("/c").all("X-Server") == ["c"]
    assert running.request(host="shop.test").status == 404


def test_a_service_of_a_swarm_has_a_server_for_each_task(docker: DockerApi, servers: Servers, traefik: StartTraefik) -> None:
    address, (port,) = place(servers, "a")
    labels = {**LABELS, "traefik.http.services.shop.loadbalancer.server.port": str(port)}
    docker.run(services={"shop": SwarmService(labels, (address,)), "idle": SwarmService({"traefik.enable": "false"})})
    running = traefik({}, arguments=docker.arguments("swarm"))
    docker.in_force(running, "swarm")
    assert list(running.items("services", "swarm")) == ["shop"]
    assert running.request(host="shop.test").all("X-Server") == ["a"]
