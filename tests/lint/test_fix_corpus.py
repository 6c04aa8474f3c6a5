"""`lint --fix` over files as people have them: nothing raises, nothing gets worse, and a second time nothing changes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from pinfeather._lint import lint as lint_files
from tests.lint.conftest import Lint

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
FOLDERS = sorted(path.name for path in CORPUS.iterdir() if path.is_dir())


def spoiled(text: str) -> str:
    """The same with the attributes of its cookies taken out, and one more rule of Traefik 2."""
    kept = [
        line
        for line in text.splitlines(keepends=True)
        if not re.match(r"\s*(?:- )?\S*(?:httponly|samesite|secure)\b\S*[:=]", line, re.IGNORECASE)
    ]
    return re.sub(r"Host\(`([\w.]+)`\)", r"Host(`\1`, `www.\1`)", "".join(kept))


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("spoil", [False, True], ids=["as-it-is", "spoiled"])
def test_fixes_of_a_corpus(folder: str, spoil: bool, lint: Lint, here: Path) -> None:
    shutil.copytree(CORPUS / folder, here / folder)
    paths = [path for path in sorted((here / folder).rglob("*")) if path.is_file()]
    for path in paths if spoil else ():
        data = path.read_bytes()
        if data.isascii():
            path.write_bytes(spoiled(data.decode()).encode())
    before = {path: path.read_bytes() for path in paths}
    found = lint_files([folder])
    code, _, errors = lint("--fix", folder)
    assert code in (0, 1), errors
    after = {path: path.read_bytes() for path in paths}
    left = lint_files([folder])
    assert len(left.report.errors) <= len(found.report.errors)
    fixable = [finding for finding in left.report.diagnostics if any(fix.edits for fix in finding.fixes)]
    assert len(fixable) <= len(found.report.diagnostics)
    lint("--fix", folder)
    assert {path: path.read_bytes() for path in paths} == after, "a second time nothing changes"
    assert [path.name for path in here.rglob("*.tmp")] == []
    for path, old in before.items():
        new = after[path]
        comments = [line.split(b"#", 1)[1] for line in old.splitlines() if line.lstrip().startswith(b"#")]
        assert [line.split(b"#", 1)[1] for line in new.splitlines() if line.lstrip().startswith(b"#")] == comments, f"{path}: comments stay"
