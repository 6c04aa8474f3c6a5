"""The door for formats of other distributions: entry points of the group `pinfeather.translators`.

They are loaded one by one, and only when a name is not built in (or all are asked for). pluggy finds the hook; what it
returns are typed values. A plugin that raises, clashes or is misspelt becomes a diagnostic that names its distribution.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from pinfeather.model.diagnostics import Code, Diagnostic, error, nearest
from pinfeather.translators import builtin
from pinfeather.translators.contract import GROUP, AnyTranslator, Options, Translator

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


class Found(NamedTuple):
    """Every translator by name, who brought it, and what went wrong on the way."""

    translators: dict[str, AnyTranslator]
    origins: dict[str, str]
    diagnostics: tuple[Diagnostic, ...]


def translator(name: str) -> tuple[AnyTranslator | None, tuple[Diagnostic, ...]]:
    """The format of that name, ours first. None: the diagnostics say why, and name the nearest."""
    if name in builtin.MODULES:
        return builtin.load(name), ()
    found = plugins()
    if name in found.translators:
        return found.translators[name], found.diagnostics
    known = (*builtin.MODULES, *found.translators)
    guess = nearest(name, known)
    hint = f"{f'did you mean {guess!r}? ' if guess else ''}the formats: {', '.join(known)}"
    return None, (*found.diagnostics, error(Code.FORMAT, f"there is no format {name!r}", instead=hint))


def every() -> Found:
    """Our own formats, then those of plugins."""
    theirs = plugins()
    ours = {name: builtin.load(name) for name in builtin.MODULES}
    return Found({**ours, **theirs.translators}, {**dict.fromkeys(ours, "pinfeather"), **theirs.origins}, theirs.diagnostics)


def plugins(points: Iterable[EntryPoint] | None = None) -> Found:
    """What other distributions bring. A broken one never hides the others."""
    translators: dict[str, AnyTranslator] = {}
    origins: dict[str, str] = {}
    diagnostics: list[Diagnostic] = []
    for point in sorted(_announced() if points is None else points, key=lambda p: (_distribution(p), p.name)):
        origin = _distribution(point)
        made, problem = _load(point, origin)
        if problem is not None:
            diagnostics.append(problem)
        for each in made:
            if (wrong := _wrong(each)) is not None:
                said = f"the plugin {origin} returned {wrong}"
                diagnostics.append(error(Code.PLUGIN_HOOK, said, instead="return a list of Translator values"))
                continue
            assert isinstance(each, Translator)
            if each.name in builtin.MODULES or each.name in translators:
                holder = origins.get(each.name, "pinfeather itself")
                said = f"the plugin {origin} brings a format {each.name!r}, which {holder} has already"
                diagnostics.append(error(Code.PLUGIN_CLASH, said, instead=f"the one of {holder} is used; rename the other"))
            else:
                translators[each.name] = each
                origins[each.name] = origin
    return Found(translators, origins, tuple(diagnostics))


def _announced() -> list[EntryPoint]:
    from importlib.metadata import entry_points

    return list(entry_points(group=GROUP))


def _wrong(made: object) -> str | None:
    """What is wrong with a value that should be a whole translator; None: nothing."""
    if not isinstance(made, Translator):
        return f"{type(made).__name__!r} where a Translator belongs"
    # What it is declared as is not what foreign code puts there.
    name, doc, options = (getattr(made, part) for part in ("name", "doc", "options"))
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        return f"a format with the name {name!r}: small letters, digits and '-' make a name"
    if not (isinstance(doc, str) and doc.strip()):
        return f"the format {name!r} without documentation"
    if not (isinstance(options, type) and issubclass(options, Options)):
        return f"the format {name!r}, whose options are no subclass of Options"
    functions = ("supports", "parse", "emit", "recognise", "identity")
    missing = next((part for part in functions if not callable(getattr(made, part))), None)
    return None if missing is None else f"the format {name!r}, whose {missing!r} is no function"


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value


def _load(point: EntryPoint, origin: str) -> tuple[list[object], Diagnostic | None]:
    """Imports one plugin and asks its hook. Whatever it raises is its own fault and is said so."""
    import pluggy

    from pinfeather.translators import hook

    manager = pluggy.PluginManager("pinfeather")
    manager.add_hookspecs(hook)
    try:
        module = point.load()
        manager.register(module, name=point.name)
        manager.check_pending()
        callers = manager.hook.pinfeather_translators()
    except pluggy.PluginValidationError as problem:
        said = f"the plugin {origin} has a hook that Pinfeather does not know: {problem}"
        return [], error(Code.PLUGIN_HOOK, said, instead="the one hook is `pinfeather_translators()`")
    except (Exception, SystemExit) as problem:  # noqa: BLE001 - foreign code may raise anything, and must not take the others along
        return [], error(Code.PLUGIN_LOAD, f"the plugin {origin} raised {type(problem).__name__}: {problem}", instead="repair or remove it")
    if not callers:
        said = f"the plugin {origin} announces {point.value!r}, which has no hook, or one that returns nothing"
        return [], error(Code.PLUGIN_HOOK, said, instead="define `pinfeather_translators()` with @hookimpl in that module")
    return [each for group in callers for each in (group if isinstance(group, list | tuple) else [group])], None
