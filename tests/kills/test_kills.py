"""Two of the kills of `make kills` on each stack: whatever was cut off, the next run converges, and nothing is orphaned."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.deploy.cluster_project import cluster_project
from tests.kills.killing import lengths_of, round_of
from tests.parts.kubernetes import KubernetesApi


@pytest.mark.parametrize("stack", ["dev", "cluster"])
def test_what_was_cut_off_converges(stack: str, tmp_path: Path, kubernetes_server: KubernetesApi) -> None:
    with cluster_project(tmp_path, kubernetes_server, f"kills-{stack}", stack) as project:
        kills = list(round_of(project, random.Random(stack), lengths_of(project)))
    assert [each.command for each in kills] == ["up", "destroy"]
    assert [each for each in kills if each.faults] == []
