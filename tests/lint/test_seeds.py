"""What lint says of the configurations that people copy: what is wrong with each, and what is left after `--fix`.

`tests/seeds/` restates the five texts: a compose tutorial, an article, and three pages of guides, their lost indentation restored.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.lint.conftest import Lint

SEEDS = Path(__file__).resolve().parents[1] / "seeds"
ADVICE = {"lint.assumed", "unread.scope"}
"""Codes of what is no finding about stickiness or routing."""
CROSS = ["info lint.cookie-cross-site"]
CANARY = ["warning lint.cookie-regex", "warning lint.cookie-shared", *CROSS, *CROSS]
FOUND: dict[str, tuple[list[str], list[str]]] = {  # by file: what is found, what is left
    "compose-tutorial/docker-compose.yml": (["error lint.sticky-middleware"] * 2, ["warning lint.no-health-check"]),
    "compose-tutorial/traefik.yml": (["warning lint.api-insecure"], ["warning lint.api-insecure"]),
    "article/health-check.yml": (["warning lint.cookie-insecure", "warning lint.cookie-readable", "warning lint.cookie-same-site"], []),
    "article/run.sh": (["warning lint.no-health-check"], ["warning lint.no-health-check"]),
    "article/traefikservice.yaml": (["warning lint.sticky-one-child"], []),
    "canary-sticky/list.yaml": (CANARY, [*CROSS, *CROSS]),
    "canary-sticky/map.yaml": (CANARY, [*CROSS, *CROSS]),
    "sticky-ingressroute/list.yaml": (CROSS, CROSS),
    "article/file.yml": ([], []),
    "sticky-ingressroute/map.yaml": (CROSS, CROSS),
    "voyager/sticky-ingress.yaml": (
        ["error lint.annotation-singular", "warning lint.setting-ignored"],
        ["warning lint.cookie-insecure", "warning lint.cookie-readable", "warning lint.cookie-same-site", "warning lint.setting-ignored"],
    ),
}  # fmt: skip


def findings(errors: str) -> list[str]:
    heads = [re.match(r"(\S+?)(?::\d+:\d+)?: (error|warning|info) (\S+): ", line) for line in errors.splitlines()]
    return [f"{head[2]} {head[3]}" for head in heads if head is not None and head[3] not in ADVICE]


@pytest.mark.parametrize("name", FOUND)
def test_a_seed_is_linted_and_fixed(name: str, lint: Lint, here: Path) -> None:
    wrong, left = FOUND[name]
    shutil.copy(SEEDS / name, name := Path(name).name)
    assert findings(lint(name, "--all")[2]) == wrong
    lint("--fix", name)
    assert findings(lint(name, "--all")[2]) == left


def test_the_tutorial_becomes_one_router_one_service_and_two_containers(lint: Lint, here: Path) -> None:
    from pinfeather.translators import docker_labels
    from pinfeather.translators.contract import File, Source

    shutil.copy(SEEDS / "compose-tutorial/docker-compose.yml", "docker-compose.yml")
    lint("--fix", "docker-compose.yml")
    text = Path("docker-compose.yml").read_text()
    options = docker_labels.TRANSLATOR.options()
    document = docker_labels.TRANSLATOR.parse(Source((File("docker-compose.yml", text),)), options).document
    assert document is not None
    assert [(route.name, route.hosts, route.to, route.middlewares) for route in document.routes] == [
        ("whoami", ("whoami.localhost",), "whoami", ())
    ]
    (service,) = document.services.values()
    assert [server.container and server.container.name for server in service.servers] == ["whoami", "whoami-replica"]  # type: ignore[union-attr]
    assert service.sticky is not None
    assert service.sticky.cookie is not None
    assert service.sticky.cookie.model_dump(exclude_none=True) == {
        "name": "my_app_session", "max_age": 3600, "secure": True, "http_only": True, "same_site": "lax",
    }  # fmt: skip
    assert document.middlewares == {}
    old = (SEEDS / "compose-tutorial/docker-compose.yml").read_text().splitlines()
    assert [line for line in text.splitlines() if "traefik." not in line] == [line for line in old if "traefik." not in line], (
        "the rest is as it was"
    )
