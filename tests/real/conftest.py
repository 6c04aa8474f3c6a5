"""The reference proxy as a process of its own, beside the real parts of `tests/parts/`; one set for a module."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.parts.docker import DockerApi
from tests.parts.fixtures import StartTraefik as StartTraefik
from tests.parts.kubernetes import KubernetesApi
from tests.parts.servers import Hit as Hit
from tests.parts.servers import Servers as Servers
from tests.real.surfaces import StartSurface, starting

DEADLINE = 20.0  # seconds for a start, a reload or a state
KEY = "a key for comparisons, and for nothing else"


class Reference:
    """The reference proxy, `python -m pinfeather.proxy`, in front of a file of its own."""

    key = KEY.encode()

    def __init__(self, folder: Path, text: str, entry_points: Iterable[str], arguments: Iterable[str] = ()) -> None:
        self._file = folder / "document.yaml"
        self._file.write_text(text, "utf-8")
        (folder / "key").write_text(KEY, "ascii")
        self._log = folder / "proxy.log"
        listening = [f"--listen={name}=127.0.0.1:0" for name in entry_points]
        command = [sys.executable, "-m", "pinfeather.proxy", str(self._file), *listening]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--admin=127.0.0.1:0", f"--key-file={folder / 'key'}", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.wait(lambda: "admin listens on" in self.log(), "the start")
        found = re.findall(r"^(?:entry point ')?(\w+)'? listens on 127\.0\.0\.1:(\d+)$", self.log(), re.MULTILINE)
        self._ports = {name: int(port) for name, port in found}

    def write(self, text: str) -> None:
        """Replaces the document, and returns when it is served."""
        aside = self._file.with_suffix(".new")
        aside.write_text(text, "utf-8")
        aside.replace(self._file)
        self._process.send_signal(signal.SIGHUP)
        revision = hashlib.sha256(text.encode()).hexdigest()
        self.wait(lambda: self.state()["revision"] == revision, "the new document")

    def port(self, entry_point: str) -> int:
        return self._ports[entry_point]

    def state(self) -> dict[str, object]:
        """What `/state` says."""
        connection = http.client.HTTPConnection("127.0.0.1", self._ports["admin"], timeout=DEADLINE)
        try:
            connection.request("GET", "/state")
            found = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert isinstance(found, dict)
        return found

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + DEADLINE
        while not condition():
            assert self._process.poll() is None, f"the proxy has ended while waiting for {what}:\n{self.log()}"
            assert time.monotonic() < end, f"still waiting for {what}:\n{self.log()}"
            time.sleep(0.01)

    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(DEADLINE)


@pytest.fixture(scope="module")
def surfaces(docker: DockerApi, kubernetes_server: KubernetesApi, start_traefik: StartTraefik) -> StartSurface:
    """`surfaces("ingress")`: a real Traefik with that provider, for the rest of the module."""
    return starting(docker, kubernetes_server, start_traefik)


StartReference = Callable[..., Reference]


@pytest.fixture(scope="module")
def start_reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartReference]:
    """`start_reference(canonical_text, entry_points, arguments)`: the reference proxy for the rest of the module."""
    with ExitStack() as running:

        def start(text: str, entry_points: Iterable[str], arguments: Iterable[str] = ()) -> Reference:
            instance = Reference(tmp_path_factory.mktemp("reference"), text, entry_points, arguments)
            running.callback(instance.stop)
            return instance

        yield start
