"""A network namespace with servers in it, each at an address of its own that is not loopback's.

The API server refuses loopback addresses in an EndpointSlice, and Traefik counts an address once, whatever its ports; so several servers of
one Service need several real addresses. Here they are at one end of a veth pair, inside a namespace (Linux, root, `ip` of iproute2), and
proxies reach them from the other end, outside. The addresses are of 198.18.0.0/15, which is kept for benchmarks (RFC 2544), or of 10.64.0.0/10:
of whichever no route of this machine leads to.

    python -m tests.parts.network_namespace shop-v1-a 198.18.4.2 8080      # one server, as it runs inside
"""

from __future__ import annotations

import ctypes
import ipaddress
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.parts.processes import PartError, Process
from tests.required import missing, skip_if_netns_is_left_out

ROOT = Path(__file__).resolve().parents[2]
RANGES = (ipaddress.IPv4Network("198.18.0.0/15"), ipaddress.IPv4Network("10.64.0.0/10"))
PREFIX = 26
"""Of one namespace's network: 61 servers."""
PORT = 8080
"""Of every server, as of the pods of one Deployment."""
ATTEMPTS = 8
_OURS = re.compile(r"pinfeather-(\d+)-\d+")
_NUMBERS = itertools.count(1)
_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


class NamespaceError(PartError):
    """This machine gives no network namespace. The message is `ip`'s own."""


class NamedServer:
    """A server in the namespace: a process, which may be stopped and started again at its address."""

    def __init__(self, name: str, host: str, command: Iterable[str], folder: Path) -> None:
        self.name = name
        self.host = host
        self.url = f"http://{host}:{PORT}"
        self._command = tuple(command)
        self._log = folder / f"{name}.log"
        self._process: Process | None = None

    def start(self) -> None:
        """Returns when it answers. Raises PartError."""
        process = self._process = Process(self._command, self._log, {"PYTHONPATH": str(ROOT)})
        process.wait(self._listens, f"listening at {self.url}")

    def stop(self) -> None:
        """Ends the process, and with it every connection; a second call does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Is stopped in the `with`, and answers again after it."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((self.host, PORT)) == 0


class NetworkNamespace:
    """The namespace, its veth pair and its servers; all of it goes at the end of the `with`. What runs that were killed have left goes first."""

    def __init__(self, folder: Path) -> None:
        """`folder` takes the servers' logs."""
        self.name = f"pinfeather-{os.getpid()}-{next(_NUMBERS)}"
        self.outside = ""
        """The end of the veth pair that is outside."""
        self._folder = folder
        self._free: Iterator[ipaddress.IPv4Address] = iter(())
        self._servers: dict[str, NamedServer] = {}
        self._made = ExitStack()

    def __enter__(self) -> Self:
        """Raises NamespaceError."""
        sweep()
        try:
            self._make()
        except BaseException:
            self._made.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._made.close()

    def server(self, name: str) -> NamedServer:
        """The server of this name, which it answers in `X-Server`; when it is first asked for it is started, at the next address."""
        if name not in self._servers:
            host = str(next(self._free))
            ip("-n", self.name, "address", "add", f"{host}/{PREFIX}", "dev", "inside")
            command = (*_inside(self.name), sys.executable, "-m", __name__, name, host, str(PORT))
            made = NamedServer(name, host, command, self._folder)
            self._made.callback(made.stop)
            made.start()
            self._servers[name] = made
        return self._servers[name]

    def _make(self) -> None:
        ip("netns", "add", self.name)
        self._made.callback(ip, "netns", "delete", self.name)
        network = self._linked()
        self._made.callback(ip, "link", "delete", self.outside)  # the namespace's end goes with it, and at once
        self._free = network.hosts()
        ip("address", "add", f"{next(self._free)}/{PREFIX}", "dev", self.outside)
        ip("link", "set", self.outside, "up")
        ip("-n", self.name, "link", "set", "lo", "up")
        ip("-n", self.name, "link", "set", "inside", "up")

    def _linked(self) -> ipaddress.IPv4Network:
        """Makes the pair, outside called after its network: so two runs side by side never take the same one."""
        for network in itertools.islice(_networks(), ATTEMPTS):
            self.outside = f"pf{int(network.network_address):08x}"
            try:
                ip("link", "add", self.outside, "type", "veth", "peer", "name", "inside", "netns", self.name)
            except NamespaceError as error:
                if "File exists" not in str(error):
                    raise
            else:
                return network
        raise NamespaceError(f"every network of {' and '.join(map(str, RANGES))} that was tried is taken")


def ip(*words: str) -> str:
    """What `ip` prints. Raises NamespaceError where it refuses."""
    done = subprocess.run([_program(), *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise NamespaceError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def namespaces() -> list[str]:
    """The names of ours, whoever made them."""
    return [word for line in ip("netns", "list").splitlines() if _OURS.fullmatch(word := line.split(" ")[0])]


def sweep() -> None:
    """Deletes the namespaces of ours whose maker is gone, with the processes that are still inside."""
    for name in namespaces():
        found = _OURS.fullmatch(name)
        assert found is not None
        if not _runs(int(found[1])):
            with suppress(NamespaceError, ProcessLookupError):  # a run beside this one may sweep, too
                for pid in ip("netns", "pids", name).split():
                    os.kill(int(pid), signal.SIGKILL)
                ip("netns", "delete", name)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _program() -> str:
    """Raises NamespaceError where there is no `ip`. Debian has it outside the PATH of who is not root."""
    found = shutil.which("ip", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
    if found is None:
        raise NamespaceError("the program ip is not here (the package iproute2 brings it)")
    return found


def _inside(name: str) -> tuple[str, ...]:
    """What a command in that namespace begins with."""
    return _program(), "netns", "exec", name


def _networks() -> Iterator[ipaddress.IPv4Network]:
    """Networks to which no route leads but the default, in an order of chance."""
    routes: list[dict[str, object]] = json.loads(ip("-json", "-4", "route", "show", "table", "all"))
    taken = [ipaddress.IPv4Network(str(one["dst"])) for one in routes if one["dst"] != "default"]
    taken = [one for one in taken if one.prefixlen > 1]  # two halves of everything are a default route, too
    for whole in RANGES:
        numbers = range(2 ** (PREFIX - whole.prefixlen))
        for number in random.SystemRandom().sample(numbers, len(numbers)):
            network = ipaddress.IPv4Network((int(whole.network_address) + (number << (32 - PREFIX)), PREFIX))
            if not any(network.overlaps(one) for one in taken):
                yield network


@pytest.fixture(scope="module")
def network_namespace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkNamespace]:
    """A network namespace, for all tests of a module; without root, or where the system gives none, they are skipped, or fail if it is required."""
    skip_if_netns_is_left_out()
    if os.geteuid() != 0:
        missing("root, for a network namespace,")
    with ExitStack() as running:
        try:
            made = running.enter_context(NetworkNamespace(tmp_path_factory.mktemp("namespace")))
        except NamespaceError as error:
            missing(f"a network namespace ({error})")
        yield made


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    name = ""

    def _answer(self) -> None:
        """In the words of `traefik/whoami`: who answers, and what was asked."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        lines = (f"Hostname: {self.name}", self.requestline, *(f"{key}: {value}" for key, value in self.headers.items()), "")
        body = "\n".join(lines).encode()
        self.send_response(200)
        self.send_header("X-Server", self.name)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def _serve(name: str, host: str, port: int) -> None:
    """Serves until a signal comes, or who started it is gone."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _Handler.name = name
    with _Server((host, port), _Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
