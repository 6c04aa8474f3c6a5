"""Attributes of cookies in labels and annotations, in every style: the edits by the spans that readers of labels give."""

from __future__ import annotations

import pathlib

import pytest

from pinfeather._fixes import apply
from pinfeather._repairs import Text, with_fix
from pinfeather.model.build import build
from pinfeather.model.diagnostics import Path, Span, span_at
from pinfeather.model.lint import lint
from pinfeather.translators._syntax.repair import lines_of
from tests.lint.conftest import Lint, Put

KEY = "traefik.http.services.app.loadbalancer.sticky.cookie"
TREE = {
    "pinfeather": "v1",
    "services": {
        "app": {
            "servers": [{"container": {"port": 80}}],
            "health_check": {"path": "/h"},
            "sticky": {"cookie": {"name": "srv", "http_only": False}},
        }
    },
}
COOKIE: Path = ("services", "app", "sticky", "cookie")


def fixed(text: str, name: str, http_only: str, form: str = "docker-labels") -> str:
    """`name` and `http_only` are the texts that the spans of the two attributes cover."""

    def where(part: str) -> Span:
        line = next(number for number, line in enumerate(text.splitlines(), 1) if part in line)
        column = text.splitlines()[line - 1].index(part) + 1
        return Span("f", line, column, line, column + len(part))

    spans = {(*COOKIE, "name"): where(name), (*COOKIE, "http_only"): where(http_only)}
    document, found = build(TREE)
    assert document is not None, found
    held = Text({"f": lines_of(text)}, spans, form, document)
    findings = [with_fix(each.at(span_at(spans, each.path)), held) for each in lint(document)]
    return apply({"f": text}, findings).texts["f"]


STYLES = {
    "list": (
        f'labels:\n  - "{KEY}.name=srv"  # short\n  - "{KEY}.httponly=false"\n', f'"{KEY}.name=srv"', f'"{KEY}.httponly=false"',
        f'labels:\n  - "{KEY}.name=srv"  # short\n  - "{KEY}.secure=true"\n  - "{KEY}.samesite=lax"\n  - "{KEY}.httponly=true"\n',
    ),
    "list without quotes": (
        f"labels:\n- {KEY}.name=srv\n- {KEY}.httponly=false\n", f"{KEY}.name=srv", f"{KEY}.httponly=false",
        f"labels:\n- {KEY}.name=srv\n- {KEY}.secure=true\n- {KEY}.samesite=lax\n- {KEY}.httponly=true\n",
    ),
    "flow list": (
        f"labels: ['{KEY}.name=srv', '{KEY}.httponly=false']\n", f"'{KEY}.name=srv'", f"'{KEY}.httponly=false'",
        f"labels: ['{KEY}.name=srv', '{KEY}.secure=true', '{KEY}.samesite=lax', '{KEY}.httponly=true']\n",
    ),
    "map": (
        f"labels:\n  {KEY}.name: srv\n  {KEY}.httpOnly: false # no\n", f"{KEY}.name: srv", f"{KEY}.httpOnly: false",
        f'labels:\n  {KEY}.name: srv\n  {KEY}.secure: "true"\n  {KEY}.samesite: "lax"\n  {KEY}.httpOnly: true # no\n',
    ),
    "map of quoted keys": (
        f'labels:\n  "{KEY}.name": "srv"\n  "{KEY}.httponly": "false"\n', f'"{KEY}.name": "srv"', f'"{KEY}.httponly": "false"',
        f'labels:\n  "{KEY}.name": "srv"\n  "{KEY}.secure": "true"\n  "{KEY}.samesite": "lax"\n  "{KEY}.httponly": "true"\n',
    ),
    "command line": (
        f"docker run --label {KEY}.name=srv --label '{KEY}.httponly=false' app\n", f"{KEY}.name=srv", f"'{KEY}.httponly=false'",
        f"docker run --label {KEY}.name=srv --label {KEY}.secure=true --label {KEY}.samesite=lax --label '{KEY}.httponly=true' app\n",
    ),
    "lines": (
        f"{KEY}.name=srv\n{KEY}.httponly=false\n", f"{KEY}.name=srv", f"{KEY}.httponly=false",
        f"{KEY}.name=srv\n{KEY}.secure=true\n{KEY}.samesite=lax\n{KEY}.httponly=true\n",
    ),
    "annotations, by value": (
        'annotations:\n  traefik.ingress.kubernetes.io/service.sticky.cookie.name: srv\n  traefik.ingress.kubernetes.io/service.sticky.cookie.httponly: "false"\n',
        "srv", '"false"',
        'annotations:\n  traefik.ingress.kubernetes.io/service.sticky.cookie.name: srv\n'
        '  traefik.ingress.kubernetes.io/service.sticky.cookie.secure: "true"\n'
        '  traefik.ingress.kubernetes.io/service.sticky.cookie.samesite: "lax"\n'
        '  traefik.ingress.kubernetes.io/service.sticky.cookie.httponly: "true"\n',
    ),
}  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
def test_attributes_are_written_in_the_style_that_is_there(style: str) -> None:
    text, name, http_only, result = STYLES[style]
    assert fixed(text, name, http_only) == result


def test_a_place_that_is_not_understood_is_left() -> None:
    text = f"labels: >\n  {KEY}.name=srv and {KEY}.httponly=false\n"
    assert fixed(text, f"{KEY}.name=srv", f"{KEY}.httponly=false").count("secure") == 0


BARE = """\
services:
  {name}:
    labels:
      - traefik.http.routers.{name}.rule=Host(`{name}.test`)
      - traefik.http.services.{name}.loadbalancer.server.port=80
      - traefik.http.services.{name}.loadbalancer.healthcheck.path=/h
      - traefik.http.services.{name}.loadbalancer.sticky.cookie=true
"""
MORE = "".join(
    f"      - traefik.http.services.app.loadbalancer.sticky.cookie.{each}\n" for each in ("secure=true", "httponly=true", "samesite=lax")
)


def test_a_cookie_that_is_only_switched_on(lint: Lint, put: Put, here: pathlib.Path) -> None:
    put({"compose.yml": BARE.format(name="app")})
    assert lint("--fix")[0] == 0
    assert (here / "compose.yml").read_text() == BARE.format(name="app") + MORE


def test_every_container_of_a_service_is_written_alike(lint: Lint, put: Put, here: pathlib.Path) -> None:
    """Where two containers differ, Traefik drops their service."""
    two = BARE.format(name="app") + BARE.format(name="app").partition("services:\n")[2].replace("  app:\n", "  app-replica:\n")
    put({"compose.yml": two})
    assert lint("--fix")[0] == 0
    assert (here / "compose.yml").read_text().count(MORE) == 2
