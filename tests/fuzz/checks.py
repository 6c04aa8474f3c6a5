"""What a reader must not do, and the files in which it is kept that one did."""

from __future__ import annotations

import base64
import json
import time
import traceback
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from pinfeather._convert import options_for
from pinfeather.model.diagnostics import Severity
from pinfeather.translators.contract import AnyTranslator, File, Parsed, Source
from tests.fuzz.inputs import Input

CRASHES = Path(__file__).parent / "crashes"
SECOND = 1.0
"""CPU that one input may take."""


class Fault(NamedTuple):
    """What a reader did. `where` is the same for all inputs that meet one mistake."""

    where: str
    what: str


def fault(translator: AnyTranslator, given: Input) -> Fault | None:
    """What is wrong with how a reader takes an input; None: it read it, or refused it in words."""
    options, refused = options_for(translator, given.options)
    if options is None:
        return Fault("options", str(refused))
    before = time.process_time()
    try:
        for file in given.source.files:
            translator.recognise(file)
        parsed = translator.parse(given.source, options)
    except Exception as problem:  # noqa: BLE001 - that is what is looked for
        last = next((each for each in reversed(traceback.extract_tb(problem.__traceback__)) if "site-packages" not in each.filename), None)
        where = "" if last is None else f"{Path(last.filename).name}:{last.lineno} {last.name}"
        return Fault(f"{type(problem).__name__} {where}", "".join(traceback.format_exception(problem))[-3000:])
    spent = time.process_time() - before
    if spent > SECOND:
        return Fault("slow", f"{spent:.2f} s of CPU")
    return _said(parsed, {file.name for file in given.source.files})


def _said(parsed: Parsed, names: set[str]) -> Fault | None:
    wrong = next((finding for finding in parsed.diagnostics if finding.code.startswith("bug.")), None)
    if wrong is not None:
        return Fault(f"{wrong.code} {wrong.message[:80]}", wrong.message)
    if parsed.document is None and not any(finding.severity is Severity.ERROR for finding in parsed.diagnostics):
        return Fault("silent", "there is no document, and no error says why")
    for finding in parsed.diagnostics:
        if not finding.message:
            return Fault(f"wordless {finding.code}", repr(finding))
        if finding.span is not None and finding.span.file not in names:
            return Fault(f"elsewhere {finding.code}", repr(finding))
    return None


# Files -----------------------------------------------------------------------------------------------------------------


def keep(translator: AnyTranslator, given: Input, found: Fault) -> Path:
    """Writes an input into `crashes/`, once."""
    files = []
    for file in given.source.files:
        content = file.text.encode() if isinstance(file.text, str) else file.text
        try:
            files.append({"name": file.name, "text": content.decode("utf-8")})
        except UnicodeDecodeError:
            files.append({"name": file.name, "base64": base64.b64encode(content).decode()})
    tree = {"format": translator.name, "options": given.options, "was": found.where, "files": files}
    text = json.dumps(tree, indent=1, sort_keys=True) + "\n"
    path = CRASHES / f"{translator.name}-{sha256(text.encode()).hexdigest()[:10]}.json"
    CRASHES.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def kept(path: Path) -> tuple[str, Input]:
    """The format and the input of a file of `crashes/`."""
    tree = json.loads(path.read_text("utf-8"))
    files = tuple(
        File(each["name"], each["text"].encode() if "text" in each else base64.b64decode(each["base64"])) for each in tree["files"]
    )
    return str(tree["format"]), Input(Source(files), dict(tree["options"]))
