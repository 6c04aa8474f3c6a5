"""`pinfeather lint` as it is called, in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pinfeather.cli import main

Lint = Callable[..., tuple[int, str, str]]
Put = Callable[[Mapping[str, str | bytes]], None]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def put(here: Path) -> Put:
    """`put({"a/b.yml": text})` writes files; bytes are written as they are."""

    def write(files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = here / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


@pytest.fixture
def lint(here: Path, capsys: pytest.CaptureFixture[str]) -> Lint:
    """`lint("--fix", "a.yml")`: the exit code, standard output, standard error."""

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main(["lint", *words])
        except SystemExit as ended:
            code = int(ended.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
