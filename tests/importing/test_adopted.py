"""Found objects stand in the place of ours as long as they mean the same; an edit changes what it is about, and no more."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from pinfeather._convert import read, write
from pinfeather.importing.adopted import as_adopted, meaning
from pinfeather.importing.grouping import Tree, key_of
from pinfeather.model.diagnostics import Allowed
from pinfeather.model.document import Document
from pinfeather.translators import builtin
from pinfeather.translators.contract import File, KubernetesObject, Source

CORPUS = Path(__file__).parents[1] / "corpus"
FILES = [each for name in ("ingressroute", "ingress", "voyager") for each in sorted((CORPUS / name).glob("*.yaml"))]
ROUTING = builtin.load("ingressroute")
OPTIONS = ROUTING.options()
HERE = """
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: slim, namespace: a}
spec: {stripPrefix: {prefixes: [/x]}}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: slim, namespace: b}
spec: {stripPrefix: {prefixes: [/y]}}
---
apiVersion: traefik.io/v1alpha1
kind: TraefikService
metadata: {name: split, namespace: a}
spec:
  weighted:
    services: [{name: v2, port: 80, weight: 1, nativeLB: true}, {name: v1, port: 80, weight: 9}]
    sticky: {cookie: {name: pin}}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: web, namespace: a, labels: {team: one}}
spec:
  entryPoints: [web]
  routes:
  - match: Host("one.example.com") && PathPrefix("/x")
    kind: Rule
    middlewares: [{name: slim, namespace: a}]
    services: [{name: v1, port: 80}]
  - match: (Host(`one.example.com`))
    kind: Rule
    services: [{kind: TraefikService, name: split}]
  - match: Host(`two.example.com`)
    kind: Rule
    services: [{name: v1, port: 80, weight: 70}, {name: v2, port: 80, weight: 30}]
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: web, namespace: b}
spec:
  routes:
  - match: Host('`'.example.com)
    kind: Rule
    services: [{name: never, port: 80}]
"""


def objects_of(text: str | bytes) -> list[Tree]:
    trees = [each for each in yaml.safe_load_all(text) if isinstance(each, dict)]
    flat = [item for each in trees for item in (each["items"] if each["kind"] == "List" else [each])]
    return [json.loads(json.dumps(each, default=str)) for each in flat if "name" in each.get("metadata", {})]


FOUND = objects_of(HERE.replace("Host('`'.example.com)", "(((Host(`b.example.com`))))").replace("name: never", "name: v1"))


@cache
def document() -> Document:
    parsed = read(Source(tuple(File(str(key_of(each)), json.dumps(each)) for each in FOUND)), ROUTING, OPTIONS)
    assert parsed.document is not None
    return parsed.document


def written(what: Document) -> list[Tree]:
    done = write(what, ROUTING, OPTIONS)
    assert not done.refused, done.report
    return [dict(each.tree) for each in done.artifacts if isinstance(each, KubernetesObject) and isinstance(each.tree, dict)]


def edited(edit: Callable[[dict[str, JsonValue]], None]) -> Document:
    tree = json.loads(document().model_dump_json(exclude_defaults=True))
    edit(tree)
    return Document.model_validate_json(json.dumps(tree))


def changed(result: tuple[Tree, ...]) -> set[str]:
    return {str(key_of(each)) for each in result if each not in FOUND}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_of_what_people_have_everything_is_kept_to_the_letter(path: Path) -> None:
    reader = builtin.load(path.parent.name)
    options = reader.options()
    found = objects_of(path.read_bytes())
    parsed = read(Source(tuple(File(str(key_of(each)), json.dumps(each)) for each in found)), reader, options)
    if parsed.document is None:
        return  # then there is nothing to take over either
    done = write(parsed.document, reader, options, allowed=[Allowed("loss.*")])
    emitted = [dict(each.tree) for each in done.artifacts if isinstance(each, KubernetesObject) and isinstance(each.tree, dict)]
    result = as_adopted(emitted, found, reader, options)
    assert [key_of(each) for each in result if each not in found] == []
    assert bool(result) == bool(emitted)
    assert len({key_of(each) for each in result}) == len(result)


def test_without_an_edit_all_stand_as_they_were_found() -> None:
    emitted = written(document())
    assert [each for each in emitted if each not in FOUND], "we write them otherwise, else this test would show nothing"
    assert list(as_adopted(emitted, FOUND, ROUTING, OPTIONS)) == FOUND


def test_a_weight() -> None:
    def edit(tree: dict[str, JsonValue]) -> None:
        text = json.dumps(tree["routes"]).replace('"weight": 70', '"weight": 50')
        tree["routes"] = json.loads(text)

    emitted = written(edited(edit))
    result = as_adopted(emitted, FOUND, ROUTING, OPTIONS)
    assert changed(result) == {"IngressRoute a/web"}
    web = next(each for each in result if key_of(each) == ("IngressRoute", "a", "web"))
    was = next(each for each in FOUND if key_of(each) == ("IngressRoute", "a", "web"))
    assert json.dumps(web) == json.dumps(was).replace('"weight": 70', '"weight": 50')


def test_a_field_that_the_model_does_not_have_survives_an_edit_beside_it() -> None:
    def edit(tree: dict[str, JsonValue]) -> None:
        services = json.loads(json.dumps(tree["services"]))
        for each in services["split"]["split"]:
            each["weight"] = {"1": 5, "9": 5}[str(each.get("weight", 1))]
        tree["services"] = services

    result = as_adopted(written(edited(edit)), FOUND, ROUTING, OPTIONS)
    assert changed(result) == {"TraefikService a/split"}
    [split] = [each for each in result if each["kind"] == "TraefikService"]
    assert json.dumps(split).count('"weight": 5') == 2
    assert '"nativeLB": true' in json.dumps(split)


def test_a_route_that_is_taken_out_goes_from_the_object_that_it_stands_in() -> None:
    def edit(tree: dict[str, JsonValue]) -> None:
        routes = tree["routes"]
        assert isinstance(routes, list)
        tree["routes"] = [each for each in routes if "two.example.com" not in json.dumps(each)]

    emitted = written(edited(edit))
    result = as_adopted(emitted, FOUND, ROUTING, OPTIONS)
    assert changed(result) <= {"IngressRoute a/web"} | {str(key_of(each)) for each in emitted}
    assert "two.example.com" not in json.dumps(result)
    assert "one.example.com" in json.dumps(result)
    assert meaning(result, ROUTING, OPTIONS) == meaning(emitted, ROUTING, OPTIONS)


def test_an_object_that_is_taken_out_goes() -> None:
    def edit(tree: dict[str, JsonValue]) -> None:
        routes = tree["routes"]
        assert isinstance(routes, list)
        tree["routes"] = [each for each in routes if "b.example.com" not in json.dumps(each)]
        services = tree["services"]
        assert isinstance(services, dict)
        del services["v1-2"]

    result = as_adopted(written(edited(edit)), FOUND, ROUTING, OPTIONS)
    assert ("IngressRoute", "b", "web") not in {key_of(each) for each in result}
    assert changed(result) == set()


def test_a_new_route_is_written_beside_what_was_found() -> None:
    def edit(tree: dict[str, JsonValue]) -> None:
        routes = tree["routes"]
        assert isinstance(routes, list)
        new: JsonValue = {"name": "new", "hosts": ["new.example.com"], "priority": 1, "to": "v1", "metadata": {"namespace": "a"}}
        tree["routes"] = [*routes, new]

    assert changed(as_adopted(written(edited(edit)), FOUND, ROUTING, OPTIONS)) == {"IngressRoute a/new"}


def test_what_cannot_be_read_is_not_kept() -> None:
    emitted = written(document())
    nonsense: Tree = {"apiVersion": "traefik.io/v1alpha1", "kind": "IngressRoute", "metadata": {"name": "web"}, "spec": {"routes": "no"}}
    assert list(as_adopted(emitted, [nonsense], ROUTING, OPTIONS)) == emitted
    assert list(as_adopted(emitted, [{}], ROUTING, OPTIONS)) == emitted
    assert list(as_adopted(emitted, (), ROUTING, OPTIONS)) == emitted
    assert list(as_adopted([], FOUND, ROUTING, OPTIONS)) == []


def test_an_object_that_somebody_made_to_mean_something_else_is_not_kept() -> None:
    """The file may be edited by hand: what is applied means what the document says all the same."""
    forged = json.loads(json.dumps(FOUND).replace("/x", "/"))
    emitted = written(document())
    assert forged != FOUND
    result = as_adopted(emitted, forged, ROUTING, OPTIONS)
    assert meaning(result, ROUTING, OPTIONS) == meaning(emitted, ROUTING, OPTIONS)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whatever_is_edited_the_meaning_is_that_of_the_document(data: st.DataObject) -> None:
    def edit(tree: dict[str, JsonValue]) -> None:
        routes = json.loads(json.dumps(tree["routes"]))
        kept = [each for each in routes if not data.draw(st.sampled_from((False, False, True)))] or routes[:1]
        for each in kept:
            if data.draw(st.booleans()):
                each["priority"] = data.draw(st.integers(1, 99))
            if data.draw(st.booleans()):
                each["hosts"] = [data.draw(st.sampled_from(("one.example.com", "x.example.com")))]
            if data.draw(st.booleans()):
                each["entry_points"] = ["websecure"]
            if data.draw(st.booleans()):
                each["middlewares"] = []
            for entry in each.get("split", ()):
                entry["weight"] = data.draw(st.integers(1, 9))
        tree["routes"] = data.draw(st.permutations(kept))

    try:
        after = edited(edit)
        done = write(after, ROUTING, OPTIONS)
    except ValueError:
        return  # no document
    emitted = [dict(each.tree) for each in done.artifacts if isinstance(each, KubernetesObject) and isinstance(each.tree, dict)]
    result = as_adopted(emitted, FOUND, ROUTING, OPTIONS)
    assert meaning(result, ROUTING, OPTIONS) == meaning(emitted, ROUTING, OPTIONS)
    assert len({key_of(each) for each in result}) == len(result)
