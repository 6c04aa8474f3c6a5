"""Places: they are looked up one by one, and give what a walk over the whole document gives."""

from __future__ import annotations

import pytest

from pinfeather.model.diagnostics import Span
from pinfeather.translators._syntax import yaml
from pinfeather.translators._syntax.taking import STRICT, TRAEFIK_FILE, Manner, Taking
from pinfeather.translators._syntax.tree import NOWHERE, Reading, Spans, span_of_spot, walk

TEXT = "a:\n  - b: 1\n    C: [x, {d: y}]\n  - e\n" + "f:\n" + "".join(f"  k{number}: {number}\n" for number in range(40)) + "g:\n"
BASED = "base: &base {x: 1, y: 2}\nown: {<<: *base, y: 3}\nalso: *base\n"


@pytest.mark.parametrize("text", [TEXT, BASED, f"# ü\n{TEXT}"])
def test_each_place_is_that_of_the_walk(text: str) -> None:
    (reading,) = yaml.read(text, "f.yaml", yaml.GO_YAML_V3)
    walked = list(walk(reading.value, reading.mark))
    assert dict(reading.spans) == {path: reading.span(mark) for path, _, mark in walked}
    assert dict(reading.key_spans) == {path: reading.span(key) for path, key, _ in walked if key is not None}
    for path in reading.spans:
        assert reading.span_at(path) == reading.spans[path]
        assert reading.span_at((*path, "absent", 1)) == reading.spans[path]
        assert (*path, "absent") not in reading.spans


def test_where_no_marks_were_kept_all_stands_where_the_whole_does() -> None:
    reading = Reading({"a": ["b", {"c": 1}]}, (1, 2, 3, 4, ()), "f", first_line=5)
    assert set(reading.spans.values()) == {Span("f", 6, 3, 8, 5)}
    assert reading.key_spans[("a",)] == Span("f", 6, 3, 8, 5)


def test_a_mark_is_made_once_and_only_when_asked_for() -> None:
    made = []
    reading = Reading({"a": 1}, lambda: made.append(1) or NOWHERE, "f")  # type: ignore[func-returns-value]
    root = Taking.of(reading)
    spots = Spans({(): root.spot, ("a",): root.spot_of("a"), ("b",): Span("f", 3)})
    spots.put_below(("c",), Spans({("d",): root.key_spot}))
    assert (root.integer("a"), root.finish(), made) == (1, (), [])
    assert dict(spots) == {
        (): Span("f", 1, 1, 1, 1),
        ("a",): Span("f", 1, 1, 1, 1),
        ("b",): Span("f", 3),
        ("c", "d"): Span("f", 1, 1, 1, 1),
    }
    assert made == [1]


@pytest.mark.parametrize("manner", [STRICT, TRAEFIK_FILE])
def test_a_spot_becomes_the_span_of_the_same_place(manner: Manner) -> None:
    (reading,) = yaml.read(TEXT, "f.yaml", yaml.GO_YAML_V3)
    root = Taking.of(reading, manner)
    item = root.list("a")[0]
    for key in ("b", "C", "c", "absent"):
        assert span_of_spot(item.spot_of(key)) == item.span_of(key)
    assert item.span_of("C", 0) == Span("f.yaml", 3, 9, 3, 10)
    assert item.span_of("c") == (Span("f.yaml", 3, 8, 3, 19) if manner.fold_case else item.span)
    assert (span_of_spot(item.spot), span_of_spot(item.key_spot)) == (item.span, item.span)


@pytest.mark.parametrize(("manner", "there"), [(STRICT, {"b"}), (TRAEFIK_FILE, {"b", "c"})])
def test_a_table_of_keys_is_asked_for_at_once(manner: Manner, there: set[str]) -> None:
    (reading,) = yaml.read(TEXT, "f.yaml", yaml.GO_YAML_V3)
    item = Taking.of(reading, manner).list("a")[0]
    table = dict.fromkeys(("x", "b", "c"))
    assert set(item.present(table)) == there
    assert item.integer("b") == 1
    assert set(item.present(table)) == there - {"b"}
    assert [d.message for d in item.left()] == [
        "the key 'C' stands twice here: case does not count" if manner.fold_case else "unknown key 'C': did you mean \"c\"?"
    ]
