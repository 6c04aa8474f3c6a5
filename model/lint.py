"""What a document says that its author probably did not mean. Every finding has a path and a remedy.

The checks stand by subject in `lint_cookies.py`, `lint_splits.py`, `lint_routes.py` and `lint_advice.py`. What only the text
shows (a label that Traefik ignores, an old API group) its reader reports.
"""

from __future__ import annotations

from pinfeather.model import lint_advice, lint_cookies, lint_routes, lint_splits
from pinfeather.model.diagnostics import Diagnostic
from pinfeather.model.document import Document

CHECKS = (*lint_cookies.CHECKS, *lint_splits.CHECKS, *lint_routes.CHECKS, *lint_advice.CHECKS)


def lint(document: Document) -> tuple[Diagnostic, ...]:
    """Every finding, in the order of the document."""
    return tuple(finding for check in CHECKS for finding in check(document))
