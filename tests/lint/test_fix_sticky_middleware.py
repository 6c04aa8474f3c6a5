"""The middleware that does not exist: `lint --fix` makes of it what its author means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

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


def as_list(text: str) -> str:
    return text


def sound(text: str) -> str:
    """The same with the attributes that `--fix` writes too."""
    return text.replace(
        '      - "traefik.http.services.whoami.loadbalancer.sticky.cookie.httponly',
        '      - "traefik.http.services.whoami.loadbalancer.sticky.cookie.secure=true"\n'
        '      - "traefik.http.services.whoami.loadbalancer.sticky.cookie.samesite=lax"\n'
        '      - "traefik.http.services.whoami.loadbalancer.sticky.cookie.httponly',
    )


@pytest.mark.parametrize("style", [as_list, as_map, as_flow])
@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_two_containers_become_one_router_and_one_service(style: Callable[[str], str], ends: str, lint: Lint, put: Put, here: Path) -> None:
    put({"compose.yml": style(COMPOSE).replace("\n", ends).encode()})
    code, _, errors = lint("--fix")
    assert (here / "compose.yml").read_bytes().decode() == style(sound(FIXED_COMPOSE)).replace("\n", ends), errors
    assert [line.split(" ")[2] for line in errors.splitlines() if ": warning " in line and not line.startswith("fixed")] == [
        "lint.no-health-check:"
    ]
    assert code == 1
