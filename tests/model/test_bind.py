"""Values in the place of templates: what an expression is, what a value becomes, and what is said of the rest."""

from __future__ import annotations

import time
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfeather.model.bind import HELM, Expression, bind, binding, expressions, key_of
from pinfeather.model.build import build
from pinfeather.model.diagnostics import Severity, dotted
from pinfeather.model.document import Document
from pinfeather.model.metadata import Metadata
from pinfeather.model.noun import Template, Tree


def document(host: str, port: Tree = 80, weight: Tree = 1, **more: Tree) -> Document:
    tree: dict[str, Tree] = {
        "pinfeather": "v1",
        "routes": [{"name": "a", "hosts": [{"template": host}], "split": [{"to": "s", "weight": weight}, {"to": "t"}]}],
        "services": {
            "s": {"servers": [{"kubernetes": {"service": "s", "namespace": {"template": "{{ .Release.Namespace }}"}, "port": port}}]},
            "t": {"servers": [{"kubernetes": {"service": "t", "port": 80}}]},
        },
    }
    found, said = build({**tree, **more})
    assert found is not None, said
    return found


def bound(host: str, values: dict[str, str]) -> str:
    """The host of the only route, bound."""
    found, said = bind(document(host), values)
    assert found is not None, said
    return found.routes[0].hosts[0]


NAMESPACE = {".Release.Namespace": "shop"}


@pytest.mark.parametrize(
    ("host", "key", "value", "wanted"),
    [
        ("{{ .Values.domain }}", ".Values.domain", "a.example", "a.example"),
        ("{{.Values.domain}}", "{{ .Values.domain }}", "a.example", "a.example"),
        ("x.{{ .Values.domain  |  lower }}.y", ".Values.domain | lower", "a", "x.a.y"),
        ('{{ include "app.name" . }}.apps', 'include  "app.name" .', "shop", "shop.apps"),
        ('{{ include "a  b" . }}.c', 'include "a  b" .', "x", "x.c"),
        ("a  {{- .x -}}  .b", ".x", "c", "ac.b"),
        ("a{{ .x -}} .b", "{{- .x -}}", "c", "ac.b"),
        ('{{ "{{" }}{{ .x }}', ".x", "}}", None),
        ("${DOMAIN}", "DOMAIN", "a.example", "a.example"),
        ("${DOMAIN:-localhost}", "DOMAIN", "a.example", "a.example"),
        ("${DOMAIN:-localhost}", "DOMAIN", "", "localhost"),
        ("${DOMAIN-localhost}.x", "DOMAIN", "", ".x"),
        ("${DOMAIN:-localhost}", "DOMAIN:-localhost", "b", "b"),
        ("${DOMAIN:-localhost}", "${DOMAIN:-localhost}", "b", "b"),
        ("${DOMAIN:?no domain}", "DOMAIN", "b", "b"),
        ("a${PART:+.b}", "PART", "x", "a.b"),
        ("a${PART:+.b}", "PART", "", "a"),
        ("a.$DOMAIN", "DOMAIN", "b", "a.b"),
        ("a.$DOMAIN.c", "$DOMAIN", "b", "a.b.c"),
        ("${A:-${B}}.c", "A", "a", "a.c"),
    ],
)
def test_a_value_takes_the_place_of_its_expression(host: str, key: str, value: str, wanted: str | None) -> None:
    if wanted is None:
        found, said = bind(document(host), {key: value, **NAMESPACE})
        assert found is None
        assert [dotted(each.path) for each in said] == ["routes.0.hosts.0"]
        assert said[0].instead == "it comes of --bind '.x=}}': give another value"
    else:
        assert bound(host, {key: value, **NAMESPACE}) == wanted


def test_what_is_left_stays_a_template() -> None:
    found, said = bind(document("{{ .a }}.{{ .b }}.{{ .a }}"), {".a": "{{x", **NAMESPACE})
    assert found is not None
    assert found.routes[0].hosts[0] == Template('{{ "{{" }}x.{{ .b }}.{{ "{{" }}x')
    assert [(each.code, each.severity, each.message, each.instead) for each in said] == [
        ("lint.unexpanded", Severity.INFO, "{{ .b }} has no value", "--bind .b=VALUE")
    ]


def test_compose_keeps_its_dollar_while_a_template_is_left() -> None:
    found, _ = bind(document("$A$B"), {"A": "$x"})
    assert found is not None
    assert found.routes[0].hosts[0] == Template("$$x$B")


def test_a_text_of_helm_has_plain_dollars() -> None:
    assert [each.key for each in expressions(document("{{ .x }}${Y}"))] == [".x", ".Release.Namespace"]


def test_numbers_become_numbers_where_one_is_wanted() -> None:
    template: Tree = {"template": "{{ .n }}"}
    found, said = bind(document("{{ .n }}", template, template), {".n": "8", **NAMESPACE})
    assert (found, said) == (
        build(
            {
                "pinfeather": "v1",
                "routes": [{"name": "a", "hosts": ["8"], "split": [{"to": "s", "weight": 8}, {"to": "t"}]}],
                "services": {
                    "s": {"servers": [{"kubernetes": {"service": "s", "namespace": "shop", "port": 8}}]},
                    "t": {"servers": [{"kubernetes": {"service": "t", "port": 80}}]},
                },
            }
        )[0],
        (),
    )


def test_a_value_that_does_not_fit_is_an_error_at_its_path() -> None:
    found, said = bind(document("{{ .n }}", {"template": "{{ .n }}"}, {"template": "{{ .w }}"}), {".n": "0", ".w": "many", **NAMESPACE})
    assert found is None
    errors = {dotted(each.path): each.instead for each in said if each.severity is Severity.ERROR}
    assert errors == {
        "services.s.servers.0.kubernetes.port": "it comes of --bind .n=0: give another value",
        "routes.0.split.0.weight": "it comes of --bind .w=many: give another value",
    }


def test_a_binding_for_nothing_is_named() -> None:
    _, said = bind(document("{{ .Values.domain }}"), {".Values.domian": "a", **NAMESPACE})
    assert [each.message for each in said if each.severity is Severity.WARNING] == ["no template holds the expression '.Values.domian'"]
    assert next(each.instead for each in said if each.severity is Severity.WARNING) == "did you mean '.Values.domain'?"


def test_the_expressions_and_where_they_stand() -> None:
    found = expressions(document('{{ include "app.name" . }}.{{ .Release.Namespace }}'))
    assert found == (
        Expression('include "app.name" .', '{{ include "app.name" . }}', "", (("routes", 0, "hosts", 0),)),
        Expression(
            ".Release.Namespace",
            "{{ .Release.Namespace }}",
            "",
            (("routes", 0, "hosts", 0), ("services", "s", "servers", 0, "kubernetes", "namespace")),
        ),
    )
    assert [each.flag for each in found] == ["--bind 'include \"app.name\" .=VALUE'", "--bind .Release.Namespace=VALUE"]
    assert expressions(document("${X:-a b}"))[0].flag == "--bind 'X=a b'"


def test_what_is_called_after_a_template_is_called_as_the_object_then() -> None:
    name = "release-name-door-" + sha256(b"{{ .Release.Name }}-door").hexdigest()[:8]
    metadata: Tree = {"object": {"template": "{{ .Release.Name }}-door"}, "labels": {"a": "b"}}
    kept: Tree = {"strip_prefix": {"prefixes": ["/a"]}, "metadata": {"object": {"template": "{{ .Release.Name }}-door"}}}
    tree = document("a", middlewares={name: {"compress": {}, "metadata": metadata}, "mine": kept}).model_dump(
        mode="json", exclude_defaults=True
    )
    tree["routes"][0]["middlewares"] = [name, "mine"]
    before, _ = build({"pinfeather": "v1", **tree})
    assert before is not None
    after, _ = bind(before, {".Release.Name": "shop", **NAMESPACE})
    assert after is not None
    assert after.routes[0].middlewares == ("shop-door", "mine")
    assert list(after.middlewares) == ["shop-door", "mine"]
    assert after.middlewares["shop-door"].metadata == Metadata(labels={"a": "b"})
    assert after.middlewares["mine"].metadata == Metadata(object="shop-door")


def test_trees_are_no_templates() -> None:
    """A mapping that says `template` in something carried to the letter is not for us."""
    config: Tree = {"plugin": {"template": "{{ .x }}"}}
    before = document("a{{ .x }}", middlewares={"m": {"other": {"kind": "plugin", "config": config}}})
    after, _ = bind(before, {".x": "b", **NAMESPACE})
    assert after is not None
    assert after.middlewares["m"].config == before.middlewares["m"].config


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("a=b", ("a", "b")),
        ("{{ .x }}=c=d", ("{{ .x }}", "c=d")),
        ('include "a=b" .=z', ('include "a=b" .', "z")),
        ("${X:-a=b}=y", ("${X:-a=b}", "y")),
        ("x := `=`=", ("x := `=`", "")),
        ("nothing", None),
        ("=x", None),
        ('"=', ('"', "")),
    ],
)
def test_a_binding_as_it_is_written(text: str, pair: tuple[str, str] | None) -> None:
    assert binding(text) == pair


@given(st.text(alphabet="{}-\"'` \n.x$|()"))
def test_a_key_is_its_own_key(text: str) -> None:
    assert key_of(key_of(text)) == key_of(text) or HELM.fullmatch(key_of(text).strip()) is not None


@pytest.mark.parametrize("text", ["{{" * 20_000, '{{"' * 15_000, "{{`" * 15_000, "{{- x" * 10_000, " " * 20_000 + "{{- x", "${" * 20_000])
def test_nothing_takes_long(text: str) -> None:
    began = time.process_time()
    bind(document("a").model_copy(update={"routes": ()}), {text: "x"})
    bind(document(text), {"x": "y"})
    assert time.process_time() - began < 0.5
