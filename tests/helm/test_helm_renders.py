"""A real Helm renders what `helm-values` reads and writes: the objects that come out are what was said, once it is bound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinfeather._convert import write
from pinfeather.model.bind import bind
from pinfeather.model.build import build
from pinfeather.model.diagnostics import Severity
from pinfeather.model.document import Document
from pinfeather.model.normal import normal
from pinfeather.model.noun import Tree
from pinfeather.model.project import project
from pinfeather.translators import builtin, helm_values
from pinfeather.translators.contract import File, Source, TextFile
from pinfeather.translators.helm_values import HelmValues

if TYPE_CHECKING:
    from tests.parts.fixtures import HelmTemplate

SEEDS = Path(__file__).parent.parent / "seeds"
CORPUS = Path(__file__).parent.parent / "corpus" / "helm-values"
INGRESS_ROUTE = builtin.load("ingressroute")
CHART = {
    "Chart.yaml": "apiVersion: v2\nname: app\nversion: 0.1.0\n",
    "templates/names.tpl": """\
{{- define "app.name" -}}{{ .Release.Name }}-app{{- end -}}
{{- define "app.namespace" -}}{{ .Release.Namespace }}{{- end -}}
""",
    "templates/custom-resources.yaml": """\
{{- range .Values.customResources }}
---
{{ tpl (kindIs "string" . | ternary . (toYaml .)) $ }}
{{- end }}
{{- range .Values.customResourcesMap }}
---
{{ tpl (kindIs "string" . | ternary . (toYaml .)) $ }}
{{- end }}
""",
}
"""The chart of the texts: ten lines that make objects of both shapes."""
OTHERS = "captain_domain: captain.example.com\ndomain: example.com\nport: 8080\nweight: 30\n"
BOUND = {
    'include "app.name" .': "release-app",
    'include "app.namespace" .': "default",
    ".Release.Namespace": "default",
    ".Values.captain_domain": "captain.example.com",
    ".Values.domain": "example.com",
    ".Values.port": "8080",
    ".Values.weight": "30",
}
"""What Helm makes of the expressions that the texts hold."""

WRITTEN: dict[str, Tree] = {
    "templates everywhere": {
        "pinfeather": "v1",
        "routes": [
            {
                "name": "shop",
                "hosts": [{"template": "{{ .Values.domain }}"}, {"template": "www.{{ .Values.domain }}"}],
                "match": {"header": {"name": "X-Note", "value": {"template": 'it\'s "{{ .Values.domain }}" \\ # not: a comment'}}},
                "priority": 7,
                "split": [
                    {"to": "include-app-name-1839e0c2", "weight": {"template": "{{ .Values.weight }}"}},
                    {"to": "other", "weight": 70},
                ],
                "sticky": {"cookie": {"name": "variant", "domain": {"template": "{{ .Values.domain }}"}}},
                "metadata": {"annotations": {"note": {"template": "a {{- .Values.domain -}} : b"}}},
            }
        ],
        "services": {
            "include-app-name-1839e0c2": {
                "servers": [
                    {
                        "kubernetes": {
                            "service": {"template": '{{ include "app.name" . }}'},
                            "port": {"template": "{{ .Values.port }}"},
                        }
                    }
                ]
            },
            "other": {"servers": [{"kubernetes": {"service": "other", "port": 80}}]},
        },
    },
    "braces that are none of Helm's": {
        "pinfeather": "v1",
        "routes": [
            {"name": "a", "path": {"regex": "^/{{3}}"}, "to": "s", "priority": 3},
            {"name": "b", "path": {"prefix": "/{{ .Values.domain }}"}, "to": "s", "priority": 2},
            {"name": "c", "match": {"header": {"name": "A", "value": "{{ `{{{` }} {{{{ '\"\\"}}, "to": "s", "priority": 1},
        ],
        "services": {"s": {"servers": [{"kubernetes": {"service": "s", "port": 80}}]}},
    },
}
CLOSED = {"control-actions.yaml"}
"""What only Helm can read."""


def as_ingressroute(found: Document) -> Document:
    """The document under the names that an object gives it, with nothing that an object cannot say."""
    return normal(project(found, INGRESS_ROUTE.supports(INGRESS_ROUTE.options())).kept)


def read(text: str) -> Document:
    parsed = helm_values.parse(Source((File("values.yaml", text),)), HelmValues())
    assert parsed.document is not None, parsed.diagnostics
    found, said = bind(parsed.document, BOUND)
    assert found is not None, said
    assert not [each for each in said if each.code == "lint.unexpanded"], said
    return found


def rendered(helm_template: HelmTemplate, text: str) -> Document:
    stream = helm_template(CHART, [OTHERS, text])
    parsed = INGRESS_ROUTE.parse(Source((File("rendered.yaml", stream),)), INGRESS_ROUTE.options())
    wrong = [each for each in parsed.diagnostics if each.severity is Severity.ERROR]
    assert parsed.document is not None, wrong
    assert not wrong, f"{wrong}\n{stream}"
    return parsed.document


FILES = [path for folder in (SEEDS, CORPUS) for path in sorted(folder.rglob("*.yaml")) if "customResources" in path.read_text("utf-8")]


@pytest.mark.parametrize("path", [path for path in FILES if path.name not in CLOSED], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_values_file_says_what_helm_renders(helm_template: HelmTemplate, path: Path) -> None:
    text = path.read_text("utf-8")
    assert as_ingressroute(read(text)) == normal(rendered(helm_template, text))


@pytest.mark.parametrize("shape", ["list", "map"])
@pytest.mark.parametrize("name", WRITTEN)
def test_helm_renders_what_was_written(helm_template: HelmTemplate, name: str, shape: str) -> None:
    found, said = build(WRITTEN[name])
    assert found is not None, said
    result = write(found, helm_values.TRANSLATOR, HelmValues.model_validate({"shape": shape}))
    assert not result.report.errors, result.report.errors
    (artifact,) = result.artifacts
    assert isinstance(artifact, TextFile)
    assert as_ingressroute(read(artifact.text)) == normal(rendered(helm_template, artifact.text))


def test_what_decides_is_read_once_it_is_rendered(helm_template: HelmTemplate) -> None:
    """The way that the message of a control action points to."""
    text = (CORPUS / "control-actions.yaml").read_text("utf-8")
    found = rendered(helm_template, f"public: true\nhosts: [a.example.com, b.example.com]\n{text}")
    assert [route.hosts for route in found.routes] == [("a.example.com",), ("b.example.com",)]
