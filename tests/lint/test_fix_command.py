"""`lint --fix` changes the lines that it must, in whatever style the file is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinfeather._files import FileError
from pinfeather._lint import Linted
from pinfeather._lint_command import _write
from pinfeather.model.diagnostics import Report
from tests.lint.conftest import Lint, Put

BLOCK = """\
http:  # the shop
  services:
    app:
      loadBalancer:
        servers:
          - url: "http://10.0.0.1:80"   # one
          - url: 'http://10.0.0.2:80'
        sticky:
          cookie:
            # who stays
            name: srv_id  # short
        healthCheck: {path: /healthz}
"""
FLOW = """\
http: {services: {app: {loadBalancer: {servers: [{url: http://a:80}, {url: http://b:80}], healthCheck: {path: /h}, sticky: {cookie: {name: srv_id}}}}}}
"""
FLOW_LINES = """\
http:
  services:
    app:
      loadBalancer:
        servers: [{url: http://a:80}, {url: http://b:80}]
        healthCheck: {path: /h}
        sticky: {
          cookie: {
            "name": "srv_id"
          }
        }
"""
ANCHOR = """\
http:
  services:
    a:
      loadBalancer:
        servers: [{url: http://a:80}, {url: http://b:80}]
        healthCheck: {path: /h}
        sticky: &pin
          cookie:
            name: srv_id
    b:
      loadBalancer:
        servers: [{url: http://a:80}, {url: http://b:80}]
        healthCheck: {path: /h}
        sticky: *pin
"""
TOML = """\
[http.services.app.loadBalancer]
  [[http.services.app.loadBalancer.servers]]
    url = "http://a:80"
  [[http.services.app.loadBalancer.servers]]
    url = "http://b:80"
  [http.services.app.loadBalancer.healthCheck]
    path = "/h"
  [http.services.app.loadBalancer.sticky.cookie]
    name = "srv_id" # short
"""
TOML_INLINE = """\
[http.services.app.loadBalancer]
servers = [{url = "http://a:80"}, {url = "http://b:80"}]
healthCheck = {path = "/h"}
sticky = {cookie = {name = "srv_id"}}
"""
JSON = """\
{
  "http": {"services": {"app": {"loadBalancer": {
    "servers": [{"url": "http://a:80"}, {"url": "http://b:80"}],
    "healthCheck": {"path": "/h"},
    "sticky": {
      "cookie": {
        "name": "srv_id"
      }
    }
  }}}}
}
"""
WRITTEN = """\
http:
  services:
    app:
      loadBalancer:
        servers: [{url: http://a:80}, {url: http://b:80}]
        healthCheck: {path: /h}
        sticky:
          cookie:
            secure: false   # for tests
            httpOnly: "false"
            sameSite: lax
"""
OURS = """\
pinfeather: v1
services:
  a:
    servers: [{url: http://a:80}, {url: http://b:80}]
    health_check: {path: /h}
    sticky: {cookie: {name: srv_id, http_only: true}}
"""
YAML_LINES = "            secure: true\n            httpOnly: true\n            sameSite: lax\n"
FIXED: dict[str, tuple[str, str, str]] = {
    "block": ("a.yml", BLOCK, BLOCK.replace("# short\n", "# short\n" + YAML_LINES)),
    "flow": ("a.yml", FLOW, FLOW.replace("name: srv_id", "name: srv_id, secure: true, httpOnly: true, sameSite: lax")),
    "flow over lines": (
        "a.yml",
        FLOW_LINES,
        FLOW_LINES.replace(
            '"srv_id"\n', '"srv_id",\n            "secure": true,\n            "httpOnly": true,\n            "sameSite": "lax"\n'
        ),
    ),
    "anchor": ("a.yml", ANCHOR, ANCHOR.replace("name: srv_id\n", "name: srv_id\n" + YAML_LINES)),
    "TOML": ("a.toml", TOML, TOML.replace("# short\n", '# short\n    secure = true\n    httpOnly = true\n    sameSite = "lax"\n')),
    "TOML inline": (
        "a.toml",
        TOML_INLINE,
        TOML_INLINE.replace('name = "srv_id"', 'name = "srv_id", secure = true, httpOnly = true, sameSite = "lax"'),
    ),
    "JSON": (
        "a.yml",
        JSON,
        JSON.replace(
            '"name": "srv_id"\n', '"name": "srv_id",\n        "secure": true,\n        "httpOnly": true,\n        "sameSite": "lax"\n'
        ),
    ),
    "written as false": ("a.yml", WRITTEN, WRITTEN.replace("secure: false ", "secure: true ").replace('"false"', '"true"')),
    "empty": (
        "a.yml",
        FLOW.replace("{name: srv_id}", "{}"),
        FLOW.replace("{name: srv_id}", "{secure: true, httpOnly: true, sameSite: lax}"),
    ),
    "true": (
        "a.yml",
        FLOW.replace("{name: srv_id}", "true"),
        FLOW.replace("{name: srv_id}", "{secure: true, httpOnly: true, sameSite: lax}"),
    ),
    "ours": ("a.yaml", OURS, OURS.replace("{name: srv_id,", "{name: srv_id, secure: true, same_site: lax,")),
    "SameSite=None without Secure": (
        "a.yml",
        WRITTEN.replace("secure: false   # for tests\n            ", "name: x\n            ")
        .replace('"false"', "true")
        .replace("lax", "none"),
        WRITTEN.replace("secure: false   # for tests\n            ", "name: x\n            ")
        .replace('"false"', "true")
        .replace("sameSite: lax", "secure: true\n            sameSite: none"),
    ),
}


@pytest.mark.parametrize("case", FIXED)
@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["bare", "BOM"])
def test_a_cookie_gets_its_attributes(case: str, ends: str, mark: bytes, lint: Lint, put: Put, here: Path) -> None:
    name, old, new = FIXED[case]
    put({name: mark + old.replace("\n", ends).encode()})
    code, text, errors = lint("--fix", name)
    assert (here / name).read_bytes() == mark + new.replace("\n", ends).encode(), errors
    assert lint(name)[0] == 0, "the fixed file has no finding left"
    assert code == 0
    assert "fixed in 1 file; 0 errors, 0 warnings" in text
    assert f"fixed {name}:" in errors


def test_a_last_line_without_an_end(lint: Lint, put: Put, here: Path) -> None:
    old = WRITTEN.rpartition("            secure")[0] + "            name: srv_id"
    put({"a.yml": old})
    assert lint("--fix")[0] == 0
    assert (here / "a.yml").read_text() == f"{old}\n{YAML_LINES}".rstrip("\n")


RULE = """\
http:
  routers:
    v1:
      rule: Host(`shop.test`)
      service: app
      priority: 10
    v2:
      rule: {rule}
      service: app
      priority: 20
  services:
    app:
      loadBalancer:
        servers: [{{url: http://a:80}}]
"""
EXACT = r"(^|;\s*)canary=v2(;|$)"
RULES = {
    "plain": ("Host(`shop.test`) && HeaderRegexp(`Cookie`, `.*canary=v2.*`)", f"Host(`shop.test`) && HeaderRegexp(`Cookie`, `{EXACT}`)"),
    "single quotes": ("'HeaderRegexp(`Cookie`, `canary=v2`)'", f"'HeaderRegexp(`Cookie`, `{EXACT}`)'"),
    "double quotes": ('"HeaderRegexp(`Cookie`, `canary=v2`)"', '"HeaderRegexp(`Cookie`, `(^|;\\\\s*)canary=v2(;|$)`)"'),
}


@pytest.mark.parametrize("case", RULES)
def test_a_loose_cookie_regex_becomes_exact(case: str, lint: Lint, put: Put, here: Path) -> None:
    old, new = RULES[case]
    put({"a.yml": RULE.format(rule=old)})
    code, _, errors = lint("--fix")
    assert (code, (here / "a.yml").read_text()) == (0, RULE.format(rule=new)), errors


@pytest.mark.parametrize("rule", ['"HeaderRegexp(\\"Cookie\\", \\"canary=v2\\")"', "|\n        HeaderRegexp(`Cookie`, `canary=v2`)"])
def test_a_regex_whose_place_cannot_be_told_is_left(rule: str, lint: Lint, put: Put, here: Path) -> None:
    put({"a.yml": RULE.format(rule=rule)})
    code, _, errors = lint("--fix")
    assert (code, (here / "a.yml").read_text()) == (1, RULE.format(rule=rule))
    assert "lint.cookie-regex" in errors


ONE_CHILD = """\
http:
  services:
    app-sticky:
      weighted:
        services:
          - name: app
        sticky:
          cookie:
            name: srv_id
            secure: true   # kept
            httpOnly: true
            sameSite: lax
    app:
      loadBalancer:
        # two of them
        servers:
          - url: http://a:80
          - url: http://b:80
        healthCheck: {path: /h}
"""
MOVED = """\
http:
  services:
    app-sticky:
      weighted:
        services:
          - name: app
    app:
      loadBalancer:
        sticky:
          cookie:
            name: srv_id
            secure: true   # kept
            httpOnly: true
            sameSite: lax
        # two of them
        servers:
          - url: http://a:80
          - url: http://b:80
        healthCheck: {path: /h}
"""
OURS_ONE_CHILD = """\
pinfeather: v1
routes:
  - name: shop
    split: [{to: app}]
    sticky:
      cookie: {name: srv_id, secure: true, http_only: true, same_site: lax}
services:
  app:
    servers: [{url: http://a:80}, {url: http://b:80}]
    health_check: {path: /h}
"""
OURS_MOVED = """\
pinfeather: v1
routes:
  - name: shop
    split: [{to: app}]
services:
  app:
    sticky:
      cookie: {name: srv_id, secure: true, http_only: true, same_site: lax}
    servers: [{url: http://a:80}, {url: http://b:80}]
    health_check: {path: /h}
"""


@pytest.mark.parametrize(("old", "new"), [(ONE_CHILD, MOVED), (OURS_ONE_CHILD, OURS_MOVED)], ids=["traefik-file", "pinfeather"])
def test_sticky_over_one_child_moves_into_the_service(old: str, new: str, lint: Lint, put: Put, here: Path) -> None:
    put({"a.yml": old})
    code, _, errors = lint("--fix")
    assert (code, (here / "a.yml").read_text()) == (0, new), errors


def test_a_key_with_a_near_name_is_put_right(lint: Lint, put: Put, here: Path) -> None:
    put({"a.yml": MOVED.replace("httpOnly", "htpOnly")})
    assert lint("--fix")[0] == 0
    assert (here / "a.yml").read_text() == MOVED


TWO = """\
pinfeather: v1
routes:
  - {name: shop, hosts: [shop.test], to: v1, canaries: [{when: {cookie: {name: canary, value: v2}}, to: v2}, {when: {method: PUT}, to: v3}]}
services:
  v1:
    servers: [{url: http://a:80}, {url: http://b:80}]
    health_check: {path: /h}
    sticky: {cookie: {name: pin, secure: true, http_only: true, same_site: lax}}
  v2:
    servers: [{url: http://c:80}, {url: http://d:80}]
    health_check: {path: /h}
    sticky: {cookie: {name: 'pin', secure: true, http_only: true, same_site: lax}}
  v3:
    servers: [{url: http://e:80}, {url: http://f:80}]
    health_check: {path: /h}
    sticky: {cookie: {name: pin, secure: true, http_only: true, same_site: lax}}
"""


def test_each_service_gets_a_cookie_of_its_own(lint: Lint, put: Put, here: Path) -> None:
    put({"a.yaml": TWO})
    code, _, errors = lint("--fix")
    head, v2, v3 = TWO.partition("  v2:")[0], *TWO.partition("  v2:")[2].split("  v3:")
    assert (here / "a.yaml").read_text() == head + "  v2:" + v2.replace("'pin'", "'pin-2'") + "  v3:" + v3.replace(
        "name: pin", "name: pin-3"
    ), errors
    assert code == 0


def test_a_name_that_one_anchor_gives_to_two_is_left(lint: Lint, put: Put, here: Path) -> None:
    text = TWO.replace(
        "sticky: {cookie: {name: pin, secure: true, http_only: true, same_site: lax}}\n  v2",
        "sticky: &pin {cookie: {name: pin, secure: true, http_only: true, same_site: lax}}\n  v2",
    )
    text = (
        text.replace("sticky: {cookie: {name: 'pin', secure: true, http_only: true, same_site: lax}}", "sticky: *pin")
        .partition("  v3:")[0]
        .replace(", {when: {method: PUT}, to: v3}", "")
    )
    put({"a.yaml": text})
    code, _, errors = lint("--fix")
    assert (code, (here / "a.yaml").read_text()) == (1, text)
    assert "lint.cookie-shared" in errors


# What is left alone ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_fixed_is_said_and_the_rest_is_fixed(lint: Lint, put: Put, here: Path) -> None:
    put({"a.yml": BLOCK.replace("srv_id", "JSESSIONID")})
    code, text, errors = lint("--fix")
    assert code == 1
    assert (here / "a.yml").read_text() == BLOCK.replace("srv_id", "JSESSIONID").replace("# short\n", "# short\n" + YAML_LINES)
    assert text.endswith("; 3 fixed in 1 file; 0 errors, 1 warning, 0 info\n")
    assert "warning lint.app-cookie: " in errors


def test_a_dry_run_prints_a_diff_and_writes_nothing(lint: Lint, put: Put, here: Path) -> None:
    put({"sub/a.yml": BLOCK, "sub/sound.yml": MOVED})
    code, text, errors = lint("--fix", "--dry-run")
    assert (code, errors) == (1, "")
    assert (here / "sub" / "a.yml").read_text() == BLOCK
    assert text.startswith("--- a/sub/a.yml\n+++ b/sub/a.yml\n@@ -9,4 +9,7 @@\n")
    assert [line for line in text.splitlines()[2:] if line[0] in "+-"] == [f"+{line}" for line in YAML_LINES.splitlines()]


def test_a_second_fix_changes_nothing(lint: Lint, put: Put, here: Path) -> None:
    put({"a.yml": BLOCK})
    lint("--fix")
    old = (here / "a.yml").stat()
    assert lint("--fix")[0] == 0
    new = (here / "a.yml").stat()
    assert (new.st_mtime_ns, new.st_ino) == (old.st_mtime_ns, old.st_ino), "not even written again"


def test_a_link_is_followed_and_stays_one(lint: Lint, put: Put, here: Path) -> None:
    put({"real/a.yml": BLOCK})
    (here / "a.yml").symlink_to("real/a.yml")
    assert lint("--fix", "a.yml")[0] == 0
    assert (here / "a.yml").is_symlink()
    assert YAML_LINES in (here / "real" / "a.yml").read_text()


def test_same_site_none_without_secure_is_said_once(lint: Lint, put: Put) -> None:
    put({"a.yml": FIXED["SameSite=None without Secure"][1]})
    code, _, errors = lint()
    assert code == 1
    assert [line.split(" ")[2] for line in errors.splitlines() if not line.startswith(" ")] == ["lint.same-site-none:"]


def test_a_file_that_has_changed_meanwhile_is_left(put: Put, here: Path) -> None:
    put({"a.yml": "theirs\n"})
    found = Linted(1, {}, Report(), {}, {"a.yml": b"old\n"}, {"a.yml": b"ours\n"})
    with pytest.raises(FileError, match="has changed while it was being looked at"):
        _write(found)
    assert (here / "a.yml").read_text() == "theirs\n"


def test_dry_run_alone_is_wrong_usage(lint: Lint, put: Put) -> None:
    put({"a.yml": BLOCK})
    code, _, errors = lint("--dry-run")
    assert (code, errors) == (2, "pinfeather: --dry-run goes with --fix: it prints what a fix would change\n")
