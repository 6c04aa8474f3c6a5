"""`make kills`: ten kills of `up` and ten of `destroy`, on the stacks `dev` and `cluster`; `--points N`, `--seed N`, `--stack NAME`."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.deploy.cluster_project import ROOT, cluster_project
from tests.kills.killing import lengths_of, round_of
from tests.parts.kubernetes import KubernetesApi
from tools import parts


def main() -> int:
    """Returns 0 where everything converged."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills")
    parser.add_argument("--points", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stack", action="append", choices=("dev", "cluster"))
    given = parser.parse_args()
    programs = parts.find(ROOT, "kubernetes", os.environ)
    if programs is None:
        sys.stderr.write("kills: no API server is here: make setup-test\n")
        return 4
    chance, kills = random.Random(given.seed), []
    with ExitStack() as running, tempfile.TemporaryDirectory() as folder:
        api = running.enter_context(KubernetesApi(Path(folder), programs))
        for stack in given.stack or ("dev", "cluster"):
            place = Path(folder) / stack
            place.mkdir()
            project = running.enter_context(cluster_project(place, api, f"kills-{stack}", stack))
            lengths = lengths_of(project)
            for _ in range(given.points):
                for kill in round_of(project, chance, lengths):
                    kills.append(kill)
                    result = "converged" if not kill.faults else "NOT CONVERGED: " + "; ".join(kill.faults)
                    late = " (it had ended before)" if kill.ended_before else ""
                    sys.stdout.write(f"{kill.stack:8} {kill.command:8} killed after {kill.after:4.1f} s{late}: {result}\n")
                    sys.stdout.flush()
    wrong = sum(bool(each.faults) for each in kills)
    sys.stdout.write(f"{len(kills)} kills, {wrong} not converged (seed {given.seed})\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
