"""TCP routes through the reference proxy that serves another document: each difference is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pinfeather.cli import main
from pinfeather.verify import starting
from pinfeather.verify.placing import Placed

TEXT = """pinfeather: v1
entry_points: {pg: 5432, mail: 25}
tcp_routes:
  - {name: db, sni: [db.example.com], entry_points: [pg], tls: {passthrough: true, terminate: false}, to: db}
  - {name: old, sni: [old.example.com], entry_points: [pg], tls: {}, to: old}
  - {name: mail, entry_points: [mail], split: [{to: db, weight: 3}, {to: old, weight: 1}]}
tcp_services:
  db: {servers: [{address: "10.0.0.1:1"}, {address: "10.0.0.2:1"}]}
  old: {servers: [{address: "10.0.0.3:1"}]}
"""
CHANGES = {
    "weights": ("{to: db, weight: 3}, {to: old, weight: 1}", "{to: db, weight: 1}, {to: old, weight: 30}", "TCP at mail, plain", "outside of"),
    "another service": ("terminate: false}, to: db", "terminate: false}, to: old", "TCP at pg, TLS for db.example.com", "answered"),
    "a lost route": ("  - {name: old, sni: [old.example.com], entry_points: [pg], tls: {}, to: old}\n", "", "TCP at pg, TLS for old.example.com", "nobody answered 3 of 3"),
    "a wider name": ("sni: [old.example.com]", "sni: [old.example.com, nowhere.invalid]", "TCP at pg, TLS for nowhere.invalid", "answered 3 of 3"),
}  # fmt: skip


def _verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    path = tmp_path / "tcp.yaml"
    path.write_text(TEXT)
    code = main(["verify", str(path), "--start", "reference", "--report", "json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_same_document_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = _verify(tmp_path, capsys)
    assert code == 0, report
    assert {where for _, _, where, _ in CHANGES.values()} <= {row["question"] for row in report["rows"]}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_document_is_found(
    change: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy is given what another document would have been placed as."""
    old, new, where, fault = CHANGES[change]
    assert old in TEXT
    right = starting._reference

    def wrong(stage: starting.Stage) -> object:
        from pinfeather.proxy.loading import load_canonical

        other = load_canonical("other.yaml", TEXT.replace(old, new))
        services = stage.placed.document.tcp_services
        document = other.model_copy(update={"tcp_services": services})
        column = right(stage._replace(placed=Placed(document, stage.placed.keys, stage.placed.names, ())))
        column.document = stage.placed.document
        return column

    monkeypatch.setattr(starting, "_reference", wrong)
    code, report = _verify(tmp_path, capsys)
    assert code == 1
    (row,) = (row for row in report["rows"] if row["question"] == where)
    assert any(fault in said for said in row["cells"]["reference"]["faults"]), row


BESIDE = """pinfeather: v1
entry_points: {web: 8000, secure: {port: 8443, tls: true}}
routes: [{name: a, hosts: [a.example], entry_points: [web, secure], to: a}]
services: {a: {servers: [{url: "http://10.0.0.1:80"}]}}
tcp_routes: [{name: all, to: stream}]
tcp_services: {stream: {servers: [{address: "10.0.0.2:1"}]}}
"""


def test_http_is_not_asked_where_a_tcp_route_takes_the_connection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "beside.yaml"
    path.write_text(BESIDE)
    code = main(["verify", str(path), "--start", "reference", "--report", "json"])
    report = json.loads(capsys.readouterr().out)
    assert code == 0, report
    assert "the TCP route 'all' takes the connection" in report["left_out"]
    assert {"GET https://a.example/ at secure", "TCP at web, plain"} <= {row["question"] for row in report["rows"]}
