"""What each command does with files and standard streams. The work itself is in `_convert.py`, `_lint.py` and the formats."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pinfeather import _render
from pinfeather._convert import Converted, options_for
from pinfeather._convert import convert as convert_source
from pinfeather._files import FileError, write_atomic
from pinfeather._plugins import every, translator
from pinfeather._sources import UsageError, file, reader_for, source
from pinfeather.model.diagnostics import ALLOWABLE, Allowed, Diagnostic, Report, nearest
from pinfeather.model.features import Feature
from pinfeather.translators.contract import AnyTranslator, Emitted, Options, TextFile

_COMMENT = re.compile(r"(^|\s)#.*")
MARK = "# Written by `pinfeather convert`, which may write over it."


def convert(given: argparse.Namespace, extra: Mapping[str, str | bool]) -> int:
    inputs = source(given.files)
    reader, doubts = reader_for(inputs, given.source)
    writer, unknown = translator(given.target)
    if reader is None or writer is None:
        return _tell(Report.of((*doubts, *unknown)), given)
    read_options, write_options, wrong = _options(reader, writer, extra)
    if read_options is None or write_options is None:
        return _tell(Report.of(wrong), given)
    allowed = [_permission(text, "--allow") for text in given.allow]
    if given.allow_file is not None:
        allowed += allowances(Path(given.allow_file))
    result = convert_source(inputs, reader, writer, read_options=read_options, write_options=write_options, allowed=allowed)
    _tell(result.report, given)
    if result.refused:
        if given.report == "text":
            _keep(result)
        return result.exit_code
    texts = list(Emitted(result.artifacts).files())
    if given.output is None:
        sys.stdout.write("---\n".join(artifact.text for artifact in texts))
        sys.stdout.flush()
    else:
        _write(Path(given.output), texts, force=given.force)
    return 0


def _options(
    reader: AnyTranslator, writer: AnyTranslator, extra: Mapping[str, str | bool]
) -> tuple[Options | None, Options | None, tuple[Diagnostic, ...]]:
    read_options, wrong_in = options_for(reader, {k: v for k, v in extra.items() if k in reader.options.model_fields})
    write_options, wrong_out = options_for(writer, {k: v for k, v in extra.items() if k in writer.options.model_fields})
    return read_options, write_options, tuple(dict.fromkeys((*wrong_in, *wrong_out)))


def allowances(path: Path) -> list[Allowed]:
    """The permissions of an allow file: one a line, `#` begins a comment."""
    data = file(path).text
    assert isinstance(data, bytes)
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"{path}: an allow file is UTF-8 text") from None
    return [_permission(text, f"{path}:{number}") for number, line in enumerate(lines, 1) if (text := _COMMENT.sub("", line).strip())]


def _permission(text: str, where: str) -> Allowed:
    """Raises UsageError for what would allow nothing, so that a misspelt permission is not taken for a kept one."""
    allowed = Allowed.parse(text)
    if not allowed.code.startswith(ALLOWABLE):
        raise UsageError(f"{where}: {allowed.code!r} cannot be allowed; only {', '.join(f'{family}*' for family in ALLOWABLE)} can")
    losses = [f"loss.{feature}" for feature in Feature]
    if allowed.code.startswith("loss.") and not _known(allowed.code, losses):
        guess = nearest(allowed.code, losses)
        raise UsageError(f"{where}: there is no {allowed.code!r}; {f'did you mean {guess!r}?' if guess else 'docs/codes.md lists them'}")
    return allowed


def _known(code: str, losses: Iterable[str]) -> bool:
    return any(loss == code or (code.endswith(".*") and loss.startswith(code[:-1])) for loss in losses)


def _tell(report: Report, given: argparse.Namespace) -> int:
    if given.report == "json":
        sys.stderr.write(_render.as_json(report))
    else:
        sys.stderr.write(_render.text(report, most=len(report.diagnostics) if given.all else _render.SCREEN))
    return 2 if report.errors else 0


def _keep(result: Converted) -> None:
    losses = [finding for finding in result.report.errors if finding.allowable]
    if result.document is not None and losses and len(losses) == len(result.report.errors):
        print("\nNothing was written. To allow exactly this, keep these lines in a file and give it as --allow-file:\n", file=sys.stderr)
        sys.stderr.write(_render.allow_file(losses))


def _write(path: Path, texts: list[TextFile], *, force: bool) -> None:
    if len(texts) > 1 or path.is_dir():
        try:
            path.mkdir(exist_ok=True)
        except OSError as problem:
            raise FileError(path, f"cannot be made a folder for {len(texts)} files: {(problem.strerror or str(problem)).lower()}") from None
        for text in texts:
            _write_one(path / text.name, text, force=force)
    elif texts:
        _write_one(path, texts[0], force=force)


def _write_one(path: Path, artifact: TextFile, *, force: bool) -> None:
    marked = artifact.language in ("yaml", "toml")
    data = (f"{MARK}\n{artifact.text}" if marked else artifact.text).encode("utf-8")
    if path.exists() and not force:
        old = file(path).text
        assert isinstance(old, bytes)
        if old not in (data, b"") and not old.startswith(MARK.encode()):
            raise FileError(path, "is not Pinfeather's; choose another name, or say --force to write over it")
    write_atomic(path, data)


def lint(given: argparse.Namespace) -> int:
    from pinfeather._lint import lint as lint_files

    found = lint_files(given.files)
    _tell(found.report, given)
    routing = sum(found.routing.values())
    kinds = ", ".join(f"{count} {name}" for name, count in sorted(found.routing.items()))
    files = "1 file is" if found.files == 1 else f"{found.files} files are"
    print(f"{routing} of {files} routing{f' ({kinds})' if kinds else ''}; {_counted(found.report)}")
    return 1 if found.report.diagnostics and any(each.severity != "info" for each in found.report.diagnostics) else 0


def _counted(report: Report) -> str:
    counts = {name: sum(each.severity == name for each in report.diagnostics) for name in ("error", "warning", "info")}
    return ", ".join(f"{count} {name}{'s' if count != 1 and name != 'info' else ''}" for name, count in counts.items())


def formats(given: argparse.Namespace) -> int:
    from pinfeather._formats import page, table

    if given.name is None:
        found = every()
        sys.stdout.write(table(found))
        sys.stderr.write(_render.text(Report.of(found.diagnostics)))
        return 2 if found.diagnostics else 0
    chosen, unknown = translator(given.name)
    if chosen is None:
        sys.stderr.write(_render.text(Report.of(unknown)))
        return 2
    sys.stdout.write(page(chosen))
    return 0


def schema(given: argparse.Namespace) -> int:  # noqa: ARG001 - every command has the same shape
    from pinfeather._formats import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "lint": lint,
    "formats": formats,
    "schema": schema,
}
