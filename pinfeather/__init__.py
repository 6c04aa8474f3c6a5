"""Pinfeather: one model of routes, canaries and sticky cookies; every proxy's dialect; every loss named at its line.

Outsiders import from here only. Everything is loaded when it is first asked for, so that `pinfeather --help` stays quick.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # as type checkers know it, without the price of importing typing

_HOMES = {
    "Document": "pinfeather.model.document",
    "Route": "pinfeather.model.routes",
    "Canary": "pinfeather.model.canary",
    "SplitEntry": "pinfeather.model.canary",
    "Service": "pinfeather.model.services",
    "LoadBalancer": "pinfeather.model.services",
    "Split": "pinfeather.model.services",
    "Server": "pinfeather.model.services",
    "Middleware": "pinfeather.model.middlewares",
    "Sticky": "pinfeather.model.sticky",
    "Cookie": "pinfeather.model.sticky",
    "Feature": "pinfeather.model.features",
    "FULL": "pinfeather.model.features",
    "Full": "pinfeather.model.features",
    "NONE": "pinfeather.model.features",
    "Near": "pinfeather.model.features",
    "Nothing": "pinfeather.model.features",
    "When": "pinfeather.model.features",
    "Derived": "pinfeather.model.features",
    "Becomes": "pinfeather.model.features",
    "Support": "pinfeather.model.features",
    "Diagnostic": "pinfeather.model.diagnostics",
    "Code": "pinfeather.model.diagnostics",
    "Severity": "pinfeather.model.diagnostics",
    "Span": "pinfeather.model.diagnostics",
    "Path": "pinfeather.model.diagnostics",
    "Report": "pinfeather.model.diagnostics",
    "Allowed": "pinfeather.model.diagnostics",
    "error": "pinfeather.model.diagnostics",
    "warning": "pinfeather.model.diagnostics",
    "build": "pinfeather.model.build",
    "normal": "pinfeather.model.normal",
    "precedence": "pinfeather.model.normal",
    "seconds": "pinfeather.model.noun",
    "Tree": "pinfeather.model.noun",
    "Translator": "pinfeather.translators.contract",
    "Options": "pinfeather.translators.contract",
    "File": "pinfeather.translators.contract",
    "Source": "pinfeather.translators.contract",
    "Parsed": "pinfeather.translators.contract",
    "Emitted": "pinfeather.translators.contract",
    "TextFile": "pinfeather.translators.contract",
    "KubernetesObject": "pinfeather.translators.contract",
    "KubernetesPatch": "pinfeather.translators.contract",
    "hookimpl": "pinfeather.translators.hook",
    "Converted": "pinfeather._convert",
    "convert": "pinfeather._convert",
    "explain": "pinfeather._explain",
    "lint": "pinfeather.model.lint",
    "translator": "pinfeather._plugins",
}
__all__ = sorted(_HOMES)

if TYPE_CHECKING:
    from pinfeather._convert import Converted as Converted
    from pinfeather._convert import convert as convert
    from pinfeather._explain import explain as explain
    from pinfeather._plugins import translator as translator
    from pinfeather.model.build import build as build
    from pinfeather.model.canary import Canary as Canary
    from pinfeather.model.canary import SplitEntry as SplitEntry
    from pinfeather.model.diagnostics import Allowed as Allowed
    from pinfeather.model.diagnostics import Code as Code
    from pinfeather.model.diagnostics import Diagnostic as Diagnostic
    from pinfeather.model.diagnostics import Path as Path
    from pinfeather.model.diagnostics import Report as Report
    from pinfeather.model.diagnostics import Severity as Severity
    from pinfeather.model.diagnostics import Span as Span
    from pinfeather.model.diagnostics import error as error
    from pinfeather.model.diagnostics import warning as warning
    from pinfeather.model.document import Document as Document
    from pinfeather.model.features import FULL as FULL
    from pinfeather.model.features import NONE as NONE
    from pinfeather.model.features import Becomes as Becomes
    from pinfeather.model.features import Derived as Derived
    from pinfeather.model.features import Feature as Feature
    from pinfeather.model.features import Full as Full
    from pinfeather.model.features import Near as Near
    from pinfeather.model.features import Nothing as Nothing
    from pinfeather.model.features import Support as Support
    from pinfeather.model.features import When as When
    from pinfeather.model.lint import lint as lint
    from pinfeather.model.middlewares import Middleware as Middleware
    from pinfeather.model.normal import normal as normal
    from pinfeather.model.normal import precedence as precedence
    from pinfeather.model.noun import Tree as Tree
    from pinfeather.model.noun import seconds as seconds
    from pinfeather.model.routes import Route as Route
    from pinfeather.model.services import LoadBalancer as LoadBalancer
    from pinfeather.model.services import Server as Server
    from pinfeather.model.services import Service as Service
    from pinfeather.model.services import Split as Split
    from pinfeather.model.sticky import Cookie as Cookie
    from pinfeather.model.sticky import Sticky as Sticky
    from pinfeather.translators.contract import Emitted as Emitted
    from pinfeather.translators.contract import File as File
    from pinfeather.translators.contract import KubernetesObject as KubernetesObject
    from pinfeather.translators.contract import KubernetesPatch as KubernetesPatch
    from pinfeather.translators.contract import Options as Options
    from pinfeather.translators.contract import Parsed as Parsed
    from pinfeather.translators.contract import Source as Source
    from pinfeather.translators.contract import TextFile as TextFile
    from pinfeather.translators.contract import Translator as Translator
    from pinfeather.translators.hook import hookimpl as hookimpl


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pinfeather' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
