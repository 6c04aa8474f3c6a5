"""docs/lint.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

from pinfeather._config import read_config
from pinfeather.model.codes import Code
from pinfeather.translators.contract import File

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "lint.md").read_text("utf-8")


def test_every_code_that_it_names_is_one() -> None:
    named = set(re.findall(r"`((?:lint|unread|input)\.[a-z0-9-]+)`", PAGE))
    assert named <= {str(code) for code in Code}


def test_every_stickiness_finding_is_in_it() -> None:
    about = [code for code in Code if code.startswith(("lint.sticky", "lint.cookie"))]
    assert [code for code in about if f"`{code}`" not in PAGE and code not in ("lint.sticky-empty", "lint.cookie-lifetime")] == []


def test_its_configuration_is_read_as_it_stands() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    config = read_config(File(".pinfeather.toml", text.encode()), {"traefik-file": ("traefik",)})
    assert config.diagnostics == ()
    assert config.ignore == ("lint.cookie-same-site",)
    assert config.exclude == ("vendor/**", "fixtures")
    assert dict(config.options) == {"traefik": "3.5"}
    assert dict(config.paths) == {"dev/**": ("lint.cookie-insecure",)}
