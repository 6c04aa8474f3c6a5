"""`pinfeather convert`: what it does with files and standard streams. The work itself is in `_convert.py` and the formats."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from pinfeather import _render
from pinfeather._convert import Converted, converted, options_for
from pinfeather._files import FileError, write_atomic
from pinfeather._plugins import translator
from pinfeather._progress import Progress
from pinfeather._reading import Extra, instance_of, prepared, read_groups
from pinfeather._sources import Group, UsageError, file, readers_for, source
from pinfeather.model.diagnostics import ALLOWABLE, Allowed, Code, Diagnostic, Report, Severity, error, nearest
from pinfeather.model.document import EntryPoint
from pinfeather.model.features import Feature
from pinfeather.translators.contract import AnyTranslator, Emitted, Options, Parsed, TextFile

_COMMENT = re.compile(r"(^|\s)#.*")
MARK = "# Written by `pinfeather convert`, which may write over it."


class _Chosen(NamedTuple):
    """Who reads what, who writes, and how."""

    readers: tuple[tuple[Group, Options], ...]
    writer: AnyTranslator
    options: Options
    entry_points: Mapping[str, EntryPoint]


def convert(given: argparse.Namespace, extra: Extra) -> int:
    """Runs the command. Raises FileError and UsageError."""
    inputs = source(given.files)
    groups, doubts = readers_for(inputs, given.source, [*given.files, "<stdin>"])
    writer, unknown = translator(given.target)
    if not groups or writer is None:
        return _refused((*doubts, *unknown), given)
    chosen, said = _chosen(groups, writer, given, extra)
    if chosen is None:
        return _refused(said, given)
    allowed = [_permission(text, "--allow") for text in given.allow]
    if given.allow_file is not None:
        allowed += allowances(Path(given.allow_file))
    with Progress() as progress:
        progress.stage("reading")
        parsed = prepared(read_groups(chosen.readers), given.bind, given.servers, chosen.entry_points)
        result = converted(parsed, chosen.writer, chosen.options, allowed=allowed, best_effort=given.best_effort, stage=progress.stage)
    result = result._replace(report=Report.of((*doubts, *said, *result.report.diagnostics)))
    _tell(result.report, given, result)
    if result.refused:
        if given.report == "text" and not given.report_to:
            _keep(result)
        return result.exit_code
    texts = _texts(result, parsed, given)
    if given.output is None:
        sys.stdout.write(_stream(texts))
        sys.stdout.flush()
    else:
        _write(Path(given.output), texts, force=given.force)
    return 0


# What is asked for -----------------------------------------------------------------------------------------------------


def _chosen(
    groups: tuple[Group, ...], writer: AnyTranslator, given: argparse.Namespace, extra: Extra
) -> tuple[_Chosen | None, tuple[Diagnostic, ...]]:
    """Every format with its options: those of the instance, and the flags, which are stronger."""
    formats = [writer, *(reader for reader, _ in groups)]
    options, points, said = instance_of(formats, given.instance, given.from_static)
    if any(finding.severity is Severity.ERROR for finding in said):
        return None, said
    wanted = {**options, **extra}
    made = [options_for(each, {name: value for name, value in wanted.items() if name in each.options.model_fields}) for each in formats]
    wrong = tuple(dict.fromkeys(finding for _, found in made for finding in found))
    unasked = [name for name in extra if not any(name in each.options.model_fields for each in formats)]
    names = " and ".join(dict.fromkeys(each.name for each in formats))
    wrong += tuple(error(Code.OPTION, f"{names} know no --{name.replace('_', '-')}", instead="leave it out") for name in unasked)
    write_options, *read_options = [each for each, _ in made]
    if wrong or write_options is None:
        return None, (*said, *wrong)
    readers = tuple((group, each) for group, each in zip(groups, read_options, strict=True) if each is not None)
    return _Chosen(readers, writer, write_options, points), said


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


# What is said ----------------------------------------------------------------------------------------------------------


def _refused(found: Iterable[Diagnostic], given: argparse.Namespace) -> int:
    report = Report.of(found)
    _tell(report, given, None)
    return 2 if report.errors else 0


def _tell(report: Report, given: argparse.Namespace, result: Converted | None) -> None:
    if given.report == "json":
        text = _render.as_json(report)
    elif given.report == "markdown":
        from pinfeather._markdown import review

        text = review(report, result, files=given.files, target=given.target)
    else:
        text = _render.text(report, most=len(report.diagnostics) if given.all or given.report_to else _render.SCREEN)
    if given.report_to:
        write_atomic(Path(given.report_to), text.encode("utf-8"))
    else:
        sys.stderr.write(text)


def _keep(result: Converted) -> None:
    """What would let a refused conversion pass: the bindings of its templates, or the permissions of its losses."""
    losses = [finding for finding in result.report.errors if finding.allowable]
    if result.document is None or not losses or len(losses) != len(result.report.errors):
        return
    templates = [finding for finding in losses if finding.code == f"loss.{Feature.TEMPLATE}"]
    if templates and result.templates:
        print("\nNothing was written. To say what another program would fill in:\n", file=sys.stderr)
        print(" \\\n  ".join(("", *result.templates)).removeprefix(" \\\n"), file=sys.stderr)
        return
    print("\nNothing was written. To allow exactly this, keep these lines in a file and give it as --allow-file:\n", file=sys.stderr)
    sys.stderr.write(_render.allow_file(losses))


# What is written -------------------------------------------------------------------------------------------------------


def _texts(result: Converted, parsed: Parsed, given: argparse.Namespace) -> list[TextFile]:
    emitted = Emitted(result.artifacts)
    texts = list(emitted.files())
    if not given.pass_through or not parsed.passed:
        return texts
    if any(isinstance(part, TextFile) and part.name != "objects.yaml" for part in result.artifacts):
        raise UsageError("--pass-through copies Kubernetes objects, and this target writes none: leave it out")
    own = texts[0].text if texts else ""
    copied = "".join(text if text.startswith(("---", "%")) else f"---\n{text}" for text in map(_ended, parsed.passed))
    return [TextFile("objects.yaml", own + copied)]


def _stream(texts: list[TextFile]) -> str:
    """One file as it is; several one after the other, each under its name."""
    if len(texts) < 2:
        return "".join(text.text for text in texts)
    return "".join(f"---\n# {text.name}\n{text.text.removeprefix('---' + chr(10))}" for text in texts)


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


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
