"""The shape of the resource graph, without an engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pinfeather.deploy.components import Refused, Routes, TranslatedArgs
from pinfeather.deploy.policy import Policy
from pinfeather.deploy.translation import Translation
from pinfeather.model.document import Document
from pinfeather.translators.contract import TextFile


def test_the_graph() -> None:
    """One `RouteSet` and a `ConfigFile` for each artifact; an input that is not given is not sent."""
    program = Path(__file__).with_name("mocked_graph.py")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=True)
    graph = json.loads(done.stdout)
    made = {(kind.removeprefix("pinfeather:index:"), name): inputs for kind, name, inputs in graph["made"]}
    made = {key: inputs for key, inputs in made.items() if not key[0].startswith("pulumi:")}
    mark = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}  # as Pulumi marks a secret
    # Where there is a secret at all, every file is one: how a format would write it is not guessed.
    a = {"path": "/etc/traefik/a.yaml", "content": {**mark, "value": "a: 1\n"}, "mode": 0o600}
    b = {"path": "/etc/traefik/b.toml", "content": {**mark, "value": "b = 'a secret one'\n"}, "mode": 0o600}
    policy = {"keep_pins": True, "never_wider": False, "no_new_losses": False}
    held = {"losses": ["loss.x at routes.0: gone"], "objects": ["file a.yaml", "file b.toml"], "policy": policy}
    process = {"name": "one", "command": ["/bin/x"], "folder": "/run/shop", "listen": ["127.0.0.1:8080"]}
    assert made == {
        ("Routes", "shop"): {},
        ("RouteSet", "shop"): {"name": "shop", "document": {}, "format": "pinfeather", "summary": "0 routes, 0 services", **held},
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
    files = tuple(TextFile(name, "") for name in names)
    with pytest.raises(Refused, match=words):
        Routes("shop", TranslatedArgs.of(Translation(Document(), "pinfeather", {}, files), Policy(), folder))


def test_a_file_needs_a_folder() -> None:
    with pytest.raises(Refused, match=r"nobody said where it goes.*pinfeather:out"):
        Routes("shop", TranslatedArgs.of(Translation(Document(), "pinfeather", {}, (TextFile("a.yaml", ""),)), Policy()))
