"""Get a Pulumi engine where none is found: the official download first, else a build with Go from `tools/*/go.mod`.

Both end in the same folder of the cache, by one rename: an aborted run leaves a part that the next one throws away.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from tools.packages import python
from tools.running import Clock, CommandError, FailedError, alone, run
from tools.toolchain import (
    HOST,
    MODULES,
    Engine,
    cache,
    cached_engine,
    cached_home,
    executable,
    find_engine,
    pinned_version,
    remember,
    state_folder,
)

# Run by the venv's Python. It fetches the SDK's own version and its language hosts from pulumi.com, and checks that they run.
DOWNLOAD = "import sys; from pulumi.automation import PulumiCommand; PulumiCommand.install(root=sys.argv[1])"
STILL = 20  # seconds without a byte after which the download is given up
PATIENCE = 120  # seconds for the whole download where Go could build the engine in about as long
PATIENCE_WITHOUT_GO = 900
SDK = "github.com/pulumi/pulumi/sdk/v3"
GO_PLACES = ("/usr/local/go/bin", "/opt/homebrew/bin", "/usr/lib/go/bin")  # where Go's and Homebrew's installers put it


def ensure(root: Path, clock: Clock, environment: Mapping[str, str]) -> str:
    """Find or get an engine and remember it; returns what it is. Raises FailedError that says what to install."""
    engine, remarks = find_engine(root, environment)
    for remark in remarks:
        clock.note(f"not used: {remark}")
    if engine is None:
        with alone(cache(environment), clock):
            engine = cached_engine(root, environment) or _obtain(root, clock, environment)
    remember(root, engine)
    state_folder(root).mkdir(mode=0o700, parents=True, exist_ok=True)  # a plain `pulumi up` wants it there
    return engine.describe()


def _obtain(root: Path, clock: Clock, environment: Mapping[str, str]) -> Engine:
    home = cached_home(root, environment)
    part = home.with_suffix(".part")
    go, no_go = find_go(root, clock, environment)
    failures = []
    for name, attempt in (("download", _download), ("build", _build)):
        if attempt is _build and go is None:
            failures.append(f"build: {no_go}")
            continue
        try:
            _make_room(part)
            attempt(root, part, go, clock, environment)
        except CommandError as error:
            failures.append(f"{name}: {error}")
            clock.note(f"the {name} failed: {str(error).splitlines()[-1]}")
        else:
            part.rename(home)
            return Engine(str(home / "bin" / "pulumi"), str(home / "bin"), pinned_version(root), f"by {name}")
        finally:
            shutil.rmtree(part, ignore_errors=True)
    raise FailedError(
        "no Pulumi engine is to be had.\n  "
        + "\n  ".join(failures)
        + f"\nInstall Go >= {go_needed(root)} (https://go.dev/dl) or the Pulumi CLI >= {pinned_version(root)}"
        + " (https://www.pulumi.com/docs/install), so that it is on PATH, then: make setup"
    )


def _make_room(part: Path) -> None:
    shutil.rmtree(part, ignore_errors=True)
    try:
        (part / "bin").mkdir(parents=True)
        (part / "tmp").mkdir()
    except OSError as error:
        raise FailedError(f"cannot write {part}: {error.strerror}; XDG_CACHE_HOME may name another place") from error


def _download(root: Path, part: Path, go: Path | None, clock: Clock, environment: Mapping[str, str]) -> None:
    clock.now("downloading the official CLI")
    run(
        [python(root), "-c", DOWNLOAD, part],
        clock,
        cwd=part,
        environment={**environment, "TMPDIR": str(part / "tmp")},
        idle=STILL,
        limit=PATIENCE if go else PATIENCE_WITHOUT_GO,
        growing=part,
    )
    shutil.rmtree(part / "tmp")


def _build(root: Path, part: Path, go: Path | None, clock: Clock, environment: Mapping[str, str]) -> None:
    """Both binaries, and beside them the script by which the language host starts a program, from the SDK's own module."""
    assert go is not None
    settings = {**environment, "GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}
    # Without the version the Automation API cannot read `pulumi version`.
    stamp = f"-X {SDK}/go/common/version.Version=v{pinned_version(root)}"
    flags = ["-mod=readonly", "-buildvcs=false", "-trimpath", "-tags=osusergo,grpcnotrace", f"-ldflags=-w -s {stamp}"]
    for module in MODULES:
        clock.now(f"building {module} with Go; the first time takes some minutes")
        run([go, "build", *flags, "-o", f"{part / 'bin'}{os.sep}", "tool"], clock, cwd=root / module, environment=settings)
    told = run([go, "mod", "download", "-json", SDK], clock, cwd=root / MODULES[0], environment=settings)
    script = Path(json.loads(told)["Dir"]) / "python" / "cmd" / f"{HOST}-exec"
    shutil.copyfile(script, part / "bin" / script.name)
    (part / "bin" / script.name).chmod(0o755)
    shutil.rmtree(part / "tmp")


def find_go(root: Path, clock: Clock, environment: Mapping[str, str]) -> tuple[Path | None, str]:
    """A Go that is new enough for `tools/pulumi/go.mod`; else why there is none."""
    places = os.pathsep.join([environment.get("PATH", os.defpath), *GO_PLACES])
    go = executable("go", {"PATH": places})
    needed = go_needed(root)
    if go is None:
        return None, f"no Go >= {needed}"
    try:
        told = run([go, "version"], clock, cwd=root, environment={**environment, "GOTOOLCHAIN": "local"}, limit=20)
    except CommandError as error:
        return None, f"{go} does not run ({error})"
    found = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", told)
    numbers = tuple(int(number or 0) for number in found.groups()) if found else ()
    if numbers < tuple(map(int, needed.split("."))):
        return None, f"{go} is too old ({told}); needed is >= {needed}"
    return go, ""


def go_needed(root: Path) -> str:
    """The `go` line of `tools/pulumi/go.mod`."""
    found = re.search(r"^go (\S+)$", (root / MODULES[0] / "go.mod").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise FailedError(f"{MODULES[0]}/go.mod has no `go` line")
    return found[1]
