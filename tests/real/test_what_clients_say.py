"""What a client says of itself (X-Forwarded-*, X-Real-Ip) opens no route: the reference proxy and a real Traefik ask what they saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pinfeather.model.build import build
from pinfeather.model.decide import Request
from pinfeather.model.noun import Tree
from tests.real.test_differential import FILE, POINTS, Asking

if TYPE_CHECKING:
    from conftest import Servers, StartReference, StartTraefik

NAMES = (
    "X-Real-Ip",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Uri",
)
VALUES = ("6.6.6.6", "127.0.0.1", "http", "https", "80", "8443", "plain.example")
CASES = [(name, value) for name in NAMES for value in VALUES]


def _document() -> Tree:
    """Of each name and value a host whose canary asks for it, and one of the name alone."""
    routes: list[Tree] = []
    for number, (name, value) in enumerate(CASES):
        when: Tree = {"header": {"name": name, "value": value}}
        routes.append({"name": f"r{number}", "hosts": [f"h{number}.example"], "canaries": [{"when": when, "to": "in"}], "to": "out"})
    for name in NAMES:
        when = {"header": {"name": name, "regex": ".+"}}
        routes.append({"name": name, "hosts": [f"{name.lower()}.example"], "canaries": [{"when": when, "to": "in"}], "to": "out"})
    servers = {name: {"servers": [{"url": f"http://10.0.0.{number}:80"}]} for number, name in ((1, "in"), (2, "out"))}
    return {"pinfeather": "v1", "routes": routes, "services": servers}


@pytest.fixture(scope="module")
def asking(servers: Servers, start_traefik: StartTraefik, start_reference: StartReference) -> Asking:
    found = Asking(servers, start_traefik({FILE: ""}, POINTS), start_reference("pinfeather: v1", POINTS, ("--traefik-compat",)))
    document, findings = build(_document())
    assert document is not None, findings
    found.serve(document)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_route_is_not_opened_by_what_a_client_says(asking: Asking, name: str) -> None:
    """Both answer alike whether it says nothing, what the route asks for, or something else; and what was not seen opens nothing."""
    hosts = [(f"h{number}.example", value) for number, (of, value) in enumerate(CASES) if of == name] + [(f"{name.lower()}.example", "")]
    for host, value in hosts:
        answers = []
        for headers in ((), ((name.lower(), value or "1.2.3.4"),), ((name.lower(), "other"), (name.lower(), value or "x"))):
            ours, theirs = asking.both(Request(host, "/", headers=headers, entry_point="web", client="127.0.0.1"), {}, None)
            assert ours.server == theirs.server, (host, name, value, headers)
            answers.append(ours.server)
        assert len(set(answers)) == 1, (host, name, value, answers)


def test_what_was_seen_opens_it(asking: Asking) -> None:
    seen = {("X-Real-Ip", "127.0.0.1"), ("X-Forwarded-Proto", "http"), ("X-Forwarded-Port", "80")}
    for number, case in enumerate(CASES):
        ours, _ = asking.both(Request(f"h{number}.example", "/", entry_point="web", client="127.0.0.1"), {}, None)
        plain = asking.both(Request("in.invalid", "/", entry_point="web", client="127.0.0.1"), {}, None)[0]
        assert plain.status == 404
        inside = asking.both(Request("x-real-ip.example", "/", entry_point="web", client="127.0.0.1"), {}, None)[0].server
        assert (ours.server == inside) is (case in seen), case
