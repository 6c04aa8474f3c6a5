"""What a projection takes out of a document: marks by place, made by `project.py` and by `guard.py`."""

from __future__ import annotations

from pinfeather.model.diagnostics import Path


class Cut:
    """What is to be taken out, by its place in the document as it was; for each, the path of the loss that asked for it."""

    def __init__(self) -> None:
        self.fields: set[Path] = set()
        self.canaries: dict[tuple[int, int], Path] = {}
        self.routes: dict[int, Path] = {}
        self.tcp_routes: dict[int, Path] = {}
        self.services: dict[str, Path] = {}
        self.tcp_services: dict[str, Path] = {}
        self.middlewares: dict[str, Path] = {}
        self.tcp_middlewares: dict[str, Path] = {}
        self.unused: set[str] = set()  # services and middlewares that go while their routes stay, by dotted section
