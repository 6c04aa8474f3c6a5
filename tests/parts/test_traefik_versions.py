"""Every version of Traefik that tests may ask for: it is what it says, and loads a file."""

from __future__ import annotations

import subprocess

import pytest

from pinfeather.testing.traefik import TraefikError
from tests.parts.fixtures import TRAEFIKS, StartTraefik, traefik_binary
from tests.required import missing

RULE = {"2.11": "Host(`shop.test`) && Path(`/{id:[0-9]+}`)"}
FILE = """\
http:
  routers:
    shop: {{rule: "{rule}", service: shop}}
  services:
    shop: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:9"}}], sticky: {{cookie: {{name: pin}}}}}}}}
"""


def test_there_is_one_of_most_minors() -> None:
    assert TRAEFIKS == ("2.11", "3.0", "3.2", "3.3", "3.4", "3.5", "3.6")


@pytest.mark.parametrize("version", TRAEFIKS)
def test_each_loads_a_file(traefik: StartTraefik, version: str) -> None:
    binary = traefik_binary(version) or missing(f"Traefik {version}")
    told = subprocess.run([binary, "version"], capture_output=True, text=True, check=True, timeout=20).stdout
    assert told.split()[1].startswith(f"{version}.")
    running = traefik({"a.yml": FILE.format(rule=RULE.get(version, "Host(`shop.test`) && PathRegexp(`^/[0-9]+$`)"))}, version=version)
    assert running.items("routers")["shop"]["status"] == "enabled"
    assert running.request("/7", host="shop.test").status == 502
    assert running.request("/x", host="shop.test").status == 404
    with pytest.raises(TraefikError, match="field not found, node: nope"):
        running.write({"b.yml": "http: {routers: {x: {nope: 1}}}"})


@pytest.mark.parametrize("version", [*TRAEFIKS[1:], None])
def test_v3_disables_a_rule_of_v2(traefik: StartTraefik, version: str | None) -> None:
    running = traefik({"a.yml": FILE.format(rule="Headers(`X-Canary`, `yes`)")}, version=version)
    assert running.items("routers")["shop"]["status"] == "disabled"
