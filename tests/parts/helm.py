"""A real Helm: what a chart renders with some values."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.parts.processes import PartError


def template(binary: Path, folder: Path, files: Mapping[str, str], values: Iterable[str] = (), arguments: Iterable[str] = ()) -> str:
    """`helm template release CHART`: the stream of objects that a chart of these files renders.

    `folder` is an empty one for the chart; each of `values` is the text of a values file, the later over the earlier. Raises PartError with what Helm says.
    """
    for name, text in files.items():
        (folder / "chart" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "chart" / name).write_text(text, "utf-8")
    command = [str(binary), "template", "release", str(folder / "chart"), *arguments]
    for index, text in enumerate(values):
        (folder / f"values-{index}.yaml").write_text(text, "utf-8")
        command += ["--values", str(folder / f"values-{index}.yaml")]
    home = {"HOME": str(folder), **{f"HELM_{name}_HOME": str(folder / name.lower()) for name in ("CONFIG", "CACHE", "DATA")}}
    done = subprocess.run(command, env=home, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise PartError(f"helm template: {done.stderr.strip()}")
    return done.stdout
