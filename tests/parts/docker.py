"""A stand-in for the API of the Docker engine, as far as Traefik's providers `docker` and `swarm` ask it. There is no Docker behind it.

It stands in for dockerd (API 1.24 to 1.51) with containers, or a swarm's services and tasks, that exist by their labels, addresses and ports alone.
A test gives them the addresses of its own servers on loopback; every 127.x.y.z is one on Linux.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self, TypeAlias
from urllib.parse import parse_qs, urlsplit

from pinfeather.testing.traefik import READY, Traefik

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
VERSION: dict[str, Json] = {"Version": "28.3.0", "ApiVersion": "1.51", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"}
NETWORK = "n" * 25
"""The id of the swarm's one network, `ingress`."""


@dataclass(frozen=True)
class Container:
    """What `docker inspect` says of a container, as far as Traefik looks."""

    labels: Mapping[str, str]
    address: str = ""
    """Its IP address in `network`."""
    ports: tuple[int | str, ...] = ()
    """What the image exposes: `80`, or `53/udp`."""
    network: str = "bridge"
    mode: str = "bridge"
    """`host` and `container:ID` are the others that Traefik knows."""
    status: str = "running"
    health: str = ""


@dataclass(frozen=True)
class SwarmService:
    """A service of a swarm with a running task at each address. There are no exposed ports: Traefik wants a label for the port."""

    labels: Mapping[str, str]
    addresses: tuple[str, ...] = ()
    virtual: str = ""
    """Its own address, for `traefik.swarm.lbswarm=true`."""


@dataclass
class _World:
    containers: Mapping[str, Container] = field(default_factory=dict)
    services: Mapping[str, SwarmService] = field(default_factory=dict)
    number: int = 0
    closed: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)


class DockerApi:
    """The stand-in on a port of its own. Use it in a `with`."""

    def __init__(self) -> None:
        self._world = _World()
        handler = type("Handler", (_Handler,), {"world": self._world})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.endpoint = f"tcp://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._world.changed:
            self._world.closed = True
            self._world.changed.notify_all()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def run(self, containers: Mapping[str, Container] | None = None, services: Mapping[str, SwarmService] | None = None) -> None:
        """From now on these containers, and these services of a swarm, are what there is; Traefik is told of an event."""
        with self._world.changed:
            self._world.containers = dict(containers or {})
            self._world.services = dict(services or {})
            self._world.number += 1
            self._world.changed.notify_all()

    def arguments(self, provider: str = "docker", **options: bool | str) -> list[str]:
        """The arguments with which a Traefik reads from here: `arguments(exposedByDefault=False)`, or `arguments("swarm")`."""
        quick = {"refreshSeconds": "100ms"} if provider == "swarm" else {}
        texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in {**quick, **options}.items()}
        flags = [f"--providers.{provider}.{name}={value}" for name, value in texts.items()]
        return [f"--providers.{provider}=true", f"--providers.{provider}.endpoint={self.endpoint}", *flags]

    def in_force(self, traefik: Traefik, provider: str = "docker") -> None:
        """Returns once Traefik has read what was given to `run` last, and serves it: one more container of ours says so."""
        name = f"{READY}{self._world.number}@{provider}"

        def seen(data: Mapping[str, Json]) -> bool:
            routers = data.get("routers")
            return isinstance(routers, dict) and name in routers

        traefik.until(seen, f"the router {name}")


class _Handler(BaseHTTPRequestHandler):
    world: _World
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._send(200, b"")

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path = re.sub(r"^/v\d+\.\d+(?=/)", "", url.path)
        if path == "/events":
            self._events()
            return
        with self.world.changed:
            found = self._found(path, parse_qs(url.query))
        if found is None:
            self._send(404, json.dumps({"message": f"no such page or container: {path}"}).encode())
        else:
            self._send(200, found if isinstance(found, bytes) else json.dumps(found).encode())

    def _found(self, path: str, query: Mapping[str, list[str]]) -> Json | bytes:
        # the mark has another name each time: who listed the containers before a change does not find it after
        containers = {**self.world.containers, f"{READY}container{self.world.number}": _mark(self.world.number)}
        services = {
            **self.world.services,
            f"{READY}service{self.world.number}": SwarmService(_mark(self.world.number).labels, ("127.0.0.1",)),
        }
        pages: dict[str, Json | bytes] = {
            "/_ping": b"OK",
            "/version": VERSION,
            "/containers/json": [_listed(name, one) for name, one in containers.items()],
            "/services": [_service(name, one) for name, one in services.items()],
            "/networks": [{"Id": NETWORK, "Name": "ingress", "Scope": "swarm", "Driver": "overlay"}],
            **{f"/containers/{_id(name)}/json": _inspected(name, one) for name, one in containers.items()},
        }
        if path == "/tasks":
            asked = json.loads(query["filters"][0])["service"]
            return [task for name, one in services.items() if _id(name) in asked for task in _tasks(name, one)]
        return pages.get(path)

    def _events(self) -> None:
        """Stays open, and tells of a started container whenever something has changed since the answer began."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        told = -1
        while True:
            with self.world.changed:
                while not self.world.closed and self.world.number == told:
                    self.world.changed.wait()
                if self.world.closed:
                    return
                told = self.world.number
            actor: Json = {"ID": "x", "Attributes": {}}
            event = {"Type": "container", "Action": "start", "status": "start", "id": "x", "Actor": actor, "time": 1, "timeNano": 1}
            line = json.dumps(event).encode() + b"\n"
            try:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            except OSError:  # the one who listened is gone
                return

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Api-Version", str(VERSION["ApiVersion"]))
        self.send_header("Ostype", "linux")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the requests are Traefik's."""


def _mark(number: int) -> Container:
    labels = {
        "traefik.enable": "true",
        f"traefik.http.routers.{READY}{number}.rule": f"Host(`{READY}{number}.invalid`)",
        f"traefik.http.routers.{READY}{number}.service": f"{READY}service",
        f"traefik.http.services.{READY}service.loadbalancer.server.port": "9",
    }
    return Container(labels, "127.0.0.1", (9,))


def _id(name: str) -> str:
    return name.encode().hex()


def _listed(name: str, one: Container) -> Json:
    return {"Id": _id(name), "Names": [f"/{name}"], "Labels": dict(one.labels), "State": one.status}


def _inspected(name: str, one: Container) -> Json:
    state: dict[str, Json] = {"Status": one.status, "Running": one.status == "running"}
    if one.health:
        state["Health"] = {"Status": one.health}
    ports: dict[str, Json] = {port if isinstance(port, str) else f"{port}/tcp": None for port in one.ports}
    network: dict[str, Json] = {"NetworkID": f"id-{one.network}", "IPAddress": one.address}
    return {
        "Id": _id(name),
        "Name": f"/{name}",
        "State": state,
        "HostConfig": {"NetworkMode": one.mode},
        "Config": {"Labels": dict(one.labels)},
        "NetworkSettings": {"Ports": ports, "Networks": {one.network: network} if one.address else {}},
    }


def _service(name: str, one: SwarmService) -> Json:
    virtual: list[Json] = [{"NetworkID": NETWORK, "Addr": f"{one.virtual}/8"}] if one.virtual else []
    spec: Json = {"Name": name, "Labels": dict(one.labels), "Mode": {"Replicated": {}}, "EndpointSpec": {"Mode": "vip"}}
    return {"ID": _id(name), "Spec": spec, "Endpoint": {"VirtualIPs": virtual}}


def _tasks(name: str, one: SwarmService) -> Iterable[Json]:
    for slot, address in enumerate(one.addresses, 1):
        attachment: Json = {"Network": {"ID": NETWORK}, "Addresses": [f"{address}/8"]}
        yield {
            "ID": f"{_id(name)}{slot}",
            "ServiceID": _id(name),
            "Slot": slot,
            "Status": {"State": "running"},
            "NetworksAttachments": [attachment],
        }
