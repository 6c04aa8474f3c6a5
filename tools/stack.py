"""`up`, `preview` and `down` of one stack, as the Makefile calls them: `.venv/bin/python -m tools.stack up --stack dev`.

A plain `pulumi` does the same; this adds the environment, makes the stack when it is not there, frees it from a lock whose
owner is dead, keeps the output short, and after an `up` runs the check that measures what was deployed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psutil

from pinfeather._files import write_atomic
from pinfeather.deploy.folders import leave_folders
from pinfeather.deploy.plan import Plan
from pinfeather.deploy.settings import RefusalError, settings_of_files
from tools.cluster import LocalCluster, kubernetes_plugin
from tools.running import FailedError, write
from tools.toolchain import pulumi_environment, state_folder

ROOT = Path(__file__).resolve().parents[1]
CHECK = "pinfeather"  # run after `up`, with the arguments of the stack's output `check`
# Rows of the tree that tell of no change, and what a terminal would have overwritten.
NOISE = re.compile(
    r"@ .*|Duration: .*"
    r"| [ ~+-]{1,2} +\S+:\S+:\S+ \S+ *((runn|refresh|read|creat|updat|delet|replac)ing(?!.*(error|failed)).*|refresh(ed)?( \([\d.]+s\))?)?"
    r"|The resources in the stack have been deleted, .*|If you want to remove the stack completely, .*"
    r"|.*warning: using pulumi-resource-kubernetes from \$PATH .*|.*pulumi:pulumi:Stack \S+ +(create +|created +)?\d+ warnings?"
    r"|Diagnostics:|  pulumi:pulumi:Stack \(\S+\):"
)
FOLDER_MARK = ".pinfeather-folder"  # in a folder that the plugin made
FORECAST = ("Previewing ",)  # what comes before the real thing, and is repeated by it
REAL = ("Updating ", "Destroying ")


def main(arguments: list[str]) -> int:
    """Returns the engine's exit code, or that of the check after it; 4 where something is missing."""
    parser = argparse.ArgumentParser(prog="python -m tools.stack")
    parser.add_argument("do", choices=COMMANDS)
    parser.add_argument("--stack", default="dev", help="its settings are stacks/Pulumi.STACK.yaml (default: dev)")
    options = parser.parse_args(arguments)
    try:
        return COMMANDS[options.do](Stack(ROOT, options.stack))
    except FailedError as error:
        sys.stderr.write(f"{options.do}: {error}\n")
        return 4
    except KeyboardInterrupt:
        return 130


class Stack:
    """One stack of this checkout, and the engine to work on it."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.name = name
        self.environment = pulumi_environment(root)
        files = (root / "stacks").glob("Pulumi.*.yaml")
        settings = sorted(path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in files)
        if name not in settings:
            raise FailedError(f"no stacks/Pulumi.{name}.yaml; there is {', '.join(settings) or 'none'}")
        backend = self.environment["PULUMI_BACKEND_URL"]
        self.state = Path(backend.removeprefix("file://")) if backend.startswith("file:///") else None
        self.local = self.state == state_folder(root)

    def reach_cluster(self) -> None:
        """For a stack of a cluster: the plugin that the engine needs, and where nobody names a cluster, this checkout's own API server."""
        try:
            plan = Plan.of(self.name, settings_of_files(self.root, self.name), self.root)
        except RefusalError:
            return  # the engine says it, in its place
        if not plan.in_cluster:
            return
        write(kubernetes_plugin(self.root, self.environment))
        if plan.settings.kubeconfig or plan.settings.context or os.environ.get("KUBECONFIG"):
            return
        if (theirs := Path.home() / ".kube" / "config").exists():
            write(f"{theirs} is left alone: name it with KUBECONFIG to deploy there")
        cluster = LocalCluster(self.root)
        cluster.start(self.environment)
        self.environment["KUBECONFIG"] = str(cluster.kubeconfig)

    def end_cluster(self) -> None:
        """End this checkout's API server, unless another stack is in it."""
        cluster = LocalCluster(self.root)
        if not cluster.folder.exists():
            return
        stacks = {row["name"].rpartition("/")[2] for row in json.loads(self.quiet("stack", "ls", "--json"))}
        others = sorted(stack for stack in stacks - {self.name} if self._is_there(stack))
        if others:
            write(f"the API server of this machine stays: the stack {', '.join(others)} is in it")
        else:
            cluster.stop()

    def _is_there(self, stack: str) -> bool:
        """Whether a stack goes into this checkout's own API server; of one whose settings cannot be read it must be feared."""
        try:
            plan = Plan.of(stack, settings_of_files(self.root, stack), self.root)
        except RefusalError:
            return (self.root / "stacks" / f"Pulumi.{stack}.yaml").exists()
        return plan.in_cluster and not plan.settings.kubeconfig and not plan.settings.context

    def quiet(self, *words: str) -> str:
        """A command whose output is for us, and for the user when it fails. Raises FailedError with it."""
        done = subprocess.run(
            self._command(words),
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise FailedError((done.stderr or done.stdout).strip().removeprefix("error: "))
        return done.stdout

    def shown(self, *words: str) -> int:
        """A command whose output is shown as it comes, without its noise; returns its exit code. Raises FailedError where it was killed."""
        process = subprocess.Popen(
            self._command((*words, "--stack", self.name, "--refresh", "--suppress-progress", "--suppress-outputs")),
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        assert process.stdout is not None
        with process, interrupts_passed_on(process):
            for line in readable(process.stdout):
                write(line)
        if process.returncode < 0:
            raise FailedError(f"the engine was ended by signal {-process.returncode}; the next run goes on from its state")
        return process.returncode

    def make(self) -> None:
        """The stack, where it is not there yet, free of a dead owner's lock."""
        self.restore()
        self.release()
        self.quiet("stack", "select", self.name, "--create")

    def release(self) -> None:
        """Take away a lock whose process is gone, and what that process had begun: `create` adopts what is there."""
        locks = dead_locks(self.state, self.name) if self.state is not None else []
        if not locks:
            return
        write(f"the stack was locked by a process that is gone ({', '.join(locks)}): released")
        self.quiet("cancel", "--yes", "--stack", self.name)
        self.quiet("refresh", "--yes", "--skip-preview", "--clear-pending-creates", "--stack", self.name)

    def restore(self) -> None:
        """Put the engine's last checkpoint back where it could not write the next one whole: a full disk leaves half of it."""
        for path in sorted(self.state.glob(f".pulumi/stacks/*/{self.name}.json")) if self.state is not None else ():
            before = path.with_name(f"{path.name}.bak")
            if _whole(path):
                continue
            if _whole(before):
                write(f"{path} is not whole: put back from {before.name}; what was made since is adopted")
                write_atomic(path, before.read_bytes())
                continue
            broken = path.with_name(f"{path.name}.broken")
            write(
                f"{path} is not whole, nor is {before.name}: the state begins anew, what is there is adopted; the old one is {broken.name}"
            )
            path.rename(broken)
            before.unlink(missing_ok=True)

    def known(self) -> bool:
        """Whether the backend has such a stack."""
        return any(row["name"].rpartition("/")[2] == self.name for row in json.loads(self.quiet("stack", "ls", "--json")))

    def check(self) -> list[str]:
        """The arguments of the check that the stack asks for; none where it has nothing to measure."""
        outputs = json.loads(self.quiet("stack", "output", "--json", "--stack", self.name))
        return [str(word) for word in outputs.get("check", [])]

    def _command(self, words: Sequence[str]) -> list[str]:
        return ["pulumi", *words, "--non-interactive", "--color", "never"]


def _whole(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True


@contextmanager
def interrupts_passed_on(process: subprocess.Popen[str]) -> Iterator[None]:
    """An interrupt is the engine's to answer: it stops after the running step. We stay until it has ended."""

    def pass_on(number: int, _: object) -> None:
        if number == signal.SIGTERM:  # a terminal's interrupt has reached the engine already
            process.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
        process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def readable(lines: Iterable[str]) -> Iterator[str]:
    """The engine's lines without the noise, repeated rows and runs of empty lines; the forecast only where it is all."""
    held: list[str] = []
    holding, before = False, ""
    for raw in lines:
        line = raw.rstrip()
        if line.startswith(FORECAST):
            holding = True
        elif line.startswith(REAL):
            holding, held = False, []
        if NOISE.fullmatch(line) or line == before:
            continue
        before = line
        if holding:
            held.append(line)
        else:
            yield line
    yield from held


def dead_locks(state: Path, stack: str) -> list[str]:
    """The owners of the stack's locks, if all of them were processes of this machine that are gone; else none.

    A lock is JSON with `pid`, `username`, `hostname` and `timestamp` (pulumi 3.259, `pkg/backend/diy/lock.go`).
    """
    owners = []
    for path in sorted((state / ".pulumi" / "locks").glob(f"organization/*/{stack}/*.json")):
        try:
            lock = json.loads(path.read_text("utf-8"))
            pid, host, since = int(lock["pid"]), str(lock["hostname"]), datetime.fromisoformat(lock["timestamp"])
        except (OSError, ValueError, KeyError, TypeError):
            return []  # not what we know: leave it to a person
        if host != socket.gethostname() or _alive(pid, since):
            return []
        owners.append(f"pid {pid}")
    return owners


def _alive(pid: int, since: datetime) -> bool:
    try:
        # A process that began after the lock was taken only has the number of the one that took it.
        return psutil.Process(pid).create_time() <= since.timestamp() + 1
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def up(stack: Stack) -> int:
    """Deploy, then measure what runs."""
    stack.reach_cluster()
    stack.make()
    code = stack.shown("up", "--yes")
    check = [] if code else stack.check()
    if not check:
        return code
    write("")
    return subprocess.run([sys.executable, "-m", CHECK, *check], cwd=stack.root, env=stack.environment, check=False).returncode


def preview(stack: Stack) -> int:
    """Say what `up` would change, and change nothing."""
    stack.reach_cluster()
    stack.make()
    return stack.shown("preview")


def down(stack: Stack) -> int:
    """End and delete what was deployed, and the stack; the state's own folder goes with the last stack."""
    stack.restore()
    stack.release()
    if stack.known():
        stack.reach_cluster()
        code = stack.shown("destroy", "--yes")
        if code:
            return code
        stack.quiet("stack", "rm", stack.name, "--yes", "--preserve-config")
    stack.end_cluster()
    ours = stack.root / ".pinfeather"
    shutil.rmtree(ours / "run" / stack.name, ignore_errors=True)  # locks and logs of processes that have ended
    if stack.local and not any(state_folder(stack.root).glob(".pulumi/stacks/*/*.json")):
        shutil.rmtree(state_folder(stack.root))
    leave_folders(ours / "run")
    left = sorted(str(path.relative_to(stack.root)) for path in ours.glob("*"))
    if ours.is_dir() and not left:
        ours.rmdir()
    write(f"nothing of the stack {stack.name} is left" + (f"; not of it: {', '.join(left)}" if left else ""))
    return 0


COMMANDS: dict[str, Callable[[Stack], int]] = {"up": up, "preview": preview, "down": down}

if __name__ == "__main__":
    os.chdir(ROOT)
    raise SystemExit(main(sys.argv[1:]))
