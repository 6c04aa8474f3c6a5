"""A real HAProxy routes and pins; a real Helm renders."""

from __future__ import annotations

import http.client

import pytest

from tests.parts.fixtures import HelmTemplate, RunHAProxy
from tests.parts.processes import PartError
from tests.parts.servers import Servers

CONFIGURATION = """\
global
    log stdout format raw daemon
defaults
    mode http
    log global
    option httplog
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend web
    bind "127.0.0.1:${web}"
    use_backend canary if { req.cook(canary) -m str v2 }
    default_backend stable
backend stable
    cookie pin insert indirect nocache httponly
    server a A cookie a
    server b B cookie b
backend canary
    server c C
"""
CHART = {
    "Chart.yaml": "apiVersion: v2\nname: two\nversion: 0.1.0\n",
    "templates/map.yaml": 'name: {{ .Values.name }}\nhost: {{ tpl "{{ .Values.host }}" . }}\n',
}


def ask(port: int, cookie: str = "") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/", headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        answer.read()
        return answer
    finally:
        connection.close()


def test_haproxy_routes_and_sets_a_cookie(haproxy: RunHAProxy, servers: Servers) -> None:
    text = CONFIGURATION
    for name in "abc":
        text = text.replace(f" {name.upper()} ", f" {servers.at(name)} ").replace(f" {name.upper()}\n", f" {servers.at(name)}\n")
    running = haproxy(text)
    assert ask(running.port(), "canary=v2").getheader("X-Server") == "c"
    first = ask(running.port())
    server, cookie = first.getheader("X-Server"), first.getheader("Set-Cookie")
    assert cookie == f"pin={server}; path=/; HttpOnly"
    assert {ask(running.port(), f"pin={server}").getheader("X-Server") for _ in range(4)} == {server}
    assert "canary/c" in running.log()


def test_haproxy_s_refusal_is_in_its_own_words(haproxy: RunHAProxy) -> None:
    with pytest.raises(PartError, match="unable to find required default_backend: 'nowhere'"):
        haproxy(
            CONFIGURATION.replace("default_backend stable", "default_backend nowhere")
            .replace(" A ", " :1 ")
            .replace(" B ", " :2 ")
            .replace(" C\n", " :3\n")
        )


def test_helm_renders_a_chart(helm_template: HelmTemplate) -> None:
    rendered = helm_template(CHART, ["name: first\nhost: a.test\n", "name: second\n"])
    assert rendered == "---\n# Source: two/templates/map.yaml\nname: second\nhost: a.test\n"
    with pytest.raises(PartError, match="nil pointer evaluating"):
        helm_template({**CHART, "templates/map.yaml": "name: {{ .Values.a.b }}\n"})
