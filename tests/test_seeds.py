"""The configurations of the five documents that this project began with, restated in `tests/seeds` with their indentation.

Each is read by its format; what is wrong in it is named at its line, and the fix gives the system that its prose describes. Each is
written in every other format and back: with the losses that `tests/seeds/losses` states (`--accept-cases` writes them again), the
decisions kept on every probe. PINFEATHER_SEEDS names a folder with the originals, from which the same is asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from pinfeather import _fixes
from pinfeather._convert import read
from pinfeather._lint import lint
from pinfeather._plugins import every
from pinfeather._sources import readers_for, source
from pinfeather.model.bind import bind
from pinfeather.model.decide import Outcomes, Table, outcomes
from pinfeather.model.diagnostics import Diagnostic, Severity, dotted
from pinfeather.model.document import Document
from pinfeather.model.lint import lint as lint_document
from pinfeather.model.normal import normal
from pinfeather.model.project import project
from pinfeather.model.servers import references, with_servers
from pinfeather.testing import laws
from pinfeather.testing.probes import probes
from pinfeather.translators.contract import AnyTranslator, File, Parsed, Source

SEEDS = Path(__file__).parent / "seeds"
FORMATS = every().translators
VALUES = {
    'include "app.name" .': "my-app",
    'include "app.namespace" .': "prod",
    ".Values.captain_domain": "captain.example.com",
}
"""What the templates of the seeds are filled with."""


Lines = tuple[int, ...]
"""The lines of the thing that a finding is about; it stands at one of them."""


class Seed(NamedTuple):
    """A restated configuration: the format that reads it, and what is said of it: line and code."""

    path: str
    format: str
    findings: tuple[tuple[Lines, str], ...] = ()
    meant: str = ""
    """The file that its fixes make of it, up to the writing."""


CANARY = (
    ((15,), "lint.cookie-regex"),
    ((38,), "lint.cookie-shared"),
    ((28,), "lint.cookie-cross-site"),
    ((42,), "lint.cookie-cross-site"),
)
ALL = (
    Seed(
        "compose-tutorial/docker-compose.yml",
        "docker-labels",
        (((21, 22, 23, 24), "lint.sticky-middleware"), ((34, 35, 36, 37), "lint.sticky-middleware")),
        "compose-tutorial/meant.yml",
    ),
    Seed(
        "compose-tutorial/meant.yml",
        "docker-labels",
        (((11, 12, 13, 14), "lint.cookie-insecure"), ((11, 12, 13, 14), "lint.cookie-same-site")),
    ),
    Seed("article/file.yml", "traefik-file"),
    Seed("article/file-routed.yml", "traefik-file"),
    Seed("article/run.sh", "docker-labels"),
    Seed("article/traefikservice.yaml", "ingressroute", (((13,), "lint.sticky-one-child"),)),
    Seed("article/traefikservice-inner.yaml", "ingressroute"),
    Seed(
        "article/health-check.yml",
        "traefik-file",
        tuple(((7,), f"lint.cookie-{what}") for what in ("insecure", "readable", "same-site")),
    ),
    Seed("canary-sticky/list.yaml", "helm-values", CANARY),
    Seed("canary-sticky/map.yaml", "helm-values", CANARY),
    Seed("sticky-ingressroute/list.yaml", "helm-values", (((34,), "lint.cookie-cross-site"),)),
    Seed("sticky-ingressroute/map.yaml", "helm-values", (((34,), "lint.cookie-cross-site"),)),
    Seed("voyager/sticky-ingress.yaml", "voyager", (((6,), "lint.annotation-singular"),), "voyager/sticky-ingress-meant.yaml"),
    Seed("voyager/sticky-ingress-meant.yaml", "voyager"),
    Seed("voyager/sticky-service.yaml", "voyager"),
)


def _param(seed: Seed, *more: object) -> object:
    return pytest.param(seed, *more, id="-".join((seed.path, *map(str, more))))


EACH = pytest.mark.parametrize("seed", [_param(seed) for seed in ALL])
PLACED = {name: (False,) if name == "traefik-file" else (False, True) for name in FORMATS}
"""A file for the file provider names its servers by URL already."""
PAIRS = pytest.mark.parametrize(
    ("seed", "target", "placed"),
    [
        _param(seed, target, placed)
        for seed in ALL
        for target in FORMATS
        for placed in PLACED.get(seed.format, ())
        if target not in (seed.format, "pinfeather")
    ],
)


@cache
def _read(path: str, name: str) -> Parsed:
    translator = FORMATS[name]
    return read(source([str(SEEDS / path)]), translator, translator.options())


def found(parsed: Parsed) -> list[Diagnostic]:
    """What the reader says, and what lint says of the document."""
    if parsed.document is None:
        return list(parsed.diagnostics)
    placed = Parsed(parsed.document, tuple(lint_document(parsed.document)), parsed.spans)
    return [*parsed.diagnostics, *_spanned(placed)]


def _spanned(parsed: Parsed) -> Iterator[Diagnostic]:
    from pinfeather.model.diagnostics import span_at

    for finding in parsed.diagnostics:
        yield finding.at(span_at(parsed.spans, finding.path))


def lines(findings: list[Diagnostic]) -> set[tuple[int, str]]:
    return {(finding.span.line if finding.span is not None else 0, str(finding.code)) for finding in findings}


def said(findings: list[Diagnostic]) -> str:
    return "\n".join(f"{finding.span and finding.span.line} {finding.severity} {finding.code}: {finding.message}" for finding in findings)


def document_of(seed: Seed, *, placed: bool = False) -> Document:
    """What a seed says; of one that Traefik refuses, what its fixes make of it. Its templates are filled.

    `placed`: behind each Kubernetes Service and each container stand servers by URL, as `--servers` says them.
    """
    parsed = _read(seed.meant or seed.path, seed.format)
    assert parsed.document is not None, said(list(parsed.diagnostics))
    bound, wrong = bind(parsed.document, VALUES)
    assert bound is not None, wrong
    if not placed:
        return bound
    given = {key: tuple(f"http://10.0.{number}.{last}:80" for last in (10, 11)) for number, key in enumerate(sorted(references(bound)), 1)}
    made, unknown = with_servers(bound, given)
    assert not unknown, unknown
    return made


# Reading ---------------------------------------------------------------------------------------------------------------


@EACH
def test_it_is_recognised_and_read(seed: Seed) -> None:
    groups, why = readers_for(source([str(SEEDS / seed.path)]), None)
    assert [reader.name for reader, _ in groups] == [seed.format], why
    parsed = _read(seed.path, seed.format)
    findings = found(parsed)
    seen = lines(findings)
    assert all(any((line, code) in seen for line in where) for where, code in seed.findings), said(findings)
    errors = lines([each for each in findings if each.severity is Severity.ERROR])
    assert errors <= {(line, code) for where, code in seed.findings for line in where}, said(findings)


@pytest.mark.parametrize("seed", [_param(seed) for seed in ALL if seed.meant])
def test_the_fix_gives_what_the_prose_describes(seed: Seed, tmp_path: Path) -> None:
    path = tmp_path / Path(seed.path).name
    path.write_bytes((SEEDS / seed.path).read_bytes())
    for _ in range(3):  # a repair may show the next thing
        report = lint([str(path)]).report
        applied = _fixes.apply({str(path): path.read_text("utf-8")}, report.errors)
        for text in applied.texts.values():
            path.write_text(text, "utf-8")
        if not applied.texts:
            break
    translator = FORMATS[seed.format]
    again = read(source([str(path)]), translator, translator.options())
    assert again.document is not None, path.read_text("utf-8")
    assert not [each for each in again.diagnostics if each.severity is Severity.ERROR], path.read_text("utf-8")
    meant = _read(seed.meant, seed.format).document
    assert meant is not None
    assert normal(again.document) == normal(meant), path.read_text("utf-8")


# Writing ---------------------------------------------------------------------------------------------------------------


def _listed(findings: tuple[Diagnostic, ...]) -> list[str]:
    return [f"- `{each.code}@{dotted(each.path)}`: {'; '.join(filter(None, (each.message, each.instead)))}" for each in findings] or [
        "None."
    ]


def _there_and_back(seed: Seed, target: str, *, placed: bool) -> list[str]:
    """The section of a golden file: what is lost on the way to a format, and on the way back."""
    writer, reader = FORMATS[target], FORMATS[seed.format]
    there = project(document_of(seed, placed=placed), writer.supports(writer.options()))
    parsed = read(writer.emit(there.kept, writer.options()).source(), writer, writer.options())
    assert parsed.document is not None, said(list(parsed.diagnostics))
    back = project(parsed.document, reader.supports(reader.options()))
    title = f"{target}, the servers given by URL" if placed else target
    return [f"## {title}", "", *_listed(there.diagnostics), "", "### and back", "", *_listed(back.diagnostics), ""]


def _golden(seed: Seed) -> Path:
    return SEEDS / "losses" / f"{seed.path.replace('/', '-')}.md"


def _text(seed: Seed) -> str:
    targets = [target for target in FORMATS if target not in (seed.format, "pinfeather")]
    head = [f"# {seed.path} ({seed.format})", "", "What each other format cannot say of it, and what is lost on the way back.", ""]
    return "\n".join(
        (*head, *(line for target in targets for placed in PLACED[seed.format] for line in _there_and_back(seed, target, placed=placed)))
    )


@EACH
def test_the_losses_are_those_that_are_stated(seed: Seed, accept_cases: bool) -> None:
    golden, text = _golden(seed), _text(seed)
    if accept_cases:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, "utf-8")
    assert golden.read_text("utf-8") == text, f"{golden} says something else; look at it, and take it with --accept-cases"


@PAIRS
def test_the_decisions_are_kept_there_and_back(seed: Seed, target: str, placed: bool) -> None:
    document, writer, reader = document_of(seed, placed=placed), FORMATS[target], FORMATS[seed.format]
    for law in (laws.read_back, laws.decisions_kept, laws.never_wider, laws.honest_loss):
        law(writer, writer.options(), document)
    there = project(document, writer.supports(writer.options()))
    middle = _again(writer, there.kept)
    for law in (laws.read_back, laws.decisions_kept, laws.never_wider):
        law(reader, reader.options(), middle)
    back = project(middle, reader.supports(reader.options()))
    if not any(each.code.startswith("loss.") for each in (*there.diagnostics, *back.diagnostics)):
        _same(document, _again(reader, back.kept))


def _again(translator: AnyTranslator, document: Document) -> Document:
    parsed = read(translator.emit(document, translator.options()).source(), translator, translator.options())
    assert parsed.document is not None, said(list(parsed.diagnostics))
    return parsed.document


def _same(one: Document, other: Document) -> None:
    """Equal outcomes on every probe of the first, whatever routes and services are called now."""
    tables = Table.of(one), Table.of(other)
    for request, state in probes(one):
        if request.bindings or state.servers:
            continue  # these go by names, which may be others now; `decisions_kept` has asked them at each step
        before, after = (_shares(outcomes(table, request, state)) for table in tables)
        assert before == after, f"{request}: {before} and then {after}"


def _shares(met: Outcomes) -> dict[object, object]:
    shares: dict[object, object] = {}
    for effect, share in met.shares.items():
        key = (effect.status, len(effect.middlewares), tuple(binding.cookie for binding in effect.set_cookies))
        shares[key] = share + shares.get(key, 0)  # type: ignore[operator]
    return shares


# The originals ---------------------------------------------------------------------------------------------------------

ORIGINALS = {
    "compose-tutorial/docker-compose.yml": "sticky-compose-tutorial.md",
    "compose-tutorial/traefik.yml": "sticky-compose-tutorial.md",
    "article/file.yml": "sticky-sessions-article.md",
    "article/run.sh": "sticky-sessions-article.md",
    "article/traefikservice.yaml": "sticky-sessions-article.md",
    "article/health-check.yml": "sticky-sessions-article.md",
    "canary-sticky/list.yaml": "canary-sticky.md",
    "canary-sticky/map.yaml": "canary-sticky.md",
    "sticky-ingressroute/list.yaml": "sticky-ingressroute.md",
    "sticky-ingressroute/map.yaml": "sticky-ingressroute.md",
    "voyager/sticky-ingress.yaml": "voyager-sticky.md",
    "voyager/sticky-service.yaml": "voyager-sticky.md",
}
_FENCED = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def originals() -> Path:
    if not (named := os.environ.get("PINFEATHER_SEEDS")):
        pytest.skip("PINFEATHER_SEEDS does not name the folder of the original documents")
    return Path(named)


def _squeezed(text: str) -> str:
    """Without line ends, indentation, and the marks between two documents of a stream: what the originals have lost."""
    return re.sub(r"\s+|^---$", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("path", ORIGINALS)
def test_the_restated_file_is_the_original(originals: Path, path: str) -> None:
    """To the letter, but for the indentation that some of the originals have lost."""
    text = (originals / ORIGINALS[path]).read_text("utf-8")
    blocks = _FENCED.findall(text)
    held = _squeezed("".join(blocks) if blocks else text)
    for part in (SEEDS / path).read_text("utf-8").split("\n---\n"):
        assert _squeezed(part) in held


@pytest.mark.parametrize(
    "seed", [_param(seed) for seed in ALL if ORIGINALS.get(seed.path, "").startswith(("canary", "sticky-ing", "voyager"))]
)
def test_a_block_of_the_original_is_read_as_the_restated_file(originals: Path, seed: Seed) -> None:
    blocks = _FENCED.findall((originals / ORIGINALS[seed.path]).read_text("utf-8"))
    parts = (SEEDS / seed.path).read_text("utf-8").split("\n---\n")
    taken = [block for block in blocks if any(_squeezed(block) == _squeezed(part) for part in parts)]
    assert len(taken) >= len(parts)
    text = "---\n".join(dict.fromkeys(taken))
    translator = FORMATS[seed.format]
    parsed = read(Source((File("original.yaml", text),)), translator, translator.options())
    assert parsed.document is not None
    assert parsed.document == _read(seed.path, seed.format).document
    assert {code for _, code in lines(found(parsed))} >= {code for _, code in seed.findings}
