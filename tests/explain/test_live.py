"""`explain --traefik`: a real Traefik is asked what it holds."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pinfeather import _live, _live_origins
from pinfeather._sources import UsageError
from pinfeather._traefik_api import Answers
from pinfeather.cli import main
from pinfeather.model.document import Document
from tests.parts.docker import Container, DockerApi
from tests.parts.fixtures import StartTraefik
from tests.parts.kubernetes import KubernetesApi
from tests.parts.processes import free_ports

FIRST = """\
http:
  routers:
    shop:
      rule: Host(`shop.example`)
      service: shop
      middlewares: [slim]
      priority: 100
    twin:
      rule: Host(`shop.example`) && PathPrefix(`/a`)
      service: other
      priority: 100
    never:
      rule: Host(`shop.example`) && Path(`/b`)
      service: other
      priority: 5
  services:
    shop: {weighted: {services: [{name: v1, weight: 3}, {name: v2, weight: 1}]}}
    v1: {loadBalancer: {servers: [{url: "http://127.0.0.1:1"}]}}
    v2: {loadBalancer: {servers: [{url: "http://127.0.0.1:2"}]}}
    other: {loadBalancer: {servers: [{url: "http://127.0.0.1:3"}]}}
  middlewares:
    slim: {compress: {}}
"""
BROKEN = """\
http:
  routers:
    lost:
      rule: Host(`lost.example`)
      service: nowhere
    half:
      rule: Host(`half.example`)
      service: noop@internal
      entryPoints: [web, nosuch]
tcp:
  routers:
    db:
      rule: HostSNI(`db.example`)
      service: db
      tls: {passthrough: true}
    gone:
      rule: HostSNI(`gone.example`)
      service: gone
      tls: {}
  services:
    db: {loadBalancer: {servers: [{address: "127.0.0.1:1"}, {address: "127.0.0.1:2"}]}}
"""


@pytest.fixture
def traefik(start_traefik: StartTraefik, tmp_path: Path) -> tuple[str, str]:
    """The address of the API of a Traefik that serves both, and a file that holds the first."""
    running = start_traefik({"first.yml": FIRST, "broken.yml": BROKEN}, ("web",), ())
    file = tmp_path / "first.yml"
    file.write_text(FIRST)
    return f"http://127.0.0.1:{running.port('traefik')}", str(file)


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(["explain", *words]) == code
    shown = capsys.readouterr()
    return shown.out if code == 0 else shown.err


def test_who_wins_and_who_does_not(capsys: pytest.CaptureFixture[str], traefik: tuple[str, str]) -> None:
    api, file = traefik
    text = said(capsys, "--traefik", api, "curl http://shop.example/")
    assert "  75 %  v1@file at http://127.0.0.1:1\n  25 %  v2@file at http://127.0.0.1:2\n" in text
    assert "slim@file (compress)" in text
    assert 'Note: lost@file is disabled, Traefik says: the service "nowhere@file" does not exist.' in text
    assert 'Note: half@file is used in part, Traefik says: entryPoint "nosuch" doesn\'t exist.' in text
    assert "Note: never@file is never reached: shop@file takes whatever it would take." in text
    assert "[services.shop@file.split.0]" in text
    assert "chance" not in text
    tied = said(capsys, "--traefik", api, "curl http://shop.example/a")
    assert "shop@file and twin@file have one priority: which of them takes it is chance" in tied or "twin@file and shop@file" in tied
    with_lines = said(capsys, file, "--traefik", api, "curl http://shop.example/")
    assert f"the route 'shop@file' holds   [{file}:4]" in with_lines
    assert "shop@file stands in none" not in with_lines


def test_a_router_that_no_file_has(capsys: pytest.CaptureFixture[str], traefik: tuple[str, str], tmp_path: Path) -> None:
    other = tmp_path / "other.yml"
    other.write_text(FIRST.replace("    twin:", "    thing:").replace("PathPrefix(`/a`)", "PathPrefix(`/c`)"))
    text = said(capsys, str(other), "--traefik", traefik[0], "curl http://shop.example/")
    assert "Note: twin@file stands in none of the files." in text


def test_a_router_that_a_file_has_otherwise(capsys: pytest.CaptureFixture[str], traefik: tuple[str, str], tmp_path: Path) -> None:
    other = tmp_path / "other.yml"
    other.write_text(FIRST.replace("Host(`shop.example`) && Path(`/b`)", "Host(`shop.example`) && Path(`/c`)"))
    text = said(capsys, str(other), "--traefik", traefik[0], "curl http://shop.example/")
    assert f"Note: never@file asks for something else than at {other}:13.\n" in text
    assert "shop@file asks for" not in text


def test_tcp_and_the_names_are_traefiks_in_json_too(capsys: pytest.CaptureFixture[str], traefik: tuple[str, str]) -> None:
    text = said(capsys, "--traefik", traefik[0], "tls://db.example --entry-point web")
    assert "  50 %  db@file at 127.0.0.1:1\n" in text
    assert "the TCP route 'db@file' holds" in text
    assert 'Note: gone@file is disabled, Traefik says: the service "gone@file" does not exist.' in text
    tree = json.loads(said(capsys, "--traefik", traefik[0], "curl http://shop.example/b", "--report", "json"))
    assert [lead["service"] for lead in tree["outcomes"]] == ["v1@file", "v2@file"]
    assert tree["middlewares"][0]["name"] == "slim@file"
    assert {lost["name"] for lost in tree["lost"] if "never" in lost["name"]} == {"route never@file"}


def test_the_port_of_the_url_says_the_entry_point(capsys: pytest.CaptureFixture[str], start_traefik: StartTraefik) -> None:
    second = "http:\n  routers:\n    other: {rule: 'Host(`shop.example`)', service: noop@internal, entryPoints: [other]}\n"
    running = start_traefik({"a.yml": second}, ("web", "other"), ())
    api = f"http://127.0.0.1:{running.port('traefik')}"
    assert "the route 'other@file' holds" in said(capsys, "--traefik", api, f"curl http://shop.example:{running.port('other')}/")
    assert "404: no route takes it" in said(capsys, "--traefik", api, f"curl http://shop.example:{running.port('web')}/")


LABELS = {
    "traefik.http.routers.blue.rule": "Host(`shop.example`) && PathPrefix(`/blue`)",
    "traefik.http.routers.blue.middlewares": "slim@file",
    "traefik.http.services.blue.loadbalancer.server.port": "80",
}
COMPOSE = "services:\n  blue:\n    image: blue\n    labels:\n" + "".join(f'      {name}: "{value}"\n' for name, value in LABELS.items())


def test_two_providers_at_once(capsys: pytest.CaptureFixture[str], start_traefik: StartTraefik, docker: DockerApi, tmp_path: Path) -> None:
    docker.run({"blue": Container(LABELS, "127.0.0.2", (80,))})
    running = start_traefik({"first.yml": FIRST}, ("web",), docker.arguments())
    docker.in_force(running)
    file, compose = tmp_path / "first.yml", tmp_path / "compose.yaml"
    file.write_text(FIRST)
    compose.write_text(COMPOSE)
    api = f"http://127.0.0.1:{running.port('traefik')}"
    low = said(capsys, str(file), str(compose), "--traefik", api, "curl http://shop.example/blue")
    assert f"the route 'shop@file' holds   [{file}:4]" in low
    assert f"  route blue@docker: the other one has a higher priority (100 to 43)   [{compose}:5]\n" in low
    assert "Note: blue@docker is never reached: shop@file takes whatever it would take.\n" in low
    assert "shop@file stands in none" not in low
    assert "blue@docker stands in none" not in low
    docker.run({"blue": Container({**LABELS, "traefik.http.routers.blue.priority": "200"}, "127.0.0.2", (80,))})
    docker.in_force(running)
    high = said(capsys, str(file), str(compose), "--traefik", api, "curl http://shop.example/blue")
    assert " 100 %  blue@docker at http://127.0.0.2:80\n" in high
    assert f"  slim@file (compress)   [{file}:22]\n" in high
    assert f"the route 'blue@docker' holds   [{compose}:5]" in high


OBJECTS = """\
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: shop, namespace: far}
spec:
  entryPoints: [web]
  routes:
    - match: Host(`shop.example`)
      kind: Rule
      priority: 10
      services: [{name: v1, port: 80}]
    - match: Host(`shop.example`) && HeaderRegexp(`Cookie`, `.*canary=v2.*`)
      kind: Rule
      priority: 100
      services: [{name: v2, port: 80}]
"""
BACKENDS = "".join(
    f"""\
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: far}}
spec: {{ports: [{{port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, namespace: far, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: "", port: 80}}]
endpoints: [{{addresses: [10.0.{number}.1], conditions: {{ready: true}}}}]
"""
    for number, name in enumerate(("v1", "v2"), 1)
)


def test_the_objects_of_a_cluster(
    capsys: pytest.CaptureFixture[str], kubernetes: KubernetesApi, start_traefik: StartTraefik, tmp_path: Path
) -> None:
    kubernetes.apply(OBJECTS + BACKENDS, "far")
    running = start_traefik({}, ("web",), kubernetes.arguments("kubernetescrd"))
    kubernetes.in_force(running)
    file = tmp_path / "objects.yaml"
    file.write_text(OBJECTS)
    api = f"http://127.0.0.1:{running.port('traefik')}"
    trap = said(capsys, str(file), "--traefik", api, "curl -b notcanary=v22 http://shop.example/")
    assert re.search(rf"the (route|canary) .*holds   \[{re.escape(str(file))}:11\]\n", trap)
    assert "at http://10.0.2.1:80\n" in trap
    assert "it found 'canary=v2' inside notcanary=v22." in trap
    assert re.search(rf"the other one has a higher priority \(100 to 10\)   \[{re.escape(str(file))}:7\]\n", trap)
    assert not re.search(r"far-shop-\S+@kubernetescrd stands in none", trap)


def test_an_older_traefik_has_its_own_syntax(capsys: pytest.CaptureFixture[str], start_traefik: StartTraefik) -> None:
    second = "http:\n  routers:\n    r: {rule: 'HostRegexp(`{x:[a-z]+}.shop.example`)', service: noop@internal}\n"
    running = start_traefik({"a.yml": second}, ("web",), (), "2.11")
    api = f"http://127.0.0.1:{running.port('traefik')}"
    assert "the route 'r@file' holds" in said(capsys, "--traefik", api, "curl http://a.shop.example/")
    assert "404: no route takes it" in said(capsys, "--traefik", api, "curl http://a.b.shop.example/")


def test_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    (port,) = free_ports(1)
    text = said(capsys, "--traefik", f"http://127.0.0.1:{port}", "curl http://x/", code=4)
    assert f"http://127.0.0.1:{port}/api/rawdata: no traefik answers" in text


def test_it_is_no_traefik(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ("ftp://x", "http://x:99999", "http://x:0", "http://", "http://a b/"):
        assert "write the address of Traefik's API" in said(capsys, "--traefik", wrong, "curl http://x/", code=2)
    assert "write it as 'NAME: VALUE'" in said(capsys, "--traefik", "http://x", "--traefik-header", "x", "curl http://x/", code=2)
    for raw in ([], {}, {"routers": 3}, {"routers": []}, "x", None):
        with pytest.raises(UsageError):
            _live.live(answers(raw))


def answers(raw: object, version: object = None, entry_points: object = None) -> Answers:
    return Answers("http://x", raw, version, entry_points)


PAGES: dict[str, tuple[int, dict[str, str], str, int, str]] = {
    "not JSON": (200, {}, "<html>", 2, "does not answer with JSON: this is no Traefik's API"),
    "deep": (200, {}, "[" * 100_000, 2, "does not answer with JSON"),
    "another JSON": (200, {}, '{"hello": "world"}', 2, "what answers is no Traefik's /api/rawdata"),
    "no such page": (404, {}, "", 2, "answers 404: name the entry point that serves its API"),
    "guarded": (401, {"WWW-Authenticate": "Basic"}, "", 2, "answers 401: say user:password@ in its address, or --traefik-header"),
    "elsewhere": (302, {"Location": "http://127.0.0.1:1/"}, "", 2, "answers 302: it sends us elsewhere"),
}


@pytest.mark.parametrize("page", PAGES)
def test_what_answers_otherwise(capsys: pytest.CaptureFixture[str], page: str) -> None:
    status, headers, body, code, message = PAGES[page]
    with answering(lambda _: (status, headers, body)) as api:
        assert message in said(capsys, "--traefik", api, "curl http://x/", code=code)


def test_credentials_go_with_the_request_and_nowhere_else(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Mapping[str, str]] = []

    def answer(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], str]:
        seen.append({"path": request.path, **{name.lower(): value for name, value in request.headers.items()}})
        return 200, {}, '{"routers": {}}'

    with answering(answer) as api:
        address = f"{api.replace('//', '//us%20er:p%40ss@')}/behind/"
        text = said(capsys, "--traefik", address, "--traefik-header", "X-Token: secret", "curl http://x/")
    assert [each["path"] for each in seen] == [f"/behind/api/{page}" for page in ("rawdata", "version", "entrypoints")]
    assert {each["authorization"] for each in seen} == {"Basic " + base64.b64encode(b"us er:p@ss").decode()}
    assert {each["x-token"] for each in seen} == {"secret"}
    assert "404: no route takes it" in text
    assert "p@ss" not in text
    assert "p%40ss" not in text


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler], tuple[int, dict[str, str], str]]) -> Iterator[str]:
    """A server on loopback that gives every request the same kind of answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answer(self)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


HOSTILE = (
    {"routers": {"a@file": {"rule": "Host(`", "service": "s", "priority": 1}}},
    {"routers": {"a": {"rule": 3}, "b@x": None}, "services": {"s@x": {"loadBalancer": {"servers": "no"}}}},
    {"routers": {"a@file": {"rule": "Host(`x`)", "service": ["s"], "middlewares": "m"}}, "services": {"a": []}},
    {"tcpRouters": {"a@file": {"rule": "HostSNI(`", "service": 3}}, "routers": {"": {}}},
)


@pytest.mark.parametrize("raw", HOSTILE)
def test_what_is_no_configuration_is_said_and_raises_nothing(raw: dict[str, object]) -> None:
    found = _live.live(answers(raw))
    assert found.parsed.document is not None or found.parsed.diagnostics


def test_who_is_tied_is_not_called_unreachable() -> None:
    services = {"s": {"servers": [{"url": "http://10.0.0.1:80"}]}}
    routes = [{"name": name, "hosts": ["a.example"], "to": "s", "priority": number} for name, number in (("a", 5), ("b", 5), ("c", 4))]
    routes.append({"name": "d", "hosts": ["*.example"], "to": "s", "priority": 6})
    routes.append({"name": "e", "hosts": ["b.example", "c.example"], "path": {"prefix": "/x"}, "to": "s", "priority": 2})
    made = Document.model_validate({"routes": routes[:3], "services": services})
    assert list(_live_origins.shadowed(made)) == [("c", "a")]
    more = Document.model_validate({"routes": routes, "services": services})
    assert list(_live_origins.shadowed(more)) == [("a", "d"), ("b", "d"), ("c", "d"), ("e", "d")]


def test_two_providers_may_call_two_things_alike() -> None:
    def router(host: str) -> dict[str, object]:
        return {"rule": f"Host(`{host}`)", "service": "s", "status": "enabled", "priority": 9, "using": ["web"], "entryPoints": ["web"]}

    def service(port: int) -> dict[str, object]:
        return {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{port}"}]}, "status": "enabled", "serverStatus": {}}

    raw = {
        "routers": {"r@file": router("a.example"), "r@docker": router("b.example"), "r-file@docker": router("c.example")},
        "services": {"s@file": service(1), "s@docker": service(2)},
    }
    found = _live.live(answers(raw))
    assert found.parsed.document is not None
    targets = {found.names[route.name]: found.names[str(route.to)] for route in found.parsed.document.routes}
    assert targets == {"r@file": "s@file", "r@docker": "s@docker", "r-file@docker": "s@docker"}
