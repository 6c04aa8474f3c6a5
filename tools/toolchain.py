"""Where the Pulumi engine is, and the environment that it runs in. Nothing is downloaded or built here: see `obtain.py`.

`pulumi_environment(root)` is what the Makefile's targets, the tests and `pinfeather` start the engine with.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.recipes import RECIPES, cache, cached_home, pinned_version
from tools.running import FailedError

NEED = (3, 259)  # the SDK's own version: an older engine may not know what it asks for
BELOW = (4,)
RECIPE = RECIPES["pulumi"]
HOST = "pulumi-language-python"
REMEMBERED = ".venv/pulumi.json"


@dataclass(frozen=True)
class Engine:
    """A Pulumi CLI with the folder of its language host for Python."""

    pulumi: str
    host: str
    version: str
    origin: str
    mark: str = ""

    def describe(self) -> str:
        """One line for the step that found it."""
        return f"{self.version}, {self.origin}: {self.pulumi}"


def find_engine(root: Path, environment: Mapping[str, str]) -> tuple[Engine | None, list[str]]:
    """The fitting engine on PATH, else the cache's; and a remark for each that does not fit.

    The version of an engine that has not changed since it was last asked is taken from what was remembered.
    """
    remarks: list[str] = []
    known = _remembered(root)
    for pulumi in executables("pulumi", environment):
        engine = _examine(pulumi, known, environment)
        if isinstance(engine, Engine):
            return engine, remarks
        remarks.append(engine)
    return cached_engine(root, environment), remarks


def cached_engine(root: Path, environment: Mapping[str, str]) -> Engine | None:
    """The engine of our cache."""
    binaries = cached_home(root, RECIPE, environment) / "bin"
    if not (binaries / "pulumi").is_file():
        return None
    return Engine(str(binaries / "pulumi"), str(binaries), engine_version(root), "our cache")


def engine_version(root: Path) -> str:
    """The engine's version that `tools/pulumi/go.mod` asks for, as `3.259.0`."""
    return pinned_version(root, RECIPE)


def remember(root: Path, engine: Engine) -> None:
    """Keep the choice beside the packages, for those who run the engine later."""
    path = root / REMEMBERED
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(engine), indent=1) + "\n", "utf-8")
    part.replace(path)


def pulumi_environment(root: Path, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment for a quiet engine without a network, with its state in the checkout; `given` is `os.environ`.

    `.venv/bin` comes first on PATH: language hosts up to 3.79 take their Python from there. What the user has set stays.
    Makes the folder of the state where none is named. Raises FailedError where no engine has been set up.
    """
    environment = dict(os.environ if given is None else given)
    engine = _remembered(root)
    if engine is None or not Path(engine.pulumi).is_file():
        raise FailedError("no Pulumi engine is set up: make setup")
    folders = [str(root / ".venv" / "bin"), str(Path(engine.pulumi).parent), engine.host]
    folders += [folder for folder in environment.get("PATH", os.defpath).split(os.pathsep) if folder not in folders]
    environment["PATH"] = os.pathsep.join(dict.fromkeys(folders))
    if not environment.get("PULUMI_BACKEND_URL"):
        state = state_folder(root)
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        environment["PULUMI_BACKEND_URL"] = f"file://{state}"
    if "PULUMI_CONFIG_PASSPHRASE_FILE" not in environment:
        # The stack `dev` has no secrets; a stack that has some brings a passphrase of its own.
        environment.setdefault("PULUMI_CONFIG_PASSPHRASE", "")
    environment.setdefault("PULUMI_HOME", str(cache(environment) / "pulumi-home"))
    environment.setdefault("PULUMI_SKIP_UPDATE_CHECK", "true")
    environment.setdefault("PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "true")
    return environment


def state_folder(root: Path) -> Path:
    """Where the state of this checkout's stacks is, unless PULUMI_BACKEND_URL names another place."""
    return root / ".pinfeather" / "state"


def executable(name: str, environment: Mapping[str, str]) -> Path | None:
    """The first of that name on PATH."""
    return next(executables(name, environment), None)


def executables(name: str, environment: Mapping[str, str]) -> Iterator[Path]:
    """All of that name on PATH, in its order."""
    for folder in environment.get("PATH", os.defpath).split(os.pathsep):
        path = Path(folder) / name
        # Not `is_file`: it raises where a folder of PATH may not be entered.
        if path.is_absolute() and os.access(path, os.X_OK) and path.is_file():
            yield path


def _examine(pulumi: Path, known: Engine | None, environment: Mapping[str, str]) -> Engine | str:
    """The engine at that path, or why it does not fit."""
    try:
        status = pulumi.stat()
        mark = f"{status.st_mtime_ns}-{status.st_size}"
        if known and (known.pulumi, known.mark) == (str(pulumi), mark) and (Path(known.host) / HOST).exists():
            return known
        version = _version(pulumi, environment)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{pulumi} does not run ({error})"
    numbers = tuple(map(int, version.split("."))) if version else ()
    if not NEED <= numbers < BELOW:
        wanted = ".".join(map(str, NEED))
        return f"{pulumi} is {version or 'of no version that it tells'}; needed is >= {wanted}, < {BELOW[0]}"
    beside = [pulumi.parent / HOST, pulumi.resolve().parent / HOST]
    host = next((path for path in beside if path.is_file()), None) or executable(HOST, environment)
    if host is None:
        return f"{pulumi} comes without {HOST}"
    return Engine(str(pulumi), str(host.parent), version, "from PATH", mark)


def _version(pulumi: Path, environment: Mapping[str, str]) -> str:
    command = [str(pulumi), "version"]
    quiet = {**environment, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    told = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=20, check=True).stdout
    found = re.match(r"v?(\d+\.\d+\.\d+)", told)
    return found[1] if found else ""


def _remembered(root: Path) -> Engine | None:
    try:
        return Engine(**json.loads((root / REMEMBERED).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
