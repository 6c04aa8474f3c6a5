"""The laws over documents that a Voyager Ingress can say for the most part: one Kubernetes Service a service, Secrets, few middlewares."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinfeather.model.build import build
from pinfeather.model.document import Document
from pinfeather.model.features import Feature
from pinfeather.model.noun import Tree
from pinfeather.model.project import project
from pinfeather.testing import laws, strategies, traffic
from pinfeather.translators import voyager
from pinfeather.translators.contract import AnyTranslator

EXAMPLES = int(os.environ.get("PINFEATHER_VOYAGER_EXAMPLES", "60"))
_MIDDLEWARES: dict[str, Tree] = {
    "whitelist-source-range": {"ip_allow_list": {"source_ranges": ["10.0.0.0/8", "127.0.0.1"]}},
    "hsts": {"headers": {"response": {"Strict-Transport-Security": "max-age=5", "X-Gone": ""}}},
}
_SOURCE: Tree = {"source_address": {"size": 102_400, "lifetime": "1800s"}}


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """A document of either strategy, its servers, certificates and middlewares said in Voyager's way."""
    drawn = draw(st.one_of(traffic.documents(), traffic.documents(), traffic.documents(), strategies.documents()))
    tree: Any = drawn.model_dump(mode="json", exclude_defaults=True, by_alias=True)
    tree["pinfeather"] = "v1"
    metadata: Any = draw(st.sampled_from([None, {"namespace": "shop", "object": "shop", "labels": {"a": "b"}, "annotations": {"c": "d"}}]))
    namespace = draw(st.sampled_from([None, "other"] if metadata is None else ["shop", "shop", "other", None]))
    for section in ("services", "tcp_services"):
        for number, service in enumerate(tree.get(section, {}).values()):
            _serve(draw, service, f"s{number if draw(st.integers(0, 3)) else 0}", namespace, tcp=section == "tcp_services")
    passed = draw(st.sampled_from([(), (), ("whitelist-source-range",), ("hsts",), ("whitelist-source-range", "hsts")]))
    tree["middlewares"] = {name: _MIDDLEWARES[name] for name in passed}
    for number, route in enumerate((*tree.get("routes", ()), *tree.get("tcp_routes", ()))):
        route.pop("middlewares", None)
        route.pop("metadata", None)
        if metadata:
            route["metadata"] = metadata
        if passed and number < len(tree.get("routes", ())):
            route["middlewares"] = list(passed)
        if "tls" in route:
            route["tls"] = {"secret": draw(st.sampled_from(["cert", "cert", "other"]))} if draw(st.booleans()) else {}
    if draw(st.integers(0, 3)) or passed:
        tree.pop("tcp_routes", None)
        tree.pop("tcp_services", None)
    elif draw(st.booleans()):
        _add_tcp(draw, tree, namespace, metadata)
    document, _ = build(tree)
    return drawn if document is None else document


def _add_tcp(draw: st.DrawFn, tree: Any, namespace: str | None, metadata: Any) -> None:
    """Routes by port alone, each to a Service of its own or to one that HTTP uses too."""
    points = tree.setdefault("entry_points", {})
    tree["tcp_routes"], tree["tcp_services"] = [], {}
    for number in range(draw(st.integers(1, 2))):
        points[f"db{number}"] = 3306 + number
        service: Any = {"sticky": _SOURCE} if draw(st.booleans()) else {}
        _serve(draw, service, draw(st.sampled_from(["db", "s0"])), namespace, tcp=True)
        tree["tcp_services"][f"db{number}"] = service
        route = {"name": f"db{number}", "entry_points": [f"db{number}"], "to": f"db{number}"}
        tree["tcp_routes"].append({**route, "metadata": metadata} if metadata else route)


def _serve(draw: st.DrawFn, service: Any, name: str, namespace: str | None, *, tcp: bool) -> None:
    service.pop("middlewares", None)
    service.pop("servers_transport", None)
    if "split" in service:
        service.pop("metadata", None)
        return
    ref: Tree = {"service": name, "port": draw(st.sampled_from([80, 8080, "http"])), **({"namespace": namespace} if namespace else {})}
    if not draw(st.integers(0, 2)):  # as it is, if it is by address
        address = f"10.1.{draw(st.integers(0, 3))}.1:8080"
        service["servers"] = [{"address": address}] if tcp else service.get("servers") or [{"url": f"http://{address}"}]
    else:
        service["servers"] = [{"kubernetes": ref}]
    for key in ("proxy_protocol", "health_check", "passive_health_check", "flush_interval", "metadata"):
        service.pop(key, None)
    if not tcp and not draw(st.integers(0, 2)):
        service["health_check"] = {"path": "/healthz", **draw(st.sampled_from([{}, {"interval": "5s", "timeout": "500ms"}]))}
    if tcp and "sticky" in service:
        service["sticky"] = _SOURCE
    elif not tcp and not draw(st.integers(0, 2)):
        cookie: Any = draw(strategies.cookies("srv"))
        service["sticky"] = {"cookie": {**cookie, "name": draw(st.sampled_from(["srv", "srv2", cookie["name"]]))}}


@pytest.mark.parametrize("api", ["v1", "v1beta1"])
@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
def test_law(law: Callable[[AnyTranslator, Any, Document], None], api: Any) -> None:
    options = voyager.VoyagerOptions(api=api, secret="other" if api == "v1" else "")

    @settings(max_examples=20 if law is laws.purity else EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(documents())
    def holds(document: Document) -> None:
        law(voyager.TRANSLATOR, options, document)

    holds()


def test_the_laws_are_asked_of_something() -> None:
    """Much of what these documents say is kept, and every way of saying it occurs."""
    seen: Counter[str] = Counter()

    @settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(documents())
    def look(document: Document) -> None:
        options = voyager.VoyagerOptions(secret="other")
        kept = project(document, voyager.supports(options)).kept
        text = voyager.emit(kept, options).files()[0].text
        seen["documents"] += 1
        seen["routes"] += bool(kept.routes)
        seen["rules"] += "use_backend" in text
        seen["own"] += "path: /" in text
        seen["canary"] += any(route.canaries for route in kept.routes)
        seen["variant"] += "add-header Set-Cookie" in text
        seen["draw"] += "rand(" in text
        seen["attributes"] += "- cookie " in text
        seen["ingress"] += "ingress.appscode.com/affinity: cookie" in text.partition("kind: Service")[0]
        seen["patch"] += "kind: Service\n" in text.partition("kind: Ingress\n")[2]
        seen["headers"] += "set-header Strict" in text
        seen["check"] += "httpchk" in text
        seen["slices"] += "kind: EndpointSlice" in text
        seen["tls"] += "secretName" in text
        seen["tcp"] += "- tcp:" in text
        seen["allowed"] += "whitelist-source-range" in text

    look()
    assert seen["routes"] > seen["documents"] / 3, seen
    assert all(seen.values()), seen
    assert Feature.CANARY in voyager.supports(voyager.VoyagerOptions())


@pytest.mark.parametrize("law", [laws.second_pass, laws.read_back, laws.decisions_kept], ids=lambda law: law.__name__)
def test_a_path_that_asks_for_nothing(law: Callable[[AnyTranslator, Any, Document], None]) -> None:
    # Found by hypothesis: read back as a canary of the route for every path, the second route lost its `path: {prefix: /}`.
    tester: dict[str, object] = {"cookie": {"name": "canary", "value": "v2"}}
    document = Document.model_validate(
        {
            "entry_points": {"web": 80},
            "routes": [
                {"name": "a", "entry_points": ["web"], "canaries": [{"when": tester, "to": "s"}], "split": [{"to": "s", "weight": 1}]},
                {"name": "b", "entry_points": ["web"], "path": {"prefix": "/"}, "match": tester, "to": "s"},
            ],
            "services": {"s": {"servers": [{"url": "http://10.0.0.1:80"}]}},
        }
    )
    law(voyager.TRANSLATOR, voyager.VoyagerOptions(), document)


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
def test_a_canary_by_path_under_every_path(law: Callable[[AnyTranslator, Any, Document], None]) -> None:
    # Found by hypothesis: `/` stayed the path of the canary in the one form, while it is read back as a route for `/a`.
    route = {
        "name": "r",
        "path": {"prefix": "/"},
        "match": {"cookie": {"name": "canary", "value": "v2"}},
        "canaries": [{"when": {"path": {"prefix": "/a"}}, "to": "s"}],
        "split": [{"to": "s", "weight": 1}],
        "order": "binding_first",
    }
    service = {"servers": [{"url": "http://10.0.0.0:80"}], "sticky": {"cookie": {"name": "srv"}}, "health_check": {"path": "/healthz"}}
    document = Document.model_validate(
        {"entry_points": {"web": 80, "websecure": 443}, "routes": [route], "services": {"s": service}},
    )
    for api in ("v1", "v1beta1"):
        law(voyager.TRANSLATOR, voyager.VoyagerOptions(api=api), document)
