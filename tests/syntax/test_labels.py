"""Labels: the grammar both ways, variables, and command lines."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfeather.model.noun import Template
from pinfeather.translators._syntax.label_pairs import pairs, says
from pinfeather.translators._syntax.labels import Label, last_of_each, shaped
from pinfeather.translators._syntax.shell_words import ShellError, commands
from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators._syntax.variables import Variables, escaped, is_template, values_of
from pinfeather.translators._traefik.nouns import Kind
from pinfeather.translators._traefik.schema import MIDDLEWARES, ROOT, Anything, Dropped, Listed, Named, Shape, Struct, later

NEW = (3, 7)


def tree_of(labels: dict[str, str], version: tuple[int, int] = NEW) -> Tree:
    found = shaped([Label(key, value) for key, value in labels.items()], "traefik", ROOT, version)
    assert found.faults == ()
    return None if found.found is None else found.found.tree


READ: dict[str, tuple[dict[str, str], Tree]] = {
    "a text": ({"traefik.http.routers.r.rule": "Host(`a`)"}, {"http": {"routers": {"r": {"rule": "Host(`a`)"}}}}),
    "keys in any case, names as they are": (
        {"traefik.HTTP.Routers.aB.RULE": "x", "traefik.http.routers.aB.entrypoints": "web"},
        {"http": {"routers": {"aB": {"rule": "x", "entryPoints": ["web"]}}}},
    ),
    "one name in two cases is one": (
        {"traefik.http.routers.App.rule": "x", "traefik.http.routers.app.priority": "3"},
        {"http": {"routers": {"App": {"rule": "x", "priority": 3}}}},
    ),
    "a list": ({"traefik.http.routers.r.middlewares": " a , b,c"}, {"http": {"routers": {"r": {"middlewares": ["a", "b", "c"]}}}}),
    "a list by index": (
        {"traefik.http.routers.r.middlewares[1]": "b", "traefik.http.routers.r.middlewares[0]": "a"},
        {"http": {"routers": {"r": {"middlewares": ["a", "b"]}}}},
    ),
    "mappings in a list": (
        {f"traefik.http.routers.r.tls.domains[{at}].main": str(at) for at in (1, 2, 10)},
        {"http": {"routers": {"r": {"tls": {"domains": [{"main": "10"}, {"main": "1"}, {"main": "2"}]}}}}},
    ),
    "a switch": ({"traefik.http.routers.r.tls": "TRUE"}, {"http": {"routers": {"r": {"tls": {}}}}}),
    "a switch that is off": (
        {"traefik.http.routers.r.tls": "1", "traefik.http.routers.r.tls.options": "x"},
        {"http": {"routers": {"r": {}}}},
    ),
    "what a plugin is told": (
        {"traefik.http.middlewares.m.plugin.Mine.a.b": "1,2"},
        {"http": {"middlewares": {"m": {"plugin": {"Mine": {"a": {"b": "1,2"}}}}}}},
    ),
    "what has no place in labels": (
        {"traefik.http.services.w.weighted.services[0].name": "x", "traefik.http.services.w.loadbalancer.server.port": "1"},
        {"http": {"services": {"w": {"loadBalancer": {"server": {"port": "1"}}}}}},
    ),
    "lengths of time": (
        {"traefik.http.services.s.loadbalancer.healthcheck.interval": "90"},
        {"http": {"services": {"s": {"loadBalancer": {"healthCheck": {"interval": "90s"}}}}}},
    ),
}


@pytest.mark.parametrize("case", READ)
def test_what_traefik_makes_of_labels(case: str) -> None:
    labels, wanted = READ[case]
    assert tree_of(labels) == wanted


FAULTS = {
    "traefik.http.routers.r.priorty": ("1", "field not found, node: priorty", "priority"),
    "traefik.http.routers.r.priority": ("1.5", "'1.5' is not a whole number", None),
    "traefik.http.middlewares.m.headers": ("true", "headers cannot be a standalone element", None),
    "traefik.http.routers.r.rule.x": ("1", "field not found, node: x", None),
    "traefik.http..r": ("1", "invalid element: traefik.http..r", None),
    "traefik.http.[0].r": ("1", "invalid leading character '[' in field name (bracket is a slice delimiter): [0]", None),
    "Traefik.http.routers.r.rule": ("1", "invalid label root Traefik", "traefik"),
}


@pytest.mark.parametrize("key", FAULTS)
def test_what_traefik_refuses(key: str) -> None:
    value, message, meant = FAULTS[key]
    (fault,) = shaped([Label(key, value)], "traefik", ROOT, NEW).faults
    assert (fault.message, fault.meant) == (message, meant)


def test_a_version_lacks_what_came_later() -> None:
    label = Label("traefik.http.services.s.loadbalancer.sticky.cookie.maxage", "1")
    (fault,) = shaped([label], "traefik", ROOT, (2, 11)).faults
    assert "since 3.0" in fault.message
    assert shaped([label], "traefik", ROOT, (3, 0)).faults == ()
    assert later({"ipAllowList": {"rejectStatusCode": 1}}, MIDDLEWARES, (2, 11)) == "rejectStatusCode"
    assert later({"ipAllowList": {"rejectStatusCode": 1}}, MIDDLEWARES, (3, 0)) is None


def test_the_last_of_each_key_is_kept() -> None:
    one, two, other = Label("a", "1"), Label("a", "2"), Label("b", "3")
    assert last_of_each([one, other, two]) == ({"b": other, "a": two}, [(one, two)])


# Writing ---------------------------------------------------------------------------------------------------------------

_words = st.text("abcXYZ019-_~ü$`\"' ", min_size=1, max_size=6).map(str.strip).filter(bool)
_VALUES: dict[Kind, st.SearchStrategy[Tree]] = {
    Kind.TEXT: st.text(max_size=8),
    Kind.INTEGER: st.integers(-(10**9), 10**9),
    Kind.BOOLEAN: st.booleans(),
    Kind.DURATION: st.sampled_from(["5s", "90s", "500ms"]),
    Kind.TEXTS: st.lists(_words.filter(lambda text: "," not in text), min_size=1, max_size=3).map(list),
}


def trees(shape: Shape) -> st.SearchStrategy[Tree]:
    """Everything that a shape can hold."""
    if isinstance(shape, Kind):
        return _VALUES[shape]
    if isinstance(shape, Named):
        return st.dictionaries(_words.map(str.lower).filter(lambda text: "." not in text), trees(shape.shape), min_size=1, max_size=2).map(
            dict
        )
    if isinstance(shape, Listed):
        return st.lists(trees(shape.shape).filter(bool), min_size=1, max_size=12).map(list)
    if isinstance(shape, Anything):
        return st.just({"x": {"y": "z"}})
    assert isinstance(shape, Struct)
    fields = {key: trees(below) for key, below in shape.fields.items() if not isinstance(below, Dropped)}
    made = st.fixed_dictionaries({}, optional=fields).map(dict)
    return made if shape.may_be_true else made.filter(bool)


@settings(max_examples=200, deadline=None)
@given(trees(MIDDLEWARES))
def test_what_is_written_is_read_as_the_same(tree: Tree) -> None:
    labels = [Label(key, value) for key, value in pairs(tree, MIDDLEWARES, "x")]
    assert len({label.key for label in labels}) == len(labels)
    seen = shaped(labels, "x", MIDDLEWARES, NEW)
    assert seen.faults == ()
    assert seen.found is not None
    assert seen.found.tree == tree
    assert says(tree, MIDDLEWARES, NEW)


@pytest.mark.parametrize(
    "tree",
    [
        {"stripPrefix": {"prefixes": ["/a,b"]}},
        {"stripPrefix": {"prefixes": [" /a"]}},
        {"headers": {"customRequestHeaders": {"A.B": "c"}}},
        {"headers": {"customRequestHeaders": {"A": "b", "a": "c"}}},
        {"plugin": {"x": {"n": 1}}},
        {"headers": {}},
        {"addPrefix": {"nope": "x"}},
    ],
)
def test_what_labels_cannot_say(tree: Tree) -> None:
    assert not says(tree, MIDDLEWARES, NEW)


# Variables -------------------------------------------------------------------------------------------------------------

VALUES = {"A": "1", "EMPTY": ""}
FILLED = {
    "$A": "1", "${A}": "1", "${A:-2}": "1", "${EMPTY:-2}": "2", "${EMPTY-2}": "", "${A:+x}": "x", "${EMPTY:+x}": "", "${EMPTY+x}": "x",
    "$$A": "$A", "a$$": "a$", "${EMPTY:-${A}}": "1", "$A$A": "11", "x${A:?no}": "x1",
}  # fmt: skip


@pytest.mark.parametrize("text", FILLED)
def test_variables_with_values(text: str) -> None:
    assert Variables(VALUES).filled(text) == (FILLED[text], None)


@pytest.mark.parametrize("text", ["$X", "${X}", "${X:-d}", "a${X:-${Y:-z}}b", "$$a${X}$$", "${X}$Y"])
def test_variables_without_keep_their_letters(text: str) -> None:
    variables = Variables(VALUES)
    marked, fault = variables.filled(text)
    assert fault is None
    assert "$X" not in marked
    assert variables.restored(marked) == Template(text)
    assert is_template(text)
    assert escaped(Template(text)) == text


@pytest.mark.parametrize(("text", "plain"), [("${X:-d}", "d"), ("${X-d}.${Y:-e}", "d.e"), ("${X}", "${X}"), ("${X:-${Y:-z}}", "z")])
def test_a_default_stands_where_there_is_no_place_for_a_variable(text: str, plain: str) -> None:
    variables = Variables({})
    assert variables.by_default(variables.filled(text)[0]) == plain


@pytest.mark.parametrize("text", ["$", "a$1", "${", "${1}", "$-"])
def test_a_dollar_that_begins_nothing(text: str) -> None:
    filled, fault = Variables({}).filled(text)
    assert fault is not None
    assert fault.offset == text.index("$")
    assert filled == text
    assert not is_template(text)


@given(st.text())
def test_any_text_survives(text: str) -> None:
    variables = Variables({})
    assert variables.filled(escaped(text)) == (text, None)
    variables.filled(text)
    assert variables.restored(text) == text or "\ufdd0" in text


def test_env_files() -> None:
    assert values_of("# c\nA=1\nexport B='x y'\nC=\"z\" \nD=a # c\nE=\n=x\nnothing\n") == {
        "A": "1",
        "B": "x y",
        "C": "z",
        "D": "a",
        "E": "",
    }


# Command lines ---------------------------------------------------------------------------------------------------------

LINES: dict[str, list[list[str]]] = {
    "a b  c": [["a", "b", "c"]],
    "a 'b c' \"d e\"f": [["a", "b c", "d ef"]],
    'a "x\\`y\\`" \\$z': [["a", "x`y`", "$z"]],
    "a \\\n  b\nc; d && e": [["a", "b"], ["c"], ["d"], ["e"]],
    "a \\\r\n b\r\nc": [["a", "b"], ["c"]],
    "# c\na # d\n": [["a"]],
    "a ''": [["a", ""]],
    "a '$X`y`'": [["a", "$X`y`"]],
    'a "1\\\n2"': [["a", "12"]],
}


@pytest.mark.parametrize("line", LINES)
def test_words_of_a_shell(line: str) -> None:
    found = [words if isinstance(words, ShellError) else [word.text for word in words] for words in commands(line, Variables({}))]
    assert found == LINES[line]


@pytest.mark.parametrize(("line", "at"), [("a `b`", 2), ('a "`b`"', 3), ("a $(b)", 2), ("a 'b", 2), ('a "b', 2)])
def test_what_a_shell_would_run_or_wait_for(line: str, at: int) -> None:
    (found,) = commands(line, Variables({}))
    assert isinstance(found, ShellError)
    assert found.offset == at


@given(st.text(alphabet=st.sampled_from(list("ab '\"\\$`{}()\n\r;&|#=-"))))
def test_no_text_breaks_the_shell(line: str) -> None:
    for words in commands(line, Variables({})):
        if isinstance(words, list):
            assert all(0 <= word.begin <= word.end <= len(line) for word in words)
