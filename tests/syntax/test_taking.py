"""Taking: typed values out of a document, and a finding for each key that nobody took."""

from __future__ import annotations

import pytest

from pinfeather.model.diagnostics import Code, Severity
from pinfeather.translators._syntax import paerser, toml, yaml
from pinfeather.translators._syntax.taking import STRICT, TRAEFIK_FILE, TRAEFIK_LABELS, Manner, Taking
from pinfeather.translators._syntax.tree import Tree

FILE = """\
http:
  routers:
    shop:
      Rule: Host(`x`)
      priority: "10"
      entrypoints: [web, 8080]
      sevice: s
    gone: null
    wrong: 3
  services:
    s:
      weighted:
        services: [{name: a, weight: 1.0}, 3]
        sticky: {cookie: {secure: t, httpOnly: yes, maxAge: 1.5}}
      loadBalancr: {}
log: {level: DEBUG}
udp: {}
"""


def taking(text: str, manner: Manner = STRICT) -> Taking:
    (reading,) = yaml.read(text, "f.yml", yaml.GO_YAML_V3)
    return Taking.of(reading, manner)


def findings(root: Taking) -> list[tuple[str, str]]:
    return [(d.code, d.message) for d in root.finish()]


def places(root: Taking) -> list[tuple[str, int, int]]:
    return [(d.code, d.span.line, d.span.column) for d in root.finish() if d.span is not None]


def test_a_traefik_file_is_taken_as_traefik_takes_it() -> None:
    root = taking(FILE, TRAEFIK_FILE)
    http = root.map("http")
    assert http is not None
    ((name, router),) = http.items("routers")
    assert (name, router.path) == ("shop", ("http", "routers", "shop"))
    assert (router.span.line, router.key_span.line) == (4, 3)
    assert router.text("rule") == "Host(`x`)"
    assert (router.span_of("rule").column, router.key_span_of("rule").column) == (13, 7)
    assert router.integer("priority") == 10
    assert router.text_list("entryPoints") == ["web", "8080"]
    assert (router.text("service"), router.map("tls"), router.text_list("middlewares")) == (None, None, [])
    ((_, service),) = http.items("services")
    assert service.map("loadBalancer") is None
    weighted = service.map("weighted")
    assert weighted is not None
    (child,) = weighted.list("services")
    assert child.path == ("http", "services", "s", "weighted", "services", 0)
    assert (child.text("name"), child.integer("weight", 0, 5)) == ("a", 1)
    sticky = weighted.map("sticky")
    cookie = sticky.map("cookie") if sticky else None
    assert cookie is not None
    assert (cookie.boolean("secure"), cookie.boolean("httpOnly"), cookie.integer("maxAge")) == (True, None, None)
    root.out_of_scope("log", "api")
    root.known("udp", why="nothing of it is HTTP")
    assert places(root) == [
        (Code.VALUE, 9, 12),
        (Code.VALUE, 13, 44),
        (Code.VALUE, 14, 48),
        (Code.VALUE, 14, 61),
        (Code.SCOPE, 16, 1),
        (Code.UNSUPPORTED, 17, 1),
        (Code.UNKNOWN, 7, 7),
        (Code.UNKNOWN, 15, 7),
    ]
    unknown = root.left()
    assert [d.message for d in unknown] == [
        "unknown key 'sevice': did you mean \"service\"?",
        "unknown key 'loadBalancr': did you mean \"loadBalancer\"?",
    ]
    assert unknown[0].path == ("http", "routers", "shop", "sevice")
    assert unknown[0].severity is Severity.ERROR
    ((edit,),) = (fix.edits for fix in unknown[0].fixes)
    assert (edit.text, edit.span) == ("service", unknown[0].span)


def test_a_key_far_from_all_others_has_no_proposal() -> None:
    root = taking("rule: x\nzzz: y\n")
    root.text("rule")
    assert findings(root) == [(Code.UNKNOWN, "unknown key 'zzz'")]


def test_everything_below_a_key_that_is_not_taken_is_one_finding() -> None:
    assert places(taking("a: {b: {c: 1}}\n")) == [(Code.UNKNOWN, 1, 1)]


def test_a_tree_is_taken_whole() -> None:
    root = taking("config: {a: [1, {b: null}]}\n")
    assert root.tree("config") == {"a": [1, {"b": None}]}
    assert root.tree("other") is None
    assert not root.finish()


def test_case_counts_unless_the_manner_says_otherwise() -> None:
    strict = taking("Rule: x\n")
    assert strict.text("rule") is None
    assert findings(strict) == [(Code.UNKNOWN, "unknown key 'Rule': did you mean \"rule\"?")]
    folded = taking("Rule: x\nrule: y\n", TRAEFIK_FILE)
    assert folded.text("rule") == "y"
    assert [d.code for d in folded.finish()] == [Code.DUPLICATE_KEY]


def test_names_are_never_folded() -> None:
    assert [name for name, _ in taking("App: {}\napp: {}\n", TRAEFIK_FILE).entries()] == ["App", "app"]


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("k: 1", "text"), ("k: [1]", "text"), ("k: '1'", "integer"), ("k: true", "integer"), ("k: 1.0", "integer"),
        ("k: 'true'", "boolean"), ("k: 1", "boolean"), ("k: 5", "duration"), ("k: soon", "duration"), ("k: []", "map"),
        ("k: x", "text_list"), ("k: [x, 1]", "text_list"), ("k: [x]", "list"), ("k: {a: 1}", "text_map"),
        ("k: 3", "text_map"),
    ],
)  # fmt: skip
def test_to_the_letter_every_other_kind_is_wrong(text: str, method: str) -> None:
    root = taking(text + "\n")
    assert getattr(root, method)("k") in (None, [], {}, ["x"])
    (found,) = root.finish()
    assert (found.code, found.span.line if found.span else 0) == (Code.VALUE, 1)


def test_to_the_letter_the_right_kinds_are_read() -> None:
    root = taking("t: a\ni: 3\nb: false\nd: 1m\nm: {x: {}}\nl: [{}, {}]\ntl: [a, b]\ntm: {a: b, c: null}\nn: null\n")
    assert (root.text("t"), root.integer("i"), root.boolean("b"), root.duration("d")) == ("a", 3, False, "60s")
    assert root.map("m") is not None
    assert [e.path for e in root.list("l")] == [("l", 0), ("l", 1)]
    assert (root.text_list("tl"), root.text_map("tm"), root.text("n")) == (["a", "b"], {"a": "b"}, None)
    assert [d.code for d in root.finish()] == [Code.UNKNOWN]  # m.x


def test_bounds_are_said() -> None:
    root = taking("a: -1\nb: 9\nc: 3\n")
    assert (root.integer("a", 0), root.integer("b", 0, 5), root.integer("c", 0, 5)) == (None, None, 3)
    assert [m for _, m in findings(root)] == ["a is -1: it is at least 0", "b is 9: it is 0 to 5"]


def test_a_label_may_hold_a_list() -> None:
    assert taking("a: x, y\nb: ''\n", TRAEFIK_LABELS).text_list("a") == ["x", "y"]
    assert taking("a: ''\n", TRAEFIK_LABELS).text_list("a") == []
    root = taking("a: x, y\n", TRAEFIK_FILE)
    assert root.text_list("a") == []
    assert [d.code for d in root.finish()] == [Code.VALUE]


def test_a_root_that_is_no_mapping_is_said_once() -> None:
    root = taking("[1]\n")
    assert root.map("http") is None
    assert findings(root) == [(Code.VALUE, "the document is a mapping, not a list")]


def test_what_the_reading_found_comes_first_and_is_not_said_again() -> None:
    assert [d.code for d in taking("a: [\n").finish()] == [Code.SYNTAX]
    assert [d.code for d in taking("a: 1\na: 2\n").finish()] == [Code.DUPLICATE_KEY, Code.UNKNOWN]


def test_errors_of_the_reader_stand_at_the_value() -> None:
    root = taking("x:\n  rule: Host(\n")
    node = root.map("x")
    assert node is not None
    node.text("rule")
    node.error(Code.RULE, "this rule has no end", "rule", instead="close it")
    (found,) = root.finish()
    assert (found.path, found.instead) == (("x", "rule"), "close it")
    assert found.span == node.span_of("rule")


def test_toml_is_taken_alike() -> None:
    root = Taking.of(toml.read("[http.routers.a]\nrul = 'x'\n", "f.toml"), TRAEFIK_FILE)
    http = root.map("http")
    assert http is not None
    for _, router in http.items("routers"):
        assert router.text("rule") is None
    assert places(root) == [(Code.UNKNOWN, 2, 1)]


@pytest.mark.parametrize(
    ("text", "truth"),
    [(t, True) for t in ("1", "t", "T", "TRUE", "true", "True")]
    + [(t, False) for t in ("0", "f", "F", "FALSE", "false", "False")]
    + [(t, None) for t in ("yes", "on", "tRUE", "", " true", "2", "no", "off")],
)
def test_bools_are_those_of_go(text: str, truth: bool | None) -> None:
    assert paerser.parse_bool(text) is truth


@pytest.mark.parametrize(
    ("text", "number"),
    [("10", 10), ("+10", 10), ("-3", -3), ("007", 7), ("9223372036854775807", 2**63 - 1), ("9223372036854775808", None),
     ("1_0", None), (" 1", None), ("", None), ("0x1", None), ("1.0", None), ("١", None), ("9" * 5_000, None)],
)  # fmt: skip
def test_numbers_are_those_of_go(text: str, number: int | None) -> None:
    assert paerser.parse_int(text) == number


@pytest.mark.parametrize(
    ("text", "length"),
    [("10", "10s"), ("0", "0s"), ("1m30s", "90s"), ("1.5s", "1500ms"), ("100ms", "100ms"), ("5", "5s"), ("-5", None),
     ("5 s", None), ("", None), ("1d", None)],
)  # fmt: skip
def test_durations_are_those_of_paerser(text: str, length: str | None) -> None:
    assert paerser.parse_duration(text) == length


def test_scalars_are_seen_as_traefik_sees_them() -> None:
    scalars: list[Tree] = [True, 10, 1.0, 1.5, "x", None, [], 10**15 + 0.0]
    assert [paerser.scalar_text(v) for v in scalars] == ["true", "10", "1", "1.500000", "x", None, None, "1000000000000000"]
