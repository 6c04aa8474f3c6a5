"""The plugin's tests: the laws of `pinfeather.testing`, and what is peculiar to lines."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from pinfeather_lines import HEAD, TRANSLATOR, LinesOptions

from pinfeather import FULL, Document, Feature, File, Parsed, Source, TextFile, Tree, When, build, precedence
from pinfeather.testing import laws, strategies

OPTIONS = [LinesOptions(), LinesOptions(align=True)]


def parse(text: str | bytes) -> Parsed:
    return TRANSLATOR.parse(Source((File("routes.lines", text),)), LinesOptions())


def document(text: str) -> Document:
    parsed = parse(text)
    assert parsed.document is not None, parsed.diagnostics
    return parsed.document


def written(text: str, options: LinesOptions = OPTIONS[0]) -> list[str]:
    (artifact,) = TRANSLATOR.emit(document(text), options).artifacts
    assert isinstance(artifact, TextFile)
    head, *lines = artifact.text.splitlines()
    assert head == HEAD
    return lines


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(document=strategies.documents())
def test_law(law: object, document: Document) -> None:
    assert callable(law)
    for options in OPTIONS:
        law(TRANSLATOR, options, document)


def test_hostile_texts_stay_texts() -> None:
    texts = ["#", " # x", "->", " -> http://evil", "a\nb -> http://evil", "a, http://evil", "*", "\u2028", "é", "a@b", "x" * 300, "{{ x }}"]
    laws.hostile_strings(TRANSLATOR, LinesOptions(), texts)


def test_a_line() -> None:
    text = "# the shop\n\nshop.example.com/cart -> http://10.0.0.1:8080,http://10.0.0.2:8080   # two servers\n"
    (route,) = document(text).routes
    assert (route.name, route.hosts, route.path and route.path.prefix) == ("shop.example.com/cart", ("shop.example.com",), "/cart")
    assert written(text) == ["shop.example.com/cart -> http://10.0.0.1:8080, http://10.0.0.2:8080"]


def test_the_order_of_the_lines_decides() -> None:
    """Of the first two lines the model would ask the longer one first; the first line says otherwise."""
    lines = ["a.example.com -> http://one", "a.example.com/long -> http://two", "* -> http://three", "a.example.com -> http://four"]
    read = document("\n".join(lines))
    assert [rung.route for rung in precedence(read)] == [0, 1, 2, 3]
    assert [route.name for route in read.routes] == ["a.example.com", "a.example.com/long", "*", "a.example.com (2)"]
    assert written("\n".join(lines)) == lines


def test_one_list_of_servers_is_one_service() -> None:
    read = document("a -> http://one\nb -> http://two\nc -> http://one\n")
    assert [route.to for route in read.routes] == ["a", "b", "a"]
    assert list(read.services) == ["a", "b"]


def test_arrows_below_each_other() -> None:
    assert written("a/b -> http://one\n* -> http://two", OPTIONS[1]) == ["a/b -> http://one", "*   -> http://two"]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a\n", 1, 1),
        ("a -> http://one\n  b = http://two\n", 2, 3),
        ("a -> http://one,\n", 1, 1),
        ("a -> http://one http://two\n", 1, 1),
        ("/x -> http://one\n", 1, 1),
        (b"a -> http://one\nb -> \xff\n", 2, 6),
    ],
)
def test_what_is_no_line_is_named_at_its_place(text: str | bytes, line: int, column: int) -> None:
    parsed = parse(text)
    assert parsed.document is None
    (finding,) = parsed.diagnostics
    assert finding.span is not None
    assert (finding.span.file, finding.span.line, finding.span.column) == ("routes.lines", line, column)


def test_what_the_model_refuses_is_named_at_its_place() -> None:
    parsed = parse("a -> http://one\n b -> http://two, ftp://three\n")
    (finding,) = parsed.diagnostics
    assert finding.path == ("services", "b", "servers", 1, "url")
    span = parsed.spans[finding.path[:4]]
    assert (span.line, span.column) == (2, 19)


@pytest.mark.parametrize(
    ("text", "is_lines"),
    [(HEAD, True), ("\n# x\na/b -> http://one\n", True), (b"\xff", False), ("", False), ("pinfeather: v1\n", False), ("a -> b\n", False)],
)
def test_recognise(text: str | bytes, is_lines: bool) -> None:
    assert TRANSLATOR.recognise(File("x", text)) is is_lines


def test_two_services_of_the_same_servers_are_a_loss() -> None:
    """Lines have no names: what is read back would be one service."""
    servers: Tree = {"servers": [{"url": "http://one"}]}
    made, problems = build({"pinfeather": "v1", "services": {"a": servers, "b": servers}, "routes": [{"name": "r", "to": "b"}]})
    assert made is not None, problems
    answer = TRANSLATOR.supports(LinesOptions())[Feature.SERVER_URL]
    assert isinstance(answer, When)
    assert answer.check(made, ("services", "a", "servers", 0, "url")) == FULL
    assert "'a'" in str(answer.check(made, ("services", "b", "servers", 0, "url")))
