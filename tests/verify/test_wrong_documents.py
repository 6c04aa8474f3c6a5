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

PARTS = """pinfeather: v1
entry_points: {{web: 8000, other: 8001}}
routes:
  - {{name: one, hosts: [one.localhost], split: [{{to: v1, weight: 50}}, {{to: v2, weight: 50}}]}}
  - {{name: two, hosts: [two.localhost], split: [{{to: v1, weight: 50}}, {{to: v2, weight: 50}}]}}
  - {{name: api, hosts: [api.localhost], path: {{prefix: /api}}, middlewares: [bare, marked], to: v1}}
  - {{name: new, hosts: [api.localhost], path: {{prefix: /new}}, middlewares: [under], to: v1}}
  - {{name: old, hosts: [old.localhost], path: {{exact: /v1}}, middlewares: [instead, framed], to: v1}}
  - name: picky
    hosts: ["*.w.localhost"]
    match: {{all: [{{header: {{name: X-A, value: one}}}}, {{not: {{query: {{name: q, value: z}}}}}}]}}
    to: v1
services:
  v1: {{servers: [{{url: "http://{v1a}"}}]}}
  v2: {{servers: [{{url: "http://{v2a}"}}]}}
middlewares:
  bare: {{strip_prefix: {{prefixes: [/api]}}}}
  under: {{add_prefix: {{prefix: /app}}}}
  instead: {{replace_path: {{path: /v2}}}}
  marked: {{headers: {{request: {{X-Tenant: shop, X-Admin: ""}}}}}}
  framed: {{headers: {{response: {{X-Frame-Options: DENY}}}}}}
"""
IN_PARTS = {
    "weights of the second route": ("two.localhost], split: [{to: v1, weight: 50}", "two.localhost], split: [{to: v1, weight: 200}", "GET http://two.localhost/", "outside of 64 to 132"),
    "no prefix taken off": ("[bare, marked]", "[marked]", "GET http://api.localhost/api", "the server was asked for /api; the document says /"),
    "no field for the server": ("[bare, marked]", "[bare]", "GET http://api.localhost/api", "the server was asked with x-tenant absent; the document says shop"),
    "a field for who has none": ("[instead, framed]", "[instead, framed, marked]", "GET http://old.localhost/v1", "the server was asked with x-tenant shop; the document says absent"),
    "another prefix": ("prefix: /app}", "prefix: /application}", "GET http://api.localhost/new", "the server was asked for /application/new; the document says /app/new"),
    "another path": ("path: /v2", "path: /v3", "GET http://old.localhost/v1", "the server was asked for /v3; the document says /v2"),
    "a field for whose answer has none": ("[under]", "[under, framed]", "GET http://api.localhost/new", "x-frame-options is DENY; the document says absent"),
    "what must not be": (", {not: {query: {name: q, value: z}}}", "", "GET -H 'x-a: one' 'http://any.w.localhost/?q=z'", "which the document sends nobody to"),
    "a shorter prefix": ("{prefix: /new}", "{prefix: /ne}", "GET http://api.localhost/ne", "which the document sends nobody to"),
    "any case": ("path: {prefix: /new}", "path: {regex: '(?i)^/new'}", "GET http://api.localhost/NEW", "which the document sends nobody to"),
    "the host above": ('["*.w.localhost"]', '["*.w.localhost", w.localhost]', "GET -H 'x-a: one' http://w.localhost/", "which the document sends nobody to"),
    "a value in any case": ("{name: X-A, value: one}", "{name: X-A, regex: '(?i)^one$'}", "GET -H 'x-a: ONE' http://any.w.localhost/", "which the document sends nobody to"),
    "any value as long": ("{name: X-A, value: one}", "{name: X-A, regex: '^on.$'}", "GET -H 'x-a: onz' http://any.w.localhost/", "which the document sends nobody to"),
    "weights at the second entry point": (
        'one.localhost], split: [{to: v1, weight: 50}, {to: v2, weight: 50}]}',
        'one.localhost], entry_points: [web], split: [{to: v1, weight: 50}, {to: v2, weight: 50}]}\n'
        "  - {name: more, hosts: [one.localhost], entry_points: [other], split: [{to: v1, weight: 90}, {to: v2, weight: 10}]}",
        "GET http://one.localhost/ at other", "outside of 64 to 132",
    ),
}  # fmt: skip
BOTH = [(SHOP, change) for change in CHANGES.values()] + [(PARTS, change) for change in IN_PARTS.values()]


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, str]]:
    """Demo servers, by name."""
    with DemoServers(None) as servers:
        yield {name: servers.http(name, name[:2]) for name in ("v1a", "v1b", "v2a")}


def _verified(document: str, served: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    asked, given, (port, other, admin) = tmp_path / "asked.yaml", tmp_path / "served.yaml", free_ports(3)
    asked.write_text(document)
    given.write_text(served)
    points = {"web": port, "other": other} if "other: 8001" in document else {"web": port}
    command = [sys.executable, "-m", "pinfeather.proxy", str(given), f"--admin=127.0.0.1:{admin}"]
    process = Process([*command, *(f"--listen={point}=127.0.0.1:{at}" for point, at in points.items())], tmp_path / "proxy.log")
    urls = [word for point, at in points.items() for word in ("--url", f"p:{point}=http://127.0.0.1:{at}")]
    try:
        process.wait(lambda: "admin listens on" in process.log(), "listening")
        code = main(["verify", str(asked), *urls, "--demo", "--report", "json"])
    finally:
        process.stop()
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("text", "changes"), [(SHOP, CHANGES), (PARTS, IN_PARTS)], ids=["shop", "parts"])
def test_the_same_document_holds(
    text: str, changes: dict[str, tuple[str, ...]], places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = text.format(**places)
    code, report = _verified(text, text, tmp_path, capsys)
    assert code == 0, [row for row in report["rows"] if not row["holds"]]
    asked = {row["question"] for row in report["rows"]}
    assert {change[2] for change in changes.values()} <= asked


@pytest.mark.parametrize(("text", "change"), BOTH, ids=[*CHANGES, *IN_PARTS])
def test_a_changed_document_is_found(
    text: str, change: tuple[str, str, str, str], places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, where, fault = change
    for name, address in places.items():
        old, new = old.replace(f"{{{name}}}", address), new.replace(f"{{{name}}}", address)
    text = text.format(**places)
    assert old in text
    code, report = _verified(text, text.replace(old, new, 1), tmp_path, capsys)
    assert code == 1
    (row,) = (row for row in report["rows"] if row["question"] == where)
    assert not row["holds"]
    assert any(fault in said for said in row["cells"]["p"]["faults"]), row
