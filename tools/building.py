"""Build a recipe with Go into the cache, whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tools.recipes import Recipe, cached_home, go_needed, stamp
from tools.running import Clock, CommandError, FailedError, run
from tools.toolchain import executable

GO_PLACES = ("/usr/local/go/bin", "/opt/homebrew/bin", "/usr/lib/go/bin")  # where Go's and Homebrew's installers put it
SETTINGS = {"GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}
FLAGS = ("-mod=readonly", "-buildvcs=false", "-trimpath", "-tags=osusergo,grpcnotrace")


def find_go(root: Path, recipe: Recipe, clock: Clock, environment: Mapping[str, str]) -> tuple[Path | None, str]:
    """A Go that is new enough for the recipe; else why there is none."""
    places = os.pathsep.join([environment.get("PATH", os.defpath), *GO_PLACES])
    go = executable("go", {"PATH": places})
    needed = go_needed(root, recipe)
    if go is None:
        return None, f"no Go >= {needed}"
    try:
        told = run([go, "version"], clock, cwd=root, environment={**environment, **SETTINGS}, limit=20)
    except CommandError as error:
        return None, f"{go} does not run ({error})"
    found = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", told)
    numbers = tuple(int(number or 0) for number in found.groups()) if found else ()
    if numbers < tuple(map(int, needed.split("."))):
        return None, f"{go} is too old ({told}); needed is >= {needed}"
    return go, ""


def build(root: Path, recipe: Recipe, go: Path, clock: Clock, environment: Mapping[str, str]) -> None:
    """Build it, and put it where `cached_home` says. The cache is held by the caller. Raises CommandError."""
    home = cached_home(root, recipe, environment)
    with room(home) as part:
        build_into(root, recipe, part / "bin", go, clock, environment)
        part.rename(home)


def build_into(root: Path, recipe: Recipe, binaries: Path, go: Path, clock: Clock, environment: Mapping[str, str]) -> None:
    """Every program of the recipe, in that folder, under its own name. Raises CommandError."""
    binaries.mkdir(exist_ok=True)
    for module in recipe.modules:
        clock.now(f"building {module} with Go; the first time takes some minutes")
        run(
            [go, "build", *FLAGS, f"-ldflags=-w -s {stamp(root, recipe)}", "-o", f"{binaries}{os.sep}", "tool"],
            clock,
            cwd=root / module,
            environment={**environment, **SETTINGS},
        )
    for name, own in recipe.renamed.items():
        (binaries / name).rename(binaries / own)


@contextmanager
def room(home: Path) -> Iterator[Path]:
    """An empty folder beside `home`, to be renamed to it once it is whole; if it still is there at the end, it goes away."""
    part = home.with_name(f"{home.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise FailedError(f"cannot write {part}: {error.strerror}; XDG_CACHE_HOME may name another place") from error
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)
