"""The shape of the resource graph, without an engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pinfeather.deploy.components import RoutesArgs, TextFile


def test_the_graph() -> None:
    """One `RouteSet` and a `ConfigFile` for each artifact; an input that is not given is not sent."""
    program = Path(__file__).with_name("mocked_graph.py")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=True)
    graph = json.loads(done.stdout)
    made = {(kind.removeprefix("pinfeather:index:"), name): inputs for kind, name, inputs in graph["made"]}
    made = {key: inputs for key, inputs in made.items() if not key[0].startswith("pulumi:")}
    a = {"path": "/etc/traefik/a.yaml", "content": "a: 1\n"}
    b = {"path": "/etc/traefik/b.toml", "content": "b = 1\n", "mode": 0o600}
    process = {"name": "one", "command": ["/bin/x"], "folder": "/run/shop", "listen": ["127.0.0.1:8080"]}
    assert made == {
        ("Routes", "shop"): {},
        ("RouteSet", "shop"): {"name": "shop", "document": {"routes": []}, "format": "canonical", "summary": "two"},
        ("ConfigFile", "shop-a.yaml"): a,
        ("ConfigFile", "shop-b.toml"): b,
        ("LocalProcess", "one"): process,
        ("ConfigFile", "file"): {"path": "/a.json", "content": "{}", "mark": "sidecar"},
    }
    assert graph["paths"] == [{"a.yaml": a["path"], "b.toml": b["path"]}]


@pytest.mark.parametrize(
    ("folder", "names", "words"),
    [
        ("/etc", ["a/b"], "not the plain name"),
        ("/etc", [".."], "not the plain name"),
        ("/etc", [""], "not the plain name"),
        ("/etc", ["a\0"], "not the plain name"),
        ("/etc", ["a", "a"], "two artifacts"),
        ("etc", ["a"], "not an absolute path"),
    ],
)
def test_names_that_leave_the_folder(folder: str, names: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RoutesArgs(document={}, folder=folder, files=tuple(TextFile(name, "") for name in names))
