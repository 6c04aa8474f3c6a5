"""What every format must hold, ours or not. Each law raises AssertionError with what is broken and where.

    from hypothesis import given
    from pinfeather.testing import laws, strategies

    @given(strategies.documents())
    def test_read_back(document):
        laws.read_back(TRANSLATOR, TRANSLATOR.options(), document)

`purity` may be asked of a few documents only, `hostile_strings` of none: it brings its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

from pinfeather._convert import read
from pinfeather.model.decide import Outcomes, Request, State, Table, UndecidedError, decide, outcomes
from pinfeather.model.diagnostics import Diagnostic, Severity, dotted
from pinfeather.model.document import Document
from pinfeather.model.features import NAMES, Derived
from pinfeather.model.normal import normal
from pinfeather.model.noun import Tree
from pinfeather.model.project import Projection, project, with_other_servers
from pinfeather.model.services import LoadBalancer, Service
from pinfeather.testing.probes import draws, probes
from pinfeather.testing.watching import watched
from pinfeather.translators._syntax import yaml
from pinfeather.translators.contract import AnyTranslator, Emitted, File, Options, Source

STRAY = "zz-stray"


def read_back(translator: AnyTranslator, options: Options, document: Document) -> None:
    """1. What was kept is what is read again: `normal(parse(emit(kept))) == normal(kept)`."""
    kept = _kept(translator, options, document).kept
    again = _again(translator, options, kept)
    wanted, seen = normal(kept), normal(again)
    assert wanted == seen, f"{translator.name} does not read back what it wrote: {_difference(wanted, seen)}"


def second_pass(translator: AnyTranslator, options: Options, document: Document) -> None:
    """2. The same document gives the same bytes, and so does what was read back of it."""
    kept = _kept(translator, options, document).kept
    first = _texts(translator.emit(kept, options))
    assert first == _texts(translator.emit(kept, options)), f"{translator.name} writes the same document in two ways"
    second = _kept(translator, options, _again(translator, options, kept))
    again = _texts(translator.emit(second.kept, options))
    assert first == again, f"{translator.name}: a second pass writes something else: {_first_line(first, again)}"


def honest_loss(translator: AnyTranslator, options: Options, document: Document) -> None:
    """3. A loss is reported exactly when something changed, once a path, and what decides is never called `carried`."""
    projection = _kept(translator, options, document)
    document, _ = with_other_servers(document, translator.supports(options))  # said as `near`
    lost, told = _lost(translator, projection, document)
    kept = projection.kept
    places = [(finding.code, finding.path) for finding in projection.diagnostics]
    assert len(set(places)) == len(places), f"{translator.name} reports one loss twice: {told}"
    assert all(finding.instead for finding in lost), f"{translator.name}: a loss does not say what happens instead: {told}"
    second = project(kept, translator.supports(options))
    assert second.kept == kept, f"{translator.name}: what was kept cannot all be said: {_difference(kept, second.kept)}"
    if any(finding.code.startswith("loss.") for finding in lost) or not lost:
        return
    renamed = any(isinstance(translator.supports(options).get(feature), Derived) for feature in NAMES)
    _same_decisions(document, kept, f"{translator.name} calls it `carried` ({told}), and it decides", by_name=not renamed)


def _lost(translator: AnyTranslator, projection: Projection, said: Document) -> tuple[list[Diagnostic], str]:
    """What was reported as lost, and the same as a text; something was exactly where something changed."""
    lost = [finding for finding in projection.diagnostics if not finding.code.startswith("near.")]
    told = "; ".join(f"{finding.code}@{dotted(finding.path)}" for finding in lost) or "nothing"
    kept = projection.kept
    assert bool(lost) == (kept != said), f"{translator.name} reports {told}; what changed: {_difference(said, kept)}"
    return lost, told


def stray_key(translator: AnyTranslator, options: Options, document: Document, places: int = 4) -> None:
    """4. A key that nobody knows is named at its line, wherever it stands, unless it is content there (a header, a name).

    Only of formats whose text is YAML or JSON. `places`: in so many mappings, spread over the text.
    """
    kept = _kept(translator, options, document).kept
    files = translator.emit(kept, options).files()
    wanted = normal(kept)
    for number, file in enumerate(files):
        if file.language not in ("yaml", "json") or STRAY in file.text:  # a document may use the very word
            continue
        trees = [reading.value for reading in yaml.read(file.text, file.name, yaml.CORE)]
        spots = [(index, path) for index, tree in enumerate(trees) for path in _mappings(tree, ())]
        for index, path in spots[:: max(1, len(spots) // places)]:
            text = yaml.emit_all([_with_stray(tree, path) if at == index else tree for at, tree in enumerate(trees)])
            text = text.removeprefix("---\n") if len(trees) == 1 else text
            line = 1 + next(at for at, content in enumerate(text.splitlines()) if content.lstrip(" -").startswith(STRAY))
            source = Source(tuple(File(each.name, text if at == number else each.text) for at, each in enumerate(files)))
            parsed = read(source, translator, options)
            named = any(finding.span is not None and finding.span.line == line for finding in parsed.diagnostics)
            where = "/".join(map(str, path)) or "the top"
            assert named or (parsed.document is not None and normal(parsed.document) != wanted), (
                f"{translator.name} reads past the key {STRAY!r} under {where} (line {line}): take it, or report it"
            )


def decisions_kept(translator: AnyTranslator, options: Options, document: Document) -> None:
    """5. `outcomes(kept) == outcomes(parse(emit(kept)))` on every probe, and `decide` agrees at the border of every share."""
    kept = _kept(translator, options, document).kept
    _same_decisions(kept, _again(translator, options, kept), f"{translator.name} does not keep a decision")


def never_wider(translator: AnyTranslator, options: Options, document: Document) -> None:
    """6. No request that the source refuses, or sends through a middleware, is admitted without it by the target."""
    target = _again(translator, options, _kept(translator, options, document).kept)
    tables = _tables(document, target)
    if tables is None:
        return
    for request, state in probes(document):
        _no_wider(translator.name, (document, target), tables, request, state)


def _fits(state: State, document: Document) -> bool:
    """Whether a state speaks of this document too: a target may have given a name to another service."""
    held = {name: service.servers for name, service in document.services.items() if isinstance(service, LoadBalancer)}
    return all(len(held.get(name, statuses)) == len(statuses) for name, statuses in state.servers.items())


def _no_wider(name: str, documents: tuple[Document, Document], tables: tuple[Table, Table], request: Request, state: State) -> None:
    """One request: what the second document admits, the first admits through the same middlewares at least."""
    if not _fits(state, documents[1]):
        state = State()  # asked all the same, with every server up
    wanted = outcomes(tables[0], request, state)
    seen = outcomes(tables[1], request, state)
    admitted = [part.decision for part in seen.parts if part.decision.status == 200]
    refused = all(part.decision.status == 404 for part in wanted.parts)
    assert not (refused and admitted), f"{name} lets a request in that matched no route: {request}"
    if not admitted:
        return
    anew = outcomes(tables[0], request._replace(bindings={}), state)  # a client need not send its cookies
    passed = [_contents(documents[0], part.decision.middlewares) for part in (*wanted.parts, *anew.parts)]
    needed = set.intersection(*passed)
    for decision in admitted:
        missing = needed - _contents(documents[1], decision.middlewares) if needed else needed
        assert not missing, f"{name} lets a request past {sorted(missing)}: {request}"


def purity(translator: AnyTranslator, options: Options, document: Document) -> None:
    """7. No files, sockets, processes, clock, environment or chance in `supports`, `parse` and `emit`; the document is not touched."""

    def run() -> tuple[str, ...]:
        kept = project(document, translator.supports(options)).kept
        emitted = translator.emit(kept, options)
        translator.parse(emitted.source(), options)
        return _texts(emitted)

    before = document.model_dump_json()
    first = run()  # loads modules and builds validators
    with watched() as touched:
        second = run()
    assert not touched, f"{translator.name} is not pure: it used {', '.join(dict.fromkeys(touched))}"
    assert first == second, f"{translator.name} writes the same document in two ways"
    assert document.model_dump_json() == before, f"{translator.name} changed the document that it was given"


def hostile_strings(translator: AnyTranslator, options: Options, texts: Iterable[str]) -> None:
    """8. Hostile texts stay texts: as names and as values they give a text of the same shape as plain ones, and read back."""
    plain = _hostile("plain")
    assert plain is not None
    usual = project(plain, translator.supports(options))
    wanted = _shapes(translator.emit(usual.kept, options))
    for text in texts:
        document = _hostile(text)
        if document is None:
            continue  # the model refuses it before any format sees it
        projection = _kept(translator, options, document)
        if len(projection.diagnostics) == len(usual.diagnostics):
            seen = _shapes(translator.emit(projection.kept, options))
            assert seen == wanted, f"{translator.name}: the text {text!r} becomes something else:\n{seen}\nand not\n{wanted}"
        read_back(translator, options, document)


LAWS: tuple[Callable[[AnyTranslator, Options, Document], None], ...] = (
    read_back, second_pass, honest_loss, stray_key, decisions_kept, never_wider, purity,
)  # fmt: skip
"""Those that are asked of a document."""


# What they share -------------------------------------------------------------------------------------------------------


def _kept(translator: AnyTranslator, options: Options, document: Document) -> Projection:
    return project(document, translator.supports(options))


def _again(translator: AnyTranslator, options: Options, kept: Document) -> Document:
    parsed = read(translator.emit(kept, options).source(), translator, options)
    errors = [finding for finding in parsed.diagnostics if finding.severity is Severity.ERROR]
    assert parsed.document is not None, f"{translator.name} cannot read what it wrote: {_said(errors)}"
    assert not errors, f"{translator.name} finds errors in what it wrote: {_said(errors)}"
    return parsed.document


def _said(findings: Iterable[Diagnostic]) -> str:
    return "; ".join(f"{finding.code} {finding.message}" for finding in findings)


def _texts(emitted: Emitted) -> tuple[str, ...]:
    return tuple(file.text for file in emitted.files())


def _first_line(first: tuple[str, ...], second: tuple[str, ...]) -> str:
    pairs = zip("".join(first).splitlines(), "".join(second).splitlines(), strict=False)
    return next((f"{one!r} and then {two!r}" for one, two in pairs if one != two), "one is longer")


def _difference(one: Document, other: Document) -> str:
    """The first place where two documents differ, and what stands there."""

    def first(a: object, b: object, path: tuple[str | int, ...]) -> str:
        if isinstance(a, dict) and isinstance(b, dict):
            for key in [*a, *(key for key in b if key not in a)]:
                if a.get(key) != b.get(key):
                    return first(a.get(key), b.get(key), (*path, str(key)))
            return f"the order under {dotted(path)}: {list(a)} and then {list(b)}"
        if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
            return next(first(x, y, (*path, at)) for at, (x, y) in enumerate(zip(a, b, strict=True)) if x != y)
        return f"{dotted(path)} is {a!r} and then {b!r}"

    plain = one.model_dump(mode="json", exclude_defaults=True), other.model_dump(mode="json", exclude_defaults=True)
    return "nothing" if plain[0] == plain[1] else first(*plain, ())


def _tables(one: Document, other: Document) -> tuple[Table, Table] | None:
    try:
        return Table.of(one), Table.of(_in_order_of(one, other))
    except UndecidedError:
        return None  # templates: nobody knows yet what they decide


def _in_order_of(one: Document, other: Document) -> Document:
    """The other document with the servers of each service in the order of the first: it decides nothing (`normal` sorts them), and a
    state speaks of servers by their place."""

    def ordered(name: str, service: Service) -> Service:
        first = one.services.get(name)
        if not isinstance(service, LoadBalancer) or not isinstance(first, LoadBalancer):
            return service
        rest = list(service.servers)
        for server in first.servers:
            if server not in rest:
                return service
            rest.remove(server)
        return service if rest else service.model_copy(update={"servers": first.servers})

    return other.model_copy(update={"services": {name: ordered(name, service) for name, service in other.services.items()}})


def _same_decisions(one: Document, other: Document, claim: str, *, by_name: bool = True) -> None:
    tables = _tables(one, other)
    if tables is None:
        return
    for request, state in probes(one):
        if (after := _same(tables, one, request, state, claim, by_name=by_name)) is None:
            continue
        for draw in draws(after):
            assert decide(tables[1], request, state, draw) == after.at(draw), f"{claim}: `decide` and `outcomes` differ at the draw {draw}"


def _same(tables: tuple[Table, Table], one: Document, request: Request, state: State, claim: str, *, by_name: bool) -> Outcomes | None:
    """What the second table makes of a request, which is what the first does; None: the request speaks of names that it does not have."""
    if not by_name and (state.servers or set(request.bindings.values()) & set(one.services)):
        return None
    before, after = outcomes(tables[0], request, state), outcomes(tables[1], request, state)
    wanted, seen = _shares(before, by_name), _shares(after, by_name)
    assert wanted == seen, f"{claim}: {request} with {state} meets {wanted} and then {seen}"
    return after


def _shares(found: Outcomes, by_name: bool) -> dict[object, Fraction]:
    shares: dict[object, Fraction] = {}
    for effect, share in found.shares.items():
        cookies = [binding.cookie for binding in effect.set_cookies]
        key: object = effect if by_name else (effect.status, len(effect.middlewares), effect.server, *cookies)
        shares[key] = shares.get(key, Fraction(0)) + share
    return shares


def _contents(document: Document, names: Iterable[str]) -> set[str]:
    """Middlewares by what they do, since a target may give them other names and their keys another order."""
    found = ((name, document.middlewares.get(name)) for name in names)
    return {
        name if each is None else json.dumps(each.model_dump(exclude_defaults=True, exclude={"metadata"}), sort_keys=True, default=str)
        for name, each in found
    }


# Stray keys ------------------------------------------------------------------------------------------------------------


def _mappings(tree: Tree, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(tree, dict):
        yield path
        for key, value in tree.items():
            yield from _mappings(value, (*path, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _mappings(value, (*path, index))


def _with_stray(tree: Tree, path: tuple[str | int, ...]) -> Tree:
    if isinstance(tree, dict):
        if not path:
            return {**tree, STRAY: 1}
        return {key: _with_stray(value, path[1:]) if key == path[0] else value for key, value in tree.items()}
    assert isinstance(tree, list)
    return [_with_stray(value, path[1:]) if index == path[0] else value for index, value in enumerate(tree)]


# Hostile texts ---------------------------------------------------------------------------------------------------------


def _hostile(text: str) -> Document | None:
    """A document that says a text wherever a text may stand; None where the model refuses it."""
    from pinfeather.model.build import build

    tree: Tree = {
        "pinfeather": "v1",
        "routes": [
            {
                "name": text,
                "hosts": ["a.example"],
                "match": {"all": [{"header": {"name": "X-Text", "value": text}}, {"query": {"name": text, "value": text}}]},
                "middlewares": [text],
                "to": text,
            }
        ],
        "services": {text: {"servers": [{"url": "http://10.0.0.1:80"}], "health_check": {"path": "/healthz", "hostname": text}}},
        "middlewares": {text: {"headers": {"response": {"X-Text": text}, "request": {"X-Text": text}}}},
    }
    return build(tree)[0]


def _shapes(emitted: Emitted) -> str:
    """The kinds of value in what was written, without names and texts; of a text in no known language the number of its lines."""
    shapes: list[object] = []
    for file in emitted.files():
        if file.language in ("yaml", "json"):
            shapes += [_shape(reading.value) for reading in yaml.read(file.text, file.name, yaml.CORE)]
        else:
            shapes.append(len(file.text.splitlines()))
    return json.dumps(shapes)


def _shape(tree: Tree) -> object:
    if isinstance(tree, dict):
        return {str(number): _shape(value) for number, value in enumerate(tree.values())}
    return [_shape(value) for value in tree] if isinstance(tree, list) else type(tree).__name__
