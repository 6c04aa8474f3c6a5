"""A Kubernetes API server on this machine for the stack `cluster`, where no cluster is named: real etcd, real API server, nothing else.

There is no kubelet, so no pod runs. It is kept in `.pinfeather/cluster/` of the checkout, goes on when `make up` has ended, and ends with
`make down`.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from pinfeather._files import write_atomic
from pinfeather.deploy.contract import RefusedError, Severity, Step, Stored
from pinfeather.deploy.local_process import LocalProcessInputs, LocalProcessOutputs, LocalProcessResource
from pinfeather.deploy.processes import in_use, marked
from tools import parts
from tools.running import Clock, FailedError, write

_DEADLINE = 60.0  # seconds until the API server must answer
_PAUSE = 0.1  # seconds between two questions
_CONFLICT = 409
_PORTS = ("client", "peer", "secure")
_NAMED = "KUBECONFIG=FILE make up STACK=cluster"


class LocalCluster:
    """The API server of one checkout."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.folder = root / ".pinfeather" / "cluster"
        self.kubeconfig = self.folder / "kubeconfig"

    def start(self, environment: Mapping[str, str]) -> None:
        """Start what does not run; returns once the API server answers and knows the CRDs of Traefik and Voyager. Raises FailedError."""
        programs = parts.find(self._root, "kubernetes", environment)
        if programs is None:
            clock = Clock("kubernetes")
            said = parts.ensure(self._root, "kubernetes", clock, environment)
            clock.done(said)
            programs = parts.find(self._root, "kubernetes", environment)
            if programs is None:
                raise FailedError(f"no API server can be had here ({said}); name a cluster: {_NAMED}")
        began = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._prepare()
        try:
            for process in self._processes(programs):
                LocalProcessResource().create(_STEP, process)
        except RefusedError as problem:
            raise FailedError(str(problem)) from None
        self._wait()
        self._install_crds()
        write(f"a Kubernetes API server of this machine (no kubelet: no pod runs): {self.kubeconfig}, {time.monotonic() - began:.1f} s")

    def stop(self) -> None:
        """End it, and forget all that was in it."""
        if not self.folder.exists():
            return
        for process in reversed(self._processes({"etcd": Path("etcd"), "kube-apiserver": Path("kube-apiserver")})):
            gone = LocalProcessOutputs(pid=0, started=0.0, addresses=(), log_file="", specification="")
            LocalProcessResource().delete(_STEP, Stored(process, gone))
        shutil.rmtree(self.folder, ignore_errors=True)

    def _prepare(self) -> None:
        """What it starts with: a key and a token, made once, and ports, chosen anew where another process has taken one."""
        key, tokens, ports = self.folder / "service-accounts.pem", self.folder / "tokens.csv", self._ports()
        if not key.exists():
            try:
                made = subprocess.run(["openssl", "genrsa", "2048"], check=True, capture_output=True).stdout
            except (OSError, subprocess.CalledProcessError):
                self.folder.rmdir()
                raise FailedError("openssl is needed for a key of the API server: install it") from None
            write_atomic(key, made, mode=0o600)
        if not tokens.exists():
            write_atomic(tokens, f"{secrets.token_hex(16)},admin,admin,system:masters\n".encode(), mode=0o600)
        if ports is not None and (self._runs() or not any(in_use(f"127.0.0.1:{port}") for port in ports.values())):
            return
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in _PORTS]
        ports = dict(zip(_PORTS, (each.getsockname()[1] for each in sockets), strict=True))
        for each in sockets:
            each.close()
        cluster = {"server": f"https://127.0.0.1:{ports['secure']}", "certificate-authority": "certificates/apiserver.crt"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": tokens.read_text("ascii").partition(",")[0]}}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": "admin"}}],
            "current-context": "local",
        }
        write_atomic(self.kubeconfig, (json.dumps(config, indent=1) + "\n").encode(), mode=0o600)
        write_atomic(self.folder / "ports.json", json.dumps(ports).encode())

    def _ports(self) -> dict[str, int] | None:
        """Those that were chosen; None where that was never written whole."""
        try:
            found = json.loads((self.folder / "ports.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return found if self.kubeconfig.exists() and set(found) == set(_PORTS) else None

    def _runs(self) -> bool:
        return any(marked(self.folder / "run" / f"{name}.json") for name in ("etcd", "kube-apiserver"))

    def _processes(self, programs: Mapping[str, Path]) -> list[LocalProcessInputs]:
        ports = self._ports() or dict.fromkeys(_PORTS, 1)
        client, peer = f"http://127.0.0.1:{ports['client']}", f"http://127.0.0.1:{ports['peer']}"
        secure, key = ports["secure"], self.folder / "service-accounts.pem"
        etcd = (
            str(programs["etcd"]),
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--log-level=warn",
        )
        server = (
            str(programs["kube-apiserver"]),
            f"--etcd-servers={client}",
            f"--secure-port={secure}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--cert-dir={self.folder / 'certificates'}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--disable-admission-plugins=ServiceAccount",
            "--enable-garbage-collector=false",  # nobody collects here: what is deleted in the foreground would stay for ever
        )
        run = str(self.folder / "run")
        return [
            LocalProcessInputs(name="etcd", command=etcd, folder=run, listen=(client.removeprefix("http://"),), start_timeout=_DEADLINE),
            LocalProcessInputs(name="kube-apiserver", command=server, folder=run, listen=(f"127.0.0.1:{secure}",), start_timeout=_DEADLINE),
        ]

    def _wait(self) -> None:
        deadline = time.monotonic() + _DEADLINE
        while self._ask("GET", "/readyz")[0] != http.client.OK:
            if time.monotonic() > deadline:
                raise FailedError(f"the API server is not ready after {_DEADLINE:.0f} s: see {self.folder / 'run' / 'kube-apiserver.log'}")
            time.sleep(_PAUSE)

    def _install_crds(self) -> None:
        from tests.parts import crds

        for name in ("traefik", "voyager"):
            for definition in crds.definitions(name):
                status, text = self._ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
                if status >= http.client.BAD_REQUEST and status != _CONFLICT:
                    raise FailedError(f"the API server refuses a CRD: {text[:300]}")
        deadline = time.monotonic() + _DEADLINE
        for api_version, kind in (*crds.kinds("traefik"), *crds.kinds("voyager")):
            while f'"{kind}"' not in self._ask("GET", f"/apis/{api_version}")[1]:
                if time.monotonic() > deadline:
                    raise FailedError(f"the API server does not serve {kind}")
                time.sleep(_PAUSE)

    def _ask(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        config = json.loads(self.kubeconfig.read_text("utf-8"))
        token, server = config["users"][0]["user"]["token"], config["clusters"][0]["cluster"]["server"]
        try:
            context = ssl.create_default_context(cafile=str(self.folder / "certificates" / "apiserver.crt"))
            connection = http.client.HTTPSConnection(server.removeprefix("https://"), context=context, timeout=10)
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        except OSError as problem:
            return 0, str(problem)


def _say(severity: Severity, message: str) -> None:
    if severity is Severity.WARNING:
        write(message)


_STEP = Step(urn="the local cluster", preview=False, say=_say)


# The plugin ------------------------------------------------------------------------------------------------------------


def kubernetes_plugin(root: Path, environment: dict[str, str]) -> str:
    """See that the engine finds its plugin for Kubernetes; returns one line that says which.

    The real one is downloaded by the engine. Where that cannot be done the stand-in of the tests is put on PATH; it is no part of the
    product.
    """
    from tests.parts.kubernetes_plugin import plugin_folder

    folder = plugin_folder(environment)
    if folder is None:
        return "the Kubernetes plugin: the real one"
    wanted = version("pulumi-kubernetes")
    command = ["pulumi", "plugin", "install", "resource", "kubernetes", wanted]
    try:
        done = subprocess.run(command, cwd=root, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired):
        done = None
    if done is not None and done.returncode == 0:
        return f"the Kubernetes plugin: the real one, {wanted}, downloaded"
    environment["PATH"] = f"{folder}{os.pathsep}{environment['PATH']}"
    return f"the Kubernetes plugin: the stand-in of the tests ({folder.relative_to(root)}), as the real one cannot be downloaded here"
