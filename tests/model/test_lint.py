"""What lint finds in a document, and the near misses of which it must say nothing."""

from __future__ import annotations

from typing import Any

import pytest

from pinfeather.model.build import build
from pinfeather.model.codes import Code
from pinfeather.model.diagnostics import Path, Severity
from pinfeather.model.document import Document
from pinfeather.model.lint import lint

Tree = dict[str, Any]
SAFE = {"secure": True, "http_only": True, "same_site": "lax"}
HEALTH = {"path": "/healthz"}
COOKIE_V2 = {"cookie": {"name": "canary", "value": "v2"}}


def cookie(name: str = "srv_id", **more: object) -> Tree:
    return {"cookie": {"name": name, **SAFE, **more}}


def service(*numbers: int, **more: object) -> Tree:
    """A service over servers of its own, which pins nobody."""
    return {"servers": [{"url": f"http://10.0.0.{number}:80"} for number in numbers or (1, 2)], **more}


def pinned(*numbers: int, name: str = "srv_id", **more: object) -> Tree:
    return service(*numbers, sticky=cookie(name, **more), health_check=HEALTH)


def route(name: str = "shop", to: str | None = "a", **more: object) -> Tree:
    return {"name": name, "hosts": ["shop.test"], **({} if to is None else {"to": to}), **more}


def document(*routes: Tree, services: Tree | None = None, **more: object) -> Document:
    tree = {"pinfeather": "v1", "routes": list(routes), "services": services or {"a": service(), "b": service(3, 4)}, **more}
    made, found = build(tree)
    assert made is not None, found
    return made


def found(made: Document, code: Code | None = None) -> list[tuple[str, Path]]:
    return [(finding.code, finding.path) for finding in lint(made) if code is None or finding.code == code]


def split(**more: object) -> Tree:
    return route(to=None, split=[{"to": "a", "weight": 90}, {"to": "b", "weight": 10}], **more)


def kubernetes(service_name: str) -> Tree:
    return {"servers": [{"kubernetes": {"service": service_name, "port": 80}}]}


HEADERS = {"cache": {"headers": {"response": {"Cache-Control": "public, max-age=60"}}}}
PRIVATE = {"cache": {"headers": {"response": {"Cache-Control": "private, s-maxage=60"}}}}
AUTH = {"auth": {"basic_auth": {"users": ["u:$apr1$x$y"]}}}
USERS = {"auth": {"basic_auth": {"users_file": "/etc/users"}}}
PLUGIN = {"p": {"other": {"kind": "plugin", "config": {"guard": {}}}}}
API = {"prefix": "/api"}
ADMIN = route("admin", path=API, middlewares=["auth"])
RETRY = {"again": {"retry": {"attempts": 3}}}
UNWATCHED = service(sticky=cookie())
CANARY = route("canary", "b", match=COOKIE_V2)
A, B, BOTH = "a", "b", {"a": pinned(1, 2), "b": pinned(3, 4)}
TWO_NAMES = {"a": pinned(1, 2, name="one"), "b": pinned(3, 4, name="two")}


# What is found, and where; then the same with one thing put right, of which nothing may be said.
CASES: dict[str, tuple[Code, Document, Path, list[Document]]] = {
    "cookie over plain HTTP": (
        Code.COOKIE_INSECURE, document(services={"a": pinned(secure=False)}), ("services", "a", "sticky", "cookie"),
        [document(services={"a": pinned()})],
    ),
    "cookie that says nothing of Secure": (
        Code.COOKIE_INSECURE, document(services={"a": pinned(secure=None)}), ("services", "a", "sticky", "cookie"), [],
    ),
    "cookie of a split over plain HTTP": (
        Code.COOKIE_INSECURE, document(split(sticky=cookie(secure=None))), ("routes", 0, "sticky", "cookie"), [document(split(sticky=cookie()))],
    ),
    "cookie that scripts can read": (
        Code.COOKIE_READABLE, document(services={"a": pinned(http_only=None)}), ("services", "a", "sticky", "cookie"),
        [document(services={"a": pinned()})],
    ),
    "cookie without SameSite": (
        Code.COOKIE_SAME_SITE, document(services={"a": pinned(same_site=None)}), ("services", "a", "sticky", "cookie"),
        [document(services={"a": pinned(same_site="strict")}), document(services={"a": pinned(same_site="none")})],
    ),
    "cookie across sites": (
        Code.COOKIE_CROSS_SITE, document(services={"a": pinned(same_site="none")}), ("services", "a", "sticky", "cookie", "same_site"),
        [document(services={"a": pinned(same_site="lax")})],
    ),
    "cookie for two years": (
        Code.COOKIE_LIFETIME, document(services={"a": pinned(max_age=63_072_000)}), ("services", "a", "sticky", "cookie", "max_age"),
        [document(services={"a": pinned(max_age=34_560_000)})],
    ),
    "cookie of an application": (
        Code.APP_COOKIE, document(services={"a": pinned(name="JSESSIONID")}), ("services", "a", "sticky", "cookie", "name"),
        [document(services={"a": pinned(name="JSESSIONID_pin")}), document(services={"a": pinned(name="srv_id")})],
    ),
    "cookie that a route asks for": (
        Code.APP_COOKIE, document(route(), {**CANARY, "priority": 9}, services={"a": pinned(name="canary"), "b": service(3)}),
        ("services", "a", "sticky", "cookie", "name"),
        [document(route(), {**CANARY, "priority": 9}, services={"a": pinned(name="canary_pin"), "b": service(3)})],
    ),
    "no health check": (
        Code.NO_HEALTH_CHECK, document(services={"a": UNWATCHED}), ("services", "a"),
        [
            document(services={"a": {**UNWATCHED, "health_check": HEALTH}}), document(services={"a": service()}),
            document(services={"a": {**UNWATCHED, "passive_health_check": {"max_failed_attempts": 1}}}),
            document(services={"a": {**kubernetes("a"), "sticky": cookie()}}),
        ],
    ),
    "one cookie on a canary and its route": (
        Code.COOKIE_SHARED, document(route(canaries=[{"when": COOKIE_V2, "to": "b"}]), services=BOTH), ("services", "b", "sticky", "cookie", "name"),
        [
            document(route(canaries=[{"when": COOKIE_V2, "to": "b"}]), services=TWO_NAMES),
            document(route(canaries=[{"when": COOKIE_V2, "to": "b"}]), services={"a": pinned(1, 2), "b": pinned(2, 1)}),
        ],
    ),
    "one cookie on two routes of a host": (
        Code.COOKIE_SHARED, document(route(), route("api", "b", path={"prefix": "/api"}), services=BOTH), ("services", "b", "sticky", "cookie", "name"),
        [
            document(route(), route("api", "b", hosts=["api.test"]), services=BOTH),
            document(route(), route("api", "b"), services={"a": pinned(1, 2, path="/shop"), "b": pinned(3, 4, path="/api")}),
            document(route(), route("api", "a", path={"prefix": "/api"}), services={"a": pinned()}),
        ],
    ),
    "one cookie on a host and a wildcard": (
        Code.COOKIE_SHARED, document(route(), route("any", "b", hosts=["*.test"]), services=BOTH), ("services", "b", "sticky", "cookie", "name"),
        [document(route(), route("any", "b", hosts=["*.other"]), services=BOTH)],
    ),
    "one cookie for every host": (
        Code.COOKIE_SHARED, document(route(), {"name": "all", "to": "b"}, services=BOTH), ("services", "b", "sticky", "cookie", "name"), [],
    ),
    "one cookie for a domain": (
        Code.COOKIE_SHARED,
        document(route(), route("x", "b", hosts=["x.test"]), services={"a": pinned(1, domain="test"), "b": pinned(3, domain=".test")}),
        ("services", "b", "sticky", "cookie", "name"),
        [document(route(), route("x", "b", hosts=["x.test"]), services={"a": pinned(1, domain="shop.test"), "b": pinned(3, domain="x.test")})],
    ),
    "one cookie for a domain, and a host below": (
        Code.COOKIE_SHARED,
        document(route("x", "b", hosts=["x.test"]), route(), services={"a": pinned(1, domain="test"), "b": pinned(3)}),
        ("services", "b", "sticky", "cookie", "name"), [],
    ),
    "loose regex": (
        Code.COOKIE_REGEX, document(route(match={"header": {"name": "Cookie", "regex": ".*canary=v2.*"}})), ("routes", 0, "match", "header", "regex"),
        [
            document(route(match=COOKIE_V2)),
            document(route(match={"header": {"name": "Cookie", "regex": r"(^|;\s*)canary=v2(;|$)"}})),
            document(route(match={"header": {"name": "X-Canary", "regex": ".*canary=v2.*"}})),
            document(route(match={"header": {"name": "Cookie", "regex": "canary=(v2|v3)"}})),
        ],
    ),
    "loose regex, bound at its start only": (
        Code.COOKIE_REGEX, document(route(match={"header": {"name": "cookie", "regex": "^canary=v2"}})), ("routes", 0, "match", "header", "regex"),
        [document(route(match={"header": {"name": "cookie", "regex": "^canary=v2$"}}))],
    ),
    "cookie over one child": (
        Code.STICKY_ONE, document(route(to=None, split=[{"to": "a"}], sticky=cookie())), ("routes", 0, "sticky"),
        [document(split(sticky=cookie())), document(route(to=None, split=[{"to": "a"}]))],
    ),
    "cookie over one child of a service": (
        Code.STICKY_ONE, document(route(to="w"), services={"w": {"split": [{"to": "a"}], "sticky": cookie()}, "a": service()}), ("services", "w", "sticky"), [],
    ),
    "servers pinned, variants not": (
        Code.SPLIT_UNPINNED, document(split(), services=BOTH), ("routes", 0, "split"),
        [
            document(split(sticky=cookie("variant")), services=BOTH), document(split()),
            document(route(to=None, split=[{"to": "a"}, {"to": "b", "weight": 0}]), services=BOTH),
        ],
    ),
    "nearly percent": (
        Code.WEIGHT_SUM, document(route(to=None, split=[{"to": "a", "weight": 90}, {"to": "b", "weight": 5}])), ("routes", 0, "split"),
        [
            document(split()), document(route(to=None, split=[{"to": "a", "weight": 3}, {"to": "b", "weight": 1}])),
            document(route(to=None, split=[{"to": "a", "weight": 99}, {"to": "b", "weight": 49}])),
        ],
    ),
    "weight 0 under a cookie": (
        Code.WEIGHT_ZERO, document(route(to=None, split=[{"to": "a"}, {"to": "b", "weight": 0}], sticky=cookie())), ("routes", 0, "split", 1),
        [
            document(route(to=None, split=[{"to": "a"}, {"to": "b", "weight": 0}])),
            document(route(to=None, split=[{"to": "a"}, {"to": "b", "weight": 0}], sticky=cookie(), weight_zero="keep")),
        ],
    ),
    "server of weight 0": (
        Code.WEIGHT_ZERO, document(services={"a": {**pinned(), "servers": [{"url": "http://a"}, {"url": "http://b", "weight": 0}]}}),
        ("services", "a", "servers", 1), [document(services={"a": {"servers": [{"url": "http://a"}, {"url": "http://b", "weight": 0}]}})],
    ),
    "tie": (
        Code.PRIORITY_TIE, document(route("x", priority=7), route("y", "b", path={"prefix": "/y"}, priority=7)), ("routes", 1, "priority"),
        [
            document(route("x", priority=7), route("y", "b", path={"prefix": "/y"}, priority=8)),
            document(route("x", priority=7), route("y", "b", hosts=["y.test"], priority=7)),
            document(route("x", priority=7, entry_points=["web"]), route("y", "b", entry_points=["other"], priority=7)),
            document(route("x", priority=7), route("y", "b", tls={}, priority=7)),
            document(route("x"), route("y", "b", path={"prefix": "/y"})),
            document(route("x", match={"method": "GET"}, priority=7), route("y", "b", match={"method": "PUT"}, priority=7)),
            document(route("x", match=COOKIE_V2, priority=7), route("y", "b", match={"not": COOKIE_V2}, priority=7)),
            document(route("x", match={"any": [{"method": "GET"}, {"method": "HEAD"}]}, priority=7), route("y", "b", match={"method": "PUT"}, priority=7)),
        ],
    ),
    "tie of values that a request may both have": (
        Code.PRIORITY_TIE,
        document(
            route("x", match={"query": {"name": "v", "value": "1"}}, priority=7), route("y", "b", match={"query": {"name": "v", "value": "2"}}, priority=7)
        ),
        ("routes", 1, "priority"), [],
    ),
    "tie with a wildcard": (
        Code.PRIORITY_TIE, document(route("x", priority=7, path={"prefix": "/x"}), route("y", "b", hosts=["*.test"], priority=7)), ("routes", 1, "priority"),
        [document(route("x", priority=7, path={"prefix": "/x"}), route("y", "b", hosts=["*.other"], priority=7))],
    ),
    "the same again": (
        Code.NEVER_WINS, document(route("x", priority=8), route("y", "b", priority=7)), ("routes", 1),
        [document(route("x", priority=8), route("y", "b", hosts=["y.test"], priority=7))],
    ),
    "a part of an earlier one": (
        Code.NEVER_WINS, document(route("x", priority=8), route("y", "b", path={"prefix": "/y"}, priority=7)), ("routes", 1),
        [
            document(route("x", priority=6), route("y", "b", path={"prefix": "/y"}, priority=7)),
            document(route("x", priority=8, path={"prefix": "/x"}), route("y", "b", path={"prefix": "/y"}, priority=7)),
            document(route("x", priority=8, match={"method": "GET"}), route("y", "b", path={"prefix": "/y"}, priority=7)),
            document(route("x", priority=8, entry_points=["web"]), route("y", "b", path={"prefix": "/y"}, priority=7)),
            document(route("x", priority=8, tls={}), route("y", "b", path={"prefix": "/y"}, priority=7)),
        ],
    ),
    "a host of an earlier wildcard": (
        Code.NEVER_WINS, document(route("x", hosts=["*.test"], priority=8), route("y", "b", priority=7)), ("routes", 1),
        [document(route("x", hosts=["*.test"], priority=8), route("y", "b", hosts=["a.b.test"], priority=7))],
    ),
    "a choice of an earlier choice": (
        Code.NEVER_WINS,
        document(
            route("x", match={"any": [{"method": "GET"}, {"method": "PUT"}]}, priority=8), route("y", "b", match={"method": "PUT"}, priority=7),
        ),
        ("routes", 1),
        [
            document(
                route("x", match={"any": [{"method": "GET"}, {"method": "PUT"}]}, priority=8), route("y", "b", match={"method": "POST"}, priority=7),
            )
        ],
    ),
    "canary of a lower priority": (
        Code.CANARY_PRIORITY, document(route(priority=10), {**CANARY, "priority": 5}), ("routes", 1, "priority"),
        [document(route(priority=10), {**CANARY, "priority": 100}), document(route(), CANARY)],
    ),
    "canary of the same priority": (
        Code.CANARY_PRIORITY, document(route(priority=10), {**CANARY, "priority": 10}), ("routes", 1, "priority"), [],
    ),
    "canary of the same priority, written first": (
        Code.CANARY_PRIORITY, document({**CANARY, "priority": 10}, route(priority=10)), ("routes", 0, "priority"), [],
    ),
    "canary inside of its route": (
        Code.CANARY_PRIORITY, document(route(priority=10, canaries=[{"when": COOKIE_V2, "to": "b", "priority": 3}])), ("routes", 0, "canaries", 0, "priority"),
        [
            document(route(priority=10, canaries=[{"when": COOKIE_V2, "to": "b", "priority": 30}])),
            document(route(priority=10, canaries=[{"when": COOKIE_V2, "to": "b"}])),
        ],
    ),
    "two sets of TLS options": (
        Code.TLS_OPTIONS,
        document(route(tls={"options": "x"}), route("api", "b", path={"prefix": "/api"}, tls={"options": "y"}), tls_options={"x": {}, "y": {}}),
        ("routes", 1, "tls", "options"),
        [
            document(route(tls={"options": "x"}), route("api", "b", path={"prefix": "/api"}, tls={"options": "x"}), tls_options={"x": {}}),
            document(route(tls={"options": "x"}), route("api", "b", hosts=["api.test"], tls={"options": "y"}), tls_options={"x": {}, "y": {}}),
            document(route(tls={"options": "default"}), route("api", "b", path={"prefix": "/api"}, tls={})),
        ],
    ),
    "TLS options and none": (
        Code.TLS_OPTIONS, document(route(tls={"options": "x"}), route("api", "b", path={"prefix": "/api"}, tls={}), tls_options={"x": {}}), ("routes", 1, "tls", "options"), [],
    ),
    "host regex that is not bound": (
        Code.V2_SYNTAX, document(route(hosts=[], match={"host_regex": r"[a-z]+\.shop\.test"})), ("routes", 0, "match", "host_regex"),
        [
            document(route(hosts=[], match={"host_regex": r"^[a-z]+\.shop\.test$"})), document(route(hosts=[], match={"host_regex": ".+"})),
            document(route(hosts=[], match={"host_regex": r"^.*\.test$"})), document(route(hosts=[], match={"host_regex": ".*shop.*"})),
        ],
    ),
    "one server": (
        Code.STICKY_ONE_SERVER, document(services={"a": pinned(1)}), ("services", "a"),
        [document(services={"a": pinned(1, 2)}), document(services={"a": service(1)}), document(services={"a": {**kubernetes("a"), "sticky": cookie()}})],
    ),
    "pinned by one route of two": (
        Code.STICKY_SOME_ROUTES, document(route(), route("api", "b", path={"prefix": "/api"}), services={"a": pinned(1, 2), "b": service(2, 1)}), ("services", "b"),
        [
            document(route(), route("api", "b", path={"prefix": "/api"}), services={"a": pinned(1, 2), "b": pinned(2, 1)}),
            document(route(), route("api", "b", hosts=["api.test"]), services={"a": pinned(1, 2), "b": service(2, 1)}),
            document(route(), route("api", "b", path={"prefix": "/api"}), services={"a": pinned(1, 2), "b": service(3, 4)}),
        ],
    ),
    "static files": (
        Code.STICKY_STATELESS, document(route(path={"prefix": "/static/"}), services={"a": pinned()}), ("routes", 0),
        [document(route(path={"prefix": "/statics"}), services={"a": pinned()}), document(route(path={"prefix": "/static/"}))],
    ),
    "websocket": (
        Code.STICKY_WEBSOCKET, document(route(match={"header": {"name": "Upgrade", "value": "websocket"}}), services={"a": pinned()}), ("routes", 0),
        [document(route(match={"header": {"name": "Upgrade", "value": "websocket"}})), document(route(), services={"a": pinned()})],
    ),
    "retry of who is pinned": (
        Code.STICKY_RETRY, document(route(middlewares=["again"]), services={"a": UNWATCHED}, middlewares=RETRY), ("routes", 0),
        [
            document(route(middlewares=["again"]), services={"a": pinned()}, middlewares=RETRY),
            document(route(middlewares=["again"]), middlewares=RETRY), document(route(), services={"a": UNWATCHED}, middlewares=RETRY),
        ],
    ),
    "shared cache": (
        Code.COOKIE_CACHED, document(route(middlewares=["cache"]), services={"a": pinned()}, middlewares=HEADERS), ("routes", 0),
        [
            document(route(middlewares=["cache"]), services={"a": pinned()}, middlewares=PRIVATE),
            document(route(middlewares=["cache"]), middlewares=HEADERS),
        ],
    ),
    "shared cache at the end of a chain": (
        Code.COOKIE_CACHED,
        document(route(middlewares=["c"]), services={"a": pinned()}, middlewares={**HEADERS, "c": {"chain": {"middlewares": ["cache"]}}}),
        ("routes", 0), [],
    ),
    "hash by address and a cookie": (
        Code.SETTING_IGNORED, document(services={"a": {**pinned(), "strategy": "hrw"}}), ("services", "a", "strategy"),
        [document(services={"a": {**pinned(), "strategy": "p2c"}}), document(services={"a": {**service(), "strategy": "hrw"}})],
    ),
    "annotation on a route": (
        Code.SETTING_IGNORED, document(route(metadata={"annotations": {"traefik.ingress.kubernetes.io/service.sticky.cookie": "true"}})),
        ("routes", 0, "metadata", "annotations", "traefik.ingress.kubernetes.io/service.sticky.cookie"),
        [document(route(metadata={"annotations": {"traefik.ingress.kubernetes.io/router.tls": "true", "app/sticky": "no"}}))],
    ),
    "another provider": (
        Code.EXTERNAL, document(route(to="a@docker")), ("routes", 0, "to"), [document(route())],
    ),
    "the dashboard": (
        Code.INTERNAL, document(route(to="api@internal", middlewares=["again"]), middlewares=RETRY), ("routes", 0, "to"),
        [
            document(route(to="api@docker")), document(route(to="noop@internal")), document(route(to="api@internal", middlewares=["auth@file"])),
            document(route(to="api@internal", middlewares=["c"]), middlewares={**AUTH, "c": {"chain": {"middlewares": ["auth"]}}}),
            document(route(to="api@internal", middlewares=["d"]), middlewares={"d": {"other": {"kind": "digestAuth", "config": {}}}}),
        ],
    ),
    "a door that may be gone": (
        Code.FALL_THROUGH, document(ADMIN, route(), middlewares=USERS), ("routes", 0, "middlewares"),
        [
            document(ADMIN, route(middlewares=["auth"]), middlewares=USERS), document(ADMIN, route(hosts=["b.test"]), middlewares=USERS),
            document(ADMIN, route(middlewares=["other@file"]), middlewares=USERS), document(ADMIN, route(tls={}), middlewares=USERS),
            document(ADMIN, route(priority=9000), middlewares=USERS), document(ADMIN, route(), middlewares=AUTH),
            document(route("own", middlewares=["auth"], canaries=[{"when": COOKIE_V2, "to": "b"}]), middlewares=USERS),
        ],
    ),
    "a door of another provider": (
        Code.FALL_THROUGH, document(route("admin", path=API, middlewares=["auth@file"]), route()), ("routes", 0, "middlewares"), [],
    ),
    "a plugin at the end of a chain": (
        Code.FALL_THROUGH,
        document(route("admin", path=API, middlewares=["c"]), route(hosts=["*.test"]), middlewares={**PLUGIN, "c": {"chain": {"middlewares": ["p"]}}}),
        ("routes", 0, "middlewares"), [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_found_at_its_place_and_a_near_miss_is_not(case: str) -> None:
    code, wrong, path, right = CASES[case]
    assert found(wrong, code) == [(code, path)]
    for number, each in enumerate(right):
        assert not found(each, code), f"near miss {number}"


def test_every_finding_says_what_to_do() -> None:
    for _, wrong, _, _ in CASES.values():
        for finding in lint(wrong):
            assert finding.instead, finding
            assert finding.severity is not Severity.ERROR, "what stops a conversion is for the readers to say"


def test_a_sound_document_has_no_findings() -> None:
    assert not found(document(split(sticky=cookie("variant")), services=TWO_NAMES))


def test_the_cookie_regex_names_a_cookie_that_it_takes() -> None:
    said = next(finding.message for finding in lint(CASES["loose regex"][1]) if finding.code == Code.COOKIE_REGEX)
    assert "notcanary=v22" in said


# What becomes of the requests of a route that Traefik disables -----------------------------------------------------------


def remedy(*routes: Tree, **more: object) -> str:
    _, faults = build({"pinfeather": "v1", "routes": list(routes), "services": {"a": service(), "b": service(3)}, **more})
    assert len(faults) == 1
    assert faults[0].code == Code.REFERENCE
    return faults[0].instead.rpartition("disables ")[2]


FALLS: dict[str, tuple[list[Tree], str]] = {
    "to nobody": ([route("api", "gone")], "'api': its requests meet 404"),
    "to nobody of another host": ([route("api", "gone"), route("b", "b", hosts=["b.test"])], "'api': its requests meet 404"),
    "to a wider one": ([route("api", "gone", path=API), route("rest", "b")], "'api': its requests fall to 'rest'"),
    "to a narrower one in part": ([route("api", "gone"), route("part", "b", path=API)], "'api': its requests fall to 'part', or meet 404"),
    "to the first wider one only": ([route("api", "gone", path=API), route("rest", "b"), {"name": "all", "to": "a"}], "'api': its requests fall to 'rest'"),
    "to none that speaks TLS only": ([route("api", "gone", path=API), route("rest", "b", tls={})], "'api': its requests meet 404"),
}  # fmt: skip


@pytest.mark.parametrize("case", FALLS)
def test_a_missing_service_says_who_gets_the_requests(case: str) -> None:
    routes, said = FALLS[case]
    assert remedy(*routes) == said


def test_a_missing_middleware_says_what_the_requests_then_pass_by() -> None:
    routes = [route("api", "a", path=API, middlewares=["auth", "gone"]), route("rest", "b")]
    auth = {"auth": {"basic_auth": {"users": ["u:$apr1$x$y"]}}}
    assert remedy(*routes, middlewares=auth) == "'api': its requests fall to 'rest', without 'auth', 'gone'"
