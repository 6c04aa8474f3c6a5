"""helm-values, writing: both shapes, expressions to the letter, plain braces, and what a chart cannot hold."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pinfeather._convert import convert, write
from pinfeather.model.bind import bind
from pinfeather.model.build import build
from pinfeather.model.document import Document
from pinfeather.model.normal import normal
from pinfeather.model.noun import Template, Tree
from pinfeather.testing import strategies
from pinfeather.translators import builtin, helm_values
from pinfeather.translators.contract import File, Source, TextFile
from pinfeather.translators.helm_values import HelmValues
from tests.translators.test_helm_values import MEANT, SHAPES, document, read


def written(found: Document, **options: object) -> str:
    result = write(found, helm_values.TRANSLATOR, HelmValues.model_validate(options))
    assert not result.report.errors, result.report.errors
    (artifact,) = result.artifacts
    assert isinstance(artifact, TextFile)
    assert artifact.name == "values.yaml"
    return artifact.text


@pytest.mark.parametrize("shape", ["list", "map"])
def test_both_shapes_are_written_with_every_expression_to_the_letter(shape: str) -> None:
    text = written(document(MEANT), shape=shape)
    head = {"list": "customResources:\n  - |\n", "map": "customResourcesMap:\n  ingressroute-shop: |\n"}[shape]
    assert text.startswith(head + "    apiVersion: traefik.io/v1alpha1\n    kind: IngressRoute\n")
    assert "match: 'Host(`shop.{{ .Values.domain }}`)'" in text
    assert "name: '{{ include \"app.name\" . }}'" in text
    assert "port: {{ .Values.port }}\n" in text
    assert normal(read(text).document or document(MEANT)) == normal(document(MEANT))


def test_braces_in_a_plain_text_are_written_so_that_helm_prints_them() -> None:
    plain: Tree = {
        "pinfeather": "v1",
        "routes": [{"name": "a", "path": {"prefix": "/{{ x }}"}, "to": "s", "metadata": {"annotations": {"note": "a {{ b: '}}{{{{"}}}],
        "services": {"s": {"servers": [{"kubernetes": {"service": "s", "port": 80}}]}},
    }
    text = written(document(plain))
    assert 'PathPrefix(`/{{ "{{" }} x }}`)' in text
    again = read(text)
    assert again.document is not None
    assert normal(again.document) == normal(document(plain))


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("${DOMAIN}", "hosts"),
        ("{{ if .x }}", "hosts"),
        ("{{ x", "hosts"),
        ('{{ "{{" }}', "hosts"),
        ("{{ `x` }}", "hosts"),
        ("{{ .x }}", "cookie"),
        ("{{ .x }}", "url"),
        ("{{ .x }}", "users"),
    ],
)
def test_a_template_that_a_chart_cannot_hold_is_a_loss(template: str, path: str) -> None:
    value: Tree = {"template": template}
    route: dict[str, Tree] = {"name": "a", "to": "s"}
    server: Tree = {"kubernetes": {"service": "s", "port": 80}}
    middlewares: dict[str, Tree] = {}
    if path == "hosts":
        route["hosts"] = [value]
    elif path == "cookie":
        route["match"] = {"cookie": {"name": "a", "value": value}}
    elif path == "url":
        server = {"url": value}
    else:
        middlewares = {"m": {"basic_auth": {"users": [{"template": "a:{{ .x }}"}]}}}
        route["middlewares"] = ["m"]
    tree: Tree = {"pinfeather": "v1", "routes": [route], "services": {"s": {"servers": [server]}}, "middlewares": middlewares}
    result = write(document(tree), helm_values.TRANSLATOR, HelmValues())
    assert "loss.template" in {each.code for each in result.report.errors}


EXPRESSIONS = st.sampled_from(
    ["{{ .Values.x }}", '{{ include "app.name" . }}', "{{.x}}", "{{ .x | quote }}", "{{- .x -}}", '{{ printf "}}" }}', "{{ .x }}{{ .y }}"]
)
PIECES = st.text(alphabet="ab.-'\"\\:#{}%&*!|>@ \n\té", max_size=6)


@st.composite
def templates(draw: st.DrawFn) -> Template:
    return Template(draw(PIECES) + draw(EXPRESSIONS) + draw(PIECES))


@settings(max_examples=100, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    strategies.documents(),
    st.lists(templates(), min_size=1, max_size=4),
    st.sampled_from(["list", "map"]),
    st.randoms(use_true_random=False),
)
def test_templates_anywhere_read_back_or_are_a_loss(found: Document, values: list[Template], shape: str, random: object) -> None:
    """Texts of a document become templates: each is written to the letter and read back, or said to be lost."""
    tree = found.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    put = _sprinkled({"pinfeather": "v1", **tree}, values, random)
    templated, _ = build(put)
    if templated is None:
        return  # a text that may be no template
    result = write(templated, helm_values.TRANSLATOR, HelmValues.model_validate({"shape": shape}))
    bugs = [each for each in result.report.errors if each.code.startswith("bug.")]
    assert not bugs, bugs


def _sprinkled(tree: Tree, values: list[Template], random: object) -> Tree:
    """The tree with templates in the place of some of its hosts, paths, headers, names of Services, and ports."""
    if isinstance(tree, dict):
        return {
            key: {"template": str(random.choice(values))}  # type: ignore[attr-defined]
            if key in _PLACES and isinstance(value, str | int) and random.random() < 0.4  # type: ignore[attr-defined]
            else _sprinkled(value, values, random)
            for key, value in tree.items()
        }
    if isinstance(tree, list):
        return [_sprinkled(item, values, random) for item in tree]
    return tree


_PLACES = frozenset(
    {
        "prefix",
        "exact",
        "regex",
        "value",
        "host",
        "service",
        "namespace",
        "port",
        "weight",
        "max_age",
        "domain",
        "scheme",
        "secret",
        "resolver",
    }
)


# Other formats -----------------------------------------------------------------------------------------------------------


def test_other_formats_want_values_first() -> None:
    source = Source((File("values.yaml", SHAPES["list"]),))
    refused = convert(source, helm_values.TRANSLATOR, builtin.load("ingressroute"))
    assert {each.code for each in refused.report.errors} == {"loss.template"}
    parsed = read(SHAPES["list"])
    assert parsed.document is not None
    values = {".Values.domain": "example.com", 'include "app.name" .': "shop", ".Release.Namespace": "prod", ".Values.port": "80"}
    bound, said = bind(parsed.document, values)
    assert said == ()
    assert bound is not None
    result = write(bound, builtin.load("ingressroute"), builtin.load("ingressroute").options())
    assert not result.report.errors, result.report.errors
