"""`ingressroute` held against a real API server and a real Traefik: what is written is taken and means what was meant, and what is
said to be dropped is dropped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from textwrap import dedent

import pytest

from pinfeather.model.build import build
from pinfeather.model.diagnostics import Severity
from pinfeather.model.document import Document
from pinfeather.model.noun import Tree
from pinfeather.model.project import project
from pinfeather.testing.traefik import Json
from pinfeather.translators.contract import File, Source
from pinfeather.translators.ingressroute import TRANSLATOR, IngressRouteOptions
from tests.parts.fixtures import StartTraefik
from tests.parts.kubernetes import KubernetesApi
from tests.parts.servers import Servers

NAMINGS = pytest.mark.parametrize("safe", [False, True], ids=["legacy", "safe"])


def document_of(tree: Tree) -> Document:
    assert isinstance(tree, dict)
    document, faults = build({"pinfeather": "v1", **tree})
    assert document is not None, faults
    return document


def written(tree: Tree, options: IngressRouteOptions) -> str:
    """The stream for a document of which nothing may be lost."""
    projection = project(document_of(tree), TRANSLATOR.supports(options))
    assert not [finding for finding in projection.diagnostics if finding.code.startswith("loss.")], projection.diagnostics
    return TRANSLATOR.emit(projection.kept, options).files()[0].text


def said(text: str, options: IngressRouteOptions) -> list[str]:
    found = TRANSLATOR.parse(Source((File("a.yaml", text),)), options).diagnostics
    return [str(finding.code) for finding in found if finding.severity is not Severity.INFO]


def by_rule(routers: Mapping[str, Json]) -> Iterator[tuple[str, dict[str, Json]]]:
    for router in routers.values():
        assert isinstance(router, dict)
        if ".invalid" not in str(router["rule"]):  # those of the fixture itself
            yield str(router["rule"]), router


SHOP: Tree = {
    "routes": [
        {
            "name": "shop",
            "hosts": ["shop.test"],
            "entry_points": ["web"],
            "middlewares": ["both"],
            "canaries": [{"when": {"header": {"name": "X-Canary", "value": "always"}}, "to": "v2"}],
            "split": [{"to": "v1", "weight": 9}, {"to": "v2", "weight": 1}],
            "sticky": {"cookie": {"name": "variant", "http_only": True}},
            "metadata": {"namespace": "far", "labels": {"team": "shop"}},
        },
        {
            "name": "plain",
            "hosts": ["plain.test"],
            "split": [{"to": "v1", "weight": 0}, {"to": "spare", "weight": 3}],
            "tls": {"options": "strict"},
            "metadata": {"namespace": "far"},
        },
    ],
    "services": {
        "v1": {
            "servers": [{"url": "http://10.0.1.1:8080"}, {"url": "http://10.0.1.2:8080"}, {"url": "http://[2001:db8::1]:9090"}],
            "sticky": {"cookie": {"name": "pin", "secure": True, "same_site": "none"}},
            "servers_transport": "trust",
            "pass_host_header": False,
        },
        "v2": {"servers": [{"url": "https://10.0.2.1:443"}], "strategy": "leasttime"},
        "spare": {"servers": [{"url": "h2c://10.0.3.1:443"}], "flush_interval": "1s"},
    },
    "middlewares": {
        "door": {"basic_auth": {"users": ["a:{SHA}qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", "b:{SHA}qZk+NkcGgWq6PiVxeFDCbJzQ2J0="]}},
        "slim": {"compress": {}},
        "wait": {"rate_limit": {"average": 10, "period": "60s"}},
        "both": {"chain": {"middlewares": ["door", "slim", "wait"]}},
    },
    "tls_options": {"strict": {"min_version": "VersionTLS12", "sni_strict": True}},
    "servers_transports": {"trust": {"insecureSkipVerify": True}},
    "tcp_routes": [
        {"name": "db", "sni": ["db.test"], "tls": {"passthrough": True, "terminate": False}, "to": "db", "metadata": {"namespace": "far"}},
    ],
    "tcp_services": {"db": {"servers": [{"address": "10.0.4.1:5432"}, {"address": "10.0.4.2:5432"}], "proxy_protocol": 2}},
}


@NAMINGS
def test_what_is_written_is_what_was_meant(kubernetes: KubernetesApi, traefik: StartTraefik, safe: bool) -> None:
    options = IngressRouteOptions(safe_naming=safe)
    kubernetes.apply(written(SHOP, options))
    running = traefik({}, ("web", "websecure"), kubernetes.arguments("kubernetescrd", safeNaming=safe))
    kubernetes.in_force(running)
    routers = dict(by_rule(running.items("routers", "kubernetescrd")))
    assert {rule: (router["status"], router["priority"]) for rule, router in routers.items()} == {
        "Host(`shop.test`) && Header(`X-Canary`, `always`)": ("enabled", 30),
        "Host(`shop.test`)": ("enabled", 20),
        "Host(`plain.test`)": ("enabled", 10),
    }
    joint = "_" if safe else "-"
    for rule in ("Host(`shop.test`)", "Host(`shop.test`) && Header(`X-Canary`, `always`)"):
        assert routers[rule]["middlewares"] == [f"far{joint}both@kubernetescrd"]
        assert routers[rule]["entryPoints"] == ["web"]
    assert routers["Host(`plain.test`)"]["tls"] == {"options": f"far{joint}strict"}
    services = running.items("services", "kubernetescrd")
    split = services[f"far{joint}shop-split"]["weighted"]
    assert isinstance(split, dict)
    assert split["sticky"]["cookie"]["name"] == "variant"  # type: ignore[index,call-overload]
    one, two = (services[str(entry["name"])]["loadBalancer"] for entry in split["services"])  # type: ignore[index,union-attr,call-overload]
    assert [entry["weight"] for entry in split["services"]] == [9, 1]  # type: ignore[index,union-attr,call-overload]
    assert isinstance(one, dict)
    assert isinstance(two, dict)
    assert {server["url"] for server in one["servers"]} == {  # type: ignore[index,union-attr,call-overload]
        "http://10.0.1.1:8080", "http://10.0.1.2:8080", "http://[2001:db8::1]:9090",
    }  # fmt: skip
    assert one["sticky"]["cookie"] == {"name": "pin", "secure": True, "sameSite": "none", "path": "/"}  # type: ignore[index,call-overload]
    assert (one["passHostHeader"], one["serversTransport"]) == (False, f"far{joint}trust@kubernetescrd")
    assert [server["url"] for server in two["servers"]] == ["https://10.0.2.1:443"]  # type: ignore[index,union-attr,call-overload]
    assert two["strategy"] == "leasttime"
    inline = services[str(routers["Host(`plain.test`)"]["service"])]["weighted"]
    assert [entry["weight"] for entry in inline["services"]] == [0, 3]  # type: ignore[index,union-attr,call-overload]
    (tcp,) = dict(by_rule(running.items("tcpRouters", "kubernetescrd"))).values()
    assert (tcp["rule"], tcp["status"], tcp["tls"]) == ("HostSNI(`db.test`)", "enabled", {"passthrough": True})
    users = running.items("middlewares", "kubernetescrd")[f"far{joint}door"]["basicAuth"]
    assert len(users["users"]) == 2  # type: ignore[index,arg-type,call-overload]


@NAMINGS
def test_requests_get_where_the_model_says(kubernetes: KubernetesApi, servers: Servers, traefik: StartTraefik, safe: bool) -> None:
    ports = {name: servers.at(name).partition(":")[2] for name in ("v1", "v2")}
    options = IngressRouteOptions(safe_naming=safe, allow_external_name_services=True)
    tree: Tree = {
        "routes": [
            {
                "name": "shop",
                "hosts": ["shop.test"],
                "canaries": [{"when": {"cookie": {"name": "canary", "value": "v2"}}, "to": "v2"}],
                "split": [{"to": "v1", "weight": 1}, {"to": "v2", "weight": 1}],
                "sticky": {"cookie": {"name": "variant"}},
            }
        ],
        "services": {name: {"servers": [{"url": f"http://localhost:{port}"}]} for name, port in ports.items()},
    }
    kubernetes.apply(written(tree, options))
    running = traefik({}, arguments=kubernetes.arguments("kubernetescrd", safeNaming=safe, allowExternalNameServices=True))
    kubernetes.in_force(running)
    first = running.request("/", host="shop.test")
    cookie = first.all("Set-Cookie")[0].partition(";")[0]
    kept = project(document_of(tree), TRANSLATOR.supports(options)).kept
    known = {value: child for (_, child), value in TRANSLATOR.identity(kept, options).variants.items()}
    assert [known[cookie.removeprefix("variant=")]] == first.all("X-Server")
    again = {running.request("/", host="shop.test", headers=[("Cookie", cookie)]).all("X-Server")[0] for _ in range(6)}
    assert again == set(first.all("X-Server"))
    assert {running.request("/", host="shop.test").all("X-Server")[0] for _ in range(6)} == {"v1", "v2"}
    tester = {running.request("/", host="shop.test", headers=[("Cookie", f"canary=v2; {cookie}")]).all("X-Server")[0] for _ in range(4)}
    assert tester == {"v2"}


BACKEND = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: far}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: far, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.0.1.10]}]
ports: [{name: "", port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: empty, namespace: far}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: empty-1, namespace: far, labels: {kubernetes.io/service-name: empty}}
addressType: IPv4
endpoints: []
ports: [{name: "", port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: named, namespace: far}
spec: {type: ExternalName, externalName: localhost, ports: [{port: 80}]}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: slim, namespace: far}
spec: {compress: {}}
---
apiVersion: traefik.io/v1alpha1
kind: TraefikService
metadata: {name: halves, namespace: far}
spec: {weighted: {services: [{name: web, port: 80, weight: 1}]}}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: one, namespace: NAMESPACE}
spec:
  routes:
  - {match: Host(`good.test`), kind: Rule, services: [{name: web, namespace: far, port: 80}]}
  - ROUTE
"""
DROPPED = {
    "another namespace": (
        "near",
        "{match: Host(`x.test`), kind: Rule, services: [{name: web, namespace: far, port: 80}]}",
        "input.reference",
    ),
    "no middleware": (
        "far",
        "{match: Host(`x.test`), kind: Rule, middlewares: [{name: nope}], services: [{name: web, port: 80}]}",
        "input.reference",
    ),
    "no traefik service": ("far", "{match: Host(`x.test`), kind: Rule, services: [{name: nope, kind: TraefikService}]}", "input.reference"),
    "no port": ("far", "{match: Host(`x.test`), kind: Rule, services: [{name: web, port: 81}]}", "input.reference"),
    "a port as text": ("far", "{match: Host(`x.test`), kind: Rule, services: [{name: web, port: '80'}]}", "input.value"),
    "no endpoint": ("far", "{match: Host(`x.test`), kind: Rule, services: [{name: empty, port: 80}]}", "input.reference"),
    "an external name": ("far", "{match: Host(`x.test`), kind: Rule, services: [{name: named, port: 80}]}", "input.reference"),
    "a check of pods": (
        "far",
        "{match: Host(`x.test`), kind: Rule, services: [{name: web, port: 80, healthCheck: {path: /}}]}",
        "input.value",
    ),
    "an unknown scheme": ("far", "{match: Host(`x.test`), kind: Rule, services: [{name: web, port: 80, scheme: ftp}]}", "input.value"),
    "no service": ("far", "{match: Host(`x.test`), kind: Rule, services: []}", "input.value"),
}


@pytest.mark.parametrize("case", DROPPED)
def test_what_traefik_drops_is_an_error(kubernetes: KubernetesApi, start_traefik: StartTraefik, case: str) -> None:
    namespace, route, code = DROPPED[case]
    text = BACKEND.replace("NAMESPACE", namespace).replace("ROUTE", route)
    assert code in said(text, IngressRouteOptions())
    kubernetes.apply(text)
    running = _shared(start_traefik, kubernetes)
    kubernetes.in_force(running)  # type: ignore[arg-type]
    routers = dict(by_rule(running.items("routers", "kubernetescrd")))  # type: ignore[attr-defined]
    serves = {rule for rule, router in routers.items() if router["status"] == "enabled"}
    assert "Host(`x.test`)" not in serves
    document = TRANSLATOR.parse(Source((File("a.yaml", text),)), IngressRouteOptions()).document
    assert document is not None
    assert {host for route in document.routes for host in route.hosts} == {
        found for rule in serves for found in re.findall("`(.*?)`", rule)
    }


_running: dict[str, object] = {}


def _shared(start: StartTraefik, kubernetes: KubernetesApi) -> object:
    """One Traefik for all the cases of this module."""
    if "it" not in _running:
        _running["it"] = start({}, arguments=kubernetes.arguments("kubernetescrd"))
    return _running["it"]


@NAMINGS
def test_two_routes_of_one_match_are_one_in_legacy_naming(kubernetes: KubernetesApi, traefik: StartTraefik, safe: bool) -> None:
    text = BACKEND.replace("NAMESPACE", "far").replace(
        "ROUTE", "{match: Host(`good.test`), kind: Rule, priority: 7, services: [{name: web, port: 80, scheme: h2c}]}"
    )
    options = IngressRouteOptions(safe_naming=safe)
    assert ("lint.collision" in said(text, options)) is not safe
    kubernetes.apply(text)
    running = traefik({}, arguments=kubernetes.arguments("kubernetescrd", safeNaming=safe))
    kubernetes.in_force(running)
    priorities = sorted(int(str(router["priority"])) for _, router in by_rule(running.items("routers", "kubernetescrd")))
    assert priorities == ([7, 17] if safe else [7])
    document = TRANSLATOR.parse(Source((File("a.yaml", text),)), options).document
    assert document is not None
    assert sorted(int(str(route.priority)) for route in document.routes) == priorities


@NAMINGS
def test_one_service_in_two_splits_is_one_in_legacy_naming(kubernetes: KubernetesApi, traefik: StartTraefik, safe: bool) -> None:
    other = dedent(
        """\
        ---
        apiVersion: traefik.io/v1alpha1
        kind: TraefikService
        metadata: {name: others, namespace: far}
        spec: {weighted: {services: [{name: web, port: 80, weight: 1, sticky: {cookie: {name: pin}}}]}}
        """
    )
    text = BACKEND.replace("NAMESPACE", "far").replace("  - ROUTE\n", "") + other
    assert ("lint.collision" in said(text, IngressRouteOptions(safe_naming=safe))) is not safe
    kubernetes.apply(text)
    running = traefik({}, arguments=kubernetes.arguments("kubernetescrd", safeNaming=safe))
    kubernetes.in_force(running)
    services = running.items("services", "kubernetescrd")
    children = {
        str(entry["name"])
        for key, each in services.items()
        if "weighted" in each and "mark-" not in key
        for entry in each["weighted"]["services"]
    }  # type: ignore[index,union-attr,call-overload]
    assert len(children) == (2 if safe else 1)


@pytest.mark.parametrize("version", ["2.11", "3.0", "3.4"])
def test_older_versions_read_it(kubernetes: KubernetesApi, traefik: StartTraefik, version: str) -> None:
    """Traefik 3.0 reads Endpoints, later ones EndpointSlices."""
    options = IngressRouteOptions.model_validate({"traefik": version})
    tree: Tree = {
        "routes": [{"name": "r", "hosts": ["a.test", "b.test"], "path": {"prefix": "/x"}, "to": "s", "tls": {}}],
        "services": {
            "s": {"servers": [{"url": "http://10.0.1.1:81"}, {"url": "http://10.0.1.2:82"}], "sticky": {"cookie": {"name": "pin"}}}
        },
    }
    kubernetes.apply(written(tree, options))
    running = traefik({}, arguments=kubernetes.arguments("kubernetescrd"), version=version)
    kubernetes.in_force(running)
    (router,) = running.items("routers", "kubernetescrd").values()
    assert (router["status"], router["priority"]) == ("enabled", 10)
    (service,) = running.items("services", "kubernetescrd").values()
    assert {server["url"] for server in service["loadBalancer"]["servers"]} == {"http://10.0.1.1:81", "http://10.0.1.2:82"}  # type: ignore[index,union-attr,call-overload]
