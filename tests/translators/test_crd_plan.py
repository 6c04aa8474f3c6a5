"""Where the objects of a document stand, what they are called, and what of that cannot be kept."""

from __future__ import annotations

from pinfeather.model.build import build
from pinfeather.model.document import Document
from pinfeather.model.noun import Tree
from pinfeather.model.project import project
from pinfeather.translators._crd.catalogue import CrdOptions
from pinfeather.translators._crd.plan import Plan
from pinfeather.translators._crd.supports import crd_supports
from pinfeather.translators._crd.writing import object_trees

PLAIN, CROSS = CrdOptions(), CrdOptions(allow_cross_namespace=True)


def document(tree: dict[str, Tree]) -> Document:
    found, faults = build({"pinfeather": "v1", **tree})
    assert found is not None, faults
    return found


def route(name: str, namespace: str | None, **more: Tree) -> Tree:
    return {"name": name, "hosts": [f"{name}.test"], "to": "v1", **({"metadata": {"namespace": namespace}} if namespace else {}), **more}


def service(namespace: str | None) -> dict[str, Tree]:
    return {"v1": {"servers": [{"kubernetes": {"service": "v1", "port": 80, **({"namespace": namespace} if namespace else {})}}]}}


def codes(found: Document, options: CrdOptions) -> list[str]:
    return [str(finding.code) for finding in project(found, crd_supports(options)).diagnostics]


def test_what_says_no_namespace_stands_where_it_is_used() -> None:
    found = document(
        {
            "routes": [route("a", "prod", middlewares=["slim"])],
            "services": {"v1": {"servers": [{"url": "http://10.0.0.1:80"}]}},
            "middlewares": {"slim": {"compress": {}}},
        }
    )
    assert codes(found, PLAIN) == []
    homes = {f"{each['kind']}": each["metadata"].get("namespace") for each in object_trees(found, PLAIN)}  # type: ignore[index,union-attr,call-overload]
    assert homes == {"Service": "prod", "EndpointSlice": "prod", "Middleware": "prod", "IngressRoute": "prod"}


def test_one_thing_cannot_stand_in_two_namespaces() -> None:
    found = document(
        {
            "routes": [route("a", "prod", middlewares=["slim"]), route("b", "test", middlewares=["slim"])],
            "services": service(None),
            "middlewares": {"slim": {"compress": {}}},
        }
    )
    assert codes(found, PLAIN) == ["carried.namespace"] * 2


def test_a_service_of_another_namespace() -> None:
    found = document({"routes": [route("a", "prod")], "services": service("other")})
    assert codes(found, PLAIN) == ["loss.server.kubernetes"]
    assert codes(found, CROSS) == []
    (written,) = object_trees(found, CROSS)
    assert written["spec"]["routes"][0]["services"] == [{"name": "v1", "namespace": "other", "port": 80}]  # type: ignore[index,call-overload]


def test_a_service_of_the_same_namespace_is_named_without_it() -> None:
    found = document({"routes": [route("a", "prod")], "services": service("prod")})
    assert codes(found, PLAIN) == []
    (written,) = object_trees(found, PLAIN)
    assert written["spec"]["routes"][0]["services"] == [{"name": "v1", "port": 80}]  # type: ignore[index,call-overload]


def test_legacy_naming_makes_one_of_two_uses() -> None:
    use: Tree = {"kubernetes": {"service": "web", "port": 80}}
    tree: dict[str, Tree] = {
        "routes": [
            {"name": "a", "hosts": ["a.test"], "split": [{"to": "one"}, {"to": "v2"}]},
            {"name": "b", "hosts": ["b.test"], "split": [{"to": "two"}, {"to": "v2"}]},
        ],
        "services": {
            "one": {"servers": [use], "sticky": {"cookie": {"name": "pin"}}},
            "two": {"servers": [use]},
            "v2": {"servers": [{"kubernetes": {"service": "v2", "port": 80}}]},
        },
    }
    assert "loss.server.kubernetes" in codes(document(tree), PLAIN)
    assert "loss.server.kubernetes" not in codes(document(tree), CrdOptions(safe_naming=True))


def test_a_canary_stands_with_its_route_where_it_is_read_as_its_canary_again() -> None:
    when: Tree = {"header": {"name": "X", "value": "1"}}
    elsewhere: Tree = {"host": "other.test"}
    found = document(
        {"routes": [route("a", None, canaries=[{"when": when, "to": "v1"}, {"when": elsewhere, "to": "v1"}])], "services": service(None)}
    )
    plan = Plan(found, PLAIN).settle()
    assert [len(written.rungs) for written in plan.ingress_routes] == [2, 1]
    assert list(plan.route_names.values()) == ["a-canary-1", "a", "a-canary-2"]
