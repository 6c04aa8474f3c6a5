"""The tool chain: which engine is taken, when `.venv` is left alone, whose lock is dead; and the chosen engine runs."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools import building, obtain, packages, recipes, setup, stack, toolchain
from tools.running import Clock, CommandError, FailedError, alone, run

ROOT = Path(__file__).resolve().parents[1]
PINNED = toolchain.engine_version(ROOT)
GO = """#!/bin/sh
case "$1 $2" in
  version*) echo go version go{version} linux/amd64 ;;
  build*) for last; do :; done; for word; do case $word in */bin/) : > "$word/pulumi" ;; esac; done ;;
  "mod download") echo '{{"Dir": "{sdk}"}}' ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that the tool chain reads, in a folder of their own, and a `.venv` without an interpreter."""
    root = tmp_path / "checkout"
    for module in (module for recipe in recipes.RECIPES.values() for module in recipe.modules):
        shutil.copytree(ROOT / module, root / module)
    (root / ".venv").mkdir()
    return root


def fake(path: Path, text: str) -> Path:
    """An executable of that text; returns its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o755)
    return path.parent


def pulumi(folder: Path, version: str, host: bool = True) -> Path:
    if host:
        fake(folder / toolchain.HOST, "#!/bin/sh\n")
    return fake(folder / "pulumi", f"#!/bin/sh\necho asked >> {folder}/log\necho v{version}\n")


def environment(tmp_path: Path, *path: Path) -> dict[str, str]:
    return {"PATH": os.pathsep.join(map(str, path)), "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}


def test_the_first_fitting_engine_on_path_wins_and_the_others_are_named(checkout: Path, tmp_path: Path) -> None:
    old, next_major = pulumi(tmp_path / "old", "3.258.9"), pulumi(tmp_path / "major", "4.0.0")
    bare, good = pulumi(tmp_path / "bare", "3.260.1", host=False), pulumi(tmp_path / "good", "3.260.1")
    engine, remarks = toolchain.find_engine(checkout, environment(tmp_path, old, next_major, good))
    assert engine is not None
    assert (engine.pulumi, engine.version) == (str(good / "pulumi"), "3.260.1")
    assert [remark.partition(";")[0] for remark in remarks] == [f"{old}/pulumi is 3.258.9", f"{next_major}/pulumi is 4.0.0"]
    assert toolchain.find_engine(checkout, environment(tmp_path, bare)) == (None, [f"{bare}/pulumi comes without {toolchain.HOST}"])
    beside = fake(tmp_path / "hosts" / toolchain.HOST, "#!/bin/sh\n")
    engine, _ = toolchain.find_engine(checkout, environment(tmp_path, bare, beside))
    assert engine is not None
    assert engine.host == str(beside)


def test_an_engine_that_has_not_changed_is_not_asked_again(checkout: Path, tmp_path: Path) -> None:
    good = pulumi(tmp_path / "good", "3.259.0")
    for _ in range(3):
        obtain.ensure(checkout, Clock("pulumi"), environment(tmp_path, good))
    assert (good / "log").read_text() == "asked\n"
    pulumi(good, "3.259.10")
    assert "3.259.10" in obtain.ensure(checkout, Clock("pulumi"), environment(tmp_path, good))


def test_without_anything_one_message_says_what_to_install(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "GO_PLACES", ())
    old = fake(tmp_path / "go" / "go", GO.format(version="1.22.1", sdk=""))
    for path, reason in ((old, "too old"), (tmp_path, "no Go >= ")):
        with pytest.raises(FailedError, match=f"(?s)download: .*{reason}.*Install Go >= 1.25.*make setup"):
            obtain.ensure(checkout, Clock("pulumi"), environment(tmp_path, path))
    assert list((tmp_path / "cache" / "pinfeather").iterdir()) == []


def test_a_build_is_whole_or_not_there_and_then_the_cache_has_it(checkout: Path, tmp_path: Path) -> None:
    sdk = fake(tmp_path / "sdk/python/cmd" / f"{toolchain.HOST}-exec", "# starts a program\n").parents[1]
    go = fake(tmp_path / "go" / "go", GO.format(version="1.99", sdk=sdk))
    settings = environment(tmp_path, go, Path("/usr/bin"), Path("/bin"))
    home = recipes.cached_home(checkout, toolchain.RECIPE, settings)
    (home.with_suffix(".part") / "bin").mkdir(parents=True)  # of an aborted one
    assert "by build" in obtain.ensure(checkout, Clock("pulumi"), settings)
    assert [path.name for path in home.parent.iterdir()] == [home.name]
    assert sorted(path.name for path in (home / "bin").iterdir()) == ["pulumi", f"{toolchain.HOST}-exec"]
    assert "our cache" in obtain.ensure(checkout, Clock("pulumi"), settings)
    made = toolchain.pulumi_environment(checkout, {**settings, "PULUMI_HOME": "/mine", "PULUMI_CONFIG_PASSPHRASE": "x"})
    assert made["PATH"].split(os.pathsep)[:2] == [str(checkout / ".venv/bin"), str(home / "bin")]
    assert (made["PULUMI_HOME"], made["PULUMI_CONFIG_PASSPHRASE"]) == ("/mine", "x")
    (checkout / toolchain.RECIPE.modules[0] / "go.sum").write_text("")
    assert toolchain.cached_engine(checkout, settings) is None


def test_a_cache_that_cannot_be_written_is_named(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(FailedError, match=f"cannot use {tmp_path}/cache/pinfeather"):
        obtain.ensure(checkout, Clock("pulumi"), environment(tmp_path))


def test_a_second_set_up_waits_for_the_first(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        with alone(tmp_path, Clock("second")):
            order.append("second")

    with alone(tmp_path, Clock("first")):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_command_that_stands_still_is_ended_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="nothing moved"):
        run(["sh", "-c", "sleep 600 & echo $! > child; wait"], Clock("x"), cwd=tmp_path, idle=0.5)
    child = (tmp_path / "child").read_text().strip()
    deadline = threading.Event()
    for _ in range(100):
        told = subprocess.run(["ps", "-o", "stat=", "-p", child], capture_output=True, text=True, check=False).stdout
        if not told.strip() or told.startswith("Z"):
            return
        deadline.wait(0.05)
    pytest.fail(f"process {child} lives on")


def test_the_venv_is_left_alone_until_a_lock_changes(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (packages.DEPLOY, packages.DEVELOP, "pyproject.toml"):
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text(name)
    commands: list[str] = []

    def recorded(command: Sequence[str | Path], *_: object, **__: object) -> str:
        commands.append(" ".join(map(str, command[1:])))
        fake(checkout / ".venv/bin/python", "")
        (checkout / ".venv/pyvenv.cfg").write_text("")
        return ""

    def ran(develop: bool) -> list[str]:
        commands.clear()
        packages.ensure(checkout, develop, Clock("venv"))
        return [command.split()[-1] for command in commands if " pip install " in f" {command} "]

    monkeypatch.setattr(packages, "run", recorded)
    assert ran(False) == [packages.DEPLOY, "."]
    assert ran(False) == []
    assert ran(True) == [packages.DEVELOP, "."]
    assert ran(False) == ran(True) == []
    (checkout / packages.DEPLOY).write_text("changed")
    assert ran(False) == [packages.DEPLOY, "."]
    (checkout / "pyproject.toml").write_text("changed")
    assert ran(False) == ["."]
    moved = checkout.rename(checkout.with_name("moved"))
    packages.ensure(moved, False, Clock("venv"))
    assert "--clear" in next(command for command in commands if command.startswith("-m venv"))


def test_only_a_lock_whose_owner_is_gone_is_dead(tmp_path: Path) -> None:
    folder = tmp_path / ".pulumi/locks/organization/pinfeather/dev"
    folder.mkdir(parents=True)
    ended = subprocess.Popen(["true"])
    ended.wait()
    here, now = socket.gethostname(), "2999-01-01T00:00:00.123456789Z"
    for pid, host, since, dead in (
        (ended.pid, here, now, True),
        (os.getpid(), here, now, False),
        (os.getpid(), here, "2001-01-01T00:00:00Z", True),  # the number of a process that is gone, given out again
        (ended.pid, f"not-{here}", now, False),
    ):
        (folder / "1.json").write_text(json.dumps({"pid": pid, "username": "u", "hostname": host, "timestamp": since}))
        assert bool(stack.dead_locks(tmp_path, "dev")) is dead
    (folder / "1.json").write_text("{}")
    assert stack.dead_locks(tmp_path, "dev") == []


def test_the_engine_s_output_is_kept_where_it_tells_something() -> None:
    create = " +  pinfeather:index:ConfigFile shop created (0.01s)"
    failed = " +  pinfeather:index:ConfigFile shop creating (1s) error: the port 8000 is held by nginx (pid 7)"
    forecast = ["Previewing update (dev):", "", " +  pinfeather:index:ConfigFile shop create"]
    real = ["Updating (dev):", "", "    pulumi:pulumi:Stack pinfeather-dev running", create, failed, "@ updating....", "Duration: 1s"]
    assert list(stack.readable(forecast)) == forecast
    assert list(stack.readable(forecast + real)) == ["Updating (dev):", "", create, failed]


def test_an_old_python_and_a_strange_system_are_told_so() -> None:
    ast.parse((ROOT / "tools/setup.py").read_text(), feature_version=(3, 6))
    assert "this is 3.9: make PYTHON=" in str(setup.refusal((3, 9), "linux"))
    assert "Linux and macOS" in str(setup.refusal((3, 12), "win32"))
    assert setup.refusal((3, 11), "darwin") is None


def test_the_locks_cover_what_the_project_asks_for() -> None:
    pins = {}
    for name in (packages.DEPLOY, packages.DEVELOP):
        text = (ROOT / name).read_text()
        assert "://" not in text
        entries = re.findall(r"^([a-z0-9.-]+)==(\S+).*\\\n( +--hash=sha256:[0-9a-f]{64})", text, re.MULTILINE)
        assert len(entries) == len(re.findall(r"^\w", text, re.MULTILINE))
        pins[name] = {package: version for package, version, _ in entries}
    assert pins[packages.DEPLOY].items() <= pins[packages.DEVELOP].items()
    assert pins[packages.DEPLOY]["pulumi"] == PINNED
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    names = {re.split(r"[^A-Za-z0-9-]", line)[0].lower() for line in asked} - {project["name"]}
    assert names <= pins[packages.DEPLOY].keys()


def test_the_chosen_engine_runs() -> None:
    settings = toolchain.pulumi_environment(ROOT)
    told = subprocess.run(["pulumi", "version"], env=settings, capture_output=True, text=True, check=True, timeout=60).stdout
    version = tuple(map(int, told.strip().removeprefix("v").split(".")[:3]))
    assert toolchain.NEED <= version < toolchain.BELOW
    assert shutil.which(f"{toolchain.HOST}-exec", path=settings["PATH"]) is not None
    assert Path(sys.executable).parent == ROOT / ".venv/bin"
