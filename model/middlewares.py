"""What happens to a request on its way. The common kinds are typed; any other is carried to the letter (`other`).

A middleware is a mapping with one key, which names its kind: `{strip_prefix: {prefixes: [/api]}}`.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pinfeather.model.match import Network, PathText
from pinfeather.model.metadata import Metadata
from pinfeather.model.noun import Duration, FreeText, Many, Name, Noun, Reference, Regex, Template, Text, Token, Tree, refuse


class RedirectScheme(Noun):
    scheme: Token
    port: Text | None = None
    permanent: bool | None = None


class RedirectRegex(Noun):
    regex: Regex
    replacement: Text
    """`$1`, `${name}`: the groups of the regex."""
    permanent: bool | None = None


class StripPrefix(Noun):
    prefixes: Many[PathText] = Field(min_length=1)


class AddPrefix(Noun):
    prefix: PathText


class ReplacePath(Noun):
    path: PathText


class ReplacePathRegex(Noun):
    regex: Regex
    replacement: Text


class Headers(Noun):
    """Headers to set on the request and on the answer; an empty value removes the header."""

    request: dict[Token, Text] = Field(default_factory=dict)
    response: dict[Token, Text] = Field(default_factory=dict)


class BasicAuth(Noun):
    """Users as `name:hash` (htpasswd: bcrypt, MD5 or SHA1). At least one of the two."""

    users: Many[FreeText] = Field(default=(), repr=False)
    users_file: Text | None = None
    realm: Text | None = None
    remove_header: bool | None = None
    header_field: Token | None = None

    @model_validator(mode="after")
    def _users(self) -> Self:
        if not self.users and self.users_file is None:
            raise refuse("value", "basic_auth needs `users` or `users_file`: without them nobody could pass")
        if any(":" not in user for user in self.users if not isinstance(user, Template)):
            raise refuse("value", "a user is written `name:hash`, as htpasswd prints it")
        return self


class ForwardAuth(Noun):
    address: Text
    trust_forward_header: bool | None = None
    auth_response_headers: Many[Token] = ()
    auth_response_headers_regex: Regex | None = None
    auth_request_headers: Many[Token] = ()


class IPAllowList(Noun):
    """Who may pass: networks of the connection's other end, or of the `depth`-th address from the right of X-Forwarded-For."""

    source_ranges: Many[Network] = Field(min_length=1)
    depth: Annotated[int, Field(ge=1)] | None = None
    reject_status: Annotated[int, Field(ge=400, le=599)] | None = None


class RateLimit(Noun):
    """`average` requests each `period` (absent: 1s), with bursts of `burst`; `average: 0` is no limit."""

    average: Annotated[int, Field(ge=0)]
    period: Duration | None = None
    burst: Annotated[int, Field(ge=1)] | None = None


class Compress(Noun):
    excluded_content_types: Many[Text] = ()
    min_response_body_bytes: Annotated[int, Field(ge=0)] | None = None


class Retry(Noun):
    attempts: Annotated[int, Field(ge=1)]
    initial_interval: Duration | None = None


class Chain(Noun):
    middlewares: Many[Reference] = Field(min_length=1)


class Other(Noun):
    """A kind that the model does not know, carried to the letter between Traefik's surfaces."""

    kind: Name
    config: Tree = None


KINDS: dict[str, type[Noun]] = {
    "redirect_scheme": RedirectScheme,
    "redirect_regex": RedirectRegex,
    "strip_prefix": StripPrefix,
    "add_prefix": AddPrefix,
    "replace_path": ReplacePath,
    "replace_path_regex": ReplacePathRegex,
    "headers": Headers,
    "basic_auth": BasicAuth,
    "forward_auth": ForwardAuth,
    "ip_allow_list": IPAllowList,
    "rate_limit": RateLimit,
    "compress": Compress,
    "retry": Retry,
    "chain": Chain,
    "other": Other,
}
SECURITY = frozenset({"basic_auth", "forward_auth", "ip_allow_list", "rate_limit", "redirect_scheme", "chain", "other", "headers"})
"""Kinds that may keep somebody out or protect somebody."""


class Middleware(Noun):
    """Exactly one kind."""

    redirect_scheme: RedirectScheme | None = None
    redirect_regex: RedirectRegex | None = None
    strip_prefix: StripPrefix | None = None
    add_prefix: AddPrefix | None = None
    replace_path: ReplacePath | None = None
    replace_path_regex: ReplacePathRegex | None = None
    headers: Headers | None = None
    basic_auth: BasicAuth | None = None
    forward_auth: ForwardAuth | None = None
    ip_allow_list: IPAllowList | None = None
    rate_limit: RateLimit | None = None
    compress: Compress | None = None
    retry: Retry | None = None
    chain: Chain | None = None
    other: Other | None = None
    metadata: Metadata | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            said = " and ".join(given) if given else "none"
            raise refuse("value", f"a middleware has exactly one kind; {said} given. The kinds: {', '.join(KINDS)}")
        return self

    @property
    def kind(self) -> str:
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def config(self) -> Noun:
        found = getattr(self, self.kind)
        assert isinstance(found, Noun)
        return found
