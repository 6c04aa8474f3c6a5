"""`pinfeather import --live`: what a running Traefik holds, as a stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinfeather.cli import main
from pinfeather.deploy.plan import Plan
from pinfeather.deploy.settings import settings_of_files
from tests.parts.fixtures import StartTraefik

DYNAMIC = """
http:
  routers:
    shop: {rule: "Host(`shop.example.com`)", service: split, middlewares: [slim]}
    broken: {rule: "Host(`broken.example.com`)", service: nowhere}
  services:
    split:
      weighted: {services: [{name: v1, weight: 9}, {name: v2, weight: 1}], sticky: {cookie: {name: pin}}}
    v1: {loadBalancer: {servers: [{url: "http://10.0.0.1:80"}]}}
    v2: {loadBalancer: {servers: [{url: "http://10.0.0.2:80"}]}}
  middlewares:
    slim: {stripPrefix: {prefixes: [/x]}}
"""


def test_a_live_traefik_becomes_a_stack_under_its_own_names(
    traefik: StartTraefik, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running = traefik({"a.yml": DYNAMIC})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    code = main(
        ["import", "--live", f"http://127.0.0.1:{running.port('traefik')}", "--format", "traefik-file", "--out", "dynamic", "--stack", "vm"]
    )
    said = capsys.readouterr()
    assert code == 1, said
    assert "broken@file is disabled" in said.out
    assert "1 file written" in said.out
    plan = Plan.of("vm", settings_of_files(tmp_path, "vm"), tmp_path)
    # The fixture has a route of its own there, by which it knows that the others are in force.
    assert "shop" in [route.name for route in plan.said.document.routes], "called as Traefik calls it"
    assert {"v1", "v2"} <= set(plan.said.document.services)
    assert set(plan.said.document.middlewares) == {"slim"}
    [written] = plan.said.files
    assert "10.0.0.2" in written.text


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["import", "--live", "http://127.0.0.1:1", "--stack", "vm"]) == 4
    assert "no traefik answers" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
