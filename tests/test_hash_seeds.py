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
from pinfeather.model.diagnostics import Allowed
from pinfeather.testing import sheets
from pinfeather.translators import builtin
from pinfeather.translators.contract import File, Source

formats = [translator(name)[0] for name in builtin.MODULES]
canonical = translator("pinfeather")[0]
# Services that stand alone and are one Service of Kubernetes: which of them is taken for which is a matter of their order.
alike = "".join(
    f"  {name}: {{servers: [{{kubernetes: {{service: web, port: 80}}}}], flush_interval: {number}s}}\\n" for number, name in enumerate("abcdef", 1)
)
texts = {sheet.name: sheet.document.text for sheet in sheets.load(Path("tests/cases")) if sheet.document is not None}
texts["alike"] = f"pinfeather: v1\\nservices:\\n{alike}"
for name, text in texts.items():
    parsed = canonical.parse(Source((File(name, text),)), canonical.options())
    assert parsed.document is not None, (name, parsed.diagnostics)
    for writer in formats:
        result = converted(parsed, writer, writer.options(), allowed=[Allowed("loss.*")])
        print(name, writer.name)
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
