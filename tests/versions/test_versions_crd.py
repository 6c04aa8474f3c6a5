"""What each minor of Traefik takes from its objects, against what `ingressroute` says of that version.

The newest version's objects are given to all: what an older one drops of them without a word, or a route that it drops for
them, `--traefik` must name as a loss, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

import pytest

from pinfeather.model.build import build
from pinfeather.model.document import Document
from pinfeather.model.noun import Tree
from pinfeather.model.project import project
from pinfeather.model.services import LoadBalancer
from pinfeather.model.sticky import Cookie
from pinfeather.testing.traefik import Json
from pinfeather.translators import ingressroute
from pinfeather.translators._traefik.options import Version
from tests.parts.fixtures import TRAEFIKS, StartTraefik
from tests.parts.kubernetes import KubernetesApi

NEWEST: Version = "3.7"
RAN: tuple[Version, ...] = tuple(version for version in get_args(Version) if version in (*TRAEFIKS, NEWEST))
# Traefik up to 3.0 reads Endpoints, later ones EndpointSlices: here are both.
BACKEND = """\
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{ports: [{{name: web, port: 80}}]}}
---
apiVersion: v1
kind: Endpoints
metadata: {{name: {name}}}
subsets: [{{addresses: [{{ip: 10.0.1.10}}], ports: [{{name: web, port: 8080}}]}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
endpoints: [{{addresses: [10.0.1.10], conditions: {{ready: true}}}}]
ports: [{{name: web, port: 8080}}]
---
"""
COOKIE: dict[str, Tree] = {
    "max_age": 3600, "secure": True, "http_only": True, "same_site": "lax", "path": "/a", "domain": "example.com",
}  # fmt: skip
_SPELLED = {"max_age": "maxAge", "http_only": "httpOnly", "same_site": "sameSite"}
SERVICES: Mapping[str, dict[str, Tree]] = {
    "plain": {},
    "pinned": {"sticky": {"cookie": {"name": "pin", **COOKIE}}},
    "wrr": {"strategy": "wrr"},
    "p2c": {"strategy": "p2c"},
    "hrw": {"strategy": "hrw"},
    "leasttime": {"strategy": "leasttime"},
    "passive": {"passive_health_check": {"max_failed_attempts": 3}},
    "passing": {"middlewares": ["m"]},
}
"""Each behind a route of its own."""


def document() -> Document:
    routes: list[Tree] = [{"name": name, "hosts": [f"{name}.test"], "entry_points": ["web"], "to": name} for name in (*SERVICES, "urls")]
    routes.append({"name": "quiet", "hosts": ["quiet.test"], "to": "plain", "observability": {"access_logs": False}})
    routes.append(
        {
            "name": "split", "hosts": ["split.test"], "split": [{"to": "plain", "weight": 9}, {"to": "pinned", "weight": 1}],
            "sticky": {"cookie": {"name": "variant", **COOKIE}},
        }
    )  # fmt: skip
    built, faults = build(
        {
            "pinfeather": "v1",
            "routes": routes,
            "services": {
                **{name: {"servers": [{"kubernetes": {"service": name, "port": 80}}], **service} for name, service in SERVICES.items()},
                "urls": {"servers": [{"url": "http://10.0.1.20:8080"}]},
            },
            "middlewares": {"m": {"add_prefix": {"prefix": "/a"}}},
        }
    )
    assert built is not None, faults
    return built


def said(version: Version) -> set[str]:
    """What is kept of the document for a version: `pinned cookie path`, `hrw strategy` …"""
    kept = project(document(), ingressroute.supports(ingressroute.IngressRouteOptions(traefik=version))).kept
    facts: set[str] = set()
    for route in kept.routes:
        facts.add(f"{route.name} is there")
        if route.observability is not None:
            facts.add(f"{route.name} observability")
        if route.sticky is not None and route.sticky.cookie is not None:
            facts |= _of_cookie(route.name, route.sticky.cookie)
        service = kept.services.get(route.to or "")
        if isinstance(service, LoadBalancer):
            for field in ("strategy", "passive_health_check", "middlewares"):
                if getattr(service, field):
                    facts.add(f"{route.name} {field}")
            if service.sticky is not None and service.sticky.cookie is not None:
                facts |= _of_cookie(route.name, service.sticky.cookie)
    return facts


def _of_cookie(name: str, cookie: Cookie) -> set[str]:
    return {f"{name} cookie {_SPELLED.get(field, field)}" for field in COOKIE if getattr(cookie, field) is not None}


def shown(routers: Mapping[str, Mapping[str, Json]], services: Mapping[str, Mapping[str, Json]]) -> Iterator[str]:
    """The same, as a real one shows it."""
    for router in routers.values():
        name = str(router["rule"]).partition("`")[2].partition(".test")[0]
        if name not in (*SERVICES, "urls", "quiet", "split") or router["status"] != "enabled":
            continue
        yield f"{name} is there"
        observed = router.get("observability")
        if isinstance(observed, dict) and observed.get("accessLogs") is False:
            yield f"{name} observability"
        service = services[str(router["service"])]
        if service.get("middlewares"):
            yield f"{name} middlewares"
        held = service.get("loadBalancer", service.get("weighted"))
        assert isinstance(held, dict)
        if name in ("wrr", "p2c", "hrw", "leasttime") and held.get("strategy") == name:
            yield f"{name} strategy"
        if held.get("passiveHealthCheck"):
            yield f"{name} passive_health_check"
        sticky = held.get("sticky")
        cookie = sticky.get("cookie") if isinstance(sticky, dict) else None
        if isinstance(cookie, dict):
            default: Mapping[str, Json] = {"path": "/"}
            yield from (
                f"{name} cookie {key}" for key, value in cookie.items() if key != "name" and value not in (False, 0, default.get(key))
            )


def written(version: Version) -> str:
    options = ingressroute.IngressRouteOptions(traefik=version)
    return ingressroute.emit(project(document(), ingressroute.supports(options)).kept, options).files()[0].text


@pytest.mark.parametrize("version", RAN)
def test_what_is_dropped_is_named(version: Version, kubernetes: KubernetesApi, traefik: StartTraefik) -> None:
    def seen() -> set[str]:
        kubernetes.in_force(running)
        return set(shown(running.items("routers", "kubernetescrd"), running.items("services", "kubernetescrd")))

    def settings(facts: set[str]) -> set[str]:  # a strategy that it does not know costs a version the route
        return {fact for fact in facts if not fact.endswith("is there")}

    kubernetes.apply("".join(BACKEND.format(name=name) for name in SERVICES) + written(NEWEST))
    running = traefik({}, arguments=kubernetes.arguments("kubernetescrd"), version=None if version == NEWEST else version)
    sent = said(version) | ({"split cookie sameSite"} if version == "2.11" else set())  # which 2.11 shows, and does not send
    assert settings(seen()) == settings(sent)
    kubernetes.apply(written(version))
    assert seen() - {"passing is there"} == said(version) - {
        "passing is there"
    }  # which is left out of what is written: the first one's stands
