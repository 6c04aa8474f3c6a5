"""The stack `dev` as a user meets it: the real engine, a real Traefik, the reference proxy and four demo servers.

One deployment serves all tests of this file, in their order, each beginning where the one before left off.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.required import missing
from tools.toolchain import pulumi_environment

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = {".git", ".venv", ".pinfeather", "__pycache__", ".hypothesis", ".mypy_cache", ".ruff_cache", ".pytest_cache", "build", "dist"}


@dataclass
class Shop:
    """A copy of this checkout with ports of its own, and the engine to deploy it."""

    root: Path
    environment: Mapping[str, str]
    ports: dict[str, int] = field(default_factory=dict)

    def make(self, what: str) -> str:
        """`make up` and its like, without the set-up. Returns what it printed; fails the test unless it exits 0."""
        return self._run([sys.executable, "-m", "tools.stack", what, "--stack", "dev"])

    def pulumi(self, *words: str) -> str:
        return self._run(["pulumi", *words, "--stack", "dev", "--non-interactive", "--color", "never"])

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=240, check=False)
        printed = done.stdout + done.stderr
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{printed}"
        return printed

    def pids(self) -> dict[str, int]:
        exported = json.loads(self.pulumi("stack", "export"))
        resources = exported["deployment"].get("resources", [])
        return {r["urn"].rpartition("::")[2]: int(r["outputs"]["pid"]) for r in resources if r["type"] == "pinfeather:index:LocalProcess"}

    def get(self, port: str, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=10)
        try:
            connection.request("GET", "/", headers={"Host": "shop.localhost", **headers})
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        return answer

    def ours(self) -> list[psutil.Process]:
        """Every process whose command names a file of this copy, or that listens on one of its ports."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if any(str(self.root) in word for word in words) or any(word == str(port) for word in words for port in self.ports.values()):
                found.append(process)
        return found


def free_ports(count: int) -> list[int]:
    """That many free ports in a row."""
    for first in range(21000, 60000, 53):
        sockets = []
        try:
            for port in range(first, first + count):
                sockets.append(one := socket.socket())
                one.bind(("127.0.0.1", port))
        except OSError:
            continue
        else:
            return list(range(first, first + count))
        finally:
            for one in sockets:
                one.close()
    raise AssertionError("no free ports")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    environment = pulumi_environment(ROOT)
    if shutil.which("pulumi", path=environment["PATH"]) is None:
        missing("the Pulumi engine (`make setup` gets it)")
    root = tmp_path_factory.mktemp("shop") / "pinfeather"
    shutil.copytree(ROOT, root, symlinks=True, ignore=lambda _, names: [name for name in names if name in LEFT_OUT])
    (root / ".venv").symlink_to(ROOT / ".venv")
    names = ["traefikPort", "traefikApiPort", "proxyPort", "proxyAdminPort"]
    free = free_ports(8)
    ports = dict(zip(names, free, strict=False)) | {"demoPorts": free[4]}
    settings = "".join(f"  pinfeather:{name}: {port}\n" for name, port in ports.items())
    (root / "stacks" / "Pulumi.dev.yaml").write_text(f"config:\n  pinfeather:document: stacks/dev/shop.yaml\n{settings}", "utf-8")
    made = Shop(root, pulumi_environment(root) | {"PULUMI_BACKEND_URL": f"file://{root}/.pinfeather/state"}, ports)
    try:
        yield made
    finally:
        for process in made.ours():
            process.kill()


def test_up_shows_a_table_in_which_both_proxies_agree(shop: Shop) -> None:
    printed = shop.make("up")
    assert "Both proxies behave as the document says." in printed
    assert f"curl -i --connect-to ::127.0.0.1:{shop.ports['traefikPort']} http://shop.localhost/" in printed
    assert f"curl -i --connect-to ::127.0.0.1:{shop.ports['proxyPort']} -b canary=v2 http://shop.localhost/" in printed
    assert len(shop.pids()) == 6


def test_up_again_changes_nothing(shop: Shop) -> None:
    before = shop.pids()
    printed = shop.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert "unchanged" in printed
    assert shop.pids() == before


def test_a_weight_edit_updates_the_files_of_the_document_and_loses_no_request(shop: Shop) -> None:
    before = shop.pids()
    document = shop.root / "stacks" / "dev" / "shop.yaml"
    text = document.read_text("utf-8")
    assert text.count("weight: 90") == text.count("weight: 10") == 1
    document.write_text(text.replace("weight: 90", "weight: 70").replace("weight: 10", "weight: 30"), "utf-8")
    done, counts, faults = threading.Event(), {"traefikPort": 0, "proxyPort": 0}, list[str]()

    def load(port: str) -> None:
        while not done.is_set():
            try:
                status = shop.get(port).status
                if status != 200:
                    faults.append(f"{port}: {status}")
            except OSError as problem:
                faults.append(f"{port}: {problem}")
            counts[port] += 1

    threads = [threading.Thread(target=load, args=(port,)) for port in counts]
    for thread in threads:
        thread.start()
    try:
        printed = shop.pulumi("up", "--yes", "--skip-preview", "--refresh", "--diff")
        _wait_for_weights(shop)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not faults, faults[:5]
    assert min(counts.values()) > 100, counts
    updated = set(re.findall(r"~ pinfeather:index:(\w+): \(update\)", printed))
    assert updated == {"RouteSet", "ConfigFile"}
    assert len(re.findall(r"\(update\)", printed)) == 3, printed
    assert shop.pids() == before


def _wait_for_weights(shop: Shop) -> None:
    """Until 30 of 100 clients are sent to the new version, and not 10: more than 20 tell the two apart on both proxies."""
    deadline = time.monotonic() + 20
    for port in ("traefikPort", "proxyPort"):
        seen = 0
        while seen <= 20:
            assert time.monotonic() < deadline, f"{port}: {seen} of 100 clients met the new version"
            seen = sum("srv_v2=" in (shop.get(port).getheader("Set-Cookie") or "") for _ in range(100))


def test_a_killed_traefik_is_back_after_the_next_up(shop: Shop) -> None:
    before = shop.pids()
    os.kill(before["traefik"], signal.SIGKILL)
    psutil.wait_procs([psutil.Process(before["traefik"])] if psutil.pid_exists(before["traefik"]) else [], timeout=10)
    printed = shop.pulumi("up", "--yes", "--skip-preview", "--refresh")
    assert "does not run any more" in printed
    after = shop.pids()
    assert after["traefik"] != before["traefik"]
    assert {name: pid for name, pid in after.items() if name != "traefik"} == {n: p for n, p in before.items() if n != "traefik"}
    assert shop.get("traefikPort").status == 200


def test_a_hand_edit_is_put_right_and_said(shop: Shop) -> None:
    written = next((shop.root / ".pinfeather" / "dev" / "traefik").glob("*.yml"))
    before = written.read_bytes()
    written.write_bytes(before + b"# by hand\n")
    printed = shop.pulumi("up", "--yes", "--skip-preview", "--refresh")
    assert "was edited by hand" in printed
    assert written.read_bytes() == before


def test_a_refused_document_stops_before_the_first_resource(shop: Shop) -> None:
    document = shop.root / "stacks" / "dev" / "shop.yaml"
    text = document.read_text("utf-8")
    before = shop.pids()
    document.write_text(text.replace("to: shop-v2\n", "to: shop-v3\n", 1), "utf-8")
    try:
        done = subprocess.run(
            ["pulumi", "up", "--yes", "--skip-preview", "--stack", "dev", "--non-interactive", "--color", "never"],
            cwd=shop.root,
            env=shop.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        document.write_text(text, "utf-8")
    assert done.returncode != 0
    printed = done.stdout + done.stderr
    assert "there is no service 'shop-v3'" in printed
    assert "shop.yaml:" in printed
    assert "Traceback" not in printed
    assert shop.pids() == before


def test_what_the_proxy_will_do_differently_is_said_in_the_preview(shop: Shop) -> None:
    document = shop.root / "stacks" / "dev" / "shop.yaml"
    text = document.read_text("utf-8")
    added = "routes:\n  - {name: open, hosts: [shop.localhost], entry_points: [web], priority: -1, tls: {}, to: shop-v1}\n"
    document.write_text(text.replace("routes:\n", added, 1), "utf-8")
    try:
        printed = shop.pulumi("preview")
    finally:
        document.write_text(text, "utf-8")
    assert "near.tls" in printed
    assert "'secure-headers' is passed by" in printed


def test_down_leaves_nothing(shop: Shop) -> None:
    shop.make("down")
    assert [str(path) for path in shop.root.glob(".pinfeather/**/*")] == []
    assert not (shop.root / ".pinfeather").exists()
    assert shop.ours() == []
