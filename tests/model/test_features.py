"""The quick walk over a document beside the plain one, and what is put back to its default."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from pinfeather.model.diagnostics import Path
from pinfeather.model.document import Document
from pinfeather.model.features import Feature, places, walk
from pinfeather.model.noun import Noun
from pinfeather.model.reset import reset
from pinfeather.testing import strategies, traffic

DOCUMENTS = strategies.documents() | traffic.documents()


def plain_walk(path: Path, value: object) -> Iterator[tuple[Path, Noun]]:
    if isinstance(value, Noun):
        yield path, value
        for name, info in type(value).model_fields.items():
            yield from plain_walk((*path, info.alias or name), getattr(value, name))
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from plain_walk((*path, index), item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from plain_walk((*path, key), item)


@settings(max_examples=100, deadline=None)
@given(DOCUMENTS, st.sets(st.sampled_from(Feature)))
def test_nothing_is_passed_by(document: Document, without: set[Feature]) -> None:
    found = list(walk(document))
    expected = list(plain_walk((), document))
    assert [path for path, _ in found] == [path for path, _ in expected]
    assert all(noun is other for (_, noun), (_, other) in zip(found, expected, strict=True))
    every = [place for place in places(document) if place.row.feature not in without]
    always = {Feature.TEMPLATE, Feature.EXTERNAL}  # those are looked for in every text, whatever is left out
    assert [each for each in places(document, without) if each.row.feature not in without & always] == every


def plain_reset(value: object, path: Path, fields: set[Path]) -> object:
    if isinstance(value, Noun):
        update: dict[str, object] = {}
        for name, info in type(value).model_fields.items():
            here = (*path, info.alias or name)
            old = getattr(value, name)
            update[name] = info.get_default(call_default_factory=True) if here in fields else plain_reset(old, here, fields)
        return value.model_copy(update=update)
    if isinstance(value, tuple):
        return tuple(plain_reset(item, (*path, index), fields) for index, item in enumerate(value))
    if isinstance(value, dict):
        return {key: plain_reset(item, (*path, key), fields) for key, item in value.items()}
    return value


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_fields_go_back_to_their_defaults(data: st.DataObject) -> None:
    document = data.draw(DOCUMENTS)
    known = [place.path for place in places(document) if place.row.field is not None and place.path]
    fields = set(data.draw(st.lists(st.sampled_from(known), max_size=5))) if known else set()
    assert reset(document, (), fields) == plain_reset(document, (), fields)
    assert reset(document, (), ()) is document
    assert reset(document, (), {("routes", 999, "priority"), ("services", "not there", "sticky")}) == document
