"""Get a Pulumi engine where none is found: the official download first, else a build with Go from `tools/*/go.mod`.

Both end in the same folder of the cache, by one rename: an aborted run leaves a part that the next one throws away.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from tools.building import SETTINGS, build_into, find_go, room
from tools.packages import python
from tools.recipes import cache, cached_home, go_needed
from tools.running import Clock, CommandError, FailedError, alone, run
from tools.toolchain import (
    HOST,
    RECIPE,
    Engine,
    cached_engine,
    engine_version,
    find_engine,
    remember,
    state_folder,
)

# Run by the venv's Python. It fetches the SDK's own version and its language hosts from pulumi.com, and checks that they run.
DOWNLOAD = "import sys; from pulumi.automation import PulumiCommand; PulumiCommand.install(root=sys.argv[1])"
STILL = 20  # seconds without a byte after which the download is given up
PATIENCE = 120  # seconds for the whole download where Go could build the engine in about as long
PATIENCE_WITHOUT_GO = 900
SDK = "github.com/pulumi/pulumi/sdk/v3"


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
    home = cached_home(root, RECIPE, environment)
    go, no_go = find_go(root, RECIPE, clock, environment)
    failures = []
    for name, attempt in (("download", _download), ("build", _build)):
        if attempt is _build and go is None:
            failures.append(f"build: {no_go}")
            continue
        with room(home) as part:
            try:
                attempt(root, part, go, clock, environment)
            except CommandError as error:
                failures.append(f"{name}: {error}")
                clock.note(f"the {name} failed: {str(error).splitlines()[-1]}")
            else:
                part.rename(home)
                return Engine(str(home / "bin" / "pulumi"), str(home / "bin"), engine_version(root), f"by {name}")
    raise FailedError(
        "no Pulumi engine is to be had.\n  "
        + "\n  ".join(failures)
        + f"\nInstall Go >= {go_needed(root, RECIPE)} (https://go.dev/dl) or the Pulumi CLI >= {engine_version(root)}"
        + " (https://www.pulumi.com/docs/install), so that it is on PATH, then: make setup"
    )


def _download(root: Path, part: Path, go: Path | None, clock: Clock, environment: Mapping[str, str]) -> None:
    clock.now("downloading the official CLI")
    (part / "tmp").mkdir()
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
    build_into(root, RECIPE, part / "bin", go, clock, environment)
    settings = {**environment, **SETTINGS}
    told = run([go, "mod", "download", "-json", SDK], clock, cwd=root / RECIPE.modules[0], environment=settings)
    script = Path(json.loads(told)["Dir"]) / "python" / "cmd" / f"{HOST}-exec"
    shutil.copyfile(script, part / "bin" / script.name)
    (part / "bin" / script.name).chmod(0o755)
