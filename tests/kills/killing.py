"""One round: an `up` is killed, the next one converges; a `destroy` is killed, the next one leaves nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from tests.deploy.cluster_project import PYTHON, ClusterProject

EARLIEST = 0.2  # seconds: before it there is nothing but a Go program that starts
_PAUSE = 0.005  # seconds between two looks at whether the moment has come


@dataclass(frozen=True)
class Kill:
    """What was killed, and after how long (seconds); `faults` says what was wrong afterwards."""

    stack: str
    command: str
    after: float
    ended_before: bool
    """The command was done before it could be killed: no kill at all."""
    faults: tuple[str, ...]


def round_of(project: ClusterProject, chance: random.Random, lengths: dict[str, float]) -> Iterator[Kill]:
    """A kill of `up` and one of `destroy`. `lengths`: how long each command takes when it is let be."""
    yield from _one(project, "up", chance.uniform(EARLIEST, lengths["up"]), _converged)
    yield from _one(project, "destroy", chance.uniform(EARLIEST, lengths["destroy"]), _gone)


def lengths_of(project: ClusterProject) -> dict[str, float]:
    """How long `up` and `destroy` take here, by doing both."""
    found = {}
    for command in ("up", "destroy"):
        began = time.monotonic()
        project.pulumi(command, "--yes", "--skip-preview")
        found[command] = time.monotonic() - began
    return found


def _one(project: ClusterProject, command: str, after: float, judge: object) -> Iterator[Kill]:
    assert callable(judge)
    ended = _killed(project, command, after)
    faults = list(judge(project))
    yield Kill(project.stack, command, after, ended, tuple(faults))


def _killed(project: ClusterProject, command: str, after: float) -> bool:
    """Start it, wait, and kill everything of its session: the engine, the language host, the program, the plugins. True: it had ended before."""
    project.configure()
    words = ["pulumi", command, "--yes", "--skip-preview", "--stack", project.stack, "--non-interactive"]
    engine = subprocess.Popen(
        words,
        cwd=project.root,
        env=dict(project.environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    moment = time.monotonic() + after
    while time.monotonic() < moment and engine.poll() is None:
        time.sleep(_PAUSE)
    ended = engine.poll() is not None
    for pid in _session(engine.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    engine.wait()
    return ended


def _session(leader: int) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def _again(project: ClusterProject, what: str) -> Iterator[str]:
    """The next run, as a user says it: no step by hand."""
    done = subprocess.run(
        [PYTHON, "-m", "tools.stack", what, "--stack", project.stack],
        cwd=project.root,
        env=dict(project.environment),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if done.returncode:
        yield f"{what} ended with {done.returncode}: {(done.stdout + done.stderr)[-1500:]}"


def _converged(project: ClusterProject) -> Iterator[str]:
    yield from _again(project, "up")
    try:
        project.up("--expect-no-changes")
        state = project.state()
    except AssertionError as problem:
        yield str(problem)[-1500:]
        return
    if state.get("pending_operations"):
        yield "operations are pending in the state"
    resources = state["resources"]
    assert isinstance(resources, list)
    known = {int(each["outputs"]["pid"]) for each in resources if each["type"] == "pinfeather:index:LocalProcess"}
    if orphans := set(project.processes()) - known:
        yield f"processes that the state does not know: {sorted(orphans)}"
    if project.stack == "cluster":
        there = {f"{kind}/{name}" for kind, names in project.everything().items() for name in names}
        ours = {_called(each) for each in resources if each["type"].startswith("kubernetes:")}
        if there != ours:
            yield f"in the cluster {sorted(there)}, in the state {sorted(ours)}"


def _called(resource: dict[str, object]) -> str:
    outputs = resource["outputs"]
    assert isinstance(outputs, dict)
    return f"{outputs['kind']}/{outputs['metadata']['name']}"


def _gone(project: ClusterProject) -> Iterator[str]:
    yield from _again(project, "down")
    if left := project.processes():
        yield f"processes are left: {left}"
    if project.stack == "cluster" and (there := {kind: names for kind, names in project.everything().items() if names}):
        yield f"objects are left: {there}"
    if left_files := [str(path) for path in (project.root / ".pinfeather").glob("**/*") if path.is_file()]:
        yield f"files are left: {left_files[:5]}"
    project.run(["pulumi", "stack", "select", project.stack, "--create", "--non-interactive"])
