"""Whether a document has a template is found by a look at it; marks are made only then."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from pinfeather.model.document import Document
from pinfeather.testing.strategies import documents
from pinfeather.translators import docker_labels
from pinfeather.translators._docker.writing import _holds_template, _with_marks
from pinfeather.translators._syntax.variables import Variables
from pinfeather.translators.contract import File, Source


def changed(document: Document) -> bool:
    return _with_marks(document, Variables({})) is not document


@settings(max_examples=100)
@given(documents())
def test_a_look_finds_what_marks_would_change(document: Document) -> None:
    assert _holds_template(document) is changed(document)


@pytest.mark.parametrize(
    "label",
    [
        "traefik.http.routers.a.rule=Host(`${X}`)",
        "traefik.http.routers.a.rule=PathPrefix(`/${X}`) && (HeaderRegexp(`a`, `${Y}`) || Host(`b`))",
        "traefik.http.routers.a.middlewares=m@${X}",
        "traefik.http.routers.a.priority=${X}",
        "traefik.http.services.a.loadbalancer.sticky.cookie.name=${X}",
        "traefik.http.services.a.loadbalancer.healthcheck.headers.H=${X}",
        "traefik.http.services.a.loadbalancer.server.url=http://${X}",
        "traefik.http.middlewares.m.basicauth.users=${X}",
        "traefik.http.middlewares.m.headers.customrequestheaders.H=${X}",
        "traefik.http.middlewares.m.plugin.p.q=${X}",
        "traefik.http.routers.a.rule=Host(`$$x`)",
    ],
)
def test_it_finds_one_anywhere(label: str) -> None:
    labels = [label]
    if ".rule=" not in label:
        labels.append("traefik.http.routers.a.rule=Host(`h`)")
    if ".url=" not in label:
        labels.append("traefik.http.services.a.loadbalancer.server.port=80")
    text = "services:\n  a:\n    labels:\n" + "".join(f"      - {each}\n" for each in labels)
    document = docker_labels.parse(Source((File("compose.yml", text),)), docker_labels.DockerLabels()).document
    assert document is not None
    assert document.services
    assert _holds_template(document) is changed(document)
