"""helm-values: texts where they stand, expressions to the letter, what is not read, and what is written."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfeather.model.build import build
from pinfeather.model.diagnostics import Diagnostic, Severity
from pinfeather.model.document import Document
from pinfeather.model.noun import Tree
from pinfeather.translators import helm_values
from pinfeather.translators.contract import File, Parsed, Source
from pinfeather.translators.helm_values import HelmValues

ROUTE = """\
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata:
  name: shop
spec:
  routes:
    - match: Host(`shop.{{ .Values.domain }}`)
      kind: Rule
      services:
        - name: '{{ include "app.name" . }}'
          namespace: {{ .Release.Namespace }}
          port: {{ .Values.port }}
"""
MEANT: Tree = {
    "pinfeather": "v1",
    "routes": [{"name": "shop", "hosts": [{"template": "shop.{{ .Values.domain }}"}], "to": "include-app-name-1839e0c2"}],
    "services": {
        "include-app-name-1839e0c2": {
            "servers": [
                {
                    "kubernetes": {
                        "service": {"template": '{{ include "app.name" . }}'},
                        "namespace": {"template": "{{ .Release.Namespace }}"},
                        "port": {"template": "{{ .Values.port }}"},
                    }
                }
            ]
        }
    },
}


def inset(text: str, by: int) -> str:
    return "".join(" " * by + line if line.strip() else line for line in text.splitlines(keepends=True))


def read(text: str | bytes, **options: object) -> Parsed:
    return helm_values.parse(Source((File("values.yaml", text),)), HelmValues.model_validate(options))


def document(tree: Tree) -> Document:
    found, said = build(tree)
    assert found is not None, said
    return found


def errors(parsed: Parsed) -> list[tuple[int, int, str]]:
    """Line, column and code of each error."""
    found = [each for each in parsed.diagnostics if each.severity is Severity.ERROR]
    assert all(each.span is not None for each in found), found
    return sorted((each.span.line, each.span.column, str(each.code)) for each in found if each.span is not None)


def without_priorities(parsed: Parsed) -> Document:
    assert parsed.document is not None, parsed.diagnostics
    routes = tuple(route.model_copy(update={"priority": None}) for route in parsed.document.routes)
    return parsed.document.model_copy(update={"routes": routes})


SHAPES = {
    "list": "customResources:\n  - |\n" + inset(ROUTE, 4),
    "map": "customResourcesMap:\n  shop: |\n" + inset(ROUTE, 4),
    "chomped": "customResources:\n- |-\n" + inset(ROUTE, 8),
    "windows": ("customResources:\n  - |\n" + inset(ROUTE, 4)).replace("\n", "\r\n"),
    "indicated": "customResources:\n  - |2\n" + inset(ROUTE, 4),
    "blank lines": "customResources:\n  - |\n\n" + inset(ROUTE.replace("spec:", "\nspec:"), 4) + "\n\n",
    "separated": "customResources:\n  - |\n    ---\n" + inset(ROUTE, 4) + "    ---\n    # nothing\n",
    "commented": "customResources:\n  - |\n    {{- /* the shop's route */}}\n" + inset(ROUTE, 4),
    "quoted": "customResources:\n  - " + '"' + ROUTE.replace("\n", "\\n").replace('include "app.name"', 'include \\"app.name\\"') + '"\n',
    "anchored": "x: &route |\n" + inset(ROUTE, 2) + "customResources: [*route]\n",
    "mapping": "customResources:\n  - "
    + inset(ROUTE, 4).lstrip().replace(": {{", ": '{{").replace("}}\n", "}}'\n").replace("'{{ include", "'{{ include"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_text_is_read_in_every_shape(shape: str) -> None:
    text = SHAPES[shape].replace("''", "'").replace("}}''", "}}'")
    parsed = read(text)
    assert errors(parsed) == []
    assert without_priorities(parsed) == document(MEANT)


@pytest.mark.parametrize("shape", ["list", "map", "chomped", "windows", "blank lines", "separated", "mapping"])
def test_a_finding_has_its_line_and_column_in_the_values_file(shape: str) -> None:
    text = SHAPES[shape].replace("''", "'").replace("namespace:", "namspace:")
    found = [each.span for each in read(text).diagnostics if each.code == "unread.unknown"]
    (place,) = [(number, line.index("namspace") + 1) for number, line in enumerate(text.splitlines(), 1) if "namspace" in line]
    assert [(span.line, span.column) for span in found if span is not None] == [place]


@pytest.mark.parametrize("shape", ["quoted", "anchored"])
def test_in_a_text_of_another_style_everything_stands_where_it_does(shape: str) -> None:
    parsed = read(SHAPES[shape].replace("namespace:", "namspace:"))
    spans = {(each.span.line, each.span.column) for each in parsed.diagnostics if each.span is not None and each.code == "unread.unknown"}
    assert len(spans) == 1
    assert all(each.fixes == () for each in parsed.diagnostics)


def test_a_column_behind_expressions_is_the_files_own() -> None:
    text = SHAPES["list"]
    line = "            - {name: {{ .Values.name }}, namspace: {{ .Values.namespace }}, port: {{ .Values.port }}}\n"
    parsed = read(text[: text.index("            - name: '{{")] + line)
    found = [each.span for each in parsed.diagnostics if each.code == "unread.unknown"]
    assert [span.column for span in found if span is not None] == [line.index("namspace") + 1]


CONTROL = {
    "{{- if .Values.public }}": "if",
    "{{ range .Values.hosts }}": "range",
    "{{- with .Values.x -}}": "with",
    '{{ define "x" }}': "define",
    '{{ template "x" . }}': "template",
    "{{- $name := .Values.x }}": "variable",
    "{{ else }}": "else",
    "{{- toYaml .Values.labels | nindent 4 }}": "lines of its own",
    '{{ include "labels" . }}': "lines of its own",
}


@pytest.mark.parametrize("action", CONTROL)
def test_what_decides_is_named_at_its_line_and_nothing_around_it_is_read(action: str) -> None:
    text = (
        "customResources:\n  - |\n"
        + inset(ROUTE.replace("spec:\n", f"spec:\n  {action}\n"), 4)
        + "  - |\n"
        + inset(ROUTE.replace("shop", "other"), 4)
    )
    parsed = read(text)
    assert errors(parsed) == [(8, 7, "unread.unsupported")]
    said = next(each for each in parsed.diagnostics if each.code == "unread.unsupported")
    assert action in said.message
    assert CONTROL[action] in said.message
    assert parsed.document is not None
    assert [route.name for route in parsed.document.routes] == ["other"]


def test_everything_that_decides_is_named_and_only_its_text_may_be_done_without() -> None:
    decides = "{{ if .Values.a }}\na: b\n{{ else }}\n{{- range .Values.b }}\n{{ end }}\n{{ with .x }}{{ end }}\n{{ end }}\n"
    parsed = read("customResourcesMap:\n  first: |\n" + inset(ROUTE, 4) + "  second: |\n" + inset(decides, 4))
    (finding,) = [each for each in parsed.diagnostics if each.severity is Severity.ERROR]
    assert finding.path == ("customResourcesMap", "second")
    assert finding.message.endswith("when Helm renders it; so do `range` in line 19, `with` in line 21")
    assert finding.allowable


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("port: {{ .Values.port }}", "port: {{- .Values.port }}", "unread.unsupported"),
        ("port: {{ .Values.port }}", "port: {{ .Values.port", "unread.unsupported"),
        ("port: {{ .Values.port }}", "port: {{ .Values.port }}{{", "unread.unsupported"),
        ("port: {{ .Values.port }}", "port: {{ .Values.port | nindent 4 }}", "unread.unsupported"),
        ("port: {{ .Values.port }}", "port: {{ }}", "unread.unsupported"),
        ("port: {{ .Values.port }}", "port: {{ x\n  }}", "unread.unsupported"),
        ("'{{ include \"app.name\" . }}'", '"{{ include \\"app.name\\" . }}"', "unread.unsupported"),
        ("  routes:", "  entryPoints: ['{{ .Values.entryPoint }}']\n  routes:", "input.template"),
        ("  routes:", "  {{ .Values.key }}: 1\n  routes:", "unread.unknown"),
    ],
)
def test_an_expression_in_a_wrong_place_is_an_error(old: str, new: str, code: str) -> None:
    parsed = read("customResources:\n  - |\n" + inset(ROUTE.replace(old, new), 4))
    assert code in {each.code for each in parsed.diagnostics if each.severity is Severity.ERROR}


def test_other_values_and_other_objects_are_named_once_and_handed_on() -> None:
    secret = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: '{{ .Values.a }}'}\n"
    text = (
        "image: {tag: v1}\nreplicas: 3\n" + SHAPES["list"] + "  - |\n" + inset(secret, 4) + "  - |\n" + inset(secret.replace("x", "y"), 4)
    )
    parsed = read(text)
    scope = [each for each in parsed.diagnostics if each.code == "unread.scope"]
    assert [each.message for each in scope] == [
        "not routing, left alone: 2 other values: 'image', 'replicas'",
        "not routing, left alone: 2 ConfigMap",
    ]
    assert [(each.span.line, each.span.column) for each in scope if each.span is not None] == [(1, 1), (19, 11)]
    assert parsed.passed == (secret, secret.replace("x", "y"))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("customResources: hello\n", (1, 18, "input.value")),
        ("customResources:\n  - 1\n", (2, 5, "input.value")),
        ("customResources:\n  - [a]\n", (2, 5, "input.value")),
        ("customResourcesMap: [a]\n", (1, 21, "input.value")),
        ("- a\n", (1, 1, "input.value")),
        ("customResources:\n\t- a\n", (2, 1, "input.syntax")),
        ("customResources:\n  - |\n    a: [\n", (4, 1, "input.syntax")),
        ("customResources:\n  - |\n    a: b\n    a: c\n", (4, 5, "input.duplicate-key")),
        ("customResources:\n  - |\n    a: b\n", (3, 5, "input.value")),
        ("customResources: []\n---\na: b\n", (3, 1, "input.syntax")),
        ("", (1, 1, "input.empty")),
        (b"customResources: \xff", (1, 18, "input.encoding")),
    ],
)
def test_bad_input_has_one_clear_error_at_its_place(text: str | bytes, at: tuple[int, int, str]) -> None:
    assert errors(read(text)) == [at]


def test_a_broken_text_hides_none_of_the_others() -> None:
    text = "customResources:\n  - |\n    a: [\n  - |\n" + inset(ROUTE.replace("kind: Rule", "kind: Rul"), 4) + "  - |\n    {{ if .x }}\n"
    assert [line for line, _, _ in errors(read(text))] == [4, 12, 18]


def test_a_cookie_without_a_name_is_said_to_get_one_that_nobody_knows_yet() -> None:
    unnamed = ROUTE + "          sticky: {cookie: {secure: true}}\n"
    (said,) = [each for each in read("customResources:\n  - |\n" + inset(unnamed, 4)).diagnostics if each.severity is Severity.WARNING]
    assert said.message.startswith("the cookie has no name: Traefik makes one of the service's")
    assert said.span is not None
    assert said.span.line == 15
    named = read("customResources:\n  - |\n" + inset(unnamed.replace("secure: true", "name: pin"), 4))
    assert not [each for each in named.diagnostics if each.severity is Severity.WARNING]


def test_rules_without_a_priority_are_said_to_have_an_unknown_length() -> None:
    two = ROUTE + inset(ROUTE[ROUTE.index("    - match") :].replace("`)", "`) && PathPrefix(`/a`)"), 0)
    said = [each for each in read("customResources:\n  - |\n" + inset(two, 4)).diagnostics if "not known before" in each.message]
    assert [(each.code, each.severity) for each in said][:1] == [("lint.assumed", Severity.WARNING)]
    assert not [each for each in read(SHAPES["list"]).diagnostics if "not known before" in each.message]


# Hostile ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "{{" * 100_000,
        '{{"' * 100_000,
        "{{/*" * 100_000,
        "{{ x }}" * 60_000,
        "{{- x" * 100_000,
        "a: {{ x }}\n" * 30_000,
        " " * 300_000 + "{{- x }}",
    ],
)
def test_nothing_takes_long(text: str) -> None:
    began = time.process_time()
    read("customResources:\n  - |\n" + inset("a: b\n" + text + "\n", 4))
    assert time.process_time() - began < 3


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="{}-|>\"'`$:=/* \n\\abcif.\t&!%[]#\U000f0000", max_size=80))
def test_no_text_makes_it_raise(text: str) -> None:
    for whole in (text, "customResources:\n  - |\n" + inset(text, 4), "customResourcesMap:\n  a: " + text):
        parsed = read(whole)
        assert all(isinstance(each, Diagnostic) for each in parsed.diagnostics)
        assert parsed.document is not None or any(each.severity is Severity.ERROR for each in parsed.diagnostics)
