"""An edit, made in a text of another author."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from pinfeather.importing.merging import joined, matches, merged

LEAVES = st.none() | st.booleans() | st.integers(0, 9) | st.text("ab`", max_size=3)
TREES: st.SearchStrategy[JsonValue] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("kmxyz"), inner, max_size=4), max_leaves=12
)


@given(TREES, TREES)
def test_without_an_edit_what_was_found_stands(before: JsonValue, found: JsonValue) -> None:
    assert merged(before, before, found) == found


@given(TREES, TREES)
def test_what_was_found_as_we_write_it_takes_every_edit(before: JsonValue, after: JsonValue) -> None:
    assert merged(before, after, before) == after


def test_fields_of_both_stay() -> None:
    before: JsonValue = {"match": "Host(`a`)", "priority": 9, "services": [{"name": "a", "weight": 1}, {"name": "b", "weight": 9}]}
    after: JsonValue = {"match": "Host(`a`)", "priority": 9, "services": [{"name": "a", "weight": 1}, {"name": "b", "weight": 3}]}
    found: JsonValue = {"match": 'Host("a")', "services": [{"name": "b", "weight": 9, "nativeLB": True}, {"name": "a", "weight": 1}]}
    assert merged(before, after, found) == {
        "match": 'Host("a")',
        "services": [{"name": "b", "weight": 3, "nativeLB": True}, {"name": "a", "weight": 1}],
    }


def test_what_is_taken_out_or_put_in_is_so_in_the_other_text_too() -> None:
    before: JsonValue = {"routes": [{"match": "a", "to": "x"}, {"match": "b", "to": "y"}], "tls": {"secretName": "s"}}
    found: JsonValue = {"routes": [{"match": "A", "to": "x"}, {"match": "B", "to": "y"}], "tls": {"secretName": "s"}, "own": 1}
    assert merged(before, {"routes": [{"match": "b", "to": "y"}]}, found) == {"routes": [{"match": "B", "to": "y"}], "own": 1}
    more: JsonValue = {
        "routes": [{"match": "n", "to": "z"}, {"match": "a", "to": "x"}, {"match": "b", "to": "y"}],
        "tls": {"secretName": "s"},
    }
    assert merged(before, more, found) == {
        "routes": [{"match": "n", "to": "z"}, {"match": "A", "to": "x"}, {"match": "B", "to": "y"}],
        "tls": {"secretName": "s"},
        "own": 1,
    }


def test_matches_go_by_what_is_alike_and_are_given_once() -> None:
    assert matches([{"a": 1, "b": 2}, {"a": 3}], [{"a": 3}, {"a": 1, "b": 9}]) == {0: 1, 1: 0}
    assert matches([{"a": 1}, {"a": 1}], [{"a": 1}]) == {0: 0}


def test_joined_only_where_nothing_but_lists_differs() -> None:
    one: dict[str, JsonValue] = {"kind": "R", "metadata": {"name": "a-1"}, "spec": {"entryPoints": ["web"], "routes": [1]}}
    two: dict[str, JsonValue] = {"kind": "R", "metadata": {"name": "a"}, "spec": {"entryPoints": ["web"], "routes": [2]}}
    assert joined([one, two]) == {"kind": "R", "metadata": {"name": "a"}, "spec": {"entryPoints": ["web"], "routes": [1, 2]}}
    assert joined([one, {**two, "metadata": {"name": "a", "labels": {"x": "y"}}}]) is None
    assert joined([one, {**two, "spec": {"routes": [2], "tls": {}}}]) is None
    assert joined([]) is None
