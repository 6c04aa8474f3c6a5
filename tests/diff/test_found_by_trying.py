"""Differences that were called none, and none that were called one: found by trying pairs of documents against `explain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pinfeather.cli import main
from pinfeather.diff import render
from pinfeather.diff.changes import Kind
from pinfeather.diff.pins import Fate
from pinfeather.diff.report import Difference, difference
from pinfeather.diff.sides import Side
from pinfeather.proxy.loading import load_canonical

HEAD = "pinfeather: v1\nentry_points: {web: 80, websecure: 443}\n"
SERVICES = "services:\n" + "".join(f'  s{number}: {{servers: [{{url: "http://10.0.0.{number}:80"}}]}}\n' for number in (1, 2, 3))


def _differ(before: str, after: str) -> Difference:
    return difference(Side(load_canonical("a.yaml", before)), Side(load_canonical("b.yaml", after)))


def _moved(routes: str) -> Difference:
    """Where S goes to s2 and then to s3."""
    return _differ(*(HEAD + "routes:\n" + routes.replace("S}", f"{name}}}") + SERVICES for name in ("s2", "s3")))


SWALLOWED = {
    "the usual host under a wildcard": (
        "  - {name: a, hosts: [any.example.com, any.any.example.com], to: s1}\n  - {name: b, hosts: ['*.example.com'], to: S}\n"
    ),
    "the usual path behind a prefix": (
        "  - {name: a, path: {exact: /a}, to: s1}\n  - {name: b, path: {exact: /ax}, to: s1}\n  - {name: c, path: {prefix: /a}, to: S}\n"
    ),
    "the usual path under a longer prefix": "  - {name: a, path: {prefix: /ax}, to: s1}\n  - {name: b, path: {prefix: /a}, to: S}\n",
    "the path that nobody names": (
        "  - {name: a, path: {exact: /}, to: s1}\n  - {name: b, path: {prefix: /other}, to: s1}\n  - {name: c, hosts: [h.com], to: S}\n"
    ),
    "the host that nobody names": "  - {name: a, hosts: [nowhere.invalid], to: s1}\n  - {name: b, to: S}\n",
    "a host that a regex takes": (
        "  - {name: a, match: {host_regex: '^any[.]example[.]com$'}, priority: 99, to: s1}\n  - {name: b, hosts: ['*.example.com'], to: S}\n"
    ),
    "a path that a regex takes": (
        "  - {name: a, path: {regex: '^/a[x-z]'}, priority: 99, to: s1}\n  - {name: b, path: {prefix: /a}, to: S}\n"
        "  - {name: c, path: {exact: /a}, priority: 99, to: s1}\n"
    ),
}


@pytest.mark.parametrize("case", SWALLOWED)
def test_a_request_that_nobody_else_takes_is_found(case: str) -> None:
    found = _moved(SWALLOWED[case])
    assert [each.change.kind for each in found.classes] == [Kind.MOVED]


def test_what_a_regex_alone_leads_to_is_not_called_the_same() -> None:
    """No example of the regex is free: the others take them. `/d` differs."""
    routes = "".join(f"  - {{name: {name}, path: {{exact: /{name}}}, to: s1}}\n" for name in "abc")
    found = _moved(routes + "  - {name: r, path: {regex: '^/[abcd]$'}, to: S}\n")
    assert found.classes or found.unproved == ("^/[abcd]$",)
    assert "every request." not in render.verdict(found, ("a", "b"))


def test_one_more_alternative_is_not_called_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, more in (("a", ""), ("b", "|es")):
        text = HEAD + f"routes: [{{name: r, path: {{regex: '^/(en|fr|de|it{more})/'}}, to: s1}}]\n" + SERVICES
        (tmp_path / f"{name}.yaml").write_text(text)
    assert main(["diff", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]) == 1
    assert "every request." not in capsys.readouterr().out.splitlines()[0]


# What could not be read -----------------------------------------------------------------------------------------------------

TRAEFIK = """\
http:
  routers:
    a: {rule: "Host(`a.test`)", service: s1}
    b: {rule: "RULE", service: s2}
  services:
    s1: {loadBalancer: {servers: [{url: "http://10.0.0.1"}]}}
    s2: {loadBalancer: {servers: [{url: "http://10.0.0.2"}]}}
"""


@pytest.mark.parametrize("report", ["text", "json", "markdown"])
def test_what_could_not_be_read_is_not_called_the_same(report: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("x", "y"):
        (tmp_path / f"{name}.yaml").write_text(TRAEFIK.replace("RULE", f"Host(`b.test`) && Foo(`{name}`)"))
    assert main(["diff", str(tmp_path / "x.yaml"), str(tmp_path / "y.yaml"), "--report", report]) == 2
    out = capsys.readouterr().out
    if report == "json":
        tree = json.loads(out)
        assert tree["equal"] is False
        assert len(tree["unread"]) == 2
    else:
        assert "as far as they could be read" in out
        assert "input.rule" in out


def test_a_log_is_not_replayed_over_what_could_not_be_read_as_if_it_were_the_same(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / f"{name}.yaml").write_text(TRAEFIK.replace("RULE", f"Host(`b.test`) && Foo(`{name}`)"))
    said = {"RequestAddr": "b.test", "RequestMethod": "GET", "RequestPath": "/", "entryPointName": "web", "RequestScheme": "http"}
    (tmp_path / "log").write_text(json.dumps(said) + "\n")
    assert main(["diff", str(tmp_path / "x.yaml"), str(tmp_path / "y.yaml"), "--replay", str(tmp_path / "log")]) == 2


INGRESS = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: d, annotations: {nginx.ingress.kubernetes.io/canary: "true", nginx.ingress.kubernetes.io/canary-weight: "10"}}
spec:
  ingressClassName: nginx
  rules: [{host: h.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}}]
"""


def test_two_sides_without_a_route_are_not_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that is there is another controller's: nothing was compared."""
    for name, weight in (("x", "10"), ("y", "20")):
        (tmp_path / f"{name}.yaml").write_text(INGRESS.replace('"10"', f'"{weight}"'))
    assert main(["diff", str(tmp_path / "x.yaml"), str(tmp_path / "y.yaml")]) == 2
    out = capsys.readouterr().out
    assert "there is no route in it" in out
    assert "of the class 'nginx'" in out


# Secrets, and what a comment may not do ------------------------------------------------------------------------------------

GUARDED = HEAD + "routes: [{name: r, hosts: [h.com], middlewares: [door], to: s1}]\n" + SERVICES


@pytest.mark.parametrize(
    ("door", "other", "secret"),
    [
        ('{basic_auth: {users: ["a:$apr1$SECRETHASH$x"]}}', '{basic_auth: {users: ["a:$apr1$OTHERHASH$x"]}}', "HASH"),
        (
            '{headers: {request: {Authorization: "Bearer SECRET"}}}',
            '{headers: {request: {Authorization: "Bearer OTHER-SECRET"}}}',
            "SECRET",
        ),
        (
            "{other: {kind: digestAuth, config: {users: ['a:r:SECRET']}}}",
            "{other: {kind: digestAuth, config: {users: ['a:r:ASECRET']}}}",
            "SECRET",
        ),
    ],
)
def test_a_secret_is_compared_and_not_printed(door: str, other: str, secret: str) -> None:
    found = _differ(*(f"{GUARDED}middlewares: {{door: {each}}}\n" for each in (door, other)))
    assert len(found.classes) == 1
    for said in (render.text(found, ("a", "b")), render.markdown(found, ("a", "b")), render.as_json(found, ("a", "b"))):
        assert secret not in said


def test_names_are_no_markdown() -> None:
    name, value = "<img src=x>**hi**", "<!-- [click](http://evil) @org/team ``` # x"
    text = GUARDED.replace("s1", json.dumps(name)) + f"middlewares: {{door: {{headers: {{response: {{X-A: {json.dumps(value)}}}}}}}}}\n"
    found = _differ(text, text.replace("10.0.0.1", "10.0.0.9").replace("X-A", "X-B"))
    (head, *lines) = render.markdown(found, (name, "b")).splitlines()
    assert "<" not in head
    fences = [place for place, line in enumerate(lines) if line.strip().startswith("````")]
    assert len(fences) == 2, "a fence that is longer than the one inside"
    outside = "\n".join(lines[: fences[0]] + lines[fences[1] + 1 :])
    assert not any(sign in outside for sign in ("<img", "<!--", "[click]", "@org", "**hi"))


# Pinned clients -------------------------------------------------------------------------------------------------------------

PINNED = HEAD + (
    "routes: [{name: r, hosts: [h.com], split: [{to: v1, weight: 90}, {to: v2, weight: 10}], sticky: {cookie: {name: var}}}]\nservices:\n"
    '  v1: {servers: [{url: "http://10.0.0.1"}, {url: "http://10.0.0.2"}]}\n  v2: {servers: [{url: "http://10.0.0.3"}]}\n'
)
BOUND = PINNED.replace('"http://10.0.0.2"}]', '"http://10.0.0.2"}], sticky: {cookie: {name: srv}}')
FATES: dict[str, tuple[str, str, dict[Fate, int]]] = {
    "the variant holds, and nobody was bound to a server": (PINNED, PINNED.replace("90", "70"), {Fate.KEPT: 1}),
    "one more server under a variant that holds": (PINNED, PINNED.replace('"http://10.0.0.2"}', '"http://10.0.0.2"}, {url: "http://10.0.0.9"}'), {Fate.KEPT: 1}),
    "a cookie more, over one server": (
        PINNED.replace(', {url: "http://10.0.0.2"}', ""),
        PINNED.replace(', {url: "http://10.0.0.2"}]', "], sticky: {cookie: {name: srv}}"),
        {Fate.KEPT: 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FATES)
def test_what_becomes_of_pinned_clients(case: str) -> None:
    before, after, fates = FATES[case]
    (only, *_) = _differ(before, after).classes
    assert dict(only.pinned) == fates


def test_who_is_bound_no_longer_is_drawn_anew_at_each_request() -> None:
    found = _differ(BOUND, PINNED)
    fates: dict[Any, Any] = dict(found.classes[0].pinned)
    assert Fate.MOVED not in fates
    assert fates[Fate.REDRAWN] > 0


def test_a_cookie_that_nobody_is_given_is_nobody_s_difference() -> None:
    unused = PINNED + '  un: {servers: [{url: "http://10.0.0.4"}], sticky: {cookie: {name: un}}}\n'
    assert _differ(unused, unused.replace("name: un}", "name: un2}")).equal


def test_another_hash_of_a_cookie_draws_all_anew() -> None:
    text = BOUND.replace("name: srv", "name: srv, hash: md5")
    found = _differ(text, text.replace("md5", "index"))
    assert not found.equal
    assert [pool.cookie for pool in found.pools] == ["srv"]


# What guards a connection, and how a server is spoken to ---------------------------------------------------------------------

WHOLE = (
    HEAD
    + """\
routes: [{name: r, hosts: [h.com], entry_points: [websecure], tls: {options: mtls}, to: s}]
services:
  s: {servers: [{url: "https://10.0.0.1"}, {url: "https://10.0.0.2"}], servers_transport: st}
tcp_routes: [{name: t, sni: [t.com], entry_points: [websecure], middlewares: [allow], tls: {passthrough: true}, to: db}]
tcp_services: {db: {servers: [{address: "10.0.0.3:1"}], proxy_protocol: 2}}
tcp_middlewares: {allow: {ip_allow_list: {source_ranges: [10.0.0.0/8]}}}
tls_options: {mtls: {client_auth_type: RequireAndVerifyClientCert, client_auth_ca_files: [ca.pem]}, plain: {min_version: VersionTLS13}}
servers_transports: {st: {insecureSkipVerify: false}}
"""
)
EDITS: dict[str, tuple[str, str, Kind | None]] = {
    "no client's certificate is asked for": ("tls: {options: mtls}", "tls: {options: plain}", Kind.UNGUARDED),
    "any will do": ("RequireAndVerifyClientCert", "NoClientCert", Kind.UNGUARDED),
    "of another authority": ("ca.pem", "other.pem", Kind.OTHERWISE_GUARDED),
    "nothing": ("tls: {options: mtls}", "tls: {options: mtls}", None),
    "a server is trusted whoever it is": ("insecureSkipVerify: false", "insecureSkipVerify: true", Kind.PASSES),
    "another host for the server": ("servers_transport: st}", "servers_transport: st, pass_host_header: false}", Kind.PASSES),
    "another strategy": ("servers_transport: st}", "servers_transport: st, strategy: hrw}", Kind.PASSES),
    "another path for the server": ('{url: "https://10.0.0.1"}', '{url: "https://10.0.0.1", preserve_path: true}', Kind.PASSES),
}


@pytest.mark.parametrize("case", EDITS)
def test_what_guards_a_connection_and_how_a_server_is_spoken_to(case: str) -> None:
    old, new, kind = EDITS[case]
    assert old in WHOLE
    found = _differ(WHOLE, WHOLE.replace(old, new))
    assert [each.change.kind for each in found.classes] == ([kind] if kind is not None else [])
    assert not found.tcp


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("middlewares: [allow], ", ""),
        ("10.0.0.0/8", "0.0.0.0/0"),
        ("tls: {passthrough: true}", "tls: {}"),
        ("proxy_protocol: 2", "proxy_protocol: 1"),
        ("proxy_protocol: 2", "proxy_protocol: 2, sticky: {source_address: {}}"),
        ('{address: "10.0.0.3:1"}', '{address: "10.0.0.3:1", tls: true}'),
    ],
)
def test_what_a_tcp_connection_passes(old: str, new: str) -> None:
    assert old in WHOLE
    found = _differ(WHOLE, WHOLE.replace(old, new))
    assert len(found.tcp) == 1
    assert not found.equal


def test_who_is_bound_to_a_variant_of_weight_0_is_asked_for() -> None:
    """New clients fare alike; those of the variant come to it now, or no longer."""
    drained = PINNED.replace("weight: 90", "weight: 1").replace("weight: 10", "weight: 0")
    kept = drained.replace("sticky: {cookie: {name: var}}}]", "sticky: {cookie: {name: var}}, weight_zero: keep}]")
    (only,) = _differ(drained, kept).classes
    assert only.found.region.bound == {"var": "v2"}
    assert only.change.kind is Kind.MOVED
    assert "--bound var=v2" in render.text(_differ(drained, kept), ("a", "b"))
