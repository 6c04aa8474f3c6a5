"""Reading YAML: values, places, and every way in which a file can be bad."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pinfeather.model.diagnostics import Code, Diagnostic
from pinfeather.translators._syntax import toml, yaml, yaml_construct
from pinfeather.translators._syntax.resolvers import OutOfRangeError, Resolver
from pinfeather.translators._syntax.tree import Limits, Reading, Tree


def one(text: str | bytes, resolver: Resolver = yaml.CORE, limits: Limits = yaml.LIMITS) -> Reading:
    (reading,) = yaml.read(text, "f.yaml", resolver, limits)
    return reading


def fault(text: str | bytes, resolver: Resolver = yaml.CORE, limits: Limits = yaml.LIMITS) -> Diagnostic:
    reading = one(text, resolver, limits)
    assert reading.broken
    (found,) = reading.diagnostics
    assert found.span is not None
    assert found.span.file == "f.yaml"
    return found


def at(found: Diagnostic) -> tuple[str, int, int]:
    assert found.span is not None
    return found.code, found.span.line, found.span.column


PLACES = '# top\nhttp:\n  a: 1\n  list:\n    - x\n    - {k: [y, "é z"]}\n  # between\n  last: |\n    text\n'


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_keys_and_values_know_where_they_stand(ends: str) -> None:
    reading = one("\ufeff" + PLACES.replace("\n", ends))
    assert reading.value == {"http": {"a": 1, "list": ["x", {"k": ["y", "é z"]}], "last": "text\n"}}
    keys = {path: (s.line, s.column, s.end_line, s.end_column) for path, s in reading.key_spans.items()}
    values = {path: (s.line, s.column, s.end_line, s.end_column) for path, s in reading.spans.items()}
    assert keys == {
        ("http",): (2, 1, 2, 5),
        ("http", "a"): (3, 3, 3, 4),
        ("http", "list"): (4, 3, 4, 7),
        ("http", "list", 1, "k"): (6, 8, 6, 9),
        ("http", "last"): (8, 3, 8, 7),
    }
    assert values[("http", "a")] == (3, 6, 3, 7)
    assert values[("http", "list")] == (5, 5, 6, 22)
    assert values[("http", "list", 0)] == (5, 7, 5, 8)
    assert values[("http", "list", 1)] == (6, 7, 6, 22)
    assert values[("http", "list", 1, "k", 1)] == (6, 15, 6, 20)
    assert values[("http", "last")][:2] == (8, 9)


def test_a_stream_is_read_document_by_document_and_its_texts_are_the_stream() -> None:
    text = "# head\n%YAML 1.2\n---\na: 1\n...\n# next\n%YAML 1.2\n---\nb: [\n--- # third\nc: 3\nc: 4\n---\n---x: 1\n"
    readings = yaml.read(text, "f.yaml", yaml.CORE)
    assert [r.value for r in readings] == [{"a": 1}, None, {"c": 3}, {"---x": 1}]
    assert "".join(r.text for r in readings) == text
    assert [[at(d) for d in r.diagnostics] for r in readings] == [
        [],
        [(Code.SYNTAX, 10, 1)],
        [(Code.DUPLICATE_KEY, 12, 1)],
        [],
    ]
    assert readings[2].spans[("c",)].line == 11


def test_an_empty_document_between_others_is_a_reading_of_none() -> None:
    assert [(r.value, r.diagnostics) for r in yaml.read("---\n---\na: 1\n", "f", yaml.CORE)] == [(None, ()), ({"a": 1}, ())]


@pytest.mark.parametrize("text", ["", "\n", "# only\n", b"\xef\xbb\xbf", "---\n", "---\n# x\n...\n", "%YAML 1.2\n---\n"])
def test_nothing_is_an_error(text: str | bytes) -> None:
    assert at(fault(text)) == (Code.EMPTY, 1, 1)


BAD: list[tuple[str | bytes, str, int, int]] = [
    ("a: \0", Code.ENCODING, 1, 4),
    ("x: 1\r\na: b\x07", Code.ENCODING, 2, 5),
    ("a: \x7f", Code.ENCODING, 1, 4),
    ("a: x\x85b: 1", Code.ENCODING, 1, 5),
    ("a: x\u2028b: 1", Code.ENCODING, 1, 5),
    ("a: 1\n\ufeffb: 1", Code.ENCODING, 2, 1),
    ("a: \ud800", Code.ENCODING, 1, 4),
    ("é: x\na: é".encode() + b"\xff", Code.ENCODING, 2, 5),
    ("a: 1".encode("utf-16"), Code.ENCODING, 1, 1),
    ("a: [1\n", Code.SYNTAX, 2, 1),
    ("a: b: c\n", Code.SYNTAX, 1, 5),
    ("a:\n\t- b\n", Code.SYNTAX, 2, 1),
    ("a: @b\n", Code.SYNTAX, 1, 4),
    ("a: '\n", Code.SYNTAX, 2, 1),
    ("a: *b\n", Code.SYNTAX, 1, 4),
    ("a: &b [*b]\n", Code.ALIASES, 1, 8),
    ('a: "\\ud800"\n', Code.SYNTAX, 1, 7),
    ("a: 1\nb:\n  a: 1\n  'a': 2\n", Code.DUPLICATE_KEY, 4, 3),
    ("a: !!python/object:os.system x\n", Code.TAG, 1, 4),
    ("a: !!binary x\n", Code.TAG, 1, 4),
    ("a: !!set {}\n", Code.TAG, 1, 4),
    ("a: !mine [x]\n", Code.TAG, 1, 4),
    ("a: !!int x\n", Code.TAG, 1, 4),
    ("a: !!int true\n", Code.TAG, 1, 4),
    ("1: a\n", Code.KEY, 1, 1),
    ("a:\n  true: b\n", Code.KEY, 2, 3),
    ("? [a]\n: b\n", Code.KEY, 1, 3),
    ("~: b\n", Code.KEY, 1, 1),
    ("a: &x {}\nb:\n  <<: *x\n", Code.KEY, 3, 3),
    ("a: 1234567890123456789\n", Code.VALUE, 1, 4),
    ("a: " + "9" * 100_000, Code.VALUE, 1, 4),
    ("a: 1e999\n", Code.VALUE, 1, 4),
]


@pytest.mark.parametrize(("text", "code", "line", "column"), BAD, ids=range(len(BAD)))
def test_bad_input_is_one_finding_at_its_place(text: str | bytes, code: str, line: int, column: int) -> None:
    assert at(fault(text)) == (code, line, column)


def test_a_key_that_stands_twice_names_both_lines() -> None:
    assert "line 1 and line 3" in fault("a: 1\nb: 2\na: 3\n").message


def test_all_faults_of_a_document_are_found_in_one_run() -> None:
    reading = one("a: 1\na: 2\n3: x\nb: !x y\nc: 5\n")
    assert [d.code for d in reading.diagnostics] == [Code.DUPLICATE_KEY, Code.KEY, Code.TAG]
    assert reading.value == {"a": 1, "b": "y", "c": 5}


def test_a_document_full_of_faults_stops_at_the_bound() -> None:
    reading = one("a: 1\n" * 5_000)
    assert len(reading.diagnostics) == yaml.LIMITS.findings


def quickly(text: str, resolver: Resolver = yaml.GO_YAML_V3) -> str:
    begin = time.process_time()
    code = fault(text, resolver).code
    assert time.process_time() - begin < 1.0  # libyaml alone needs 25 s for the first of them
    return code


@pytest.mark.parametrize(
    "bomb",
    ["[" * 200_000, "- " * 100_000, "{a: " * 50_000, "? " * 100_000, "[\n" * 100_000, "a: &x " + "[" * 70 + "]" * 70],
    ids=["flow", "block", "mappings", "keys", "lines", "closed"],
)
def test_depth_is_bounded_before_libyaml_sees_the_rest(bomb: str) -> None:
    assert quickly(bomb) == Code.TOO_DEEP


def test_depth_counts_what_aliases_stand_for() -> None:
    half = "[" * 40 + "]" * 40
    assert quickly(f"a: &a {half}\nb: {'[' * 30}*a{']' * 30}\n") == Code.TOO_DEEP


def test_depth_up_to_the_bound_is_fine() -> None:
    assert not one("[" * 64 + "]" * 64).broken


def test_an_alias_bomb_is_refused() -> None:
    rows = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert quickly("a0: &a0 [x, y]\n" + "\n".join(rows)) == Code.ALIASES


def test_many_aliases_are_refused() -> None:
    assert quickly("a: &a x\nb: [" + "*a, " * 1_001 + "]\n") == Code.ALIASES


def test_a_merge_bomb_is_refused() -> None:
    rows = [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], k{n}: 1}}" for n in range(1, 30)]
    assert quickly("a0: &a0 {x: 1}\n" + "\n".join(rows)) == Code.ALIASES


def test_merged_pairs_are_counted() -> None:
    wide = ", ".join(f"k{n}: 1" for n in range(50))
    text = f"a: &a {{{wide}}}\nb: [" + "{<<: *a}, " * 300 + "]\n"
    assert quickly(text) == Code.ALIASES


def test_too_many_events_and_bytes_are_refused() -> None:
    small = Limits(document_bytes=1 << 20, events=200_000)
    assert fault("[" + "1," * 300_000 + "]", limits=small).code == Code.TOO_LARGE
    assert fault("a: " + "x" * (1 << 20), limits=small).code == Code.TOO_LARGE
    assert fault("a: é" * 3, limits=Limits(stream_bytes=10)).code == Code.TOO_LARGE


def test_the_bound_on_bytes_is_for_one_document_and_the_total_is_set_apart() -> None:
    document = "---\na: " + "x" * 90 + "\n"
    assert all(not r.broken for r in yaml.read(document * 50, "f", yaml.CORE, Limits(document_bytes=100)))
    (first, second) = yaml.read(document + "---\na: " + "x" * 200, "f", yaml.CORE, Limits(document_bytes=100))
    assert (first.broken, [d.code for d in second.diagnostics]) == (False, [Code.TOO_LARGE])
    (whole,) = yaml.read(document * 50, "f", yaml.CORE, Limits(stream_bytes=1_000))
    assert [d.code for d in whole.diagnostics] == [Code.TOO_LARGE]


def test_documents_are_bounded() -> None:
    readings = yaml.read("--- a\n" * 10, "f", yaml.CORE, Limits(documents=3))
    assert [r.broken for r in readings] == [False, False, False, True]


def test_aliases_share_values_and_merges_keep_what_stands_there() -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc:\n  <<: [*a, *b]\n  x: 0\nd: *a\n"
    reading = one(text, yaml.GO_YAML_V3)
    assert reading.value == {"a": {"x": 1, "y": 2}, "b": {"y": 3, "z": 4}, "c": {"x": 0, "y": 2, "z": 4}, "d": {"x": 1, "y": 2}}
    assert reading.spans[("c", "y")].line == 1
    assert reading.spans[("c", "z")].line == 2
    assert reading.spans[("d",)].line == 6
    assert fault("a: {<<: 3}", yaml.GO_YAML_V3).code == Code.KEY
    assert fault("a: {<<: {}, <<: {}}", yaml.GO_YAML_V3).code == Code.DUPLICATE_KEY


def test_a_quoted_merge_key_is_a_key() -> None:
    assert one("'<<': 1").value == {"<<": 1}


def test_tags_of_the_core_are_obeyed() -> None:
    text = "a: !!str 1\nb: !!int 2\nc: !!float 3\nd: !!null ~\ne: ! 4\nf: !!map {}\ng: !!seq []\n"
    assert one(text).value == {"a": "1", "b": 2, "c": 3.0, "d": None, "e": "4", "f": {}, "g": []}


WORDS: list[tuple[str, Tree, Tree, Tree]] = [  # text; core, yaml.v3, kubernetes
    ("true", True, True, True), ("False", False, False, False), ("tRUE", "tRUE", "tRUE", "tRUE"),
    ("y", "y", "y", True), ("N", "N", "N", False), ("yes", "yes", "yes", True), ("Off", "Off", "Off", False),
    ("on", "on", "on", True), ("~", None, None, None), ("Null", None, None, None), ("none", "none", "none", "none"),
    ("0600", 600, 384, 384), ("0o17", 15, 15, 15), ("0O17", "0O17", 15, 15), ("0b11", "0b11", 3, 3),
    ("0x1F", 31, 31, 31), ("0X1f", "0X1f", 31, 31), ("-0x1f", "-0x1f", -31, -31), ("1_000", "1_000", 1000, 1000),
    ("_1", "_1", "_1", "_1"), ("08", 8, 8.0, 8.0), ("1e3", 1000.0, 1000.0, 1000.0), ("1.", 1.0, 1.0, 1.0),
    (".5", 0.5, 0.5, 0.5), (".5_0", ".5_0", 0.5, 0.5), ("+12", 12, 12, 12), ("-.INF", -math.inf, -math.inf, -math.inf),
    ("2001-12-14", "2001-12-14", "2001-12-14", "2001-12-14"), ("12:30", "12:30", "12:30", "12:30"),
    ("1.2.3", "1.2.3", "1.2.3", "1.2.3"), ("0o8", "0o8", "0o8", "0o8"), ("=", "=", "=", "="), ("inf", "inf", "inf", "inf"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "core", "v3", "kubernetes"), WORDS, ids=[w[0] for w in WORDS])
def test_resolvers_read_as_their_programs_do(text: str, core: Tree, v3: Tree, kubernetes: Tree) -> None:
    for resolver, wanted in ((yaml.CORE, core), (yaml.GO_YAML_V3, v3), (yaml.KUBERNETES, kubernetes)):
        value = one(f"- {text}\n- '{text}'\n", resolver).value
        assert value == [wanted, text]
        assert isinstance(value, list)
        assert type(value[0]) is type(wanted)


def test_nan_is_a_number_everywhere() -> None:
    for resolver in (yaml.CORE, yaml.GO_YAML_V3, yaml.KUBERNETES):
        value = resolver(".NaN")
        assert isinstance(value, float)
        assert math.isnan(value)
        with pytest.raises(OutOfRangeError):
            resolver("-1000000000000000000")


def test_without_libyaml_the_same_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml as pyyaml

    text = PLACES + "merged: &m {a: !!str 1}\nnow: {<<: *m}\n"
    fast = one(text, yaml.GO_YAML_V3)
    monkeypatch.setattr(yaml_construct, "_parse", pyyaml.SafeLoader)
    slow = one(text, yaml.GO_YAML_V3)
    assert slow.value == fast.value
    assert slow.key_spans == fast.key_spans
    assert quickly("[" * 200_000) == Code.TOO_DEEP
    assert fault("a: [1\n").code == Code.SYNTAX


pieces = st.sampled_from(
    ["a", "b: ", ": ", "- ", "\n", "\n  ", "---\n", "...\n", "%YAML 1.2\n", "[", "]", "{", "}", ", ", "&x ", "*x", "<<: ", "!!int ",
     "!", "'", '"', "|\n", "? ", "# c", "1", "08", "~", "\t", "\r", "\r\n", "\ufeff", "\0", "é", "=", "[[", "]]", ".", "\\", '""\"']
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.lists(pieces, max_size=25).map("".join), st.binary(max_size=40), st.text(max_size=20)))
@example("---\r%")
@example("%")
def test_whatever_it_is_it_is_read_or_refused_at_a_place(text: str | bytes) -> None:
    for resolver in (yaml.CORE, yaml.GO_YAML_V3, yaml.KUBERNETES):
        readings = yaml.read(text, "f", resolver)
        assert readings
        for reading in (*readings, toml.read(text, "f")):
            assert all(d.span is not None and d.span.file == "f" for d in reading.diagnostics)
            assert reading.spans.keys() >= reading.key_spans.keys()
        if isinstance(text, str) and readings[0].text:
            assert "".join(r.text for r in readings) == text.removeprefix("\ufeff")
