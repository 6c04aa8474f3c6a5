"""`ingress`: the laws over documents that it can say, what is written, and what cannot be said."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pinfeather.model.build import build
from pinfeather.model.diagnostics import Path, Severity
from pinfeather.model.document import Document
from pinfeather.model.noun import Tree
from pinfeather.model.project import project
from pinfeather.testing import laws
from pinfeather.translators._ingress.reading import IngressOptions
from pinfeather.translators._syntax import yaml
from pinfeather.translators.contract import AnyTranslator, File, KubernetesPatch, Parsed, Source
from pinfeather.translators.ingress import TRANSLATOR

PLAIN = IngressOptions()
STRICT = IngressOptions(strict_prefix_matching=True)
ALLOWING = IngressOptions(
    allow_external_name_services=True, allow_cross_namespace=True, safe_naming=True, ingress_class="edge", namespace="shop"
)


def read(text: str, options: IngressOptions = PLAIN) -> Parsed:
    return TRANSLATOR.parse(Source((File("a.yaml", dedent(text)),)), options)


def document(text: str) -> Document:
    tree: Tree = yaml.read(dedent(text), "doc.yaml", yaml.CORE)[0].value
    assert isinstance(tree, dict)
    made, faults = build({"pinfeather": "v1", **tree})
    assert made is not None, faults
    return made


def written(made: Document, options: IngressOptions = PLAIN) -> str:
    (file,) = TRANSLATOR.emit(project(made, TRANSLATOR.supports(options)).kept, options).files()
    return file.text


def losses(made: Document, options: IngressOptions = PLAIN) -> dict[str, Path]:
    found = project(made, TRANSLATOR.supports(options)).diagnostics
    return {finding.code: finding.path for finding in found if not finding.code.startswith("carried.name")}


def sound(parsed: Parsed) -> Document:
    assert parsed.document is not None
    assert [finding for finding in parsed.diagnostics if finding.severity is Severity.ERROR] == []
    return parsed.document


# The laws --------------------------------------------------------------------------------------------------------------

_HOSTS = ("a.io", "b.io", "*.a.io", "x.a.io")
_PATHS: tuple[Tree, ...] = (
    {"prefix": "/"}, {"prefix": "/a"}, {"exact": "/a"}, {"regex": "/[ab]+"}, {"prefix": "/a//b"}, {"exact": "/ü/.."}, {"prefix": "/a`b"},
)  # fmt: skip
_PAIR: Tree = {"any": [{"path": {"exact": "/a"}}, {"path": {"prefix": "/a/"}}]}
_COOKIES: tuple[Tree, ...] = (
    {"name": "srv"},
    {"name": "srv", "secure": True, "same_site": "none", "max_age": 60},
    {"name": "o", "path": ""},
)
_METADATA: Tree = {"labels": {"app.kubernetes.io/name": "x"}, "annotations": {"example.com/note": "on"}, "dns": {"target": "lb.io"}}


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Documents of which an Ingress can say nearly all: a few Services that several services share, and whose routes contend."""
    spaces = draw(st.sampled_from([("",), ("shop",), ("", "shop", "other")]))
    kinds: dict[str, Tree] = {
        "door": {"basic_auth": {"users": ["a:{SHA}qZk+NkcGgWq6PiVxeFDCbJzQ2J0="]}},
        "office": {"ip_allow_list": {"source_ranges": ["10.0.0.0/8"]}},
        "both": {"chain": {"middlewares": ["door"]}},
    }
    services: dict[str, Tree] = {}
    home: dict[str, str] = {}
    for number in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(["v1", "v2", "A b", "shop-v1-80", "default-v1-80"])) + ("" if number == 0 else f"-{number}")
        home[name] = draw(st.sampled_from(spaces))
        ref = {"service": draw(st.sampled_from(["v1", "v1", "v2", "v1-80"])), "port": draw(st.sampled_from([80, 80, 443, "http"]))}
        ref |= {"namespace": home[name]} if home[name] else {}
        ref |= {} if draw(st.integers(0, 3)) else {"scheme": draw(st.sampled_from(["http", "https", "h2c"]))}
        urls = draw(st.lists(st.sampled_from(["http://10.0.0.1:80", "http://10.0.0.2:81", "http://10.0.0.3:80"]), min_size=1, unique=True))
        servers: list[Tree] = [{"kubernetes": ref}] if draw(st.integers(0, 2)) else [{"url": url} for url in urls]
        if not draw(st.integers(0, 4)):
            servers = [{"container": {"name": "web", "port": 80}}]
        services[name] = {"servers": servers}
        if draw(st.booleans()):
            services[name] |= {"sticky": {"cookie": _COOKIES[0] if draw(st.booleans()) else draw(st.sampled_from(_COOKIES))}}
        if not draw(st.integers(0, 3)):
            services[name] |= {"pass_host_header": draw(st.booleans()), "middlewares": ["office"]}
    routes = [_route(draw, number, home) for number in range(draw(st.integers(1, 5)))]
    made, _ = build({"pinfeather": "v1", "routes": list(routes), "services": services, "middlewares": kinds})
    assume(made is not None)
    assert made is not None
    return made


def _route(draw: st.DrawFn, number: int, home: dict[str, str]) -> Tree:
    to = draw(st.sampled_from(sorted(home)))
    route: dict[str, Tree] = {"name": draw(st.sampled_from(["shop", "Shop", "api"])) + f"-{number}", "to": to}
    metadata: dict[str, Tree] = {"namespace": home[to]} if home[to] else {}
    if draw(st.booleans()) and isinstance(_METADATA, dict):
        metadata |= _METADATA
    route |= {"metadata": metadata} if metadata else {}
    further: dict[str, st.SearchStrategy[Any]] = {
        "hosts": st.lists(st.sampled_from(_HOSTS), min_size=1, max_size=2, unique=True),
        "path": st.sampled_from(_PATHS),
        "priority": st.sampled_from([1, 5, 7]),
        "entry_points": st.just(["web", "websecure"]),
        "middlewares": st.lists(st.sampled_from(["door", "both", "auth@file"]), min_size=1, unique=True),
        "observability": st.just({"access_logs": False, "trace_verbosity": "detailed"}),
        "tls": st.sampled_from(
            [
                {},
                {"secret": "shop-tls", "issuer": {"name": "le", "kind": "Issuer"}},
                {
                    "options": "strong@file",
                    "resolver": "le",
                    "domains": [{"main": f"d{at}.io", "sans": ["x.io", "y.io"]} for at in range(12)],
                },
            ]
        ),
    }
    route |= {key: draw(values) for key, values in further.items() if draw(st.booleans())}
    if "path" not in route and draw(st.booleans()):
        route["match"] = _PAIR
    return route


@pytest.mark.parametrize("options", [PLAIN, STRICT, ALLOWING], ids=["plain", "strict", "allowing"])
@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
def test_law(law: Callable[[AnyTranslator, Any, Document], None], options: IngressOptions) -> None:
    @settings(
        max_examples=3 if law is laws.purity else 25 if options is PLAIN else 10, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(documents())
    def holds(made: Document) -> None:
        law(TRANSLATOR, options, made)

    holds()


def test_most_of_what_is_drawn_is_said() -> None:
    """A law over documents of which nothing is left would prove nothing."""
    seen = {"routes": 0, "kept": 0, "patches": 0, "merged": 0}

    @settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(documents())
    def look(made: Document) -> None:
        found = project(made, TRANSLATOR.supports(PLAIN))
        seen["routes"] += len(made.routes)
        seen["kept"] += len(found.kept.routes)
        seen["patches"] += any(isinstance(each, KubernetesPatch) for each in TRANSLATOR.emit(found.kept, PLAIN).artifacts)
        names = {finding.instead for finding in found.diagnostics if finding.code == "carried.name.service"}
        seen["merged"] += len(names) < sum(finding.code == "carried.name.service" for finding in found.diagnostics)

    look()
    assert seen["kept"] > seen["routes"] / 3
    assert seen["patches"] > 20
    assert seen["merged"] > 0


# What is written -------------------------------------------------------------------------------------------------------

SHOP = """\
    routes:
      - name: shop
        hosts: [shop.example.com, www.example.com]
        path: {prefix: /}
        entry_points: [websecure]
        middlewares: [door, auth@file]
        tls: {secret: shop-tls, issuer: {name: le}}
        metadata: {namespace: shop}
        to: v1
      - name: api
        hosts: [shop.example.com]
        path: {regex: "/api/v[0-9]+"}
        priority: 50
        metadata: {namespace: shop}
        to: again
    services:
      v1:
        servers: [{kubernetes: {service: web, namespace: shop, port: 80, scheme: h2c}}]
        sticky: {cookie: {name: srv, secure: true, http_only: false, same_site: none, max_age: 60}}
        pass_host_header: false
      again:
        servers: [{kubernetes: {service: web, namespace: shop, port: 80, scheme: h2c}}]
        sticky: {cookie: {name: srv, secure: true, http_only: false, same_site: none, max_age: 60}}
        pass_host_header: false
    middlewares:
      door: {basic_auth: {users: ["a:b"]}, metadata: {namespace: shop}}
    """
WRITTEN = """\
---
apiVersion: v1
kind: Secret
metadata:
  name: door-users
  namespace: shop
type: Opaque
stringData:
  users: "a:b\\n"
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata:
  name: door
  namespace: shop
spec:
  basicAuth:
    secret: door-users
---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  annotations:
    traefik.ingress.kubernetes.io/service.passhostheader: "false"
    traefik.ingress.kubernetes.io/service.serversscheme: h2c
    traefik.ingress.kubernetes.io/service.sticky.cookie: "true"
    traefik.ingress.kubernetes.io/service.sticky.cookie.name: srv
    traefik.ingress.kubernetes.io/service.sticky.cookie.maxage: "60"
    traefik.ingress.kubernetes.io/service.sticky.cookie.secure: "true"
    traefik.ingress.kubernetes.io/service.sticky.cookie.httponly: "false"
    traefik.ingress.kubernetes.io/service.sticky.cookie.samesite: "none"
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: api
  namespace: shop
  annotations:
    traefik.ingress.kubernetes.io/router.priority: "50"
    traefik.ingress.kubernetes.io/router.pathmatcher: PathRegexp
spec:
  rules:
    - host: shop.example.com
      http:
        paths:
          - path: "/api/v[0-9]+"
            pathType: ImplementationSpecific
            backend:
              service:
                name: web
                port:
                  number: 80
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  namespace: shop
  annotations:
    traefik.ingress.kubernetes.io/router.entrypoints: websecure
    traefik.ingress.kubernetes.io/router.priority: "1"
    traefik.ingress.kubernetes.io/router.middlewares: "shop-door@kubernetescrd,auth@file"
    traefik.ingress.kubernetes.io/router.tls: "true"
    cert-manager.io/cluster-issuer: le
spec:
  rules:
    - host: shop.example.com
      http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service:
                name: web
                port:
                  number: 80
    - host: www.example.com
      http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service:
                name: web
                port:
                  number: 80
  tls:
    - hosts:
        - shop.example.com
        - www.example.com
      secretName: shop-tls
"""


def test_one_ingress_a_route_and_a_patch_a_service() -> None:
    made = document(SHOP)
    assert losses(made) == {}
    assert written(made) == WRITTEN
    parts = TRANSLATOR.emit(project(made, TRANSLATOR.supports(PLAIN)).kept, PLAIN).artifacts
    assert [isinstance(part, KubernetesPatch) for part in parts] == [False, False, True, False, False]
    again = sound(read(written(made)))
    assert sorted(again.services) == ["shop-web-80"]
    assert again.routes[1].hosts == ("shop.example.com", "www.example.com")


def test_servers_by_url_become_a_service_of_its_name() -> None:
    made = document(
        """\
        routes: [{name: shop, hosts: [a.io], to: v1, metadata: {namespace: shop}}]
        services: {v1: {servers: [{url: "http://10.0.0.1:8080"}, {url: "http://10.0.0.2:8080"}], sticky: {cookie: {name: srv}}}}
        """
    )
    text = written(made)
    assert "kind: EndpointSlice" in text
    again = sound(read(text))
    assert [server.url for server in again.services["shop-v1-8080"].servers] == ["http://10.0.0.1:8080", "http://10.0.0.2:8080"]  # type: ignore[union-attr]
    assert losses(made) == {}


# What cannot be said ---------------------------------------------------------------------------------------------------

REF = "{servers: [{kubernetes: {service: web, namespace: shop, port: 80}}]}"
OTHER = "{servers: [{kubernetes: {service: web, namespace: shop, port: 81}}], sticky: {cookie: {name: srv}}}"
IN = "metadata: {namespace: shop}"
CASES = {
    "a regex from the start": (f"[{{name: r, {IN}, path: {{regex: ^/a}}, to: v1}}]", REF, {"loss.match.path-regex"}),
    "two paths": (f"[{{name: r, {IN}, path: {{prefix: /a}}, match: {{path: {{prefix: /b}}}}, to: v1}}]", REF, {"loss.match.path-prefix"}),
    "a header": (f"[{{name: r, {IN}, match: {{header: {{name: X, value: y}}}}, to: v1}}]", REF, {"loss.match.header"}),
    "every host": (f"[{{name: r, {IN}, hosts: ['*'], to: v1}}]", REF, {"loss.match.host-wildcard"}),
    "an address": (f"[{{name: r, {IN}, hosts: [10.0.0.1], to: v1}}]", REF, {"loss.match.host"}),
    "another namespace": ("[{name: r, to: v1}]", REF, {"loss.server.kubernetes"}),
    "an entry point with a comma": (f"[{{name: r, {IN}, entry_points: ['a,b'], to: v1}}]", REF, {"loss.entry-points"}),
    "another provider's service": (f"[{{name: r, {IN}, to: x@file}}, {{name: s, {IN}, to: v1}}]", REF, {"loss.external-reference"}),
    "no TLS": (f"[{{name: r, {IN}, tls: {{terminate: false}}, to: v1}}]", REF, {"loss.tls.off"}),
    "an issuer of nothing": (f"[{{name: r, {IN}, tls: {{issuer: {{name: le}}}}, to: v1}}]", REF, {"loss.tls.issuer"}),
    "an own annotation": (
        "[{name: r, metadata: {namespace: shop, annotations: {traefik.ingress.kubernetes.io/router.tls: 'false'}}, to: v1}]",
        REF,
        {"carried.annotations"},
    ),
    "two cookies on one Service": (
        f"[{{name: r, {IN}, to: v1}}, {{name: s, {IN}, path: {{prefix: /s}}, to: v2}}]",
        f"{REF}, v2: {OTHER}",
        {"loss.server.kubernetes"},
    ),
    "two servers": (
        f"[{{name: r, {IN}, to: v1}}]",
        "{servers: [{kubernetes: {service: a, namespace: shop, port: 80}}, {kubernetes: {service: b, namespace: shop, port: 80}}]}",
        {"loss.server.kubernetes"},
    ),
    "a split": (f"[{{name: r, {IN}, split: [{{to: v1}}, {{to: x@file}}]}}]", REF, {"loss.split", "loss.external-reference"}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_said_is_a_loss(case: str) -> None:
    routes, services, codes = CASES[case]
    made = document(f"routes: {routes}\nservices: {{v1: {services}}}\n")
    assert {code for code in losses(made) if code != "carried.service.alone"} == codes


def test_a_prefix_by_character_is_lost_where_the_instance_has_none() -> None:
    plain = document(f"routes: [{{name: r, {IN}, path: {{prefix: /a}}, to: v1}}]\nservices: {{v1: {REF}}}\n")
    pair = document(
        f"routes: [{{name: r, {IN}, match: {{any: [{{path: {{exact: /a}}}}, {{path: {{prefix: /a/}}}}]}}, to: v1}}]\nservices: {{v1: {REF}}}\n"
    )
    assert "loss.match.path-prefix" in losses(plain, STRICT)
    assert losses(plain) == losses(pair, STRICT) == {}
    assert "path: /a\n" in written(pair, STRICT)
    assert "loss.match.any" in losses(pair)


def test_a_reference_to_what_the_document_has_is_lost_in_words() -> None:
    made = document(
        f"routes: [{{name: r, {IN}, middlewares: [default-door@kubernetescrd, shop-door@kubernetescrd], to: v1}}]\n"
        f"services: {{v1: {REF}}}\nmiddlewares: {{door: {{compress: {{}}}}}}\n"
    )
    assert losses(made)["loss.external-reference"] == ("routes", 0, "middlewares", 0)


def test_a_container_becomes_the_service_of_its_name() -> None:
    made = document(f"routes: [{{name: r, {IN}, to: v1}}]\nservices: {{v1: {{servers: [{{container: {{name: web, port: 80}}}}]}}}}\n")
    assert losses(made) == {"near.server.container": ("services", "v1", "servers", 0, "container")}
    assert sound(read(written(made))).services["shop-web-80"].servers[0].kubernetes is not None  # type: ignore[union-attr]


def test_traefik_2_is_read_and_not_written() -> None:
    old = IngressOptions(traefik="2.11")
    assert "loss.server.kubernetes" in losses(document(f"routes: [{{name: r, {IN}, to: v1}}]\nservices: {{v1: {REF}}}\n"), old)
