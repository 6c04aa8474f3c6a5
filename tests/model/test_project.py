"""What is taken out, what goes with it, and what is said."""

from __future__ import annotations

import pytest

from pinfeather.model.diagnostics import Allowed
from pinfeather.model.document import Document
from pinfeather.model.features import FULL, Feature, Near, Nothing, Support
from pinfeather.model.project import project

SHOP = {
    "routes": [
        {
            "name": "admin",
            "hosts": ["a.b"],
            "path": {"prefix": "/admin"},
            "priority": 20,
            "middlewares": ["auth"],
            "to": "s",
            "match": {"method": "GET"},
        },
        {"name": "rest", "hosts": ["a.b"], "to": "s", "canaries": [{"when": {"header": {"name": "X", "value": "y"}}, "to": "s"}]},
        {"name": "elsewhere", "hosts": ["c.d"], "to": "s"},
        {"name": "guarded", "hosts": ["a.b"], "path": {"prefix": "/x"}, "middlewares": ["auth"], "to": "s"},
    ],
    "services": {"s": {"servers": [{"url": "http://127.0.0.1:1"}], "sticky": {"cookie": {"name": "c", "max_age": 5}}}},
    "middlewares": {"auth": {"basic_auth": {"users": ["u:{SHA}x"]}}},
}


def without(*features: Feature) -> dict[Feature, Support]:
    return {feature: FULL for feature in Feature if feature not in features}


def kept(document: Document, *features: Feature, allow: str = "") -> tuple[list[str], list[str]]:
    made = project(document, without(*features), [Allowed.parse(allow)] if allow else [])
    return [route.name for route in made.kept.routes], [f"{d.code}@{'.'.join(map(str, d.path))}" for d in made.diagnostics]


@pytest.fixture
def shop() -> Document:
    return Document.model_validate(SHOP)


def test_what_can_be_said_stays_the_same(shop: Document) -> None:
    made = project(shop, without())
    assert made.kept == shop
    assert not made.diagnostics


def test_a_field_goes_alone(shop: Document) -> None:
    made = project(shop, without(Feature.COOKIE_MAX_AGE))
    assert [finding.path for finding in made.diagnostics] == [("services", "s", "sticky", "cookie", "max_age")]
    sticky = made.kept.services["s"].sticky
    assert sticky is not None
    assert sticky.cookie is not None
    assert sticky.cookie.max_age is None


def test_a_condition_takes_its_canary(shop: Document) -> None:
    made = project(shop, without(Feature.HEADER))
    assert [route.name for route in made.kept.routes] == ["admin", "rest", "elsewhere", "guarded"]
    assert made.kept.routes[1].canaries == ()
    assert [finding.code for finding in made.diagnostics] == ["loss.match.header"]


def test_a_condition_takes_its_route_and_whoever_would_serve_in_its_place_without_its_middleware(shop: Document) -> None:
    routes, found = kept(shop, Feature.METHOD)
    assert routes == ["elsewhere", "guarded"]  # `guarded` asks for the same password; `elsewhere` is another host
    assert found == ["loss.match.method@routes.0.match", "loss.priority@routes.1"]


def test_a_lost_middleware_takes_its_routes(shop: Document) -> None:
    routes, found = kept(shop, Feature.BASIC_AUTH)
    assert routes == ["elsewhere"]
    assert "loss.middleware.basic-auth@middlewares.auth" in found


def test_a_blanket_permission_does_not_open_a_route(shop: Document) -> None:
    assert kept(shop, Feature.BASIC_AUTH, allow="loss.middleware.basic-auth")[0] == ["elsewhere"]
    assert kept(shop, Feature.BASIC_AUTH, allow="loss.*")[0] == ["elsewhere"]


def test_the_very_path_does(shop: Document) -> None:
    routes, _ = kept(shop, Feature.BASIC_AUTH, allow="loss.middleware.basic-auth@middlewares.auth")
    assert routes == ["admin", "rest", "elsewhere", "guarded"]


def test_a_service_takes_everything_that_leads_there(shop: Document) -> None:
    made = project(shop, without(Feature.SERVER_URL))
    assert made.kept.routes == ()
    assert made.kept.services == {}


def test_nearly_is_said_and_kept(shop: Document) -> None:
    made = project(shop, {**without(), Feature.PRIORITY: Near("a little")})
    assert made.kept == shop
    assert [(finding.code, finding.severity, finding.message) for finding in made.diagnostics] == [("near.priority", "warning", "a little")]


def test_a_support_may_say_what_happens_instead(shop: Document) -> None:
    made = project(shop, {**without(), Feature.COOKIE_MAX_AGE: Nothing("it is forgotten at night")})
    assert made.diagnostics[0].instead == "it is forgotten at night"


def test_a_chain_around_a_lost_middleware_is_lost() -> None:
    tree = {**SHOP, "middlewares": {**SHOP["middlewares"], "both": {"chain": {"middlewares": ["auth"]}}}}  # type: ignore[dict-item]
    tree["routes"] = [{"name": "r", "middlewares": ["both"], "to": "s"}]
    assert project(Document.model_validate(tree), without(Feature.BASIC_AUTH)).kept.routes == ()


def test_a_route_that_goes_late_takes_whoever_would_serve_its_early_canary() -> None:
    """`last` goes since it would serve requests of a canary of `first`; its own canary came before `first`, which would serve those."""
    made = Document.model_validate(
        {
            "routes": [
                {
                    "name": "first",
                    "path": {"exact": "/"},
                    "to": "s",
                    "canaries": [{"when": {"header": {"name": "X", "value": "y"}}, "to": "s"}],
                },
                {"name": "last", "to": "bare", "canaries": [{"when": {"method": "GET"}, "to": "guarded", "priority": 17}]},
            ],
            "services": {
                "s": {"servers": [{"url": "http://127.0.0.1:1"}], "middlewares": ["slim"]},
                "bare": {"servers": [{"url": "http://127.0.0.1:2"}]},
                "guarded": {"servers": [{"url": "http://127.0.0.1:3"}], "middlewares": ["slim", "auth"]},
            },
            "middlewares": {**SHOP["middlewares"], "slim": {"compress": {}}},  # type: ignore[dict-item]
        }
    )
    routes, found = kept(made, Feature.HEADER)
    assert routes == []
    assert sorted(found) == ["loss.match.header@routes.0.canaries.0.when", "loss.priority@routes.0", "loss.priority@routes.1"]
