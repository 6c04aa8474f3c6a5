"""Writing YAML: whatever is written, every reader reads the same tree."""

from __future__ import annotations

import pytest
import yaml as pyyaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfeather.translators._syntax import yaml
from pinfeather.translators._syntax.resolvers import Resolver
from pinfeather.translators._syntax.tree import Tree

WORDS = """
y n Y N yes no on off On OFF true False null Null ~ none = << - -- ? : , [ ] { } # & * ! | > ' " % @ ` --- ...
1e3 1E3 12e03 1e+3 08 09 0o17 0O17 0B11 0X1f 0x1F _1 1_000 0600 .5 +1 -0 .inf .nan inf NaN
2001-12-14 12:30 190:20:30 1.2.3.4
"""
TRAPS = [
    *WORDS.split(),
    "", " ", " a", "a ", "a: b", "a:", ":a", "a #b", "a#b", "- a", "? a", "a\nb", "a\n", "\na", "a\n\nb\n", " a\nb", "a\n b",
    "a\r\nb", "a\tb", "\x00", "\x07", "\x7f", "\x85", "\u2028", "\u2029", "\ufeff", "\ufeffa", "é", "日本", "😀", "\U0010ffff",
    "--- a", "# a", "{{ x }}", "Host(`a`) && Path(`/`)", "a\n---\nb\n", "a\n...\n", "a \nb\n", "x" * 1_200, "é" * 700, "\\", '"',
    "2001-12-14 21:59:43.10 -5", "a\n\n", "\n", "\n\n", "C:\\x", "tag:yaml.org,2002:str", "a\n# b\n", "a\n  \nb", "0.0.0.0:80",
]  # fmt: skip

texts = st.one_of(st.sampled_from(TRAPS), st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
floats = st.floats(allow_nan=False)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(10**18) + 1, 10**18 - 1), floats, texts)
trees: st.SearchStrategy[Tree] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=15,
)
READERS = (yaml.CORE, yaml.GO_YAML_V3, yaml.KUBERNETES)


def read(text: str, resolver: Resolver) -> Tree:
    (reading,) = yaml.read(text, "f", resolver)
    assert not reading.diagnostics, (text, reading.diagnostics)
    return reading.value


@settings(max_examples=300, deadline=None)
@given(trees)
def test_every_reader_reads_what_was_written(tree: Tree) -> None:
    text = yaml.emit(tree)
    assert text.endswith("\n")
    for resolver in READERS:
        assert read(text, resolver) == tree
    for loader in (pyyaml.CSafeLoader, pyyaml.SafeLoader):
        assert pyyaml.load(text, loader) == tree


@pytest.mark.parametrize("trap", TRAPS, ids=range(len(TRAPS)))
def test_a_text_stays_a_text_as_value_as_key_and_alone(trap: str) -> None:
    shapes: list[Tree] = [trap, {trap: trap}, [trap], {"a": [{trap: [trap]}], trap: {"b": trap}}]
    for tree in shapes:
        text = yaml.emit(tree)
        for resolver in READERS:
            assert read(text, resolver) == tree
        assert pyyaml.load(text, pyyaml.SafeLoader) == tree


@settings(max_examples=60, deadline=None)
@given(st.lists(trees, min_size=1, max_size=4))
def test_a_stream_reads_back_as_its_documents(stream: list[Tree]) -> None:
    text = yaml.emit_all(stream, header="made by pinfeather")
    assert pyyaml.compose(text.partition("---\n")[2].partition("\n---\n")[0] or "x") is not None
    readings = yaml.read(text, "f", yaml.GO_YAML_V3)
    assert [r.value for r in readings] == stream
    assert not any(r.diagnostics for r in readings)


def test_its_shape_is_plain_block_style() -> None:
    tree: Tree = {
        "a": {"b": 1, "c": [1.5, 1e20, True, None, []]},
        "list": [{"name": "x", "in": [["p"], {}]}, "rule", "y"],
        "pem": "-----BEGIN-----\nabc\n",
        "80": "Host(`a`)",
    }
    assert yaml.emit(tree, header="one\n# two") == (
        "# one\n# two\n"
        "a:\n  b: 1\n  c:\n    - 1.5\n    - 1.0e+20\n    - true\n    - null\n    - []\n"
        "list:\n  - name: x\n    in:\n      - - p\n      - {}\n  - rule\n"
        '  - "y"\n'
        "pem: |\n  -----BEGIN-----\n  abc\n"
        '"80": "Host(`a`)"\n'
    )


def test_a_header_cannot_break_out_of_its_comment() -> None:
    text = yaml.emit({"a": 1}, header="x\u2028b: 2\r- c\x85d: 3\n\x0be: 4")
    assert read(text, yaml.CORE) == {"a": 1}
    assert pyyaml.safe_load(text) == {"a": 1}


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="U\\+D800"):
        yaml.emit({"a": "\ud800"})


def test_the_same_tree_gives_the_same_bytes_in_the_given_order() -> None:
    assert yaml.emit({"b": 1, "a": 2}) == "b: 1\na: 2\n"
    assert yaml.emit({"a": 2, "b": 1}) == "a: 2\nb: 1\n"
