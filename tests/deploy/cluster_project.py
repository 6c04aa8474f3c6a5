"""A copy of this checkout with one stack of it, on ports of its own: `cluster` in the API server of the tests, or `dev`."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from pinfeather.deploy.processes import MARK
from tests.parts.kubernetes import KubernetesApi, Object
from tests.parts.kubernetes_plugin import plugin_folder
from tests.parts.processes import free_ports
from tests.required import missing
from tools.toolchain import pulumi_environment

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = {".git", ".venv", ".pinfeather", "__pycache__", ".hypothesis", ".mypy_cache", ".ruff_cache", ".pytest_cache", "build", "dist"}
GROUP = "traefik.io/v1alpha1"


@dataclass
class ClusterProject:
    """The copy. `settings` are the keys of `pinfeather:*` that are written before each command."""

    root: Path
    api: KubernetesApi
    environment: Mapping[str, str]
    namespace: str
    ports: Mapping[str, int]
    settings: dict[str, object] = field(default_factory=dict)
    stack: str = "cluster"
    keep_settings: bool = False
    """Whether the stack's file is left as it is."""
    patience: float = 240
    """Seconds that a command may take."""

    @property
    def document(self) -> Path:
        return self.root / "stacks" / self.stack / "shop.yaml"

    def pulumi(self, *words: str, fails: bool = False, environment: Mapping[str, str] | None = None) -> str:
        """Runs one command of the engine; returns what it printed. Fails the test when it ends otherwise than expected."""
        return self.run(["pulumi", *words, "--stack", self.stack, "--non-interactive", "--color", "never"], fails, environment)

    def up(self, *words: str, fails: bool = False) -> str:
        return self.pulumi("up", "--yes", "--skip-preview", "--suppress-progress", *words, fails=fails)

    def run(self, command: list[str], fails: bool = False, environment: Mapping[str, str] | None = None) -> str:
        self.configure()
        given = {**self.environment, **(environment or {})}
        done = subprocess.run(command, cwd=self.root, env=given, capture_output=True, text=True, timeout=self.patience, check=False)
        printed = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, f"{' '.join(command)} ended with {done.returncode}:\n{printed}"
        assert "Traceback" not in printed, printed
        return printed

    def configure(self) -> None:
        if self.keep_settings:
            return
        base: dict[str, object] = {"document": f"stacks/{self.stack}/shop.yaml", **self.ports}
        if self.stack == "cluster":
            base |= {"format": "ingressroute", "namespace": self.namespace, "run": "beside"}
        keys = {f"pinfeather:{key}": value for key, value in {**base, **self.settings}.items() if value is not None}
        (self.root / "stacks" / f"Pulumi.{self.stack}.yaml").write_text(yaml.safe_dump({"config": keys}), "utf-8")

    def edit(self, *changes: tuple[str, str]) -> None:
        """Replaces texts of the document, each of which must be there."""
        text = self.document.read_text("utf-8")
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        self.document.write_text(text, "utf-8")

    def object(self, kind: str, name: str, group: str = GROUP) -> Object | None:
        return self.api.get(group, kind, name, self.namespace)

    def names(self, kind: str, group: str = GROUP) -> list[str]:
        path = self.api._path(group, kind, self.namespace)
        items = self.api.request("GET", path)["items"]
        assert isinstance(items, list)
        return sorted(str(each["metadata"]["name"]) for each in items)  # type: ignore[index,call-overload]

    def everything(self) -> dict[str, list[str]]:
        """What is in the namespace."""
        kinds = [(GROUP, kind) for kind in ("IngressRoute", "TraefikService", "Middleware")] + [("v1", "Service"), ("v1", "Secret")]
        return {kind: self.names(kind, group) for group, kind in kinds}

    def state(self) -> dict[str, object]:
        exported = json.loads(self.pulumi("stack", "export"))
        deployment = exported["deployment"]
        assert isinstance(deployment, dict)
        return deployment

    def processes(self) -> list[int]:
        """Everything alive that was started for this copy."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK, "").startswith(f"{self.root}/") and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
            except psutil.Error:
                continue
        return found

    def get(self, host: str = "shop.localhost", **headers: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["traefikPort"], timeout=10)
        try:
            connection.request("GET", "/", headers={"Host": host, **headers})
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        return answer.status


def kubeconfig(path: Path, url: str, ca: Path, token: str) -> Path:
    """Writes a kubeconfig of one cluster and one token."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": {"server": url, "certificate-authority": str(ca)}}],
        "users": [{"name": "tests", "user": {"token": token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
        "current-context": "tests",
    }
    path.write_text(json.dumps(config), "utf-8")
    return path


@contextmanager
def cluster_project(folder: Path, api: KubernetesApi, namespace: str, stack: str = "cluster") -> Iterator[ClusterProject]:
    """A copy in `folder` with ports and a namespace of its own; whatever it started and did not end is ended afterwards."""
    environment = pulumi_environment(ROOT)
    if shutil.which("pulumi", path=environment["PATH"]) is None:
        missing("the Pulumi engine (`make setup` gets it)")
    root = folder / "pinfeather"
    shutil.copytree(ROOT, root, symlinks=True, ignore=lambda _, names: [name for name in names if name in LEFT_OUT])
    (root / ".venv").symlink_to(ROOT / ".venv")
    state = folder / "state"
    state.mkdir()
    names = ("traefikPort", "traefikApiPort", "proxyPort", "proxyAdminPort")
    ports = {**dict(zip(names, free_ports(len(names)), strict=True)), "demoPorts": ports_in_a_row(4)}
    own = {
        "PULUMI_BACKEND_URL": f"file://{state}",
        "PULUMI_CONFIG_PASSPHRASE": "a test",
        "KUBECONFIG": str(kubeconfig(folder / "kubeconfig", api.url, api.ca, api.token)),
    }
    environment = {**pulumi_environment(root), **own}
    if (plugin := plugin_folder(environment)) is not None:
        environment["PATH"] = f"{plugin}{os.pathsep}{environment['PATH']}"
    if api.get("v1", "Namespace", namespace, "") is None:
        api.request("POST", "/api/v1/namespaces", json.dumps({"metadata": {"name": namespace}}))
    made = ClusterProject(root, api, environment, namespace, ports, stack=stack)
    made.run(["pulumi", "stack", "init", stack, "--non-interactive"])
    try:
        yield made
    finally:
        for pid in made.processes():
            psutil.Process(pid).kill()


def ports_in_a_row(count: int) -> int:
    """The first of so many free ports; drawn, so that tests side by side have others."""
    for first in random.SystemRandom().sample(range(21000, 32000, count), 200):  # below those that the system hands out
        sockets = []
        try:
            for port in range(first, first + count):
                sockets.append(one := socket.socket())
                one.bind(("127.0.0.1", port))
        except OSError:
            continue
        else:
            return first
        finally:
            for one in sockets:
                one.close()
    raise AssertionError("no free ports")


def unpacked(path: Path) -> bytes:
    """What a file holds, out of gzip where it is in one; of one that was cut off, what comes before that."""
    data = path.read_bytes()
    if not data.startswith(b"\x1f\x8b"):
        return data
    found = zlib.decompressobj(wbits=31)
    return found.decompress(data) + found.flush()


PYTHON = sys.executable
