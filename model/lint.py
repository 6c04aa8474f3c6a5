"""What a document says that its author probably did not mean. Every finding has a path and a remedy.

The checks stand by subject in `lint_cookies.py`, `lint_splits.py`, `lint_routes.py` and `lint_advice.py`. What only the text
shows (a label that Traefik ignores, an old API group) its reader reports.
"""

from __future__ import annotations

from pinfeather.model.diagnostics import Diagnostic
from pinfeather.model.document import Document
from pinfeather.model.lint_advice import CHECKS as ADVICE
from pinfeather.model.lint_cookies import CHECKS as COOKIES
from pinfeather.model.lint_routes import CHECKS as ROUTES
from pinfeather.model.lint_splits import CHECKS as SPLITS

CHECKS = (*COOKIES, *SPLITS, *ROUTES, *ADVICE)


def lint(document: Document) -> tuple[Diagnostic, ...]:
    """Every finding, in the order of the document."""
    return tuple(finding for check in CHECKS for finding in check(document))
