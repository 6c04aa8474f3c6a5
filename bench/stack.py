"""What `make up` costs when there is nothing to do, and where the time goes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from tools.toolchain import pulumi_environment

ROOT = Path(__file__).resolve().parents[1]


def unchanged() -> None:
    """Needs the stack `vm`, which it deploys and destroys: the same engine and plugin as `dev`, without processes."""
    environment = pulumi_environment(ROOT)
    stack = "vm"

    def pulumi(*words: str) -> float:
        before = time.perf_counter()
        subprocess.run(
            ["pulumi", *words, "--non-interactive", "--color", "never"],
            cwd=ROOT,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return time.perf_counter() - before

    set_up = _timed([sys.executable, "tools/setup.py"])
    pulumi("stack", "select", stack, "--create")
    pulumi("up", "--stack", stack, "--yes", "--skip-preview")
    try:
        rows = {
            "make setup, nothing to do": set_up,
            "pulumi stack select": _median(lambda: pulumi("stack", "select", stack)),
            "pulumi up, no change (a preview, a refresh and an update)": _median(
                lambda: pulumi("up", "--stack", stack, "--yes", "--refresh", "--expect-no-changes")
            ),
            "of which without the preview": _median(
                lambda: pulumi("up", "--stack", stack, "--yes", "--refresh", "--skip-preview", "--expect-no-changes")
            ),
            "the program alone (imports, document, translation)": _timed([sys.executable, "-c", _PROGRAM]),
        }
    finally:
        pulumi("destroy", "--stack", stack, "--yes", "--skip-preview")
        pulumi("stack", "rm", stack, "--yes", "--preserve-config")
    for name, seconds in rows.items():
        print(f"  {name}: {seconds:.2f} s on the wall")


_PROGRAM = """
from pathlib import Path
from pinfeather.deploy.plan import Plan
from pinfeather.deploy.settings import Settings
import pinfeather.deploy.program
Plan.of("vm", Settings.of({"document": "stacks/vm/shop.yaml", "out": "x"}), Path("."))
"""


def _median(call: object, rounds: int = 3) -> float:
    assert callable(call)
    return statistics.median(float(call()) for _ in range(rounds))


def _timed(command: list[str], rounds: int = 3) -> float:
    def once() -> float:
        before = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - before

    return _median(once, rounds)
