"""The real engine over the plugin, from the first `up` to a `destroy` that leaves nothing."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.deploy.cluster_project import unpacked

if TYPE_CHECKING:
    from conftest import Project


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    tick = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        tick.wait(0.01)
    return True


def kill(pid: int) -> None:
    process = psutil.Process(pid)
    process.kill()
    assert eventually(lambda: not psutil.pid_exists(pid) or process.status() == psutil.STATUS_ZOMBIE)


def entries(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_from_the_first_up_to_destroy(project: Project) -> None:
    project.want["files"] = {"routes.yaml": "weight: 9\n", "other.json": "{}\n"}
    project.serve("one", "two")
    before = entries(project.folder)

    assert set(project.steps().values()) == {"create"}
    assert entries(project.folder) == before
    project.up()
    routes = project.folder / "out" / "routes.yaml"
    assert routes.read_text().endswith("\nweight: 9\n")
    assert (project.folder / "out" / "other.json").read_text() == "{}\n"
    started = set(project.processes())
    assert len(started) == 2
    project.up("--expect-no-changes")
    project.up("--expect-no-changes", "--refresh")

    # A weight is edited: one file changes in place, and no process is restarted.
    project.want["files"] = {"routes.yaml": "weight: 8\n", "other.json": "{}\n"}
    project.want["document"] = {"weight": 8}
    steps = project.steps()
    assert {name: step for name, step in steps.items() if step != "same"} == {"shop-routes.yaml": "update", "shop": "update"}
    assert "~ weight" in project.pulumi("preview", "--diff")
    unmoved = (project.folder / "out" / "other.json").stat()
    project.up()
    assert routes.read_text().endswith("\nweight: 8\n")
    after = (project.folder / "out" / "other.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (unmoved.st_ino, unmoved.st_mtime_ns)
    assert set(project.processes()) == started

    # An edit by hand is put right and said, with a refresh and without.
    written = routes.read_bytes()
    for arguments in ([], ["--refresh"]):
        routes.write_bytes(written + b"by: hand\n")
        assert f"{routes} was edited by hand" in project.pulumi("preview", *arguments)
        assert routes.read_bytes() != written
        printed = project.pulumi("up", "--yes", *arguments)  # it compares for the preview, and again for the update
        preview, _, update = printed.partition("Updating (dev)")
        assert f"{routes} was edited by hand" in preview
        assert f"{routes} was edited by hand" in update
        assert routes.read_bytes() == written
        project.up("--expect-no-changes", "--refresh")

    # A killed process is started again, with a refresh and without.
    for arguments in ([], ["--refresh"]):
        pids = {name: int(str(outputs["pid"])) for name, outputs in project.resources().items() if "pid" in outputs}
        kill(pids["one"])
        assert f"one (process {pids['one']}) does not run any more" in project.up(*arguments)
        now = set(project.processes())
        assert len(now) == 2
        assert pids["two"] in now
        project.up("--expect-no-changes")

    # A file that is no longer asked for goes; what is left stays as it was.
    project.want["files"] = {"routes.yaml": "weight: 8\n"}
    project.up()
    assert not (project.folder / "out" / "other.json").exists()
    assert routes.read_bytes() == written

    project.pulumi("destroy", "--yes", "--skip-preview")
    assert project.processes() == []
    assert entries(project.folder) == before
    assert set(project.resources()) <= {"shop-dev"}


def test_a_new_specification_restarts_in_place(project: Project) -> None:
    project.serve("one")
    project.up()
    (old,) = project.processes()
    project.want["version"] = "2"
    assert project.steps()["one"] == "update"
    project.up()
    (new,) = project.processes()
    assert new != old
    project.serve("one")
    project.up()
    project.up("--expect-no-changes", "--refresh")
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert project.processes() == []


def test_a_file_of_somebody_else_stops_the_preview(project: Project) -> None:
    project.want["files"] = {"routes.yaml": "weight: 9\n"}
    theirs = project.folder / "out" / "routes.yaml"
    theirs.parent.mkdir()
    theirs.write_text("mine: 1\n")
    for printed in (project.pulumi("preview", fails=True), project.up(fails=True)):
        assert f"{theirs} was not written by Pinfeather, so it is not touched: move it away" in printed
        assert "Traceback" not in printed
        assert "RefusedError" not in printed
    assert theirs.read_text() == "mine: 1\n"
    theirs.unlink()
    project.up()
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert entries(project.folder / "out") == []  # the folder was there before


def test_destroy_leaves_an_edited_file_and_says_so(project: Project) -> None:
    project.want["files"] = {"routes.yaml": "weight: 9\n"}
    project.up()
    routes = project.folder / "out" / "routes.yaml"
    routes.write_text(routes.read_text() + "by: hand\n")
    printed = project.pulumi("destroy", "--yes", "--skip-preview")
    assert f"{routes} was edited by hand, so it stays" in printed
    assert routes.read_text().endswith("by: hand\n")


def test_a_port_in_use_stops_the_start(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        project.want["processes"] = {"one": port}
        named = f"port {port} of 127.0.0.1 is in use by process {os.getpid()} ({psutil.Process().name()})"
        assert f"one will not start as things are: {named}" in project.pulumi("preview")
        assert f"one cannot start: {named}. Stop that process" in project.up(fails=True)
    assert project.processes() == []
    project.up()
    assert len(project.processes()) == 1
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert project.processes() == []


def test_an_engine_that_is_killed_in_the_middle_orphans_nothing(project: Project) -> None:
    project.want["files"] = {"routes.yaml": "weight: 9\n"}
    project.serve("one")
    (project.folder / "want.json").write_text(json.dumps(project.want))
    command = ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive"]
    with subprocess.Popen(
        command, cwd=project.folder, env=project.environment, stdout=subprocess.DEVNULL, start_new_session=True
    ) as engine:
        assert eventually(lambda: bool(project.processes()))
        family = psutil.Process(engine.pid).children(recursive=True)
        os.killpg(engine.pid, signal.SIGKILL)
        for process in family:
            if process.pid not in project.processes() and process.is_running():
                process.kill()
    (orphan,) = project.processes()
    for lock in (project.state() / ".pulumi/locks").rglob("*.json"):
        lock.unlink()  # what `pulumi cancel` does: the engine that held it is gone
    project.up()
    assert project.processes() == [orphan]
    project.up("--expect-no-changes", "--refresh")
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert project.processes() == []
    assert entries(project.folder) == ["Pulumi.dev.yaml", "Pulumi.yaml", "__main__.py", "want.json"]


def test_of_two_runs_at_once_one_is_refused(project: Project) -> None:
    project.serve("one")
    (project.folder / "want.json").write_text(json.dumps(project.want))
    (project.folder / "run").mkdir()
    command = ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive"]
    with (project.folder / "run" / "one.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first run waits for it, and so holds the stack
        with subprocess.Popen(command, cwd=project.folder, env=project.environment, stdout=subprocess.DEVNULL) as first:
            assert eventually(lambda: any(project.state().glob(".pulumi/locks/**/*.json")))
            assert "the stack is currently locked by 1 lock(s)" in project.up(fails=True)
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert first.wait(60) == 0
    project.up("--expect-no-changes", "--refresh")
    assert len(project.processes()) == 1
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert project.processes() == []


def test_a_secret_is_nowhere_in_clear_but_in_its_file(project: Project) -> None:
    canary = "CANARY-5f0c2a"
    project.want["files"] = {"users.yaml": f"users: [{canary}]\n"}
    project.want["secret"] = ["users.yaml"]
    shown = project.pulumi("preview", "--diff") + project.up("--diff") + project.pulumi("stack", "export")
    assert canary in (project.folder / "out" / "users.yaml").read_text()
    assert canary not in shown
    files = [path for folder in (project.state(), Path(project.environment["PULUMI_HOME"])) for path in folder.rglob("*")]
    assert any(path.name.startswith("dev.json") for path in files)
    for path in files:
        assert not path.is_file() or canary.encode() not in unpacked(path), path
