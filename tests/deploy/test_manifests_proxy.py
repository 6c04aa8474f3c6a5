"""The reference proxy's manifest, with its own arguments on the real proxy; what the image starts; and settings that are refused."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from pydantic import ValidationError

from pinfeather.deploy.manifests.common import Autoscaling, as_bytes
from pinfeather.deploy.manifests.reference_proxy import ReferenceProxySettings, reference_proxy_objects
from pinfeather.deploy.manifests.traefik import TraefikSettings, traefik_objects
from pinfeather.translators._syntax.yaml_emit import emit_all
from tests.deploy.manifest_parts import POINTS, PROXY, branch, container, deployment, words
from tests.parts import certificates
from tests.parts.processes import free_ports
from tests.parts.proxies import answering, get, running, until
from tests.test_example import done, environment
from tests.test_example import wheels as wheels

ROOT = Path(__file__).resolve().parents[2]
OBJECTS = TraefikSettings(namespace="proxies", entry_points=POINTS, namespaces=("shop",))
TRAEFIKS = [OBJECTS.model_copy(update={"all_namespaces": wide, "reads_ingresses": wide, "tls": ("websecure",)}) for wide in (False, True)]


def command_in(folder: Path, settings: ReferenceProxySettings) -> tuple[list[str], list[str], dict[str, int]]:
    """The container's arguments and the command of its probe, with the mounts in a folder and on free ports."""
    found = container(reference_proxy_objects(settings, ""))
    ports = dict(zip(["admin", *settings.ports], free_ports(1 + len(settings.ports)), strict=True))
    numbers = {"9000": ports["admin"], **{str(port): ports[name] for name, port in settings.ports.items()}}

    def placed(text: str) -> str:
        text = text.replace("/etc/pinfeather", str(folder)).replace("/var/run/pinfeather", str(folder / "run"))
        return re.sub(r"\b(9000|8080|8443)\b", lambda m: str(numbers[m[1]]), text).replace("0.0.0.0", "127.0.0.1")

    arguments = [placed(argument) for argument in words(found["args"])]
    probe = [placed(word) for word in words(branch(found, "livenessProbe", "exec")["command"])]
    assert probe == [placed(word) for word in words(branch(found, "readinessProbe", "exec")["command"])]
    assert probe[0] == "python"
    return arguments, [sys.executable, *(word.replace(", 4)", ", 1)") for word in probe[1:])], ports


@pytest.fixture
def backend() -> Iterator[str]:
    """A server that answers `ok`; its URL."""
    with answering() as url:
        yield url


DOCUMENT = """
pinfeather: v1
entry_points: {web: 80, websecure: {port: 443, tls: true}}
routes: [{name: shop, hosts: [shop.localhost], to: shop}]
services: {shop: {servers: [{url: URL}]}}
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_the_probe_tells_a_proxy_that_hangs_from_one_that_serves(workers: int, backend: str, tmp_path: Path) -> None:
    settings = PROXY.model_copy(update={"workers": workers, "certificates": ("shop.example.com-tls",)})
    arguments, probe, ports = command_in(tmp_path, settings)
    held = tmp_path / "run-tls" / "shop.example.com-tls"
    held.mkdir(parents=True)
    chain, key = certificates.make(tmp_path, "shop", "shop.localhost")
    chain.rename(held / "tls.crt")
    key.rename(held / "tls.key")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "key").write_text("k" * 64)

    def healthy() -> bool:
        return subprocess.run(probe, capture_output=True, timeout=30, check=False).returncode == 0

    (tmp_path / "document.yaml").write_text(DOCUMENT.replace("URL", f'"{backend}"'))
    assert not healthy()  # nobody is there
    with running(*arguments) as proxy:
        proxy.line("admin listens")
        until(healthy)
        assert get(ports["web"], Host="shop.localhost") == (200, b"ok")
        context = ssl.create_default_context(cafile=str(held / "tls.crt"))
        connection = http.client.HTTPSConnection("127.0.0.1", ports["websecure"], context=context, timeout=10)
        context.check_hostname = False
        connection.request("GET", "/", headers={"Host": "shop.localhost"})
        assert connection.getresponse().status == 200
        connection.close()
        proxy.process.send_signal(signal.SIGSTOP)
        try:
            assert not healthy()
        finally:
            proxy.process.send_signal(signal.SIGCONT)
        until(healthy)


def test_a_pod_that_ends_is_told_later_than_those_who_send_it_clients() -> None:
    found = container(reference_proxy_objects(PROXY.model_copy(update={"drain": 1}), ""))
    command = words(branch(found, "lifecycle", "preStop", "exec")["command"])
    assert command[0] == "python"
    assert subprocess.run([sys.executable, *command[1:]], timeout=30, check=False).returncode == 0
    assert command[-1] == "import time; time.sleep(1)"
    assert "lifecycle" not in container(reference_proxy_objects(PROXY.model_copy(update={"drain": 0}), ""))
    spec = branch(deployment(reference_proxy_objects(PROXY, "")), "spec", "template", "spec")
    grace = spec["terminationGracePeriodSeconds"]
    assert isinstance(grace, int)
    assert grace >= PROXY.drain + 10 + 5  # it drains for 10 s, and waits 5 s longer for its workers


def test_the_wheel_holds_what_the_image_starts(wheels: list[Path], tmp_path: Path) -> None:
    """The steps of the Containerfile, without its container: the wheel that it copies, installed with what `[proxy]` asks for."""
    text = (ROOT / "pinfeather" / "deploy" / "container" / "Containerfile").read_text("utf-8")
    (pattern,) = re.findall(r"^COPY (\S+) /tmp/$", text, re.MULTILINE)
    ours = [wheel for wheel in wheels if fnmatch(wheel.name, pattern)]
    assert len(ours) == 1  # and not the example plugin's
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
    started = json.loads(entry)
    folder = environment(tmp_path / "venv", ours, ["pinfeather[proxy]"])
    assert "--key-file" in done([folder / started[0], *started[1:], "--help"], tmp_path)
    assert ".pyc" not in text
    assert "--compile" in text  # the file system is read-only


# Settings ----------------------------------------------------------------------------------------------------------------


def test_the_same_bytes_in_every_process() -> None:
    program = "from tests.deploy.test_manifests_proxy import every\nprint(every())"
    seen = {done([sys.executable, "-c", program], ROOT, {**os.environ, "PYTHONHASHSEED": seed}) for seed in ("1", "2", "3")}
    assert seen == {f"{every()}\n"}


def every() -> str:
    return emit_all([*(each for settings in TRAEFIKS for each in traefik_objects(settings)), *reference_proxy_objects(PROXY, "a: 1\n")])


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"memory": "128m"}, "memory"),
        ({"memory": "128MB"}, "memory"),
        ({"memory": "1Gi", "memory_limit": "512Mi"}, "memory_limit 512Mi is less than memory 1Gi"),
        ({"cpu": "100Mi"}, "cpu"),
        ({"entry_points": {}}, "entry_points"),
        ({"entry_points": {"ping": 80}}, "cannot be called 'ping'"),
        ({"namespaces": ("shop,others",)}, "namespaces"),
        ({"tls": ("websecur",)}, "there is no entry point 'websecur'"),
        ({"image": ""}, "image"),
    ],
)
def test_settings_that_are_refused(more: dict[str, object], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        TraefikSettings.model_validate({"namespace": "shop", "entry_points": POINTS, **more})


def test_more_settings_that_are_refused() -> None:
    with pytest.raises(ValidationError, match="min_replicas 3 is more than max_replicas 2"):
        Autoscaling(min_replicas=3, max_replicas=2)
    with pytest.raises(ValidationError, match="workers"):
        ReferenceProxySettings(namespace="shop", entry_points=POINTS, image="x", workers=0)


def test_memory() -> None:
    assert [as_bytes(each) for each in ("1", "1.5k", "128Mi", "2G", "1Gi")] == [1, 1500, 128 << 20, 2 * 10**9, 1 << 30]
    assert OBJECTS.limit == "512Mi"
    assert OBJECTS.model_copy(update={"memory": "1Gi"}).limit == "1Gi"
    assert container(traefik_objects(OBJECTS))["env"] == [{"name": "GOMEMLIMIT", "value": str((512 << 20) * 9 // 10)}]
