"""What a Voyager Ingress means, on a real HAProxy: documents written by the format, rendered by our reading of the operator, and asked.

The expectation is the decision core's: which service, with which share, and which cookies, to the letter.
"""

from __future__ import annotations

import http.client
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pinfeather._convert import convert
from pinfeather.model.decide import Request, State, Table, outcomes
from pinfeather.model.document import Document
from pinfeather.translators import canonical, voyager
from pinfeather.translators.contract import Emitted, File, Source
from tests.parts.processes import PartError
from tests.parts.servers import Servers
from tests.voyager.stage import ASKED, Answer, Stage, StartHAProxy, compare, expected


def read(text: str) -> Document:
    parsed = voyager.parse(Source((File("stream.yaml", text),)), voyager.VoyagerOptions())
    assert parsed.document is not None, parsed.diagnostics
    return parsed.document


def written(text: str, **options: Any) -> tuple[Document, str]:
    """A canonical document in Voyager's words: what was kept, and the stream. Nothing may be lost."""
    source = Source((File("document.yaml", text),))
    made = convert(source, canonical.TRANSLATOR, voyager.TRANSLATOR, write_options=voyager.VoyagerOptions(**options))
    assert not made.refused, made.report.errors
    assert made.document is not None
    return made.document, Emitted(made.artifacts).files()[0].text


SHOP = """
pinfeather: v1
routes:
  - name: shop
    hosts: [shop.example.com]
    canaries:
      - {name: testers, when: {cookie: {name: canary, value: v2}}, to: shop-v2}
      - {when: {header: {name: X-Canary, value: always}}, to: shop-v2}
      - {when: {any: [{query: {name: v, value: "2"}}, {method: PURGE}]}, to: shop-v2}
    split: [{to: shop-v1, weight: 90}, {to: shop-v2, weight: 10}]
    sticky: {cookie: {name: shop_variant, max_age: 86400, secure: true, http_only: true, same_site: lax}}
  - {name: api, hosts: [shop.example.com], path: {prefix: /api}, to: api, priority: 5}
  - {name: deep, hosts: ["*.example.com"], to: api}
services:
  shop-v1:
    servers: [{kubernetes: {service: s1, port: 80}}]
    sticky: {cookie: {name: srv_v1, max_age: 3600, secure: true, http_only: true, same_site: none}}
  shop-v2:
    servers: [{kubernetes: {service: s2, port: 80}}]
    sticky: {cookie: {name: srv_v2, path: /x, domain: example.com}}
  api: {servers: [{kubernetes: {service: api, port: 80}}], sticky: {cookie: {name: SERVERID}}}
"""
PODS = {"s1": ("a1", "a2"), "s2": ("b1",), "api": ("c1",)}


def asks() -> Iterator[Request]:
    host = "shop.example.com"
    yield Request(host, "/")
    yield Request("SHOP.example.com:80", "/")
    yield Request(host, "/", headers=(("cookie", "a=b; canary=v2"),))
    yield Request(host, "/", headers=(("cookie", "notcanary=v2; canary=v22"),))
    yield Request(host, "/", headers=(("x-canary", "always"),))
    yield Request(host, "/", headers=(("x-canary", "always, or not"),))
    yield Request(host, "/", query="v=%32")
    yield Request(host, "/", query="w=2")
    yield Request(host, "/", method="PURGE")
    yield Request(host, "/api/x")
    yield Request(host, "/apiary", headers=(("cookie", "canary=v2"),))
    yield Request("other.example.com", "/")
    yield Request("elsewhere.org", "/")


@pytest.mark.parametrize("api", ["v1", "v1beta1"])
def test_canaries_weights_and_both_levels_of_stickiness(haproxy: StartHAProxy, servers: Servers, api: str) -> None:
    document, text = written(SHOP, api=api)
    stage = Stage(haproxy, servers, text, PODS)
    for request in asks():
        compare(stage, document, request, PODS)
    fresh = Request("shop.example.com", "/")
    for _ in range(40):  # who was drawn stays, with the variant and with the pod, and is told nothing new
        first = stage.ask(fresh)
        assert len(first.cookies) == 2
        assert {stage.again(fresh, first) for _ in range(4)} == {Answer(200, first.server, ())}


def test_a_bound_client_is_where_the_core_says(haproxy: StartHAProxy, servers: Servers) -> None:
    document, text = written(SHOP)
    stage = Stage(haproxy, servers, text, PODS)
    table = Table.of(document)
    for variant in ("shop-v1", "shop-v2", "nobody"):
        for path in ("/", "/api"):
            plain = Request("shop.example.com", path, headers=(("cookie", f"shop_variant={variant}"),), bindings={"shop_variant": variant})
            wanted = expected(outcomes(table, plain, State()), document, PODS)
            answers = {stage.ask(plain) for _ in range(ASKED if variant == "nobody" else 30)}
            assert {answer._replace(cookies=tuple(sorted(answer.cookies))) for answer in answers} == set(wanted)


@pytest.mark.parametrize(("keeps", "where"), [("keep", {"b1"}), ("drop", {"a1", "a2"})])
def test_weight_zero(haproxy: StartHAProxy, servers: Servers, keeps: str, where: set[str]) -> None:
    text = (
        SHOP.replace("weight: 90", "weight: 1")
        .replace("weight: 10", "weight: 0")
        .replace("    sticky: {cookie: {name: shop_variant", f"    weight_zero: {keeps}\n    sticky: {{cookie: {{name: shop_variant", 1)
    )
    document, made = written(text)
    stage = Stage(haproxy, servers, made, PODS)
    bound = Request("shop.example.com", "/", headers=(("cookie", "shop_variant=shop-v2"),), bindings={"shop_variant": "shop-v2"})
    assert {stage.ask(bound).server for _ in range(20)} == where
    assert {answer.server for answer in expected(outcomes(Table.of(document), bound, State()), document, PODS)} == where
    assert {stage.ask(Request("shop.example.com", "/")).server for _ in range(20)} == {"a1", "a2"}


def test_the_variant_cookie_is_left_alone_by_a_frontend_with_tls(haproxy: StartHAProxy, servers: Servers) -> None:
    """Voyager marks every cookie of a TLS port as Secure; ours come after that rule. A variant without pods sets none."""
    plain = SHOP.replace("max_age: 86400, secure: true, http_only: true, same_site: lax", "max_age: 60")
    secure = plain.replace("    split: [", "    tls: {secret: cert}\n    split: [", 1).replace(
        "to: api, priority: 5}", "to: api, priority: 5, tls: {secret: cert}}"
    )
    secure = secure.replace('hosts: ["*.example.com"], to: api}', 'hosts: ["*.example.com"], to: api, tls: {secret: cert}}')
    document, text = written(secure)
    stage = Stage(haproxy, servers, text, {**PODS, "s2": ()})
    assert r"replace-header Set-Cookie (.*) \1;\ Secure" in stage.configuration
    request = Request("shop.example.com", "/", entry_point="websecure", tls=True)
    compare(stage, document, request, {**PODS, "s2": ()})


SEED = """
apiVersion: voyager.appscode.com/v1beta1
kind: Ingress
metadata: {name: test-ingress, namespace: default, annotations: {NOTES}}
spec:
  rules:
    - host: foo.bar.com
      http: {paths: [{path: /admin, backend: {serviceName: s1, servicePort: '5050'}}, {path: /, backend: {serviceName: s1, servicePort: '80'}}]}
    - host: bar.foo.com
      http: {paths: [{backend: {serviceName: s2, servicePort: '80'}}]}
    - host: tcp.bar.com
      tcp: {port: '9898', backend: {serviceName: tcp-service, servicePort: '50077'}}
---
apiVersion: v1
kind: Service
metadata: {name: s1, namespace: default, annotations: {SERVICE}}
spec: {ports: [{port: 80}, {port: 5050}]}
"""
_PINNED = "ingress.appscode.com/affinity: cookie"
SEED_PODS = {"s1": ("a1", "a2"), "s2": ("b1", "b2"), "tcp-service": ("t1", "t2")}


@pytest.mark.parametrize(
    ("ingress", "service"),
    [
        ("", ""),
        (_PINNED, ""),
        ("", _PINNED),
        (f"{_PINNED}, ingress.appscode.com/session-cookie-name: MINE", f"{_PINNED}, ingress.appscode.com/session-cookie-name: OTHER"),
        (f"{_PINNED}, ingress.appscode.com/session-cookie-hash: md5", f"{_PINNED}, ingress.appscode.com/session-cookie-hash: index"),
        ("ingress.appscode.com/affinity: none", f"{_PINNED}, ingress.appscode.com/session-cookie-name: OTHER"),
        ("ingress.appscode.com/session-cookie-name: MINE", ""),
    ],
)
def test_affinity_of_the_ingress_and_of_the_service(haproxy: StartHAProxy, servers: Servers, ingress: str, service: str) -> None:
    """The seed: which backends are sticky, by which cookie, is read as HAProxy does it."""
    text = SEED.replace("NOTES", ingress).replace("SERVICE", service)
    document = read(text)
    stage = Stage(haproxy, servers, text, SEED_PODS)
    for host, path in (("foo.bar.com", "/admin/x"), ("foo.bar.com", "/"), ("bar.foo.com", "/")):
        way = outcomes(Table.of(document), Request(host, path), State()).parts[0].decision
        assert way.service is not None
        balancer = document.services[way.service]
        answers = [stage.ask(Request(host, path)) for _ in range(8)]
        names = {cookie.partition("=")[0] for answer in answers for cookie in answer.cookies}
        assert names == ({balancer.sticky.cookie.name} if balancer.sticky and balancer.sticky.cookie else set())
        if names and balancer.sticky is not None and balancer.sticky.cookie is not None:
            values = {cookie.partition("=")[2] for answer in answers for cookie in answer.cookies}
            length = {"md5": len("==; path=/") + 22, "index": len("1; path=/"), None: len("pod-a1; path=/")}[balancer.sticky.cookie.hash]
            assert {len(value) for value in values} == {length}
            assert {stage.again(Request(host, path), answers[0]).server for _ in range(8)} == {answers[0].server}
        else:
            assert len({answer.server for answer in answers}) == 2
    pinned = document.tcp_services["tcp-service"].sticky is not None  # type: ignore[union-attr]
    assert len({connected(stage, "127.0.0.9") for _ in range(8)}) == (1 if pinned else 2)


def connected(stage: Stage, client: str) -> str:
    """Which server a TCP connection of this address reaches; the servers speak HTTP."""
    with socket.create_connection(("127.0.0.1", stage.haproxy.port("tcp")), 10, (client, 0)) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            head += stream.recv(4096)
    found = re.search(rb"X-Server: (\S+)", head)
    assert found is not None
    return found[1].decode()


def test_tcp_clients_stay_by_their_address(haproxy: StartHAProxy, servers: Servers) -> None:
    text = SEED.replace("NOTES", _PINNED).replace("SERVICE", "")
    stage = Stage(haproxy, servers, text, SEED_PODS)
    clients = [f"127.0.0.{number}" for number in range(2, 10)]  # whoever looked whether it listens came from .1
    first = {client: connected(stage, client) for client in clients}
    assert set(first.values()) == {"t1", "t2"}
    assert {client: connected(stage, client) for client in clients for _ in range(3)} == first
    _, again = written(canonical.emit(read(text), canonical.CanonicalOptions()).files()[0].text)
    stage = Stage(haproxy, servers, again, SEED_PODS)
    assert "stick on src" in stage.configuration
    assert {len({connected(stage, client) for _ in range(4)}) for client in clients} == {1}


COLLISION = """
apiVersion: voyager.appscode.com/v1
kind: Ingress
metadata: {name: shop}
spec:
  rules:
    - host: foo.bar.com
      http:
        paths:
          - {path: /a/b, backend: {service: {name: s1, port: {number: 80}}}}
          - {path: /a-b, backend: {service: {name: s2, port: {number: 80}}}}
          - {path: /a, backend: {service: {name: s3, port: {number: 80}}}}
"""


def test_two_paths_of_one_acl_are_refused_and_never_written(haproxy: StartHAProxy, servers: Servers) -> None:
    pods = {"s1": ("a1",), "s2": ("b1",), "s3": ("c1",)}
    stage = Stage(haproxy, servers, COLLISION, pods)
    assert [stage.ask(Request("foo.bar.com", path)).server for path in ("/a/b", "/a-b", "/a")] == ["a1", "a1", "c1"]
    parsed = voyager.parse(Source((File("x.yaml", COLLISION),)), voyager.VoyagerOptions())
    (found,) = [each for each in parsed.diagnostics if each.code == "lint.collision"]
    assert found.span is not None
    assert found.span.line == 11
    routes = "".join(
        f"  - {{name: r{at}, hosts: [foo.bar.com], path: {{prefix: {path}}}, to: s{at}}}\n"
        for at, path in enumerate(("/a/b", "/a-b", "/a"), 1)
    )
    services = "".join(f"  s{at}: {{servers: [{{kubernetes: {{service: s{at}, port: 80}}}}]}}\n" for at in (1, 2, 3))
    document, text = written(f"pinfeather: v1\nroutes:\n{routes}services:\n{services}")
    stage = Stage(haproxy, servers, text, pods)
    for path in ("/a/b", "/a/b/c", "/a-b", "/a-bc", "/a", "/abc", "/"):
        compare(stage, document, Request("foo.bar.com", path), pods)


def test_a_backend_that_nothing_defines_stops_everything(haproxy: StartHAProxy, servers: Servers) -> None:
    rule = "spec:\n  frontendRules: [{port: 80, rules: [acl x path_beg /z, use_backend gone if x]}]"
    text = COLLISION.replace("spec:", rule, 1).replace("/a-b", "/c")
    with pytest.raises(PartError, match="unable to find required use_backend: 'gone'"):
        Stage(haproxy, servers, text, {})
    parsed = voyager.parse(Source((File("x.yaml", text),)), voyager.VoyagerOptions())
    assert "input.reference" in {str(each.code) for each in parsed.diagnostics}, parsed.diagnostics
    twice = COLLISION.replace("backend: {service", "backend: {name: one, service")
    with pytest.raises(PartError, match="has the same name"):
        Stage(haproxy, servers, twice, {})
    parsed = voyager.parse(Source((File("x.yaml", twice),)), voyager.VoyagerOptions())
    assert [each.code for each in parsed.diagnostics].count("lint.collision") >= 2


CHECKED = """
pinfeather: v1
routes: [{name: app, hosts: [app.example.com], to: app, middlewares: [safe]}]
services:
  app:
    servers: [{url: "http://10.1.0.1:80"}, {url: "http://10.1.0.2:80"}]
    sticky: {cookie: {name: srv, secure: false}}
    health_check: {path: /healthz, interval: 100ms, timeout: 2s}
middlewares:
  safe: {headers: {response: {Strict-Transport-Security: max-age=31536000, X-Server-Name: ""}}}
"""


def test_a_server_that_fails_its_checks_loses_its_clients(haproxy: StartHAProxy, servers: Servers) -> None:
    document, text = written(CHECKED)
    assert document == read(text).model_copy(update={"routes": document.routes})
    stage = Stage(haproxy, servers, text, {})
    request = Request("app.example.com", "/")
    first = stage.ask(request)
    assert first.cookies == (f"srv=pod-{first.server.partition(':')[0]}; path=/",)
    assert {stage.again(request, first).server for _ in range(5)} == {first.server}
    servers.down.add(first.server)
    deadline = time.monotonic() + 20
    while (second := stage.again(request, first)).server == first.server:
        assert time.monotonic() < deadline, "the server is still asked"
    assert (second.status, len(second.cookies)) == (200, 1)
    connection = http.client.HTTPConnection("127.0.0.1", stage.haproxy.port(), timeout=10)
    connection.request("GET", "/", headers={"Host": "app.example.com"})
    assert connection.getresponse().getheader("Strict-Transport-Security") == "max-age=31536000"
    connection.close()


def test_a_dead_pod_without_checks_keeps_its_clients(haproxy: StartHAProxy, servers: Servers) -> None:
    """What the docs say of it: 503, and no other pod is asked."""
    text = SEED.replace("NOTES", _PINNED).replace("SERVICE", "")
    stage = Stage(haproxy, servers, text, {**SEED_PODS, "s1": ("a1",)})
    configuration = stage.configuration.replace("    server pod-a1", "    server pod-gone 127.0.0.1:1 cookie pod-gone\n    server pod-a1")
    stage.haproxy = haproxy(configuration, sorted(set(re.findall(r"\$\{(\w+)\}", configuration))))
    assert stage.ask(Request("foo.bar.com", "/", headers=(("cookie", "SERVERID=pod-gone"),))).status == 503
    assert stage.ask(Request("foo.bar.com", "/", headers=(("cookie", "SERVERID=pod-a1"),))).server == "a1"
