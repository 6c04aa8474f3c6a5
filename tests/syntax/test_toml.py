"""TOML, both ways."""

from __future__ import annotations

import math
import time
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfeather.model.diagnostics import Code, Diagnostic, Path
from pinfeather.translators._syntax import toml
from pinfeather.translators._syntax.tree import Limits, Reading, Tree

FILE = """\
# a comment
[http.routers.shop]
rule = "Host(`x`)"  # and why
tls = { certResolver = "le", domains = [{ main = "x" }] }
entryPoints = [
  "web",   # one
  'websecure',
]
"odd \\" key".inner = 3

[[http.services.s.loadBalancer.servers]]
url = \"\"\"
u1\"\"\"
[[http.services.s.loadBalancer.servers]]
url = "u2"
since = 2026-01-02T03:04:05Z
"""


def read(text: str | bytes, limits: Limits = toml.LIMITS) -> Reading:
    return toml.read(text, "f.toml", limits)


def faults(text: str | bytes, limits: Limits = toml.LIMITS) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    for d in read(text, limits).diagnostics:
        assert isinstance(d, Diagnostic)
        assert d.span is not None
        found.append((d.code, d.span.line, d.span.column))
    return found


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_keys_and_values_know_where_they_stand(ends: str) -> None:
    reading = read("\ufeff" + FILE.replace("\n", ends))
    assert not reading.diagnostics
    servers: Path = ("http", "services", "s", "loadBalancer", "servers")
    shop: Path = ("http", "routers", "shop")
    keys = {path: (s.line, s.column, s.end_column) for path, s in reading.key_spans.items()}
    assert keys[shop] == (2, 15, 19)
    assert keys[(*shop, "rule")] == (3, 1, 5)
    assert keys[(*shop, "tls", "domains", 0, "main")] == (4, 43, 47)
    assert keys[(*shop, 'odd " key')] == (9, 1, 13)
    assert keys[(*shop, 'odd " key', "inner")] == (9, 14, 19)
    assert keys[(*servers, 1, "url")] == (15, 1, 4)
    spans = {path: (s.line, s.column, s.end_line, s.end_column) for path, s in reading.spans.items()}
    assert spans[(*shop, "rule")] == (3, 8, 3, 19)
    assert spans[(*shop, "tls")] == (4, 7, 4, 58)
    assert spans[(*shop, "entryPoints", 1)] == (7, 3, 7, 14)
    assert spans[(*servers, 0, "url")] == (12, 7, 13, 6)
    assert spans[(*servers, 1)] == (14, 1, 16, 29)


def test_dates_are_texts_and_all_else_is_as_tomllib_reads_it() -> None:
    reading = read(FILE)
    expected = tomllib.loads(FILE)
    expected["http"]["services"]["s"]["loadBalancer"]["servers"][1]["since"] = "2026-01-02T03:04:05+00:00"
    assert reading.value == expected
    assert read("a = 07:32:00\nb = 1979-05-27").value == {"a": "07:32:00", "b": "1979-05-27"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [(Code.EMPTY, 1, 1)]),
        ("# x\n\n", [(Code.EMPTY, 1, 1)]),
        ("a = 1\nb\n", [(Code.SYNTAX, 2, 2)]),
        ("a = [1,\n", [(Code.SYNTAX, 2, 1)]),
        ("a = 1\n[b]\na = 2\na = 3\n[b]\n", [(Code.DUPLICATE_KEY, 4, 1), (Code.DUPLICATE_KEY, 5, 2)]),
        ("a = {b = 1, b = 2}\n", [(Code.DUPLICATE_KEY, 1, 13)]),
        ("a = 1\n[a]\n", [(Code.DUPLICATE_KEY, 2, 2)]),
        ("a = 1\n[a.b]\n", [(Code.DUPLICATE_KEY, 2, 5)]),
        ("a = 1\nb = 1234567890123456789\n", [(Code.VALUE, 2, 5)]),
        ("a = 1\nb = " + "9" * 5_000, [(Code.VALUE, 2, 5)]),
        ("a = 1\nb = '\0'", [(Code.ENCODING, 2, 6)]),
        (b"a = 1\nb = '\xff'", [(Code.ENCODING, 2, 6)]),
        ("a = " + "[" * 100_000, [(Code.TOO_DEEP, 1, 69)]),
        ("a = " + "{b=" * 50_000, [(Code.TOO_DEEP, 1, 195)]),
        ("[" + "a." * 100_000 + "a]\n", [(Code.TOO_DEEP, 1, 130)]),
        ("a = 1\n" * 2 + "x" * (1 << 20), [(Code.TOO_LARGE, 0, 0)]),
        ("a = [" + "1," * 250_000 + "]", [(Code.TOO_LARGE, 1, 400_004)]),
    ],
    ids=range(17),
)
def test_bad_input_is_said_at_its_place(text: str | bytes, found: list[tuple[str, int, int]]) -> None:
    begin = time.process_time()
    assert faults(text, Limits(document_bytes=1 << 20, events=200_000)) == found
    assert time.process_time() - begin < 3.0


def test_a_key_that_stands_twice_names_both_lines() -> None:
    (found,) = read("a = 1\nb = 2\na = 3\n").diagnostics
    assert "line 1 and line 3" in found.message


def test_tables_may_be_opened_in_any_order() -> None:
    assert not read("[a.b]\nc = 1\n[a]\nd = 2\n[[e]]\n[e.f]\n[[e]]\n[e.f]\ng.h = 1\ng.i = 2\n").diagnostics


names = st.one_of(st.sampled_from(["a", "b-c", "x.y", "", " ", "é", '"', "\\", "1", "\n", "\x7f", "\u2028"]), st.text(
    st.characters(exclude_categories=["Cs"]), max_size=6))  # fmt: skip
scalars = st.one_of(
    st.booleans(), st.integers(-(10**18) + 1, 10**18 - 1), st.floats(allow_nan=False), st.text(
        st.characters(exclude_categories=["Cs"]), max_size=12), names)  # fmt: skip
trees: st.SearchStrategy[Tree] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
    max_leaves=15,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(names, trees, max_size=4))
def test_what_was_written_reads_back_in_every_place(tree: dict[str, Tree]) -> None:
    text = toml.emit(tree, header="a header\u2028[no]")
    assert tomllib.loads(text) == tree
    if tree:
        reading = read(text)
        assert not reading.diagnostics
        assert reading.value == tree
        lines = text.replace("\r\n", "\n").split("\n")
        for path, span in reading.key_spans.items():
            written = lines[span.line - 1][span.column - 1 : span.end_column - 1]
            assert list(tomllib.loads(f"{written} = 1")) == [path[-1]]


def test_its_shape_is_tables() -> None:
    tree: Tree = {"b": {"a": {"x": 1}, "e": {}}, "top": "t", "list": [{"n": {"m": 1}}, {"k": [{"q": 1}, 2]}], "nan": math.inf}
    assert toml.emit(tree) == (
        'top = "t"\nnan = inf\n\n[b.a]\nx = 1\n\n[b.e]\n\n[[list]]\n\n[list.n]\nm = 1\n\n[[list]]\nk = [{ q = 1 }, 2]\n'
    )


@pytest.mark.parametrize("tree", [None, [], {"a": None}, {"a": [None]}, {"a": "\udc00"}])
def test_what_toml_cannot_say_is_refused(tree: Tree) -> None:
    with pytest.raises(ValueError, match=r"TOML|surrogate"):
        toml.emit(tree)
