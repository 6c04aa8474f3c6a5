"""The reference proxy serves another document than it is asked by: each difference is found, in a row that names it, and nothing else is."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pinfeather.cli import main
from pinfeather.verify.placing import DemoServers
from pinfeather.verify.starting import Process, free_ports

SHOP = """pinfeather: v1
entry_points: {{web: 8000}}
routes:
  - name: shop
    hosts: [shop.localhost]
    path: {{prefix: /}}
    entry_points: [web]
    middlewares: [headers]
    canaries:
      - when: {{cookie: {{name: canary, value: v2}}}}
        to: v2
    split: [{{to: v1, weight: 90}}, {{to: v2, weight: 10}}]
    sticky: {{cookie: {{name: variant, max_age: 3600, http_only: true, same_site: lax}}}}
  - {{name: old, hosts: [old.localhost], entry_points: [web], middlewares: [moved], to: v1}}
  - {{name: admin, hosts: [shop.localhost], path: {{prefix: /admin}}, entry_points: [web], middlewares: [auth], to: v1}}
services:
  v1: {{servers: [{{url: "http://{v1a}"}}, {{url: "http://{v1b}"}}], sticky: {{cookie: {{name: srv1, secure: true}}}}}}
  v2: {{servers: [{{url: "http://{v2a}"}}], sticky: {{cookie: {{name: srv2, secure: true}}}}}}
middlewares:
  headers: {{headers: {{response: {{X-Frame-Options: DENY}}}}}}
  moved: {{redirect_regex: {{regex: "^http://old.localhost", replacement: "http://shop.localhost", permanent: true}}}}
  auth: {{basic_auth: {{users: ["u:$2y$05$abcdefghijklmnopqrstuuzXJrmNnGCgKQHNGGHVnKEcOLLb5uNJ6"]}}}}
"""
FRESH = "GET http://shop.localhost/"
CHANGES = {
    "weights": ("weight: 90", "weight: 10", FRESH, "outside of"),
    "max age": ("max_age: 3600", "max_age: 60", FRESH, "Set-Cookie is variant=<value>; Path=/; Max-Age=60"),
    "no HttpOnly": ("http_only: true, ", "", FRESH, "Set-Cookie is"),
    "SameSite": ("same_site: lax", "same_site: strict", FRESH, "SameSite=Strict"),
    "another cookie": ("name: variant", "name: version", FRESH, "Set-Cookie is"),
    "not Secure": ("name: srv1, secure: true", "name: srv1", FRESH, "Set-Cookie is"),
    "nobody stays with a variant": ("    sticky: {cookie: {name: variant, max_age: 3600, http_only: true, same_site: lax}}\n", "", FRESH, "Set-Cookie is"),
    "a canary by substring": ("cookie: {name: canary, value: v2}", "header: {name: Cookie, regex: '.*canary=v2.*'}", "GET -b notcanary=v22 http://shop.localhost/", "outside of"),
    "no canary": ("    canaries:\n      - when: {cookie: {name: canary, value: v2}}\n        to: v2\n", "", "GET -b canary=v2 http://shop.localhost/", "which the document sends nobody to"),
    "no header": ("    middlewares: [headers]\n", "", FRESH, "x-frame-options is absent; the document says DENY"),
    "a wider host": ("hosts: [shop.localhost]\n    path", "hosts: ['*.localhost', x.shop.localhost, shop.localhost]\n    path", "GET http://x.shop.localhost/", "which the document sends nobody to"),
    "no password": ("middlewares: [auth]", "middlewares: []", "GET http://shop.localhost/admin", "which the document sends nobody to"),
    "another status": ("permanent: true", "permanent: false", "GET http://old.localhost/", "302, from nobody that has a name"),
    "another place": ('replacement: "http://shop.localhost"', 'replacement: "http://other.localhost"', "GET http://old.localhost/", "Location is http://other.localhost/"),
    "another order": ("name: admin,", "name: admin, priority: -1,", "GET http://shop.localhost/admin", "which the document sends nobody to"),
    "another pool": ("v2: {servers: [{url: \"http://{v2a}\"}]", "v2: {servers: [{url: \"http://{v1a}\"}]", "GET -b canary=v2 http://shop.localhost/", "which the document sends nobody to"),
}  # fmt: skip


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, str]]:
    """Demo servers, by name."""
    with DemoServers(None) as servers:
        yield {name: servers.http(name, name[:2]) for name in ("v1a", "v1b", "v2a")}


def _verified(document: str, served: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    asked, given, (port, admin) = tmp_path / "asked.yaml", tmp_path / "served.yaml", free_ports(2)
    asked.write_text(document)
    given.write_text(served)
    command = [sys.executable, "-m", "pinfeather.proxy", str(given), f"--listen=web=127.0.0.1:{port}", f"--admin=127.0.0.1:{admin}"]
    process = Process(command, tmp_path / "proxy.log")
    try:
        process.wait(lambda: "admin listens on" in process.log(), "listening")
        code = main(["verify", str(asked), "--url", f"p:web=http://127.0.0.1:{port}", "--demo", "--report", "json"])
    finally:
        process.stop()
    return code, json.loads(capsys.readouterr().out)


def test_the_same_document_holds(places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = SHOP.format(**places)
    code, report = _verified(text, text, tmp_path, capsys)
    assert code == 0, [row for row in report["rows"] if not row["holds"]]
    asked = {row["question"] for row in report["rows"]}
    assert {where for _, _, where, _ in CHANGES.values()} <= asked


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_document_is_found(change: str, places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new, where, fault = CHANGES[change]
    for name, address in places.items():
        old, new = old.replace(f"{{{name}}}", address), new.replace(f"{{{name}}}", address)
    text = SHOP.format(**places)
    assert old in text
    code, report = _verified(text, text.replace(old, new, 1), tmp_path, capsys)
    assert code == 1
    (row,) = (row for row in report["rows"] if row["question"] == where)
    assert not row["holds"]
    assert any(fault in said for said in row["cells"]["p"]["faults"]), row
