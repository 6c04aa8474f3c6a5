"""What goes wrong with a cluster, and what must not be seen: secrets, locks, rights, a server that goes away, a disk that is full."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from tests.deploy.cluster_project import ClusterProject, cluster_project, kubeconfig, unpacked
from tests.parts.kubernetes import TOKEN, KubernetesApi
from tests.required import missing

MARKER = "pWd-SECRET-MARKER-8f3a1c"
USERS = f"""
pinfeather: v1
entry_points: {{web: 80}}
routes:
  - {{name: shop, hosts: [shop.localhost], entry_points: [web], middlewares: [users], to: shop}}
services:
  shop: {{servers: [{{kubernetes: {{service: shop, port: http}}}}]}}
middlewares:
  users: {{basic_auth: {{users: [{{template: "{{{{ .users }}}}"}}, "plain:{MARKER}-in-the-document"]}}}}
"""


@pytest.fixture
def shop(tmp_path: Path, kubernetes_server: KubernetesApi, request: pytest.FixtureRequest) -> Iterator[ClusterProject]:
    with cluster_project(tmp_path, kubernetes_server, f"faults-{abs(hash(request.node.name)) % 10**6}") as made:
        yield made


def test_a_secret_is_nowhere_in_the_clear(shop: ClusterProject, tmp_path: Path) -> None:
    # Where the engine keeps logs of its own accord: gzip until it knows the stack's secrets, encrypted from then on.
    home = tmp_path / "home"
    shop.environment = {**shop.environment, "PULUMI_HOME": str(home)}
    shop.document.write_text(USERS, "utf-8")
    shop.configure()
    shop.keep_settings = True
    printed = shop.pulumi("config", "set", "--secret", "--path", 'pinfeather:bind[".users"]', f"admin:{MARKER}-in-the-settings")
    printed += shop.pulumi("preview", "--diff")
    printed += shop.up("--diff")
    printed += shop.pulumi("preview", "--json")
    text = shop.document.read_text("utf-8")
    shop.document.write_text(text.replace("in-the-document", "changed"), "utf-8")
    printed += shop.pulumi("preview", "--diff") + shop.up("--diff") + shop.up("--expect-no-changes")
    printed += shop.pulumi("stack", "export") + shop.pulumi("stack", "output", "--json") + shop.pulumi("stack", "history", "--json")
    (secret,) = shop.names("Secret", "v1")
    live = shop.object("Secret", secret, "v1")
    assert live is not None
    assert MARKER not in json.dumps({**live, "data": None})
    assert MARKER not in printed
    assert TOKEN not in printed
    own = {shop.document, shop.root / ".pinfeather" / "run" / "cluster" / "document.yaml"}
    state = Path(shop.environment["PULUMI_BACKEND_URL"].removeprefix("file://"))
    looked = 0
    for place in (state, home, shop.root / ".pinfeather", shop.root / "stacks"):
        for path in place.glob("**/*"):
            if path.is_file() and path not in own:
                looked += 1
                data = unpacked(path)
                assert MARKER.encode() not in data, path
                assert TOKEN.encode() not in data, path
    assert looked > 10
    assert any((home / "logs").iterdir())
    assert (shop.root / ".pinfeather" / "run" / "cluster" / "document.yaml").stat().st_mode & 0o077 == 0
    shop.pulumi("destroy", "--yes", "--skip-preview")


def test_of_two_at_once_one_is_told_who_holds_the_lock(shop: ClusterProject) -> None:
    shop.configure()
    words = ["pulumi", "up", "--yes", "--skip-preview", "--stack", "cluster", "--non-interactive"]
    first = subprocess.Popen(
        words, cwd=shop.root, env=dict(shop.environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    state = Path(shop.environment["PULUMI_BACKEND_URL"].removeprefix("file://"))
    deadline = time.monotonic() + 30
    while not any(state.glob(".pulumi/locks/**/*.json")):
        assert time.monotonic() < deadline
        assert first.poll() is None
    first.send_signal(signal.SIGSTOP)  # it holds the lock for as long as the second takes
    try:
        second = shop.up(fails=True)
    finally:
        first.send_signal(signal.SIGCONT)
    assert f"pid {first.pid}" in second
    assert "locked" in second
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output
    shop.up("--expect-no-changes")
    shop.pulumi("destroy", "--yes", "--skip-preview")


def test_a_token_that_may_not(shop: ClusterProject, tmp_path: Path) -> None:
    api, namespace = shop.api, shop.namespace
    api.apply(f"apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: deployer, namespace: {namespace}}}\n")
    asked = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    made = api.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/deployer/token", asked)
    status = made["status"]
    assert isinstance(status, dict)
    theirs = {"KUBECONFIG": str(kubeconfig(tmp_path / "theirs", api.url, api.ca, str(status["token"])))}
    shop.configure()
    printed = shop.pulumi("up", "--yes", "--skip-preview", fails=True, environment=theirs)
    assert "does not let this user" in printed
    assert "cannot get resource" in printed
    assert shop.names("IngressRoute") == []
    # May look and may not touch: refused while the objects are tried, in the server's own words.
    api.apply(MAY_LOOK.replace("NAMESPACE", namespace))
    printed = shop.pulumi("up", "--yes", "--skip-preview", fails=True, environment=theirs)
    assert 'cannot patch resource "' in printed
    assert shop.names("IngressRoute") == []
    shop.up()
    shop.up("--expect-no-changes")
    shop.pulumi("destroy", "--yes", "--skip-preview")


def test_an_api_server_that_goes_away_in_the_middle(shop: ClusterProject, tmp_path: Path) -> None:
    host, _, port = shop.api.url.removeprefix("https://").partition(":")
    with _gate(host, int(port)) as gate:
        through = {"KUBECONFIG": str(kubeconfig(tmp_path / "gate", f"https://127.0.0.1:{gate.port}", shop.api.ca, shop.api.token))}
        gate.let_through(2)  # the questions before, and the plugin's first
        printed = shop.pulumi("up", "--yes", "--skip-preview", fails=True, environment=through)
        assert "does not answer" in printed
        printed = shop.pulumi("up", "--yes", "--skip-preview", fails=True, environment=through)
        assert "does not answer" in printed
    shop.up()
    shop.up("--expect-no-changes")
    assert shop.get() == 200
    shop.pulumi("destroy", "--yes", "--skip-preview")
    assert shop.names("TraefikService") == []


def test_a_full_disk_loses_nothing(shop: ClusterProject, tmp_path: Path) -> None:
    """The state's disk is full in the middle: the run says so; with room again, the next one converges."""
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(small)], check=False).returncode:
        missing("root, and a small file system for a full disk,")
    try:
        shop.environment = {**shop.environment, "PULUMI_BACKEND_URL": f"file://{small}"}
        shop.run(["pulumi", "stack", "init", "cluster", "--non-interactive"])
        printed = shop.up(fails=True)
        assert "no space left on device" in printed
        subprocess.run(["mount", "-o", "remount,size=16m", str(small)], check=True)
        shop.run([*TOOL, "up", "--stack", "cluster"])
        shop.up("--expect-no-changes")
        shop.pulumi("destroy", "--yes", "--skip-preview")
        assert shop.processes() == []
        assert shop.names("IngressRoute") == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


TOOL = [str(Path(__file__).resolve().parents[2] / ".venv" / "bin" / "python"), "-m", "tools.stack"]
MAY_LOOK = yaml.safe_dump_all(
    [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "may-look-NAMESPACE"},
            "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "may-look-NAMESPACE"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "may-look-NAMESPACE"},
            "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": "NAMESPACE"}],
        },
    ]
)


class _Gate:
    """A way to the API server on a port of its own, which takes so many connections and then is gone, with all that came through it."""

    def __init__(self, host: str, port: int) -> None:
        self._behind = (host, port)
        self._left = 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def let_through(self, count: int) -> None:
        self._left = count

    def close(self) -> None:
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        for one in (self._listener, *self._open):
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            if self._left == 0:
                for one in self._open:
                    with suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)
                continue
            self._left -= 1
            server = socket.create_connection(self._behind)
            self._open.append(server)
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def _gate(host: str, port: int) -> Iterator[_Gate]:
    gate = _Gate(host, port)
    try:
        yield gate
    finally:
        gate.close()
