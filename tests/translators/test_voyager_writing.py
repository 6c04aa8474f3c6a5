"""What is written of a document as a Voyager Ingress, and what is never written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pinfeather.model.build import build
from pinfeather.model.noun import Tree
from pinfeather.model.project import project
from pinfeather.translators import canonical, voyager
from pinfeather.translators.contract import File, Parsed, Source

OPTIONS = voyager.VoyagerOptions()


def parse(text: str) -> Parsed:
    return voyager.parse(Source((File("x.yaml", text),)), OPTIONS)


def write(document: str, **options: Any) -> str:
    made = canonical.parse(Source((File("d.yaml", document),)), canonical.CanonicalOptions()).document
    assert made is not None
    chosen = voyager.VoyagerOptions(**options)
    return voyager.emit(project(made, voyager.supports(chosen)).kept, chosen).files()[0].text


@pytest.mark.parametrize("value", ["a b", 'a"b', "a'b", "a#b", "a\\b", "$HOME", "a`b", "ü", "a\tb"])
def test_no_text_that_means_something_to_haproxy_is_written(value: str) -> None:
    document = f"""
pinfeather: v1
routes:
  - {{name: r, hosts: [a.io], match: {{header: {{name: X, value: {json.dumps(value)}}}}}, to: s}}
services:
  s: {{servers: [{{kubernetes: {{service: s, port: 80}}}}]}}
"""
    made = canonical.parse(Source((File("d.yaml", document),)), canonical.CanonicalOptions()).document
    if made is None:
        return  # the model refuses it
    projected = project(made, voyager.supports(OPTIONS))
    assert not projected.kept.routes
    assert [each.code for each in projected.diagnostics if each.code.startswith("loss.")] == ["loss.match.header"]


def test_stickiness_by_the_ingress_or_by_its_services() -> None:
    services = """
pinfeather: v1
routes: [{name: a, hosts: [a.io], to: a}, {name: b, hosts: [b.io], to: b}]
services:
  a: {servers: [{kubernetes: {service: one, port: 80}}], sticky: {cookie: {name: MINE, hash: md5}}}
"""
    both = write(services + "  b: {servers: [{kubernetes: {service: two, port: 80}}], sticky: {cookie: {name: MINE, hash: md5}}}\n")
    assert "ingress.appscode.com/session-cookie-name: MINE" in both
    assert "kind: Service" not in both
    one = write(services + "  b: {servers: [{kubernetes: {service: two, port: 80}}]}\n")
    ingress, _, patch = one.partition("kind: Service\n")
    assert "affinity" not in ingress
    assert "name: one" in patch
    assert "ingress.appscode.com/session-cookie-hash: md5" in patch
    shared = write(services + "  b: {servers: [{kubernetes: {service: one, port: 8080}}]}\n")
    assert "affinity" not in shared  # one Service, and its uses differ: a loss


def test_what_holds_for_the_whole_ingress_is_written_only_where_every_route_has_it() -> None:
    text = """
pinfeather: v1
routes: [{name: a, hosts: [a.io], to: a, middlewares: [office, safe]}, {name: b, hosts: [b.io], to: a, middlewares: [office, safe]}]
services: {a: {servers: [{url: "http://10.0.0.1:80"}, {url: "http://10.0.0.2:81"}], health_check: {path: /h, interval: 5s}}}
middlewares:
  office: {ip_allow_list: {source_ranges: [10.0.0.0/8]}}
  safe: {headers: {response: {X-Frame-Options: DENY}}}
"""
    written = write(text)
    for line in (
        'whitelist-source-range: "10.0.0.0/8"',
        "http-response set-header X-Frame-Options DENY",
        "option httpchk GET /h",
        "EndpointSlice",
    ):
        assert line in written
    assert "inter 5000ms" in written
    again = parse(written).document
    assert again is not None
    assert {route.middlewares for route in again.routes} == {("whitelist-source-range", "safe")}
    assert again.services["a"].health_check is not None  # type: ignore[union-attr]
    uneven = text.replace("to: a, middlewares: [office, safe]}]", "to: a}]")
    assert "host: a.io" not in write(uneven)


def test_the_secret_of_every_route_that_names_none() -> None:
    text = """
pinfeather: v1
routes: [{name: a, hosts: [a.io], tls: {}, to: a}]
services: {a: {servers: [{kubernetes: {service: a, port: 80}}]}}
"""
    assert "a.io" not in write(text)
    written = write(text, secret="cert")
    assert "secretName: cert" in written
    parsed = voyager.parse(Source((File("x.yaml", written),)), voyager.VoyagerOptions(secret="cert"))
    assert parsed.document is not None
    assert parsed.document.routes[0].tls is not None
    assert parsed.document.routes[0].tls.secret is None


def test_templates_are_lost_and_nothing_stumbles() -> None:
    """Wherever a template may stand."""
    t: Tree = {"template": "{{ x }}"}
    asked: Tree = {
        "any": [{"header": {"name": t, "regex": t}}, {"query": {"name": t, "value": t}}, {"method": t}, {"client_ip": t}, {"host": t}]
    }
    document, problems = build(
        {
            "pinfeather": "v1",
            "entry_points": {"web": t},
            "routes": [
                {
                    "name": "a",
                    "hosts": [t],
                    "path": {"prefix": t},
                    "priority": t,
                    "entry_points": ["web"],
                    "tls": {"secret": t},
                    "middlewares": ["m", "h"],
                    "metadata": {"namespace": t, "object": t, "labels": {"a": t}, "annotations": {"b": t}},
                    "canaries": [{"when": {"cookie": {"name": t, "value": t}}, "to": "s", "priority": t}, {"when": asked, "to": "u"}],
                    "split": [{"to": "s", "weight": t}, {"to": "u", "weight": 3}],
                    "sticky": {"cookie": {"name": t, "max_age": t, "path": t, "domain": t}},
                }
            ],
            "services": {
                "s": {"servers": [{"kubernetes": {"service": t, "namespace": t, "port": t}}], "health_check": {"path": t, "interval": t}},
                "u": {"servers": [{"url": t, "weight": t}, {"url": t}], "sticky": {"cookie": {"name": "x", "path": t}}},
            },
            "middlewares": {"m": {"ip_allow_list": {"source_ranges": [t]}}, "h": {"headers": {"response": {"X": t}}}},
            "tcp_routes": [{"name": "t", "entry_points": ["web"], "to": "d"}],
            "tcp_services": {"d": {"servers": [{"address": t}], "sticky": {"source_address": {"size": 3, "lifetime": t}}}},
        }
    )
    assert document is not None, problems
    projected = project(document, voyager.supports(OPTIONS))
    assert not projected.kept.routes
    assert not projected.kept.tcp_routes
    assert any(each.code == "loss.template" for each in projected.diagnostics)
    assert parse(voyager.emit(projected.kept, OPTIONS).files()[0].text).document is not None


def test_external_dns_and_what_is_about_the_proxys_pods_are_carried() -> None:
    text = """
pinfeather: v1
routes:
  - name: a
    hosts: [a.io]
    to: a
    metadata:
      {namespace: shop, annotations: {ingress.appscode.com/type: NodePort}, labels: {a: b}, dns: {target: x.io}}
services: {a: {servers: [{kubernetes: {service: a, namespace: shop, port: 80}}]}}
"""
    written = write(text)
    assert "external-dns.alpha.kubernetes.io/target: x.io" in written
    again = parse(written).document
    assert again is not None
    made = canonical.parse(Source((File("d.yaml", text),)), canonical.CanonicalOptions()).document
    assert made is not None
    assert again.routes[0].metadata == made.routes[0].metadata
    assert "affinity" not in write(text.replace("ingress.appscode.com/type: NodePort", "ingress.appscode.com/affinity: cookie"))
