"""The short way through YAML gives what the events give, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.large import stream
from pinfeather.translators._syntax import yaml
from pinfeather.translators._syntax.resolvers import Resolver
from pinfeather.translators._syntax.tree import LIMITS, Limits
from pinfeather.translators._syntax.yaml_construct import documents
from pinfeather.translators._syntax.yaml_lines import read_lines

RESOLVERS = (yaml.CORE, yaml.GO_YAML_V3, yaml.KUBERNETES)
TESTS = Path(__file__).parents[1]
FILES = [path for path in sorted(TESTS.rglob("*")) if path.suffix in (".yaml", ".yml", ".txt", ".md", ".json", ".toml") and path.is_file()]


def short(part: str, resolver: Resolver = yaml.CORE, limits: Limits = LIMITS) -> bool:
    """Whether the short way reads a text; if so, it gives what the events give."""
    reading = read_lines(part, "f.yaml", 3, resolver, limits)
    if reading is None:
        return False
    (other,) = documents(part, "f.yaml", 3, resolver, limits)
    assert repr(reading.value) == repr(other.value)  # a 1 is no true, and a NaN a NaN
    assert repr(reading.mark) == repr(other.mark)
    assert (reading.diagnostics, reading.text, reading.first_line) == (other.diagnostics, other.text, other.first_line)
    return True


def parts(text: str) -> list[str]:
    return [reading.text for reading in yaml.read_stream(text, "f.yaml", yaml.CORE)]


def test_every_file_of_the_tests_is_read_alike() -> None:
    texts = [path.read_bytes().decode("utf-8", "replace") for path in FILES]
    read = [short(part, resolver) for text in texts for part in parts(text) for resolver in RESOLVERS]
    assert len(read) > 1000
    assert sum(read) > len(read) // 4


def test_what_programs_write_is_read_the_short_way() -> None:
    assert all(short(part, yaml.KUBERNETES) for part in parts(stream(3)))


KNOWN = [
    "a: 1\n", "a: 1", "---\na: b\n", "# x\n\na:\n  b:\n", "a:\n- b\n- c\nd:\n", "- a\n- b: 1\n  c:\n  - 2\n- d\n", "  a: b\n  c:\n    - d\n",
    "a: {}\nb: []\nc: {d: e, f: 1}\ng: [h, 2, true]\n", '"a b": "c: d"\n\'e\': \'f "g" # h\'\n', 'a: "b\\\\c\\"d"\n', "a: b:c\nd: e#f\ng: http://h/\n",
    "a: yes\nb: ~\nc: null\nd: 0x1F\ne: .5\nf: 010\n", "a:\n  # one\n\n  b: c\n# two\nd: e\n# three\n", "a: \nb: \n  - c\n", "a: \"\"\nb: ''\n",
]  # fmt: skip


@pytest.mark.parametrize("text", KNOWN)
def test_these_are_known(text: str) -> None:
    assert all(short(text, resolver) for resolver in RESOLVERS)


UNKNOWN = [
    "", "\n", "# a\n", "---\n", "a\n", "- \n", "-\n", "- - a\n", "a: - b\n", "a: b: c\n", "a: b:\n", "a: b\n c\n", "a: b\n  c: d\n", "a: b # c\n", "a:  b\n",
    "a: b \n", "a: [\n", "a: [b, ]\n", "a: [b\n", "a: {b: c, \n", "a: {b: c, b: d}\n", "a: {b}\n", "a: 1\na: 2\n", "on: 1\n", "1: 2\n", "<<: a\n", "a: &b c\n",
    "a: *b\n", "a: !!str 1\n", "a: |\n  b\n", "a: >\n  b\n", 'a: "b\n', 'a: "b" c\n', 'a: "b\\n"\n', 'a: "b"c"\n', "a: 'b''c'\n", "a: @b\n", "a: %b\n",
    "a:\tb\n", "\ta: b\n", "a: b\r\n", "a: ü\n", "a: 1\n...\n", "a: 1\n--- \n", "---\n---\na: 1\n", "  ---\na: 1\n", "%YAML 1.1\n---\na: 1\n", "? a\n: b\n",
    "a:\n    - b\n  - c\n", "a: 1\n- b\n", "- a\nb: 1\n", "  a: 1\nb: 2\n", "a:\n  b: 1\n c: 2\n", "- a\n  - b\n", f"{'k' * 1100}: 1\n", f"a: {'1' * 30}\n",
    "a: -1\n", "a: ?\n", "a: :\n", "a: #\n", "a: b #\n", "a:b\n", "a : b\n", "a: {b: c: d}\n", "a: {b: c #d}\n", "a:\n b\n",
]  # fmt: skip


@pytest.mark.parametrize("text", UNKNOWN)
def test_these_are_left_to_the_events(text: str) -> None:
    assert not short(text, yaml.KUBERNETES)
    for resolver in (yaml.CORE, yaml.GO_YAML_V3):  # to them some of these are well
        short(text, resolver)


def test_bounds_are_met_by_giving_up() -> None:
    deep = "".join(f"{'  ' * level}a:\n" for level in range(5)) + f"{'  ' * 5}a: [b]\n"
    assert short(deep, limits=LIMITS._replace(depth=7))
    assert not short(deep, limits=LIMITS._replace(depth=6))
    items = "".join(f"{'  ' * level}- a:\n" for level in range(3))
    assert short(items, limits=LIMITS._replace(depth=6))
    assert not short(items, limits=LIMITS._replace(depth=5))
    assert not short("a: 1\n" * 10, limits=LIMITS._replace(events=20))


WORDS = ["a", "b", "c", "on", "1", "a b", "x.y/z-1", "~", "", "'a'", '"b"', "'a: b'", '"a\\\\b"', "{}", "[]", "[a, 1]", "{a: 1, b: c}", "[a", "{a: ", "- a", "a:", "a #b",
         "#a", "<<", "&a", "*a", "|", "-1", "0x1", ".inf", "---", "...", "ü", ":", "?", "true", "null", "[a, ", "{a: b, ", "\"", "'", "a ", " a"]  # fmt: skip
LINES = st.builds(
    lambda indent, dash, key, value, end: " " * indent + dash + key + value + end,
    st.sampled_from([0, 0, 0, 1, 2, 2, 3, 4, 4, 6]),
    st.sampled_from(["", "", "", "- ", "- ", "-", "- - "]),
    st.one_of(st.just(""), st.sampled_from(WORDS).map(lambda word: f"{word}: "), st.sampled_from("abcdef").map(lambda word: f"{word}: ")),
    st.one_of(st.just(""), st.sampled_from(WORDS), st.sampled_from(["a", "b", "1"])),
    st.sampled_from(["", "", "", "", " ", " # a", ":"]),
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=8).map("\n".join), st.sampled_from(["", "\n", "\n\n"]), st.sampled_from(RESOLVERS))
@example("a:\n- b:\n  - c\n  d:\n- e", "", yaml.CORE)
def test_any_lines_are_read_alike_or_not_at_all(text: str, end: str, resolver: Resolver) -> None:
    short(text + end, resolver)


TREES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-5, 99999),
        st.sampled_from(["a", "b c", "yes", "1", "x: y", 'q"\\', "", "a" * 70]),
        st.text(max_size=6),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from("abcde"), st.text(max_size=4)), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=400, deadline=None)
@given(TREES, st.sampled_from(RESOLVERS))
def test_what_we_write_is_read_alike(tree: yaml.Tree, resolver: Resolver) -> None:
    short(yaml.emit(tree), resolver)
