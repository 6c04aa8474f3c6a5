"""`ingressroute`: what is read out of a stream of Traefik's objects, and what a document is written as."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import dedent

from pinfeather.model.build import build
from pinfeather.model.diagnostics import Diagnostic, Severity
from pinfeather.model.document import Document
from pinfeather.model.noun import Tree
from pinfeather.model.project import project
from pinfeather.model.services import LoadBalancer, Split
from pinfeather.translators._syntax import yaml
from pinfeather.translators.contract import File, Parsed, Source
from pinfeather.translators.ingressroute import TRANSLATOR, IngressRouteOptions

PLAIN = IngressRouteOptions()
EVERYTHING = IngressRouteOptions(safe_naming=True, allow_cross_namespace=True, allow_external_name_services=True, allow_empty_services=True)


def read(text: str, options: IngressRouteOptions = PLAIN) -> Parsed:
    return TRANSLATOR.parse(Source((File("a.yaml", dedent(text)),)), options)


def errors(found: Iterable[Diagnostic]) -> list[str]:
    return [f"{finding.code} {finding.message}" for finding in found if finding.severity is Severity.ERROR]


def sound(text: str, options: IngressRouteOptions = PLAIN) -> Document:
    parsed = read(text, options)
    assert errors(parsed.diagnostics) == []
    assert parsed.document is not None
    return parsed.document


def codes(parsed: Parsed) -> list[str]:
    return [str(finding.code) for finding in parsed.diagnostics]


def written(tree: Tree, options: IngressRouteOptions = PLAIN) -> list[dict[str, Tree]]:
    """The objects that a document, given as a tree without its first line, is written as."""
    assert isinstance(tree, dict)
    document, faults = build({"pinfeather": "v1", **tree})
    assert document is not None, faults
    text = TRANSLATOR.emit(project(document, TRANSLATOR.supports(options)).kept, options).files()[0].text
    found = [reading.value for reading in yaml.read(text, "objects.yaml", yaml.KUBERNETES)]
    assert all(isinstance(each, dict) for each in found)
    return [each for each in found if isinstance(each, dict)]


def kinds(objects: Iterable[dict[str, Tree]]) -> list[str]:
    return [f"{each['kind']} {each['metadata']['name']}" for each in objects]  # type: ignore[index,call-overload]


ROUTE = """\
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: shop, namespace: prod}
spec:
  routes:
  - match: Host(`shop.test`) && Header(`X-Canary`, `always`)
    kind: Rule
    priority: 100
    services: [{name: v2, port: 80, sticky: {cookie: {name: pin, secure: true, sameSite: None}}}]
  - match: Host(`shop.test`)
    kind: Rule
    priority: 10
    services: [{name: v1, port: 80, sticky: {cookie: {name: pin}}}]
"""


# Reading ---------------------------------------------------------------------------------------------------------------


def test_a_route_before_the_last_one_is_its_canary() -> None:
    document = sound(ROUTE)
    (route,) = document.routes
    assert (route.name, route.to, [canary.to for canary in route.canaries]) == ("shop", "v1", ["v2"])
    service = document.services["v2"]
    assert isinstance(service, LoadBalancer)
    assert service.sticky is not None
    assert service.sticky.cookie is not None
    assert (service.sticky.cookie.same_site, service.sticky.cookie.secure) == ("none", True)
    ref = service.servers[0].kubernetes
    assert ref is not None
    assert (ref.service, ref.namespace, ref.port) == ("v2", "prod", 80)


def test_the_spans_say_where_a_cookie_stands() -> None:
    spans = read(ROUTE).spans
    assert spans[("services", "v1", "sticky", "cookie", "name")].line == 13
    assert spans[("services", "v2", "sticky", "cookie", "secure")].line == 9
    assert spans[("routes", 0, "match")].line == 10
    assert spans[("routes", 0, "canaries", 0, "when")].line == 6


def test_two_uses_of_one_service_are_two_services() -> None:
    """The same Service with a cookie and without; a third use that says the same as the first is the first."""
    document = sound(
        """\
        apiVersion: traefik.io/v1alpha1
        kind: IngressRoute
        metadata: {name: shop}
        spec:
          routes:
          - {match: PathPrefix(`/a`), kind: Rule, priority: 3, services: [{name: web, port: 80, sticky: {cookie: {name: pin}}}]}
          - {match: PathPrefix(`/b`), kind: Rule, priority: 2, services: [{name: web, port: 80}]}
          - {match: PathPrefix(`/c`), kind: Rule, priority: 1, services: [{name: web, port: 80, sticky: {cookie: {name: pin}}}]}
        """
    )
    assert {route.name: route.to for route in document.routes} == {"shop-1": "web", "shop-2": "web-2", "shop": "web"}


def test_a_split_inside_a_route_and_one_by_name() -> None:
    document = sound(
        """\
        apiVersion: traefik.io/v1alpha1
        kind: TraefikService
        metadata: {name: halves}
        spec: {weighted: {services: [{name: v1, port: 80, weight: 3}, {name: v2, port: 80}], sticky: {cookie: {name: variant}}}}
        ---
        apiVersion: traefik.io/v1alpha1
        kind: IngressRoute
        metadata: {name: inline}
        spec: {routes: [{match: Host(`a.test`), kind: Rule, services: [{name: v1, port: 80, weight: 9}, {name: v2, port: 80}]}]}
        ---
        apiVersion: traefik.io/v1alpha1
        kind: IngressRoute
        metadata: {name: named}
        spec: {routes: [{match: Host(`b.test`), kind: Rule, services: [{name: halves, kind: TraefikService}]}]}
        """
    )
    inline, named = document.routes
    assert [(entry.to, entry.weight) for entry in inline.split] == [("v1", 9), ("v2", 1)]
    assert inline.sticky is None
    assert named.to == "halves"
    halves = document.services["halves"]
    assert isinstance(halves, Split)
    assert [(entry.to, entry.weight) for entry in halves.split] == [("v1", 3), ("v2", 1)]
    assert list(document.services) == ["v1", "v2", "halves"]


def test_a_service_that_stands_twice_in_a_split_has_both_shares() -> None:
    document = sound(
        """\
        apiVersion: traefik.io/v1alpha1
        kind: IngressRoute
        metadata: {name: r}
        spec: {routes: [{match: Host(`a.test`), kind: Rule, services: [{name: v1, port: 80, weight: 2}, {name: v2, port: 80}, {name: v1, port: 80}]}]}
        """
    )
    assert [(entry.to, entry.weight) for entry in document.routes[0].split] == [("v1", 3), ("v2", 1)]


def test_a_traefik_service_over_one_service_is_a_name_for_it() -> None:
    document = sound(
        """\
        apiVersion: traefik.io/v1alpha1
        kind: TraefikService
        metadata: {name: front, labels: {team: shop}}
        spec: {weighted: {services: [{name: web, port: http, passHostHeader: false}]}}
        """
    )
    service = document.services["front"]
    assert isinstance(service, LoadBalancer)
    assert service.pass_host_header is False
    assert service.metadata is not None
    assert service.metadata.labels == {"team": "shop"}


def test_addresses_and_names_of_servers_come_from_the_stream() -> None:
    text = """\
        kind: List
        apiVersion: v1
        items:
        - apiVersion: traefik.io/v1alpha1
          kind: IngressRoute
          metadata: {name: shop}
          spec:
            routes:
            - {match: Host(`a.test`), kind: Rule, services: [{name: vm, port: 80}]}
            - {match: Host(`b.test`), kind: Rule, services: [{name: nas, port: 443, healthCheck: {path: /up, interval: 10}}]}
        - apiVersion: discovery.k8s.io/v1
          kind: EndpointSlice
          metadata: {name: vm-1, labels: {kubernetes.io/service-name: vm}}
          addressType: IPv4
          ports: [{name: "", port: 8080}]
          endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}, {addresses: [10.0.0.3], conditions: {ready: false}}]
        - {apiVersion: v1, kind: Service, metadata: {name: vm}, spec: {ports: [{port: 80}]}}
        - {apiVersion: v1, kind: Service, metadata: {name: nas}, spec: {type: ExternalName, externalName: nas.lan, ports: [{port: 443}]}}
        """
    document = sound(text, EVERYTHING)
    vm, nas = document.services["vm"], document.services["nas"]
    assert isinstance(vm, LoadBalancer)
    assert isinstance(nas, LoadBalancer)
    assert [server.url for server in vm.servers] == ["http://10.0.0.1:8080", "http://10.0.0.2:8080"]
    assert [server.url for server in nas.servers] == ["https://nas.lan:443"]
    assert nas.health_check is not None
    assert nas.health_check.interval == "10s"
    refused = read(text)
    assert any("ExternalName" in error for error in errors(refused.diagnostics))
    assert refused.document is not None
    assert [route.hosts for route in refused.document.routes] == [("a.test",)]


def test_what_is_named_and_not_here_stands_elsewhere() -> None:
    document = sound(
        """\
        apiVersion: traefik.io/v1alpha1
        kind: IngressRoute
        metadata: {name: shop, namespace: prod}
        spec:
          routes:
          - match: Host(`a.test`)
            kind: Rule
            middlewares: [{name: auth}, {name: auth@file}]
            services: [{name: api@internal, kind: TraefikService}]
        """
    )
    assert document.routes[0].middlewares == ("prod-auth@kubernetescrd", "auth@file")
    assert document.routes[0].to == "api@internal"


def test_users_stand_in_a_secret() -> None:
    text = """\
        apiVersion: traefik.io/v1alpha1
        kind: Middleware
        metadata: {name: door}
        spec: {basicAuth: {secret: users, realm: shop}}
        """
    secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: users}\ndata: {users: YTp4CiMgbm9ib2R5CmI6eQo=}\n"
    found = sound(dedent(text) + secret).middlewares["door"].basic_auth
    assert found is not None
    assert (found.users, found.realm) == (("a:x", "b:y"), "shop")
    other = sound(text).middlewares["door"].other
    assert other is not None
    assert (other.kind, other.config) == ("basicAuth", {"secret": "users", "realm": "shop"})


def test_a_certificate_is_who_renews_the_secret() -> None:
    document = sound(
        """\
        apiVersion: traefik.io/v1alpha1
        kind: IngressRoute
        metadata: {name: shop}
        spec: {routes: [{match: Host(`a.test`), kind: Rule, services: [{name: v1, port: 80}]}], tls: {secretName: shop-tls}}
        ---
        apiVersion: cert-manager.io/v1
        kind: Certificate
        metadata: {name: shop}
        spec: {secretName: shop-tls, dnsNames: [a.test], issuerRef: {name: le, kind: ClusterIssuer}}
        """
    )
    tls = document.routes[0].tls
    assert tls is not None
    assert tls.issuer is not None
    assert (tls.secret, tls.issuer.name, tls.issuer.kind) == ("shop-tls", "le", "ClusterIssuer")


def test_objects_that_nothing_needs_are_handed_on() -> None:
    service = (
        "---\napiVersion: v1\nkind: Service\nmetadata: {name: v1, namespace: prod}\nspec: {selector: {app: v1}, ports: [{port: 80}]}\n"
    )
    deployment = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: v1}\n"
    parsed = read(ROUTE + service + deployment)
    assert sorted(parsed.passed) == sorted((service, deployment))
    assert codes(parsed).count("unread.scope") == 2


def test_the_seeds_say_what_their_prose_says() -> None:
    """The article's TraefikService has its cookie over a single child: lint says so; here it is read as it is written."""
    document = sound(
        """\
        apiVersion: traefik.io/v1alpha1
        kind: TraefikService
        metadata: {name: app-sticky, namespace: my-app}
        spec:
          weighted:
            services: [{name: app, port: 8080, weight: 100}]
            sticky: {cookie: {name: srv_id, secure: true, httpOnly: true, sameSite: lax}}
        """
    )
    split = document.services["app-sticky"]
    assert isinstance(split, Split)
    assert [entry.to for entry in split.split] == ["app"]


# Writing ---------------------------------------------------------------------------------------------------------------

SHOP: Tree = {
    "routes": [
        {
            "name": "shop",
            "hosts": ["shop.test"],
            "middlewares": ["door"],
            "canaries": [{"when": {"header": {"name": "X-Canary", "value": "always"}}, "to": "v2"}],
            "split": [{"to": "v1", "weight": 9}, {"to": "v2", "weight": 1}],
            "sticky": {"cookie": {"name": "variant"}},
            "metadata": {"namespace": "prod"},
        }
    ],
    "services": {
        "v1": {"servers": [{"url": "http://10.0.0.1:80"}, {"url": "http://10.0.0.2:80"}], "sticky": {"cookie": {"name": "pin"}}},
        "v2": {"servers": [{"kubernetes": {"service": "v2", "namespace": "prod", "port": 80}}]},
    },
    "middlewares": {"door": {"basic_auth": {"users": ["a:b"]}}},
}


def test_a_split_with_a_cookie_is_a_traefik_service() -> None:
    objects = written(SHOP)
    assert kinds(objects) == [
        "Service v1", "EndpointSlice v1-ipv4-80", "Secret door-users", "Middleware door", "TraefikService shop-split", "IngressRoute shop",
    ]  # fmt: skip
    assert {str(each["metadata"].get("namespace")) for each in objects} == {"prod"}  # type: ignore[union-attr]
    routes = objects[-1]["spec"]["routes"]  # type: ignore[index,call-overload]
    assert [route["priority"] for route in routes] == [20, 10]  # type: ignore[index,call-overload,union-attr]
    assert [route["middlewares"] for route in routes] == [[{"name": "door"}]] * 2  # type: ignore[index,call-overload,union-attr]
    assert routes[1]["services"] == [{"name": "shop-split", "kind": "TraefikService"}]  # type: ignore[index,call-overload]


def test_a_split_without_a_cookie_stands_in_its_route() -> None:
    assert isinstance(SHOP, dict)
    route = {key: value for key, value in SHOP["routes"][0].items() if key != "sticky"}  # type: ignore[index,union-attr,call-overload]
    objects = written({**SHOP, "routes": [route]})
    assert "TraefikService" not in " ".join(kinds(objects))
    items = objects[-1]["spec"]["routes"][1]["services"]  # type: ignore[index,call-overload]
    assert [(item["name"], item["weight"]) for item in items] == [("v1", 9), ("v2", 1)]  # type: ignore[index,call-overload,union-attr]


def test_a_service_that_nobody_names_is_a_traefik_service() -> None:
    objects = written({"services": {"spare": {"servers": [{"kubernetes": {"service": "web", "port": 80}}]}}})
    assert kinds(objects) == ["TraefikService spare"]
    assert objects[0]["spec"] == {"weighted": {"services": [{"name": "web", "port": 80}]}}


def test_a_service_is_called_after_the_one_that_it_uses() -> None:
    tree: Tree = {
        "routes": [{"name": "r", "to": "backend"}],
        "services": {"backend": {"servers": [{"container": {"name": "web", "port": 80}}], "sticky": {"cookie": {"name": "pin"}}}},
    }
    document, _ = build({"pinfeather": "v1", **tree})  # type: ignore[dict-item]
    assert document is not None
    projection = project(document, TRANSLATOR.supports(PLAIN))
    assert list(projection.kept.services) == ["web"]
    assert [str(finding.code) for finding in projection.diagnostics] == ["near.server.container", "carried.name.service"]
    item = written(tree)[0]["spec"]["routes"][0]["services"][0]  # type: ignore[index,call-overload]
    assert item == {"name": "web", "port": 80, "sticky": {"cookie": {"name": "pin"}}}


def test_an_issuer_is_a_certificate() -> None:
    tls: Tree = {"secret": "shop-tls", "issuer": {"name": "le"}}
    route: Tree = {"name": "r", "hosts": ["a.test", "b.test"], "tls": tls, "to": "v1", "metadata": {"dns": {"target": "lb.test"}}}
    tree: Tree = {"routes": [route], "services": {"v1": {"servers": [{"kubernetes": {"service": "v1", "port": 80}}]}}}
    certificate, ingress_route = written(tree)
    assert certificate["spec"] == {
        "secretName": "shop-tls", "dnsNames": ["a.test", "b.test"], "issuerRef": {"name": "le", "kind": "ClusterIssuer"},
    }  # fmt: skip
    assert ingress_route["metadata"] == {"name": "r", "annotations": {"external-dns.alpha.kubernetes.io/target": "lb.test"}}


def test_the_corpus_of_seeds_is_recognised() -> None:
    assert TRANSLATOR.recognise(File("a.yaml", ROUTE))
    assert TRANSLATOR.recognise(File("a.json", '{"apiVersion": "traefik.containo.us/v1alpha1", "kind": "Middleware"}'))
    assert not TRANSLATOR.recognise(File("a.yaml", "apiVersion: v1\nkind: Service\n"))
    assert not TRANSLATOR.recognise(File("values.yaml", f"customResources:\n- |\n  {ROUTE}"))
