"""`.venv`, from a lock with hashes: made once, and left alone while nothing that it was made from has changed."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from pathlib import Path

from tools.running import Clock, CommandError, FailedError, run

DEPLOY = "requirements.txt"
DEVELOP = "requirements/dev.txt"  # holds everything that DEPLOY holds, in the same versions
LOCKED = ("--require-hashes", "--only-binary", ":all:")
STAMP = "pinfeather.json"  # inside .venv, so that it goes when that goes


def python(root: Path) -> Path:
    """The interpreter that everything of this checkout runs on."""
    return root / ".venv" / "bin" / "python"


def ensure(root: Path, develop: bool, clock: Clock) -> str:
    """Make or complete `.venv`; returns what was done. Raises FailedError with the one message."""
    wanted = _wanted(root, develop)
    stamp, here = _stamp(root), _where(root)
    if python(root).exists() and all(stamp.get(key) == value for key, value in {**wanted, **here}.items()):
        return "unchanged"
    moved = stamp.get("root", here["root"]) != here["root"]
    if moved or stamp.get("python") != here["python"]:
        stamp = {}
        _make(root, clock, moved)
    (root / ".venv" / STAMP).unlink(missing_ok=True)
    lock = DEVELOP if develop else DEPLOY
    if stamp.get(lock) != wanted[lock]:
        clock.now(f"installing {lock}")
        pip(root, clock, lock, *LOCKED, "-r", lock)
    pip(root, clock, "the project itself", "--no-deps", "--no-build-isolation", "--editable", ".")
    _write(root, {**stamp, **wanted, **_where(root)})
    return f"from {lock}"


def _wanted(root: Path, develop: bool) -> dict[str, str]:
    names = [DEPLOY, "pyproject.toml", *([DEVELOP] if develop else [])]
    return {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in names}


def _where(root: Path) -> dict[str, str]:
    """What a venv is tied to: its scripts hold its own path, its packages belong to one interpreter."""
    return {"root": str(root), "python": os.path.realpath(python(root))}


def _stamp(root: Path) -> dict[str, str]:
    try:
        stamp = json.loads((root / ".venv" / STAMP).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write(root: Path, stamp: dict[str, str]) -> None:
    path = root / ".venv" / STAMP
    part = path.with_suffix(".part")
    part.write_text(json.dumps(stamp, indent=1, sort_keys=True) + "\n", "utf-8")
    part.replace(path)


def _make(root: Path, clock: Clock, moved: bool) -> None:
    """A venv with a pip that runs: the one that is there, or a new one. One that was moved still names its old place."""
    folder = root / ".venv"
    if not moved and _runs(root, clock):
        return
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
        raise FailedError(f"{folder} is there and is not a venv: move it away")
    if importlib.util.find_spec("ensurepip") is None:
        name = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        raise FailedError(f"this Python comes without ensurepip, so it can make no venv: sudo apt install {name}")
    clock.now("making .venv")
    try:
        run([sys.executable, "-m", "venv", "--clear", folder], clock, cwd=root)
    except CommandError as error:
        raise FailedError(f"cannot make {folder}: {error}") from error


def _runs(root: Path, clock: Clock) -> bool:
    probe = "import pip, sys; sys.exit(sys.prefix == sys.base_prefix or sys.version_info < (3, 11))"
    try:
        run([python(root), "-c", probe], clock, cwd=root)
    except CommandError:
        return False
    return True


def pip(root: Path, clock: Clock, what: str, *arguments: str) -> None:
    """`pip install` with the venv's pip. Raises FailedError that says what pip said."""
    # Where packages come from is the machine's business (pip.conf, PIP_*): nothing is named here.
    command = [str(python(root)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    try:
        run(command, clock, cwd=root)
    except CommandError as error:
        raise FailedError(
            f"pip could not install {what}. Is there a network, and does pip know where packages are (pip config list)? It says:\n{error}"
        ) from error
