"""A real Traefik reads paths, hosts, headers and queries as the decision core says: the same route, the same path forwarded."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pinfeather.model.decide import Request, State, Table, decide, normal_path
from pinfeather.model.document import Document
from pinfeather.testing.traefik import Traefik

RULES: tuple[tuple[str, str, object], ...] = (  # name, rule, condition; each asked before the next
    ("prefix", "PathPrefix(`/b/`)", {"path": {"prefix": "/b/"}}),
    ("slash", "PathPrefix(`/a%2Fb`)", {"path": {"prefix": "/a%2Fb"}}),
    ("space", "Path(`/sp ace`)", {"path": {"exact": "/sp ace"}}),
    ("encoded", "Path(`/sp%20ace`)", {"path": {"exact": "/sp%20ace"}}),
    ("umlaut", "Path(`/ü`)", {"path": {"exact": "/ü"}}),
    ("question", "Path(`/w%3Fx`)", {"path": {"exact": "/w%3Fx"}}),
    ("never", "Path(`/w?x`)", {"path": {"exact": "/w?x"}}),
    ("plus", "Path(`/pl+us`)", {"path": {"exact": "/pl+us"}}),
    ("regex", "PathRegexp(`^/p.q$`)", {"path": {"regex": "^/p.q$"}}),
    ("query", "Query(`s`, `1`)", {"query": {"name": "s", "value": "1"}}),
    ("key", "Query(`k y`, `a b`)", {"query": {"name": "k y", "value": "a b"}}),
    ("value", "Header(`X-A`, `ü`)", {"header": {"name": "X-A", "value": "ü"}}),
    ("joined", "Header(`X-B`, `a, b`)", {"header": {"name": "X-B", "value": "a, b"}}),
    ("one", "HeaderRegexp(`X-C`, `^.$`)", {"header": {"name": "X-C", "regex": "^.$"}}),
    ("pairs", "HeaderRegexp(`Cookie`, `^a=1; b=2$`)", {"header": {"name": "Cookie", "regex": "^a=1; b=2$"}}),
    ("host", "Header(`Host`, `named`)", {"header": {"name": "Host", "value": "named"}}),
    ("wild", "Host(`*.w.x`)", {"host": "*.w.x"}),
    ("dotted", "Host(`dot.x`)", {"host": "dot.x"}),
    ("found", "HostRegexp(`^re\\.x$`)", {"host_regex": "^re\\.x$"}),
    ("rest", "PathPrefix(`/`)", {"path": {"prefix": "/"}}),
)

PATHS = (
    *("/a/../b/", "/b/../..", "/..", "//a//b/", "/%61", "/a%2e%2e/b", "/a/%2e%2e/b/", "/a/%2E/b", "/a%2fb", "/a%2Fb", "/a/b"),
    *("/sp%20ace", "/%c3%bc", "/v%C3%BC", "/w%3fx", "/pl+us", "/pl%2Bus", "/%00", "/a%5Cb", "/a\\b", '/|"{}`^<>', "/x/.", "/x/..", "/x/./"),
    *("/x/y/..", "/x/...", "/a;b%3B", "/a%25b", "/a%2561", "/~a%7Eb", "/%2D%2d", "/!$&'()*@=", "/%21%24%40%3D", "/[]%5b%5D", "/%e9", "//"),
    *(
        "/%2F%2e%2e/b",
        "/a/..%2fb",
        "/a//../b",
        "/a/b/%2e%2e//c/",
        "/%2e%2e/%2e%2e/b",
        "/p%C3%BCq",
        "/p%FCq",
        "/p%0Aq",
        "/.well-known",
        "/a,%2C",
        "/a%2Fb|",
        "/a%2fb\\",
        '/x!|%2Fy%3F"%25*(%21)',
        "/a%2F..%2Fb/|",
        "/w%3fx/../w%3Fx<",
        "/a%2e%2e|/../b/",
        "/%2F|%2F/b",
        "/a%5B[]|",
    ),
)
QUERIES = ("y=1;s=1", "s=1;z", "k+y=a%20b", "k%20y=a+b", "a=%zz&s=1", "s=%zz", "s", "s=10")
FIELDS = (
    *((("x-a", "\xc3\xbc"),), (("x-a", "\xfc"),), (("x-b", "a, b"),), (("x-b", "a"), ("x-b", "b"))),
    *(
        (("x-c", "\xc3\xbc"),),
        (("x-c", "\xfc"),),
        (("x-c", "\xfc\xfc"),),
        (("cookie", "a=1; b=2"),),
        (("cookie", "a=1"), ("cookie", "b=2")),
    ),
)
HOSTS = ("named", "a.w.x", "A.W.x:80", "a.b.w.x", "w.x", "a.w.x.", "dot.x.", "dot.x..", "re.x.", "RE.x:90")

ASKED = (
    *((path, Request("h", normal_path(path))) for path in PATHS),
    *((f"/q?{query}", Request("h", "/q", query=query)) for query in QUERIES),
    *(("/f", Request("h", "/f", headers=fields)) for fields in FIELDS),
    *(("/h", Request(host, "/h")) for host in HOSTS),
)


class Echo(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = self.path.encode("latin-1")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def echo() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def ask(port: int, target: str, request: Request) -> tuple[str, str]:
    """The route that Traefik took, and the target that its server saw."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in request.headers)
    head = f"GET {target} HTTP/1.1\r\nHost: {request.host}\r\nConnection: close\r\n{fields}\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head.encode("latin-1"))
        with connection.makefile("rb") as stream:
            answer, _, body = stream.read().decode("latin-1").partition("\r\n\r\n")
    routes = [line[9:] for line in answer.split("\r\n") if line.lower().startswith("x-route: ")]
    assert len(routes) == 1, answer
    return routes[0], body


def test_traefik_takes_the_same_route_and_forwards_the_same_path(traefik: Callable[..., Traefik], echo: str) -> None:
    routers = {
        name: {"rule": rule, "service": "echo", "middlewares": [name], "priority": 100 - place}
        for place, (name, rule, _) in enumerate(RULES)
    }
    middlewares = {name: {"headers": {"customResponseHeaders": {"X-Route": name}}} for name, _, _ in RULES}
    services = {"echo": {"loadBalancer": {"servers": [{"url": echo}]}}}
    instance = traefik({"a.yml": json.dumps({"http": {"routers": routers, "middlewares": middlewares, "services": services}})})
    document = {
        "pinfeather": "v1",
        "routes": [{"name": name, "match": match, "priority": 100 - place, "to": "echo"} for place, (name, _, match) in enumerate(RULES)],
        "services": {"echo": {"servers": [{"url": echo}]}},
    }
    table = Table.of(Document.model_validate(document))
    ours, theirs = {}, {}
    for target, request in ASKED:
        what = (target, request.host, request.headers)
        query = f"?{request.query.replace(';', '&')}" if request.query else ""
        ours[what] = (decide(table, request, State(), 0).route, request.path + query)
        theirs[what] = ask(instance.port(), target, request)
    assert ours == theirs
    assert {route for route, _ in ours.values()} == {name for name, _, _ in RULES} - {"encoded", "never", "host"}
