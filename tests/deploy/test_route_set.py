"""`RouteSet`: a change of the document is shown path by path."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from pinfeather.deploy.contract import Change, Difference, Step, Stored
from pinfeather.deploy.route_set import RouteSetInputs, RouteSetOutputs, RouteSetResource

RESOURCE = RouteSetResource()
STEP = Step("urn:pulumi:dev::shop::pinfeather:index:RouteSet::shop", preview=True, say=lambda *_: None)


def diff(old: dict[str, JsonValue], new: dict[str, JsonValue]) -> Difference:
    stored = Stored(RouteSetInputs(name="shop", document=old), RouteSetOutputs())
    return RESOURCE.diff(STEP, stored, RouteSetInputs(name="shop", document=new))


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"split": [{"weight": 9}, {"weight": 1}]}, {"split": [{"weight": 8}, {"weight": 1}]}, {"document.split[0].weight": Change.UPDATE}),
        ({"a": [1]}, {"a": [1, 2]}, {"document.a[1]": Change.ADD}),
        ({"a": {"x-y": 1}}, {"a": {}}, {'document.a["x-y"]': Change.DELETE}),
        ({'q"\\': 1}, {'q"\\': 2}, {'document["q\\"\\\\"]': Change.UPDATE}),
        ({"a": [1]}, {"a": {"b": 1}}, {"document.a": Change.UPDATE}),
        ({"a": True}, {"a": 1}, {"document.a": Change.UPDATE}),
    ],
)
def test_changed_paths(old: dict[str, JsonValue], new: dict[str, JsonValue], changes: dict[str, Change]) -> None:
    assert diff(old, new) == Difference(changes)


def test_a_rewritten_document_is_one_change() -> None:
    many: dict[str, JsonValue] = {f"r{number}": 1 for number in range(200)}
    assert diff(many, {}).changes == {"document": Change.UPDATE}


def test_a_new_name_is_another_set() -> None:
    stored = Stored(RouteSetInputs(name="shop", document={}), RouteSetOutputs())
    assert RESOURCE.diff(STEP, stored, RouteSetInputs(name="store", document={})).replaces == {"name"}
