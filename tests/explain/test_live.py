"""`explain --traefik`: a real Traefik is asked what it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinfeather import _live
from pinfeather._sources import UsageError
from pinfeather.cli import main
from tests.parts.fixtures import StartTraefik
from tests.parts.processes import free_ports

FIRST = """\
http:
  routers:
    shop:
      rule: Host(`shop.example`)
      service: shop
      middlewares: [slim]
      priority: 100
    twin:
      rule: Host(`shop.example`) && PathPrefix(`/a`)
      service: other
      priority: 100
    never:
      rule: Host(`shop.example`) && Path(`/b`)
      service: other
      priority: 5
  services:
    shop: {weighted: {services: [{name: v1, weight: 3}, {name: v2, weight: 1}]}}
    v1: {loadBalancer: {servers: [{url: "http://127.0.0.1:1"}]}}
    v2: {loadBalancer: {servers: [{url: "http://127.0.0.1:2"}]}}
    other: {loadBalancer: {servers: [{url: "http://127.0.0.1:3"}]}}
  middlewares:
    slim: {compress: {}}
"""
BROKEN = """\
http:
  routers:
    lost:
      rule: Host(`lost.example`)
      service: nowhere
"""


@pytest.fixture
def traefik(start_traefik: StartTraefik, tmp_path: Path) -> tuple[str, str]:
    """The address of the API of a Traefik that serves both, and a file that holds the first."""
    running = start_traefik({"first.yml": FIRST, "broken.yml": BROKEN}, ("web",), ())
    file = tmp_path / "first.yml"
    file.write_text(FIRST)
    return f"http://127.0.0.1:{running.port('traefik')}", str(file)


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(["explain", *words]) == code
    shown = capsys.readouterr()
    return shown.out if code == 0 else shown.err


def test_who_wins_and_who_does_not(capsys: pytest.CaptureFixture[str], traefik: tuple[str, str]) -> None:
    api, file = traefik
    text = said(capsys, "--traefik", api, "curl http://shop.example/")
    assert "  75 %  v1@file at http://127.0.0.1:1\n  25 %  v2@file at http://127.0.0.1:2\n" in text
    assert "slim@file (compress)" in text
    assert 'Note: lost@file is disabled, Traefik says: the service "nowhere@file" does not exist.' in text
    assert "Note: never@file is never reached: shop@file takes whatever it would take." in text
    assert "chance" not in text
    tied = said(capsys, "--traefik", api, "curl http://shop.example/a")
    assert "shop@file and twin@file have one priority: which of them takes it is chance" in tied or "twin@file and shop@file" in tied
    with_lines = said(capsys, file, "--traefik", api, "curl http://shop.example/")
    assert f"the route 'shop@file' holds   [{file}:4]" in with_lines
    assert "shop@file stands in none" not in with_lines


def test_a_router_that_no_file_has(capsys: pytest.CaptureFixture[str], traefik: tuple[str, str], tmp_path: Path) -> None:
    other = tmp_path / "other.yml"
    other.write_text(FIRST.replace("    twin:", "    thing:").replace("PathPrefix(`/a`)", "PathPrefix(`/c`)"))
    text = said(capsys, str(other), "--traefik", traefik[0], "curl http://shop.example/")
    assert "Note: twin@file stands in none of the files." in text


def test_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    (port,) = free_ports(1)
    text = said(capsys, "--traefik", f"http://127.0.0.1:{port}", "curl http://x/", code=4)
    assert f"http://127.0.0.1:{port}/api/rawdata: no traefik answers" in text


def test_it_is_no_traefik(capsys: pytest.CaptureFixture[str]) -> None:
    assert "write the address of Traefik's API" in said(capsys, "--traefik", "ftp://x", "curl http://x/", code=2)
    for raw in ([], {}, {"routers": 3}, {"routers": []}, "x", None):
        with pytest.raises(UsageError):
            _live.live(raw, "http://x")


HOSTILE = (
    {"routers": {"a@file": {"rule": "Host(`", "service": "s", "priority": 1}}},
    {"routers": {"a": {"rule": 3}, "b@x": None}, "services": {"s@x": {"loadBalancer": {"servers": "no"}}}},
    {"routers": {"a@file": {"rule": "Host(`x`)", "service": ["s"], "middlewares": "m"}}, "services": {"a": []}, "middlewares": 3},
)


@pytest.mark.parametrize("raw", HOSTILE)
def test_what_is_no_configuration_is_said_and_raises_nothing(raw: dict[str, object]) -> None:
    found = _live.live(raw, "http://x")
    assert found.parsed.document is not None or found.parsed.diagnostics


def test_two_providers_may_call_two_things_alike() -> None:
    def router(host: str) -> dict[str, object]:
        return {"rule": f"Host(`{host}`)", "service": "s", "status": "enabled", "priority": 9, "using": ["web"], "entryPoints": ["web"]}

    def service(port: int) -> dict[str, object]:
        return {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{port}"}]}, "status": "enabled", "serverStatus": {}}

    raw = {
        "routers": {"r@file": router("a.example"), "r@docker": router("b.example"), "r-file@docker": router("c.example")},
        "services": {"s@file": service(1), "s@docker": service(2)},
    }
    found = _live.live(raw, "http://x")
    assert found.parsed.document is not None
    targets = {found.names[route.name]: found.names[str(route.to)] for route in found.parsed.document.routes}
    assert targets == {"r@file": "s@file", "r@docker": "s@docker", "r-file@docker": "s@docker"}
