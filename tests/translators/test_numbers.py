"""The priorities that are written: the given ones are kept only where they say the same on the other side."""

from __future__ import annotations

from pinfeather.model.build import build
from pinfeather.testing import laws
from pinfeather.translators.ingress import TRANSLATOR, IngressOptions


def test_equal_ones_are_kept_only_where_a_path_in_another_word_keeps_the_order() -> None:
    """A strict prefix is a choice of two paths; a host alone is read with the path `/`, and then stands before it."""
    made, why = build(
        {
            "pinfeather": "v1",
            "routes": [
                {
                    "name": "shop-0",
                    "hosts": ["a.io"],
                    "match": {"any": [{"path": {"exact": "/a"}}, {"path": {"prefix": "/a/"}}]},
                    "priority": 5,
                    "to": "v1",
                },
                {"name": "shop-1", "hosts": ["b.io"], "priority": 5, "to": "v1"},
            ],
            "services": {"v1": {"servers": [{"kubernetes": {"service": "web", "port": 80}}]}},
        }
    )
    assert made is not None, why
    laws.read_back(TRANSLATOR, IngressOptions(strict_prefix_matching=True), made)
