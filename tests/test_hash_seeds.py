"""What is said and written does not depend on the order of sets, which is another in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PROGRAM = """
from pathlib import Path
from pinfeather._convert import converted
from pinfeather._plugins import translator
from pinfeather.model.build import build
from pinfeather.model.diagnostics import Allowed
from pinfeather.testing import sheets
from pinfeather.translators import builtin
from pinfeather.translators.contract import File, Parsed, Source

formats = [translator(name)[0] for name in builtin.MODULES]
canonical = translator("pinfeather")[0]
for sheet in sheets.load(Path("tests/cases")):
    if sheet.document is None:
        continue
    parsed = canonical.parse(Source((File(sheet.name, sheet.document.text),)), canonical.options())
    for writer in formats:
        result = converted(parsed, writer, writer.options(), allowed=[Allowed("loss.*")])
        print(sheet.name, writer.name)
        for finding in result.report.diagnostics:
            print("  ", finding.code, finding.path, finding.message, finding.instead)
        for artifact in result.artifacts:
            print(artifact)
"""


def test_another_order_of_sets_changes_nothing() -> None:
    seen = {_said(seed) for seed in ("0", "1", "2", "3")}
    assert len(seen) == 1
    assert len(next(iter(seen))) > 10_000, "there was something to convert"


def _said(seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", _PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
