"""The middleware that does not exist: `lint --fix` makes of it what its author means."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinfeather._fixes import apply
from pinfeather._repair_sticky import sticky_moved
from pinfeather.model.diagnostics import Code, Diagnostic, Fix, Severity, Span
from pinfeather.translators._syntax.repair import lines_of
from tests.lint.conftest import Lint, Put

FILE = """\
http:
  routers:
    whoami:
      rule: Host(`whoami.test`)
      service: whoami
      middlewares: [sticky-sessions]   # who stays
    api:
      rule: Host(`api.test`)
      middlewares:
        - auth
        - sticky-sessions
      service: whoami@file
    other:
      rule: Host(`other.test`)
      middlewares: [auth]
      service: other
  services:
    whoami:
      loadBalancer:
        # two replicas
        servers:
          - url: "http://10.0.0.1:80"
          - url: "http://10.0.0.2:80"
        healthCheck: {path: /h}
    other:
      loadBalancer:
        servers: [{url: http://10.0.0.3:80}]
  middlewares:
    auth:
      basicAuth: {users: ["u:$apr1$x$y"]}
    sticky-sessions:
      sticky:
        cookie:
          name: my_app_session   # the name
          secure: true
          httpOnly: true
          sameSite: lax
"""
FIXED_FILE = """\
http:
  routers:
    whoami:
      rule: Host(`whoami.test`)
      service: whoami
    api:
      rule: Host(`api.test`)
      middlewares:
        - auth
      service: whoami@file
    other:
      rule: Host(`other.test`)
      middlewares: [auth]
      service: other
  services:
    whoami:
      loadBalancer:
        sticky:
          cookie:
            name: my_app_session   # the name
            secure: true
            httpOnly: true
            sameSite: lax
        # two replicas
        servers:
          - url: "http://10.0.0.1:80"
          - url: "http://10.0.0.2:80"
        healthCheck: {path: /h}
    other:
      loadBalancer:
        servers: [{url: http://10.0.0.3:80}]
  middlewares:
    auth:
      basicAuth: {users: ["u:$apr1$x$y"]}
"""


def test_in_a_file_its_lines_go_to_the_service(lint: Lint, put: Put, here: Path) -> None:
    put({"a.yml": FILE})
    code, text, errors = lint("--fix")
    assert (here / "a.yml").read_text() == FIXED_FILE, errors
    assert code == 0
    assert "1 fixed in 1 file" in text


def test_the_only_middleware_takes_its_section_along(lint: Lint, put: Put, here: Path) -> None:
    only = (
        FILE.replace('    auth:\n      basicAuth: {users: ["u:$apr1$x$y"]}\n', "")
        .replace("        - auth\n", "")
        .replace("      middlewares: [auth]\n", "")
    )
    put({"a.yml": only})
    assert lint("--fix")[0] == 0
    text = (here / "a.yml").read_text()
    assert "middlewares" not in text
    assert text.count("sticky:") == 1


LEFT = {
    "a service that pins already": FILE.replace("healthCheck: {path: /h}", "sticky: {cookie: {name: other}}"),
    "a service of flow style": FILE.replace("service: whoami\n", "service: other\n").replace(
        "    other:\n      loadBalancer:\n        servers: [{url: http://10.0.0.3:80}]\n",
        "    other: {loadBalancer: {servers: [{url: http://10.0.0.3:80}]}}\n",
    ),
    "a router of another service's provider": FILE.replace("service: whoami\n", "service: whoami@docker\n"),
    "a middleware that nobody names": FILE.replace("[sticky-sessions]", "[auth]").replace("        - sticky-sessions\n", ""),
}


@pytest.mark.parametrize("case", LEFT)
def test_what_cannot_be_told_is_left(case: str, lint: Lint, put: Put, here: Path) -> None:
    put({"a.yml": LEFT[case]})
    code, _, errors = lint("--fix")
    assert code == 1
    assert "error lint.sticky-middleware" in errors
    assert "sticky-sessions:\n      sticky:" in (here / "a.yml").read_text()


# Labels ----------------------------------------------------------------------------------------------------------------

COMPOSE = """\
services:
  whoami:
    image: traefik/whoami
    labels:
      - "traefik.enable=true"
      - "traefik.http.routers.whoami.rule=Host(`whoami.localhost`)"
      - "traefik.http.routers.whoami.entrypoints=web"
      - "traefik.http.services.whoami.loadbalancer.server.port=80"
      - "traefik.http.routers.whoami.service=whoami"
      - "traefik.http.routers.whoami.middlewares=sticky-sessions" # Apply sticky session middleware
      - "traefik.http.middlewares.sticky-sessions.sticky.cookie.name=my_app_session" # Define cookie name
      - "traefik.http.middlewares.sticky-sessions.sticky.cookie.httponly=true" # Recommended for security
  whoami-replica:
    image: traefik/whoami
    labels:
      - "traefik.enable=true"
      - "traefik.http.routers.whoami-replica.rule=Host(`whoami.localhost`)"
      - "traefik.http.routers.whoami-replica.entrypoints=web"
      - "traefik.http.services.whoami-replica.loadbalancer.server.port=80"
      - "traefik.http.routers.whoami-replica.service=whoami-replica"
      - "traefik.http.routers.whoami-replica.middlewares=sticky-sessions" # Apply sticky session middleware
      - "traefik.http.middlewares.sticky-sessions.sticky.cookie.name=my_app_session" # Define cookie name
      - "traefik.http.middlewares.sticky-sessions.sticky.cookie.httponly=true"
"""
ONE_OF_THEM = """\
    labels:
      - "traefik.enable=true"
      - "traefik.http.routers.whoami.rule=Host(`whoami.localhost`)"
      - "traefik.http.routers.whoami.entrypoints=web"
      - "traefik.http.services.whoami.loadbalancer.server.port=80"
      - "traefik.http.routers.whoami.service=whoami"
      - "traefik.http.services.whoami.loadbalancer.sticky.cookie.name=my_app_session" # Define cookie name
"""
FIXED_COMPOSE = f"""\
services:
  whoami:
    image: traefik/whoami
{ONE_OF_THEM}\
      - "traefik.http.services.whoami.loadbalancer.sticky.cookie.httponly=true" # Recommended for security
  whoami-replica:
    image: traefik/whoami
{ONE_OF_THEM}\
      - "traefik.http.services.whoami.loadbalancer.sticky.cookie.httponly=true"
"""


def repaired(text: str) -> str:
    """The text after the fixes of a finding at each label of the kind."""
    lines = {"c.yml": lines_of(text)}
    found = [
        Diagnostic(Code.STICKY_MIDDLEWARE, Severity.ERROR, str(number), span=Span("c.yml", number, 1, number, 2))
        for number, line in enumerate(lines["c.yml"], 1)
        if ".sticky." in line and "middlewares." in line
    ]
    fixes = [each._replace(fixes=(Fix("move it", sticky_moved(each, lines)),)) for each in found]
    return apply({"c.yml": text}, fixes).texts.get("c.yml", text)


def test_two_containers_become_one_router_and_one_service() -> None:
    assert repaired(COMPOSE) == FIXED_COMPOSE


def as_map(text: str) -> str:
    out = []
    for line in text.splitlines():
        if line.lstrip().startswith('- "'):
            label, _, rest = line.lstrip()[3:].partition('"')
            key, _, value = label.partition("=")
            line = f'      {key}: "{value}"{rest}'
        out.append(line)
    return "\n".join(out) + "\n"


def as_flow(text: str) -> str:
    out: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith('- "'):
            item = line.lstrip()[2:].partition(" #")[0]
            out[-1] = out[-1][:-1] + (", " if out[-1][-2] != "[" else "") + item + "]" if out[-1].endswith("]") else out[-1]
        else:
            out.append(f"{line} []" if line.endswith("labels:") else line)
    return "\n".join(out) + "\n"


@pytest.mark.parametrize("style", [as_map, as_flow])
def test_labels_of_another_style(style: object) -> None:
    assert callable(style)
    assert repaired(style(COMPOSE)) == style(FIXED_COMPOSE)


def test_containers_that_differ_keep_their_names() -> None:
    other = COMPOSE.replace("whoami-replica.rule=Host(`whoami.localhost`)", "whoami-replica.rule=Host(`other.localhost`)")
    text = repaired(other)
    assert "traefik.http.services.whoami-replica.loadbalancer.sticky.cookie.name=my_app_session" in text
    assert "traefik.http.routers.whoami-replica.rule=Host(`other.localhost`)" in text
    assert "middlewares" not in text


def test_the_other_middlewares_of_a_router_stay() -> None:
    text = repaired(COMPOSE.replace("middlewares=sticky-sessions", "middlewares=auth,sticky-sessions@docker"))
    assert text.count('.middlewares=auth"') == 2
    assert ".sticky.cookie.name=my_app_session" in text


UNCLEAR = {
    "two services and none named": COMPOSE.replace(
        '      - "traefik.http.routers.whoami.service=whoami"\n', '      - "traefik.http.services.b.loadbalancer.server.port=81"\n'
    ),
    "a service of another provider": COMPOSE.replace("whoami.service=whoami", "whoami.service=whoami@file"),
    "a router of another container": COMPOSE.replace(
        '      - "traefik.http.routers.whoami.middlewares=sticky-sessions" # Apply sticky session middleware\n', ""
    ),
    "a service that pins already": COMPOSE.replace("traefik.enable=true", "traefik.http.services.whoami.loadbalancer.sticky.cookie=true"),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_labels_of_which_the_meaning_is_not_clear_are_left(case: str) -> None:
    assert repaired(UNCLEAR[case]) == UNCLEAR[case]


def test_a_router_without_a_named_service_gets_the_one_there_is() -> None:
    text = repaired(
        COMPOSE.replace('      - "traefik.http.routers.whoami.service=whoami"\n', "").replace(
            '      - "traefik.http.routers.whoami-replica.service=whoami-replica"\n', ""
        )
    )
    assert text.count("traefik.http.services.whoami.loadbalancer.sticky.cookie.name") == 2
    assert "replica." not in text
