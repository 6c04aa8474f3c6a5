"""The real API server: what it stores and refuses, and a real Traefik that reads from it."""

from __future__ import annotations

from textwrap import dedent

import pytest

from tests.parts.fixtures import StartTraefik
from tests.parts.kubernetes import ApiError, KubernetesApi
from tests.parts.servers import Servers

EXTERNAL = """\
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{type: ExternalName, externalName: localhost, ports: [{{port: {port}}}]}}
---
"""
ROUTE = """\
apiVersion: {group}/v1alpha1
kind: IngressRoute
metadata:
  name: shop
spec:
  entryPoints: [web]
  routes:
  - kind: Rule
    match: Host(`shop.test`)
    services:
    - {{name: v1, port: {port}, sticky: {{cookie: {{name: pin, httpOnly: true}}}}}}
"""
SLICE = """\
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: far}
spec: {ports: [{name: web, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-1, namespace: far, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
endpoints: [{addresses: [10.0.1.10]}, {addresses: [10.0.1.11]}]
ports: [{name: web, port: 8080}]
"""
INGRESS = """\
apiVersion: v1
kind: List
items:
- apiVersion: networking.k8s.io/v1
  kind: Ingress
  metadata: {name: shop, namespace: far, annotations: {traefik.ingress.kubernetes.io/router.entrypoints: web}}
  spec:
    rules:
    - host: shop.test
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}]}
"""
VOYAGER = """\
apiVersion: voyager.appscode.com/{version}
kind: Ingress
metadata: {{name: old}}
spec:
  rules:
  - host: shop.test
    http: {{paths: [{{path: /, backend: {backend}}}]}}
"""


@pytest.mark.parametrize("version", ["2.11", "3.0", "3.6", None])
def test_traefik_reads_an_ingress_route_and_serves_it(
    kubernetes: KubernetesApi, servers: Servers, traefik: StartTraefik, version: str | None
) -> None:
    _, _, port = servers.at("v1").partition(":")
    group = "traefik.containo.us" if version == "2.11" else "traefik.io"
    kubernetes.apply(EXTERNAL.format(name="v1", port=port) + ROUTE.format(port=port, group=group))
    running = traefik({}, arguments=kubernetes.arguments("kubernetescrd", allowExternalNameServices=True), version=version)
    kubernetes.in_force(running)
    (router,) = running.items("routers", "kubernetescrd").values()
    assert (router["rule"], router["entryPoints"], router["status"]) == ("Host(`shop.test`)", ["web"], "enabled")
    answer = running.request(host="shop.test")
    assert answer.all("X-Server") == ["v1"]
    assert answer.all("Set-Cookie")[0].startswith("pin=")


def test_traefik_catches_up_after_each_change(kubernetes: KubernetesApi, traefik: StartTraefik) -> None:
    running = traefik({}, arguments=[*kubernetes.arguments("kubernetescrd"), *kubernetes.arguments("kubernetesingress")])
    kubernetes.apply(SLICE + "---\n" + INGRESS)
    kubernetes.in_force(running, "kubernetesingress")
    (service,) = running.items("services", "kubernetes").values()
    assert [server["url"] for server in service["loadBalancer"]["servers"]] == ["http://10.0.1.10:8080", "http://10.0.1.11:8080"]  # type: ignore[index,call-overload,union-attr]
    kubernetes.delete_all()
    kubernetes.apply(ROUTE.format(port=80, group="traefik.io"))
    kubernetes.apply(SLICE.replace("far", "default").replace("name: shop", "name: v1").replace("service-name: shop", "service-name: v1"))
    kubernetes.in_force(running, "kubernetesingress")
    kubernetes.in_force(running)
    assert running.items("routers", "kubernetes") == {}
    assert len(running.items("routers", "kubernetescrd")) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ROUTE.format(port=80, group="traefik.io").replace("match:", "sticky: {}\n    match:"), "sticky: field not declared in schema"),
        (ROUTE.format(port=80, group="traefik.io").replace("match:", "mitch:"), "mitch: field not declared in schema"),
        (ROUTE.format(port=80, group="traefik.io").replace("name: pin", "name: pin, sameSite: Nope"), 'Unsupported value: "Nope"'),
        (ROUTE.format(port=80, group="traefik.io").replace("name: shop", "name: Shop"), "lowercase RFC 1123"),
        (ROUTE.format(port=80, group="traefik.io").replace("entryPoints:", "entryPoints: [web]\n  entryPoints:"), "entryPoints"),
        (ROUTE.format(port=80, group="traefik.io").replace("IngressRoute", "IngressRouter"), "no kind IngressRouter"),
        (SLICE.replace("10.0.1.10", "127.0.0.1"), "may not be in the loopback range"),
        (
            VOYAGER.format(version="v1", backend="{serviceName: a, servicePort: 80}"),
            "backend.service(Name|Port): field not declared in schema",
        ),
    ],
)
def test_what_no_schema_has_is_refused_in_the_server_s_words(kubernetes: KubernetesApi, text: str, words: str) -> None:
    with pytest.raises((ApiError, AssertionError), match=words):
        kubernetes.apply(text)


def test_both_versions_of_voyager_are_stored(kubernetes: KubernetesApi) -> None:
    for version, backend in (("v1", "{service: {name: a, port: {number: 80}}}"), ("v1beta1", "{serviceName: a, servicePort: 80}")):
        (made,) = kubernetes.apply(VOYAGER.format(version=version, backend=backend), "old")
        assert made["apiVersion"] == f"voyager.appscode.com/{version}"
        assert kubernetes.get("voyager.appscode.com/v1", "Ingress", "old", "old") is not None
        kubernetes.delete_all()
        assert kubernetes.get("voyager.appscode.com/v1", "Ingress", "old", "old") is None


def test_an_empty_stream_applies_nothing(kubernetes: KubernetesApi) -> None:
    assert kubernetes.apply(dedent("# nothing\n---\n---\n# still nothing\n")) == []
