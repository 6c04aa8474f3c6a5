"""`ingress` held against a real API server and a real Traefik: what is written is taken, and `/api/rawdata` shows what was meant."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from pinfeather.model.diagnostics import Severity
from pinfeather.model.document import Document
from pinfeather.model.normal import lift, lifted
from pinfeather.model.project import project
from pinfeather.model.services import LoadBalancer
from pinfeather.testing.traefik import Json, Traefik
from pinfeather.translators._ingress.reading import IngressOptions
from pinfeather.translators._syntax.rule import parse_http
from pinfeather.translators._syntax.rule_v2 import parse_http_v2
from pinfeather.translators._traefik.nouns import COOKIE, put
from pinfeather.translators._traefik.numbers import numbers
from pinfeather.translators.contract import Emitted, File, KubernetesPatch, Parsed, Source
from pinfeather.translators.ingress import TRANSLATOR
from tests.parts.fixtures import StartTraefik
from tests.parts.kubernetes import MARKS, KubernetesApi
from tests.parts.servers import Servers
from tests.translators.test_ingress import documents

PLAIN = IngressOptions()
AS_TRAEFIK = IngressOptions(spec_tls=False, allow_external_name_services=True)
POINTS = ("web", "websecure")
SERVICE = """\
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {space}}}
spec: {{ports: [{ports}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, namespace: {space}, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
endpoints: [{{addresses: [10.0.9.9], conditions: {{ready: true}}}}]
ports: [{ports}]
"""


def drawn(count: int) -> list[Document]:
    """The same documents in every run."""
    found: list[Document] = []

    @settings(
        max_examples=count, deadline=None, database=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(documents())
    def collect(made: Document) -> None:
        found.append(made)

    collect()
    return found


def cluster_of(kept: Document) -> str:
    """The Services that the document's references name, which are somebody else's."""
    ports: dict[tuple[str, str], dict[str, str]] = {}
    for service in kept.services.values():
        assert isinstance(service, LoadBalancer)
        for server in service.servers:
            if (ref := server.kubernetes) is not None:
                port = "{name: http, port: 8080}" if ref.port == "http" else f"{{name: p{ref.port}, port: {ref.port}}}"
                ports.setdefault((ref.namespace or "default", str(ref.service)), {})[str(ref.port)] = port
    return "".join(SERVICE.format(name=name, space=space, ports=", ".join(held.values())) for (space, name), held in ports.items())


def apply(kubernetes: KubernetesApi, kept: Document) -> None:
    """Applies the cluster's own Services, then what was written, the patches to what is there."""
    kubernetes.apply(cluster_of(kept))
    for artifact in TRANSLATOR.emit(kept, PLAIN).artifacts:
        if isinstance(artifact, KubernetesPatch):
            assert isinstance(artifact.tree, dict)
            metadata = artifact.tree["metadata"]
            assert isinstance(metadata, dict)
            path = f"/api/v1/namespaces/{metadata.get('namespace', 'default')}/services/{metadata['name']}"
            body = json.dumps({"metadata": {"annotations": metadata["annotations"]}})
            kubernetes.request("PATCH", path, body, "application/merge-patch+json")
        else:
            kubernetes.apply(Emitted((artifact,)).files()[0].text)


def own(running: Traefik, kind: str) -> dict[str, dict[str, Json]]:
    return {name: item for name, item in running.items(kind, "kubernetes").items() if not name.startswith(MARKS)}


def shown(item: dict[str, Json]) -> tuple[str, ...]:
    form = lift(parse_http(str(item["rule"])))
    tls = item.get("tls")
    options = tls.get("options") if isinstance(tls, dict) else None
    parts = (form.path, form.match, form.hosts, item["priority"], item["service"], item.get("middlewares") or [], item["entryPoints"])
    return (*map(repr, parts), repr("tls" in item), repr(options))


def meant(kept: Document) -> Iterator[tuple[str, ...]]:
    """A router for every host of every route."""
    for rung, number in numbers(kept).items():
        route = kept.routes[rung.route]
        form = lifted(route)
        path = form.path or lift(parse_http("PathPrefix(`/`)")).path
        passed = [name if "@" in name else f"default-{name}@kubernetescrd" for name in route.middlewares]
        points = list(route.entry_points) or list(POINTS)
        options = None if route.tls is None else route.tls.options
        for hosts in [(host,) for host in form.hosts] or [()]:
            parts = (path, form.match, hosts, number, route.to, passed, points)
            yield (*map(repr, parts), repr(route.tls is not None), repr(options))


def check_service(item: dict[str, Json], service: LoadBalancer) -> None:
    balancer = item["loadBalancer"]
    assert isinstance(balancer, dict)
    sticky = balancer.get("sticky") or {}
    assert isinstance(sticky, dict)
    wanted = {} if service.sticky is None or service.sticky.cookie is None else put(service.sticky.cookie, COOKIE)
    assert sticky.get("cookie", {}) == (
        {"path": "/", **{key: value for key, value in wanted.items() if value is not False}} if wanted else {}
    )
    assert balancer["passHostHeader"] == (service.pass_host_header is not False)
    servers = balancer["servers"]
    assert isinstance(servers, list)
    urls = [str(server["url"]) for server in servers if isinstance(server, dict)]
    ref = service.servers[0].kubernetes
    if ref is None:
        assert sorted(urls) == sorted(str(server.url) for server in service.servers)
    else:
        scheme = ref.scheme or ("https" if ref.port == 443 else "http")
        assert urls == [f"{scheme}://10.0.9.9:{8080 if ref.port == 'http' else ref.port}"]
    assert item.get("middlewares", []) == [f"default-{name}@kubernetescrd" for name in service.middlewares]


def test_traefik_shows_what_was_meant(kubernetes: KubernetesApi, traefik: StartTraefik) -> None:
    arguments = [*kubernetes.arguments("kubernetescrd"), *kubernetes.arguments("kubernetesingress")]
    running = traefik({}, entry_points=POINTS, arguments=arguments)
    seen = Counter[str]()
    for made in drawn(12):
        kept = project(made, TRANSLATOR.supports(PLAIN)).kept
        kubernetes.delete_all()
        apply(kubernetes, kept)
        kubernetes.in_force(running, "kubernetesingress")
        assert Counter(shown(item) for item in own(running, "routers").values()) == Counter(meant(kept))
        services = own(running, "services")
        assert set(services) == set(kept.services)
        for name, service in kept.services.items():
            assert isinstance(service, LoadBalancer)
            check_service(services[name], service)
            seen["sticky"] += service.sticky is not None
        seen["routers"] += len(own(running, "routers"))
        seen["middlewares"] += sum(len(route.middlewares) for route in kept.routes)
    assert seen["routers"] > 15
    assert seen["sticky"] > 3
    assert seen["middlewares"] > 3


# Requests --------------------------------------------------------------------------------------------------------------

EXTERNAL = """\
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{type: ExternalName, externalName: localhost, ports: [{{port: {port}}}]}}
"""


def test_a_patch_makes_a_service_sticky_and_requests_go_where_the_model_says(
    kubernetes: KubernetesApi, servers: Servers, traefik: StartTraefik
) -> None:
    ports = {name: servers.at(name).rpartition(":")[2] for name in ("v1", "v2")}
    kubernetes.apply("".join(EXTERNAL.format(name=name, port=port) for name, port in ports.items()))
    text = f"""\
        pinfeather: v1
        routes:
          - {{name: shop, hosts: [shop.test], to: v1}}
          - {{name: api, hosts: [shop.test], path: {{prefix: /api}}, to: v2}}
        services:
          v1: {{servers: [{{kubernetes: {{service: v1, port: {ports["v1"]}}}}}], sticky: {{cookie: {{name: srv, http_only: true, same_site: lax}}}}}}
          v2: {{servers: [{{kubernetes: {{service: v2, port: {ports["v2"]}}}}}]}}
        """
    from pinfeather.translators import canonical

    made = canonical.parse(Source((File("doc.yaml", dedent(text)),)), canonical.CanonicalOptions()).document
    assert made is not None
    found = project(made, TRANSLATOR.supports(PLAIN))
    assert {finding.code for finding in found.diagnostics} == {"carried.name.service"}
    for artifact in TRANSLATOR.emit(found.kept, PLAIN).artifacts:
        part = Emitted((artifact,)).files()[0].text
        if not isinstance(artifact, KubernetesPatch):
            kubernetes.apply(part)
            continue
        fields = "/api/v1/namespaces/default/services/v1?fieldManager=pinfeather&force=true"
        kubernetes.request("PATCH", fields, part, "application/apply-patch+yaml")
    running = traefik({}, arguments=kubernetes.arguments("kubernetesingress", allowExternalNameServices=True))
    kubernetes.in_force(running, "kubernetesingress")
    answer = running.request("/", host="shop.test")
    assert answer.all("X-Server") == ["v1"]
    (cookie,) = answer.all("Set-Cookie")
    assert cookie.startswith("srv=")
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Lax")
    assert running.request("/api", host="shop.test").all("X-Server") == ["v2"]
    assert running.request("/", host="else.test").status == 404


# What readers find -----------------------------------------------------------------------------------------------------

BACKEND = "{service: {name: web, port: {number: 80}}}"
WEB = SERVICE.format(name="web", space="default", ports="{name: p80, port: 80}")
INGRESS = """\
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: {name}, annotations: {{{annotations}}}}}
spec:
  rules:
  - host: {host}
    http: {{paths: [{{path: {path}, pathType: {kind}, backend: {backend}}}]}}
"""
KEY = "traefik.ingress.kubernetes.io/"


def one(
    annotations: str = "", name: str = "one", host: str = "one.test", path: str = "/", kind: str = "Prefix", backend: str = BACKEND
) -> str:
    return INGRESS.format(annotations=annotations, name=name, host=host, path=path, kind=kind, backend=backend)


def annotated(annotation: str) -> str:
    return WEB.replace("namespace: default}", f"namespace: default, annotations: {{{KEY}{annotation}}}}}", 1)


LONE = """\
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: {name}}}
spec: {{defaultBackend: {backend}}}
"""
SKIPPED = {
    "an unknown router annotation": WEB + one(f"{KEY}router.entrypoint: web"),
    "a sticky router": WEB + one(f"{KEY}router.sticky.cookie.name: x"),
    "a priority that is no number": WEB + one(f"{KEY}router.priority: high"),
    "an unknown service annotation": annotated("service.weight: '1'") + one(),
    "a bool that Go does not know": annotated("service.passhostheader: 'yes'") + one(),
    "a key with a dot too many": WEB + one(f"{KEY}router..priority: '1'"),
    "a port that the Service does not have": WEB + one(backend="{service: {name: web, port: {number: 81}}}"),
    "an unknown matcher": WEB + one(f"{KEY}router.pathmatcher: Regexp", kind="ImplementationSpecific"),
}
LOST = {
    "two Ingresses, one router": (
        WEB + one(name="a", host="b.test") + one(name="a-b", host="test", path="/x").replace("path: /x", "path: /"),
        1,
    ),
    "two default backends": (WEB + LONE.format(name="a", backend=BACKEND) + LONE.format(name="b", backend=BACKEND), 1),
}
READ = {
    "a switch that is 1": WEB + one(f"{KEY}router.tls: '1', {KEY}router.tls.certresolver: le"),
    "a switch that is TRUE": WEB + one(f"{KEY}router.tls: 'TRUE'"),
    "keys in capitals": WEB + one(f"{KEY}Router.EntryPoints: web, {KEY}router.Priority: '7'"),
    "annotations of Traefik 1": WEB + one(f"{KEY}affinity: 'true', ingress.kubernetes.io/session-cookie-name: x"),
    "a service annotation on an Ingress": WEB + one(f"{KEY}service.sticky.cookie: 'true'"),
    "sticky without a cookie": annotated("service.sticky: 'true'") + one(),
    "a cookie without a name": annotated("service.sticky.cookie: 'true'") + one(),
    "an empty path of the cookie": annotated(f"service.sticky.cookie.path: '', {KEY}service.sticky.cookie.name: x") + one(),
    "a v2 rule": WEB + one(f"{KEY}router.rulesyntax: v2", host="'*.one.test'", path="'/{{id:[a-z]+}}'", kind="ImplementationSpecific"),
    "a quote in the path": WEB + one(path="'/a\"b\\'", kind="ImplementationSpecific"),
    "domains": WEB + one(f"{KEY}router.tls.domains.0.main: a.io, {KEY}router.tls.domains.0.sans: 'b.io, c.io'"),
    "a default backend": WEB + LONE.format(name="a", backend=BACKEND),
    "a default backend beside rules": WEB + one().replace("spec:", f"spec:\n  defaultBackend: {BACKEND}"),
    "spec.tls alone": WEB + one() + "  tls: [{secretName: one, hosts: [one.test]}]\n",
}


def read(text: str) -> Parsed:
    return TRANSLATOR.parse(Source((File("a.yaml", text),)), AS_TRAEFIK)


@pytest.fixture(scope="module")
def reading(kubernetes_server: KubernetesApi, start_traefik: StartTraefik) -> Traefik:
    kubernetes_server.delete_all()
    return start_traefik({}, entry_points=POINTS, arguments=kubernetes_server.arguments("kubernetesingress"))


def seen_by(running: Traefik, kubernetes: KubernetesApi, text: str) -> dict[str, dict[str, Json]]:
    kubernetes.apply(text)
    kubernetes.in_force(running, "kubernetesingress")
    return own(running, "routers")


@pytest.mark.parametrize("case", SKIPPED)
def test_what_is_an_error_is_skipped_by_traefik(kubernetes: KubernetesApi, reading: Traefik, case: str) -> None:
    assert seen_by(reading, kubernetes, SKIPPED[case]) == {}
    parsed = read(SKIPPED[case])
    assert parsed.document is not None
    assert parsed.document.routes == ()
    assert [finding.severity for finding in parsed.diagnostics if finding.severity is Severity.ERROR] != []


@pytest.mark.parametrize("case", LOST)
def test_of_two_with_one_name_traefik_keeps_one(kubernetes: KubernetesApi, reading: Traefik, case: str) -> None:
    text, count = LOST[case]
    assert len(seen_by(reading, kubernetes, text)) == count
    parsed = read(text)
    assert parsed.document is not None
    assert len(parsed.document.routes) == count
    assert [finding.code for finding in parsed.diagnostics if finding.severity is Severity.ERROR] == ["lint.collision"]


@pytest.mark.parametrize("case", READ)
def test_our_reading_is_traefiks(kubernetes: KubernetesApi, reading: Traefik, case: str) -> None:
    seen = seen_by(reading, kubernetes, READ[case])
    parsed = read(READ[case])
    assert parsed.document is not None
    assert [finding for finding in parsed.diagnostics if finding.severity is Severity.ERROR] == []
    wanted = Counter(meant(parsed.document))
    (item,) = seen.values()
    if case == "a default backend":
        item = {**item, "service": "default-web-80"}  # Traefik's own name for it
    if case == "a v2 rule":
        (route,) = parsed.document.routes
        assert (item["ruleSyntax"], item["priority"]) == ("v2", route.priority)
        assert route.path is not None
        assert route.path.regex is not None
        return
    assert Counter([shown(item)]) == wanted
    (service,) = parsed.document.services.values()
    (shown_service,) = own(reading, "services").values()
    assert isinstance(service, LoadBalancer)
    assert ("cookie" in str(shown_service["loadBalancer"])) == (service.sticky is not None)


# Versions --------------------------------------------------------------------------------------------------------------

ENDPOINTS = """\
---
apiVersion: v1
kind: Endpoints
metadata: {name: web}
subsets: [{addresses: [{ip: 10.0.9.9}], ports: [{name: p80, port: 80}]}]
"""
HOSTS = {"plain": "shop.test", "wild": "'*.wild.test'"}


@pytest.mark.parametrize("version", ["2.11", "3.0", "3.3", "3.5", "3.6", None])
def test_rules_and_their_lengths_by_version(kubernetes: KubernetesApi, traefik: StartTraefik, version: str | None) -> None:
    text = WEB + "".join(one(name=name, host=host, path="/a") for name, host in HOSTS.items())
    kubernetes.apply(text + ENDPOINTS)
    running = traefik({}, arguments=kubernetes.arguments("kubernetesingress"), version=version)
    kubernetes.in_force(running, "kubernetesingress")
    seen = own(running, "routers")
    options = IngressOptions.model_validate({"traefik": version or "3.7"})
    parsed = TRANSLATOR.parse(Source((File("a.yaml", text),)), options)
    assert parsed.document is not None
    routes = {route.name: route for route in parsed.document.routes}
    for key, item in seen.items():
        route = routes["wild" if "wild" in key else "plain"]
        rule = str(item["rule"])
        match = parse_http_v2(rule)[0] if options.version < (3, 0) else parse_http(rule)
        form, own_form = lift(match), lifted(route)
        assert (form.hosts, form.path, form.match) == (own_form.hosts, own_form.path, own_form.match)
        assert item.get("priority", len(rule)) == route.priority
    assert len(seen) == 2
