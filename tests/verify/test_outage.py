"""The loss of a server: who does not move, who is moved for nothing, and who does not come back are found."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pinfeather.cli import main
from pinfeather.verify.asking import Pace
from pinfeather.verify.placing import DemoServers
from pinfeather.verify.starting import Process, free_ports

SHOP = """pinfeather: v1
entry_points: {{web: 8000}}
routes: [{{name: a, hosts: [a.example], entry_points: [web], to: a}}]
services:
  a:
    servers: [{{url: "http://{one}"}}, {{url: "http://{two}"}}, {{url: "http://{three}"}}]
    sticky: {{cookie: {{name: srv, http_only: true}}}}
    health_check: {{path: /healthz, interval: 200ms, timeout: 500ms}}
"""


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, str]]:
    with DemoServers(None) as servers:
        yield {name: servers.http(name, "a") for name in ("one", "two", "three")}


def _verified(text: str, served: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, Any]:
    asked, given, (port, admin) = tmp_path / "asked.yaml", tmp_path / "served.yaml", free_ports(2)
    asked.write_text(text)
    given.write_text(served)
    command = [
        sys.executable,
        "-m",
        "pinfeather.proxy",
        str(given),
        f"--listen=web=127.0.0.1:{port}",
        f"--admin=127.0.0.1:{admin}",
        "--traefik-compat",
    ]
    process = Process(command, tmp_path / "proxy.log")
    try:
        process.wait(lambda: "admin listens on" in process.log(), "listening")
        code = main(["verify", str(asked), "--url", f"p:web=http://127.0.0.1:{port}", "--report", "json", *more])
    finally:
        process.stop()
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else said.err


def _lost(report: Any) -> Any:
    return next((row for row in report["rows"] if " loses " in row["question"]), None)


def test_its_clients_move_others_stay_and_it_is_asked_again(
    places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SHOP.format(**places)
    code, report = _verified(text, text, tmp_path, capsys, "--demo")
    assert code == 0, report
    row = _lost(report)
    assert row["question"].split()[:2] == ["a", "loses"]
    assert row["expected"] == "another within 2.2 s, others stay, and back"


def test_no_more_is_sent_than_was_said(
    places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the loss of a server in it; and with the budget that is said to be needed all of it is done."""
    made: list[Pace] = []

    class Counted(Pace):
        def __init__(self, *words: Any) -> None:
            super().__init__(*words)
            made.append(self)

    monkeypatch.setattr("pinfeather.verify.command.Pace", Counted)
    text = SHOP.format(**places)
    commands = ["--identify", "cookie", "--stop", "true", "--restart", "true", "--rate", "200"]
    code, refused = _verified(text, text, tmp_path, capsys, *commands, "--budget", "10")
    assert code == 2
    needed = re.findall(r"say --budget (\d+)", refused)[0]
    code, report = _verified(text, text, tmp_path, capsys, *commands, "--budget", needed)
    assert code == 1
    assert any("no other server answered within" in fault for fault in _lost(report)["cells"]["p"]["faults"]), "nothing was stopped"
    assert made[-1].sent <= int(needed)


def test_without_stickiness_nobody_is_pinned_so_nothing_is_closed(
    places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SHOP.format(**places).replace("    sticky: {cookie: {name: srv, http_only: true}}\n", "")
    code, report = _verified(text, text, tmp_path, capsys, "--demo")
    assert code == 0, report
    assert _lost(report) is None


@pytest.mark.parametrize(
    ("stop", "restart", "code", "said"),
    [
        ("touch {there}", "rm {there}", 1, "no other server answered within"),  # nothing is stopped, so nobody moves
        ("false", "true", 4, "false ended with 1"),
        ("/nothing/there {}", "true", 4, "/nothing/there"),
    ],
)
def test_a_command_that_stops_nothing_or_fails(
    stop: str, restart: str, code: int, said: str, places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = str(tmp_path / "stopped")
    text = SHOP.format(**places)
    commands = ["--identify", "cookie", "--stop", stop.replace("{there}", there), "--restart", restart.replace("{there}", there)]
    got, report = _verified(text, text, tmp_path, capsys, "--rate", "200", *commands)
    assert got == code, report
    if code == 4:
        assert said in report
    else:
        row = _lost(report)
        assert row is None or any(said in fault for fault in row["cells"]["p"]["faults"])


def test_a_command_stops_and_restarts_the_server_that_it_is_given(
    places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command tells a demo server to close itself, by the URL that stands for `{}`."""
    text = SHOP.format(**places)
    program = tmp_path / "close.py"
    program.write_text(
        "import http.client, sys\nfrom urllib.parse import urlsplit\n"
        "c = http.client.HTTPConnection(urlsplit(sys.argv[1]).netloc)\nc.request('POST', '/control/close?seconds=4')\nsys.exit(c.getresponse().status != 200)\n"
    )
    code, report = _verified(
        text,
        text,
        tmp_path,
        capsys,
        "--rate",
        "200",
        "--identify",
        "cookie",
        "--stop",
        f"{sys.executable} {program} {{}}",
        "--restart",
        "true",
    )
    assert code == 0, report
    assert _lost(report) is not None
