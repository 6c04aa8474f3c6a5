"""`pinfeather lint`: over files and folders, what is routing, what is wrong with it, and what can be put right.

Files are looked at one by one. Where one of them names what it does not hold, the files of its folder that are of the same
kind are read together: Traefik's file provider reads a folder, and Kubernetes objects refer to each other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pinfeather import _around, _config, _fixes
from pinfeather._convert import options_for, read, recognised
from pinfeather._files import FileError
from pinfeather._ignores import ignored
from pinfeather._plugins import every
from pinfeather._repairs import LABELS, Text, in_words_of, place_of, with_fix
from pinfeather._sources import SUFFIXES, below, file
from pinfeather.model.diagnostics import Code, Diagnostic, Report, Severity, Span, error, span_at
from pinfeather.model.lint import lint as lint_document
from pinfeather.translators._syntax.repair import lines_of
from pinfeather.translators.contract import AnyTranslator, File, Options, Parsed, Source

KUBERNETES = ("ingressroute", "ingress", "voyager")
"""Formats of which one stream of objects may hold several."""
TOGETHER = ("traefik-file", *KUBERNETES)
"""Formats whose files of one folder may refer to each other."""
_DEFINED = re.compile(rb"""traefik\.(?:http|tcp)\.(?:middlewares|services)\.([^.\s=:"']+)\.""", re.IGNORECASE)
_NAMED = re.compile(r"there is no (?:TCP )?(?:middleware|service) '([^']+)'")
ROUNDS = 10
"""How often fixes are made of what the last ones left."""


@dataclass(frozen=True, slots=True)
class Linted:
    """How many files were looked at, how many are routing, by format, what was found, and the lines it was found in."""

    files: int
    routing: dict[str, int]
    report: Report
    lines: Mapping[str, Sequence[str]]
    before: Mapping[str, bytes]
    """The old bytes of each file that fixes change."""
    after: Mapping[str, bytes]
    fixed: tuple[Diagnostic, ...] = ()
    usage: bool = False
    """Whether a configuration file is wrong; nothing was looked at then."""


@dataclass
class _Folder:
    """The files of one folder that are in a known format, and the configuration that holds for them."""

    config: _config.Config
    texts: dict[str, bytes] = field(default_factory=dict)
    formats: dict[str, tuple[str, ...]] = field(default_factory=dict)


def lint(names: Sequence[str], *, fix: bool = False) -> Linted:
    """What there is to say. A folder is walked; a file in no known format is counted only, unless it was named.

    With `fix`, the findings are those that are left after the fixes, whose texts are in `after`; nothing is written.
    """
    linter = _Linter()
    for name in names:
        linter.look(Path(name))
    return linter.finish(fix=fix)


class _Linter:
    def __init__(self) -> None:
        self.plugins = every()
        self.found: list[Diagnostic] = list(self.plugins.diagnostics)
        self.routing: Counter[str] = Counter()
        self.files = 0
        self.folders: dict[Path, _Folder] = {}
        self.configs: dict[Path | None, _config.Config] = {None: _config.Config()}
        self.config_lines: dict[str, Sequence[str]] = {}
        self.seen: set[str] = set()
        self.labelled: set[str] = set()
        """Names that any container of this run gives to a middleware or a service."""

    def look(self, path: Path) -> None:
        named = not path.is_dir()
        config = self._config_for(path.parent if named else path)
        for each in (path,) if named else below(path):
            if config.excludes(each) or str(each) in self.seen or (each.name == _config.NAME and not named):
                continue
            self.files += 1
            self.seen.add(str(each))
            if named or each.suffix in SUFFIXES:
                self._one(each, config, named=named)

    def _config_for(self, folder: Path) -> _config.Config:
        place = _config.found_for(folder)
        if place not in self.configs:
            assert place is not None
            known = {name: tuple(each.options.model_fields) for name, each in self.plugins.translators.items()}
            one = file(place)
            self.configs[place] = _config.read_config(one, known)
            self.config_lines[one.name] = _lines(one.text)
        return self.configs[place]

    def _one(self, path: Path, config: _config.Config, *, named: bool) -> None:
        try:
            one = file(path)
        except FileError as problem:
            if named:
                raise
            self.found.append(error(Code.FILE, problem.message, span=Span(str(path))))
            return
        formats = _formats(recognised(one, self.plugins.translators.values()))
        if formats:
            self.routing[formats[0]] += 1
            if formats[0] == LABELS:
                self.labelled.update(name.decode("utf-8", "replace") for name in _DEFINED.findall(_bytes(one)))
        elif named and not _around.speaks(one):
            said = "this is in no format that is known here"
            self.found.append(error(Code.FORMAT, said, span=Span(one.name), instead="`pinfeather formats` lists them"))
        if formats or _around.speaks(one):
            folder = self.folders.setdefault(path.parent, _Folder(config))
            assert isinstance(one.text, bytes)
            folder.texts[one.name] = one.text
            folder.formats[one.name] = formats

    def finish(self, *, fix: bool) -> Linted:
        wrong = [finding for config in self.configs.values() for finding in config.diagnostics]
        if any(finding.severity is Severity.ERROR for finding in wrong):
            return Linted(self.files, {}, Report.of(wrong), self.config_lines, {}, {}, usage=True)
        found, lines = list(self.found), dict[str, Sequence[str]](self.config_lines)
        before: dict[str, bytes] = {}
        after: dict[str, bytes] = {}
        fixed: list[Diagnostic] = []
        for folder in self.folders.values():
            old = dict(folder.texts)
            findings = self._judged(folder)
            if fix:
                findings, done = self._fixed(folder, findings)
                fixed += done
            found += findings
            lines |= {name: _lines(text) for name, text in folder.texts.items()}
            before |= {name: text for name, text in old.items() if folder.texts[name] != text}
            after |= {name: text for name, text in folder.texts.items() if old[name] != text}
        return Linted(self.files, dict(self.routing), Report.of(found), lines, before, after, tuple(fixed))

    # One folder.

    def _judged(self, folder: _Folder) -> list[Diagnostic]:
        """Everything about the files of one folder, less what its configuration and its comments ignore."""
        judged = [each for finding in self._everything(folder) if (each := folder.config.judged(finding)) is not None]
        once = {(each.code, each.message, each.span): each for each in reversed(judged)}  # one text may be read for two services
        return ignored(reversed(once.values()), {name: _lines(text) for name, text in folder.texts.items()})

    def _everything(self, folder: _Folder) -> Iterator[Diagnostic]:
        groups: dict[str, list[File]] = {}
        for name, formats in folder.formats.items():
            for each in formats:
                groups.setdefault(each, []).append(File(name, folder.texts[name]))
        mixed = {form for form in list(groups) if self._with_companions(form, groups)}
        several = {name for name, formats in folder.formats.items() if len(formats) > 1}
        pinned: set[bytes] = set()
        for form, files in groups.items():
            translator = self.plugins.translators[form]
            options, wrong = options_for(translator, folder.config.options_of(form, translator.options.model_fields))
            yield from wrong
            for source, parsed in _read(files, translator, options or translator.options(), together=form in mixed):
                said = _said(source, parsed, form, several)
                yield from (self._elsewhere(finding) for finding in said) if form == LABELS else said
                pinned |= _around.pinned(parsed.document) if parsed.document is not None else set()
        yield from _around.findings([File(name, text) for name, text in folder.texts.items()], pinned)

    def _with_companions(self, form: str, groups: dict[str, list[File]]) -> bool:
        """Files of another format go to a format that reads them together with its own, where one names what the other holds."""
        found = False
        for companion in self.plugins.translators[form].companions:
            own, theirs = groups[form], groups.get(companion, [])
            named = b"@file" if any(b"@file" in _bytes(one) for one in own) else b"@docker"
            taken = [one for one in theirs if named == b"@file" or named in _bytes(one)]
            if taken:
                groups[form] = [*own, *taken]
                groups[companion] = [one for one in theirs if one not in taken]
                found = True
        return found

    def _elsewhere(self, finding: Diagnostic) -> Diagnostic:
        """What a container names may be another container's, of another file: that is no error of this one."""
        if finding.code != Code.REFERENCE or (name := _NAMED.search(finding.message)) is None:
            return finding
        if name[1] in self.labelled:
            said = f"{name[1]!r} is held by a container of another file"
            return finding._replace(code=Code.EXTERNAL, severity=Severity.INFO, message=said, instead="nothing, if both run on one host")
        hint = f"{finding.instead}; unless a container of another file has it"
        return finding._replace(severity=Severity.WARNING, instead=hint)

    def _fixed(self, folder: _Folder, findings: list[Diagnostic]) -> tuple[list[Diagnostic], list[Diagnostic]]:
        """Fixes what can be fixed, round by round, as long as no round brings a new error; what is left, and what was done."""
        done: list[Diagnostic] = []
        for _ in range(ROUNDS):
            again = self._round(folder, findings)
            if again is None:
                break
            findings = again[0]
            done += again[1]
        return findings, done

    def _round(self, folder: _Folder, findings: list[Diagnostic]) -> tuple[list[Diagnostic], list[Diagnostic]] | None:
        """The findings after one round of fixes, and those that were fixed. All at once, else one by one; None: nothing to do."""
        fixable = [finding for finding in Report.of(findings).diagnostics if any(fix.edits for fix in finding.fixes)]
        whole = self._tried(folder, findings, fixable)
        if whole is not None or not fixable:
            return whole
        done: list[Diagnostic] = []
        for finding in fixable:
            if done and finding.span is not None and any(each.span is not None and each.span.file == finding.span.file for each in done):
                continue  # lines have moved; the next round looks again
            one = self._tried(folder, findings, [finding])
            if one is not None:
                findings, fixed = one
                done += fixed
        return (findings, done) if done else None

    def _tried(
        self, folder: _Folder, findings: list[Diagnostic], fixable: list[Diagnostic]
    ) -> tuple[list[Diagnostic], list[Diagnostic]] | None:
        """The same for some fixes at once; None, and the folder as it was, where they change nothing or bring a new error."""
        texts = {name: text for name, data in folder.texts.items() if (text := _decoded(data)) is not None}
        applied = _fixes.apply(texts, fixable)
        if not applied.findings:
            return None
        old = dict(folder.texts)
        for name, text in applied.texts.items():
            folder.texts[name] = (b"\xef\xbb\xbf" if old[name].startswith(b"\xef\xbb\xbf") else b"") + text.encode("utf-8")
        after = self._judged(folder)
        if folder.texts == old or _errors(after) - _errors(findings):
            folder.texts = old
            return None
        return after, list(applied.findings)


def _errors(findings: Iterable[Diagnostic]) -> Counter[str]:
    return Counter(finding.code for finding in findings if finding.severity is Severity.ERROR)


def _formats(candidates: tuple[str, ...]) -> tuple[str, ...]:
    """The formats that a file is read in: the first that it looks like, or all of those that share streams of objects."""
    if candidates and candidates[0] in KUBERNETES:
        return tuple(name for name in candidates if name in KUBERNETES)
    return candidates[:1]


def _read(files: list[File], translator: AnyTranslator, options: Options, *, together: bool) -> Iterator[tuple[Source, Parsed]]:
    """Each file by itself; all together where they refer to each other, and have no more errors together.

    Kubernetes objects may always do, and so may files of two formats; of others one must name what it does not hold.
    """
    objects = together or translator.name in KUBERNETES
    whole = Source(tuple(files))
    both = read(whole, translator, options) if objects and len(files) > 1 else None
    if both is not None and not _errors(both.diagnostics):
        yield whole, both
        return
    alone = [(source, read(source, translator, options)) for source in (Source((one,)) for one in files)]
    lost = any(finding.code == Code.REFERENCE for _, parsed in alone for finding in parsed.diagnostics)
    if translator.name in TOGETHER and lost and len(files) > 1:
        both = both or read(whole, translator, options)
    errors = sum(_errors(parsed.diagnostics).total() for _, parsed in alone)
    if both is not None and _errors(both.diagnostics).total() < errors + objects:
        yield whole, both
    else:
        yield from alone


def _said(source: Source, parsed: Parsed, form: str, several: set[str]) -> Iterator[Diagnostic]:
    """What the reader found, and what is wrong with what it read, each with its fix."""
    shared = any(one.name in several for one in source.files)
    told = {finding.path[:-1] for finding in parsed.diagnostics if finding.code == Code.SAME_SITE_NONE}
    lines = {one.name: _lines(one.text) for one in source.files}
    text = Text(lines, parsed.spans, form, parsed.document)
    for finding in parsed.diagnostics:
        if not (shared and finding.code == Code.SCOPE):
            yield with_fix(finding, text)
    if parsed.document is None:
        return
    for finding in lint_document(parsed.document):
        if finding.path in told and finding.code in (Code.COOKIE_INSECURE, Code.COOKIE_SAME_SITE):
            continue  # SameSite=None without Secure was read, and says both
        placed = finding.at(place_of(finding, text) or span_at(parsed.spans, finding.path))
        yield with_fix(in_words_of(form, placed), text)


def _bytes(one: File) -> bytes:
    return one.text if isinstance(one.text, bytes) else one.text.encode("utf-8", "replace")


def _decoded(data: str | bytes) -> str | None:
    if isinstance(data, str):
        return data
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        return None


def _lines(data: str | bytes) -> list[str]:
    return lines_of(_decoded(data) or "")
