"""`.pinfeather.toml`: what `lint` is to leave alone, how grave a finding is, and the options of the formats.

    [lint]
    ignore = ["lint.cookie-same-site"]          # codes; `lint.*` stands for a family
    exclude = ["vendor/**", "node_modules"]     # files and folders that are not looked at

    [lint.severity]
    "lint.no-health-check" = "error"            # error, warning or info

    [lint.paths]
    "dev/**" = ["lint.cookie-insecure"]         # codes to ignore there

    [options]
    traefik = "3.5"                             # for every format that has such an option

    [options.docker-labels]
    swarm = true                                # for one format

It is looked for in the folder that is linted, and upward from there. Globs count from its own folder: `*` stays within a name,
`**` crosses folders, a pattern without a slash holds at any depth, and what names a folder holds for all below it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pinfeather._ignores import IGNORABLE, matches
from pinfeather.model.diagnostics import Code, Diagnostic, Severity, Span, error, nearest
from pinfeather.translators._syntax.taking import Taking
from pinfeather.translators.contract import NOTHING, File

NAME = ".pinfeather.toml"


class Config(NamedTuple):
    """One file of that name, or none at all."""

    folder: Path = Path()
    ignore: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    severity: Mapping[str, Severity] = NOTHING
    paths: Mapping[str, tuple[str, ...]] = NOTHING
    options: Mapping[str, str | bool] = NOTHING
    by_format: Mapping[str, Mapping[str, str | bool]] = NOTHING
    diagnostics: tuple[Diagnostic, ...] = ()

    def excludes(self, path: Path) -> bool:
        return bool(self.exclude) and any(_holds(pattern, self._own(path)) for pattern in self.exclude)

    def judged(self, finding: Diagnostic) -> Diagnostic | None:
        """The finding as this file wants it, or None where it is ignored."""
        if any(matches(code, finding.code) for code in self.ignore):
            return None
        if finding.span is not None and self.paths:
            where = self._own(Path(finding.span.file))
            for pattern, codes in self.paths.items():
                if any(matches(code, finding.code) for code in codes) and _holds(pattern, where):
                    return None
        for code, severity in self.severity.items():
            if matches(code, finding.code):
                return finding._replace(severity=severity)
        return finding

    def options_of(self, name: str, known: Collection[str]) -> dict[str, str | bool]:
        """The options for one format, which has `known` ones."""
        return {key: value for key, value in {**self.options, **self.by_format.get(name, {})}.items() if key in known}

    def _own(self, path: Path) -> str:
        try:
            return path.resolve().relative_to(self.folder).as_posix()
        except ValueError:
            return path.as_posix()


def _holds(pattern: str, path: str) -> bool:
    return _glob(pattern).fullmatch(path) is not None


@cache
def _glob(pattern: str) -> re.Pattern[str]:
    anchored = "/" in pattern.rstrip("/")
    bare = pattern.removeprefix(".").strip("/") if pattern.startswith("./") else pattern.strip("/")
    out = "" if anchored else "(?:.*/)?"
    for part in re.split(r"(\*\*/|\*\*|\*|\?)", bare):
        out += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part) or re.escape(part)
    return re.compile(out + "(?:/.*)?")


def found_for(path: Path) -> Path | None:
    """The file that holds for a path: in its folder, or the nearest one above."""
    start = path.resolve()
    for folder in (start, *start.parents):
        if (folder / NAME).is_file():
            return folder / NAME
    return None


def read_config(file: File, formats: Mapping[str, Collection[str]]) -> Config:
    """What a file says; `formats`: the options of each format. What is wrong with it is in its diagnostics, each at its line."""
    from pinfeather.translators._syntax import toml

    reading = toml.read(file.text, file.name)
    if [each.code for each in reading.diagnostics] == [Code.EMPTY]:
        return Config(Path(file.name).resolve().parent)
    if reading.broken:
        return Config(diagnostics=reading.diagnostics)
    root = Taking.of(reading)
    reader = _Reader(root, formats)
    reader.read()
    found = root.finish()
    return Config(
        Path(file.name).resolve().parent, tuple(reader.ignore), tuple(reader.exclude), reader.severity, reader.paths,
        reader.options, reader.by_format, tuple(found),
    )  # fmt: skip


class _Reader:
    def __init__(self, root: Taking, formats: Mapping[str, Collection[str]]) -> None:
        self.root = root
        self.formats = formats
        self.ignore: list[str] = []
        self.exclude: list[str] = []
        self.severity: dict[str, Severity] = {}
        self.paths: dict[str, tuple[str, ...]] = {}
        self.options: dict[str, str | bool] = {}
        self.by_format: dict[str, dict[str, str | bool]] = {}

    def read(self) -> None:
        if (lint := self.root.map("lint")) is not None:
            self.ignore = [code for n, code in enumerate(lint.text_list("ignore")) if self._code(code, lint.span_of("ignore", n))]
            self.exclude = lint.text_list("exclude")
            if (held := lint.map("severity")) is not None:
                for code in list(held.value if isinstance(held.value, dict) else ()):
                    level = held.text(code)
                    if self._code(code, held.key_span_of(code)) and level is not None:
                        self._level(code, level, held.span_of(code))
            if (held := lint.map("paths")) is not None:
                for pattern in list(held.value if isinstance(held.value, dict) else ()):
                    codes = held.text_list(pattern)
                    self.paths[pattern] = tuple(code for n, code in enumerate(codes) if self._code(code, held.span_of(pattern, n)))
        if (held := self.root.map("options")) is not None:
            self._options(dict(held.value) if isinstance(held.value, dict) else {}, held)

    def _code(self, code: str, span: Span) -> bool:
        known = [str(each) for each in Code if each.startswith(IGNORABLE)]
        if any(matches(code, each) for each in known):
            return True
        guess = nearest(code, known)
        said = f"there is no finding {code!r} that can be left alone"
        hint = (
            f"did you mean {guess!r}?" if guess else f"{' and '.join(f'{family}*' for family in IGNORABLE)} can; docs/codes.md lists them"
        )
        self.root.report(error(Code.VALUE, said, span=span, instead=hint))
        return False

    def _level(self, code: str, level: str, span: Span) -> None:
        if level in tuple(Severity):
            self.severity[code] = Severity(level)
        else:
            said = f"{level!r} is no severity"
            self.root.report(error(Code.VALUE, said, span=span, instead=f"write {', '.join(Severity)}, or put the code under `ignore`"))

    def _options(self, tree: Mapping[str, object], held: Taking) -> None:
        every = {option for options in self.formats.values() for option in options}
        for name, value in tree.items():
            key = name.replace("-", "_")
            if isinstance(value, dict):
                node = held.map(name)
                if name in self.formats and node is not None:
                    for option, inner in value.items():
                        if self._option(option, inner, node, self.formats[name]):
                            self.by_format.setdefault(name, {})[option.replace("-", "_")] = inner
                else:
                    self._stranger(f"there is no format {name!r}", name, self.formats, held.key_span_of(name))
                    if node is not None:
                        node.forget()
            elif self._option(name, value, held, every) and isinstance(value, str | bool):
                self.options[key] = value

    def _option(self, name: str, value: object, held: Taking, known: Collection[str]) -> bool:
        held.tree(name)
        if name.replace("-", "_") not in known:
            self._stranger(f"no format has an option {name!r}", name, known, held.key_span_of(name))
        elif not isinstance(value, str | bool):
            self.root.report(
                error(Code.VALUE, f"{name!r} is a text, or true or false", span=held.span_of(name), instead="put it in quotes")
            )
        else:
            return True
        return False

    def _stranger(self, said: str, name: str, known: Iterable[str], span: Span) -> None:
        guess = nearest(name, known)
        hint = f"did you mean {guess!r}?" if guess else f"there are {', '.join(sorted(known))}"
        self.root.report(error(Code.UNKNOWN, said, span=span, instead=hint))
