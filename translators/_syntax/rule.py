"""Traefik's rules in the v3 syntax, both ways: text to match trees and back.

Matchers and their arguments after Traefik 3.7 (pkg/muxer/http/matcher.go, pkg/muxer/tcp/matcher.go; names in
pkg/rules/parser.go). Traefik has no matcher for cookies: see `rule_cookie`. Three more conditions have a spelling of
their own because Traefik refuses an empty argument: a header whose value is empty is the regex `^$`, an empty regex is
`(?:)`, and a query parameter without a value has one argument.

`parse_http(print_http(m)) == flat(m)`, and the same for TCP.
"""

from __future__ import annotations

from pinfeather.translators._syntax.go_text import LiteralError, quote_go, unquote_go
from pinfeather.translators._syntax.rule_cookie import cookie_regex_fits
from pinfeather.translators._syntax.rule_grammar import DEPTH, LENGTH, RuleError
from pinfeather.translators._syntax.rule_print import (
    Unsayable,
    print_http,
    print_leaf_http,
    print_leaf_tcp,
    print_rule,
    print_tcp,
    why_not_http,
    why_not_tcp,
)
from pinfeather.translators._syntax.rule_read import flat, parse_http, parse_tcp, rule_length, tcp_rule_length

__all__ = [
    "DEPTH", "LENGTH", "LiteralError", "RuleError", "Unsayable", "cookie_regex_fits", "flat", "parse_http", "parse_tcp",
    "print_http", "print_leaf_http", "print_leaf_tcp", "print_rule", "print_tcp", "quote_go", "rule_length", "tcp_rule_length",
    "unquote_go", "why_not_http", "why_not_tcp",
]  # fmt: skip
