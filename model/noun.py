"""The material of the nouns: one frozen base class, the kinds of text and number, and templates.

A `Template` stands wherever a text or a number may stand: it is opaque, compared to the letter, and written
`{template: "{{ .Values.domain }}"}`. It is a `str`, so that a noun need not be declared twice; what cannot deal with one
(the decision core, most formats) has it refused before, by `features.project`.

The modules that declare nouns do without `from __future__ import annotations`: pydantic would compile each annotation anew
at each start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, JsonValue
from pydantic.annotated_handlers import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

T = TypeVar("T")
N = TypeVar("N", bound="Noun")


_new = object.__new__
_hold, _say, _extra, _private = (
    vars(BaseModel)[slot].__set__ for slot in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)
"""The four things that a pydantic model is made of, set past its own `__setattr__`, which refuses where it is frozen."""


class Noun(BaseModel):
    """Frozen, strict, closed. `defer_build` keeps what a run does not use out of its start-up.

    `model_construct`, `model_copy` and `==` do what pydantic's do, without its search for what no noun has (aliases of
    aliases, private and extra attributes): a large document is made of a hundred thousand of them.
    """

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        defer_build=True,
        validate_by_name=True,
        serialize_by_alias=True,
    )

    def model_post_init(self, _context: object, /) -> None:
        """One set of field names for all nouns that say the same fields: of the size of a noun, it is a third of a document."""
        _say(self, _shared(frozenset(self.__pydantic_fields_set__)))

    @classmethod
    def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:
        defaults, required, factories = _shape(cls)
        held = {**defaults, **values}
        if len(held) != len(defaults) or not required.issubset(values):  # an alias, what is no field, or a half of a noun
            return super().model_construct(_fields_set, **values)
        for name, factory in factories:
            if name not in values:
                held[name] = factory()
        return _made(cls, held, set(values) if _fields_set is None else _fields_set)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        if deep:
            return super().model_copy(update=update, deep=True)
        held, said = self.__dict__, self.__pydantic_fields_set__
        return _made(type(self), {**held, **update} if update else held.copy(), said.union(update) if update else said.copy())

    def __eq__(self, other: object) -> bool:
        if type(self) is type(other):
            return self is other or self.__dict__ == other.__dict__
        return False if isinstance(other, Noun) else NotImplemented


@lru_cache(maxsize=4096)
def _shared(said: frozenset[str]) -> set[str]:
    """Nobody changes it: nouns are frozen, and a copy that says more has a set of its own."""
    return set(said)


class _Shape(NamedTuple):
    """What `model_construct` asks of a class: every field with its default, in their order."""

    defaults: dict[str, Any]
    required: frozenset[str]
    factories: tuple[tuple[str, Callable[[], Any]], ...]


@cache
def _shape(kind: type[Noun]) -> _Shape:
    fields = kind.model_fields
    defaults = {name: None if field.is_required() else field.get_default(call_default_factory=True) for name, field in fields.items()}
    required = frozenset(name for name, field in fields.items() if field.is_required())
    factories = tuple((name, field.default_factory) for name, field in fields.items() if field.default_factory is not None)
    return _Shape(defaults, required, factories)  # type: ignore[arg-type] # no factory here takes the other values


def _made(kind: type[N], held: dict[str, Any], said: set[str]) -> N:
    made = _new(kind)
    _hold(made, held)
    _say(made, said)
    _extra(made, None)
    _private(made, None)
    return made


class Template(str):
    """A text that some other program fills in. Never evaluated here."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Template({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(("template", str(self)))


class Checked:
    """A text as `check` returns it. pydantic's own `AfterValidator` looks the signature of its function up at every field."""

    def __init__(self, check: Callable[[str], str]) -> None:
        self._check = check

    def __get_pydantic_core_schema__(self, source: type[Any], handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))


class OrTemplate:
    """The same for a text or a number in whose place a `Template`, or its written form, may stand; that is not checked."""

    def __init__(self, check: Callable[[str], str] | None = None, *, before: Callable[[object], object] | None = None) -> None:
        self._check = check
        self._before = before

    def __get_pydantic_core_schema__(self, source: type[Any], handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        check, before, wanted = self._check, self._before, handler(source)
        any_text = wanted == {"type": "str"}  # nothing is asked of it but that it is one

        def validate(value: object, inner: Callable[[object], Any]) -> object:
            if any_text and type(value) is str:
                return value if check is None else check(value)
            if isinstance(value, Template):
                return value
            if isinstance(value, dict) and list(value) == ["template"] and isinstance(value["template"], str):
                return Template(value["template"])
            found = inner(value if before is None else before(value))
            return found if check is None else check(found)

        return core_schema.no_info_wrap_validator_function(validate, wanted, serialization=_SERIALIZED)

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        plain = handler(schema)
        template: JsonSchemaValue = {
            "type": "object",
            "properties": {"template": {"type": "string"}},
            "required": ["template"],
            "additionalProperties": False,
        }
        return {"anyOf": [plain, template]}


_SERIALIZED = core_schema.plain_serializer_function_ser_schema(
    lambda value: {"template": str(value)} if isinstance(value, Template) else value
)


def refuse(kind: str, message: str, **context: object) -> PydanticCustomError:
    """An error of validation whose kind the reader turns into the code `input.<kind>`."""
    return PydanticCustomError(f"pinfeather_{kind}", message, dict(context))


_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""The characters of an RFC 9110 token."""


def printable(text: str) -> str:
    """Refuses control characters, surrogates, line separators and bidirectional overrides."""
    if text.isprintable():  # all of these are not, and little else
        return text
    for character in text:
        code = ord(character)
        if code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000 or code in (0x2028, 0x2029, 0xFEFF):
            raise refuse("value", f"a control character (U+{code:04X}) cannot stand here")
        if character in _BIDI:
            raise refuse("value", f"a character that turns the writing direction (U+{code:04X}) cannot stand here")
    return text


def token(text: str) -> str:
    """Refuses what is no token of RFC 9110."""
    if not text or not TOKEN.issuperset(text):
        raise refuse("value", f"{text!r} is not a token: letters, digits and !#$%&'*+-.^_`|~ only, at least one")
    return text


def proper_name(text: str) -> str:
    """Refuses what cannot name a thing of a document."""
    if not text or len(text) > 253 or text != text.strip():
        raise refuse("value", "a name has 1 to 253 characters and no space at its ends")
    if "@" in text:
        raise refuse("value", f"{text!r}: '@' is kept for references to another provider (`name@docker`)")
    return printable(text)


def _reference(text: str) -> str:
    own, at, provider = text.partition("@")
    if at and (not provider or not TOKEN.issuperset(provider)):
        raise refuse("value", f"{text!r} is not a reference: write `name`, or `name@provider`")
    proper_name(own)
    return text


_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def nanoseconds(duration: str) -> int:
    """The length of a Go duration (`1m30s`, `500ms`; Go 1.25, time/format.go, ParseDuration). Raises ValueError."""
    rest, total = duration, Decimal(0)
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(duration)
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        number, rest = rest[:digits], rest[digits:]
        unit = next((u for u in ("ns", "us", "µs", "μs", "ms", "s", "m", "h") if rest.startswith(u)), None)
        if unit is None or number.count(".") > 1 or number.strip(".") == "" or len(number) > 18:
            raise ValueError(duration)
        total += Decimal(number) * _UNITS[unit]
        rest = rest[len(unit) :]
    return int(total)


def seconds(duration: str) -> float:
    """The length of a duration in seconds."""
    return nanoseconds(duration) / 1e9


def canonical_duration(text: str) -> str:
    """One spelling a length: the largest of s, ms, us, ns that says it as a whole number (`1m` is `60s`)."""
    try:
        total = nanoseconds(text)
    except ValueError:
        raise refuse("value", f"{text!r} is not a duration: write a number and a unit, such as 500ms, 5s or 1m") from None
    for unit in ("s", "ms", "us"):
        if total % _UNITS[unit] == 0:
            return f"{total // _UNITS[unit]}{unit}"
    return f"{total}ns"


def regex(pattern: str) -> str:
    """Refuses what RE2 refuses, and `\\C`, which Go's RE2 does not know. Matching is unanchored, as in Go."""
    import re2

    if "\\C" in pattern.replace("\\\\", ""):
        raise refuse("regex", f"the regex {pattern!r} uses \\C, which Go's RE2 refuses")
    try:
        compile_regex(pattern)
    except (re2.error, UnicodeEncodeError) as problem:
        reason = problem.args[0] if problem.args else problem
        reason = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise refuse("regex", f"RE2 refuses the regex {pattern!r}: {reason}; look-around and backreferences do not exist") from None
    return pattern


def compile_regex(pattern: str) -> Callable[[str], object]:
    """The search function of a pattern (truthy: found somewhere). Loads google-re2 at the first regex only."""
    import re2

    options = re2.Options()
    options.log_errors = False
    search: Callable[[str], object] = re2.compile(pattern, options=options).search
    return search


def _integer(value: object) -> object:
    if isinstance(value, bool):
        raise refuse("value", "a number is wanted here, not true or false")
    return value


Text = Annotated[str, OrTemplate(printable)]
FreeText = Annotated[str, OrTemplate()]
Name = Annotated[str, Checked(proper_name)]
Token = Annotated[str, OrTemplate(token)]
Reference = Annotated[str, OrTemplate(_reference)]
"""`name` of this document, or `name@provider`: something another provider of the same proxy holds."""
Regex = Annotated[str, OrTemplate(regex)]
Duration = Annotated[str, OrTemplate(canonical_duration)]
if TYPE_CHECKING:
    Number = int | Template
    Weight = int | Template
    Port = int | Template
else:  # pydantic is told of the number alone: `OrTemplate` lets the template pass before
    Number = Annotated[int, OrTemplate(before=_integer)]
    Weight = Annotated[int, Field(ge=0, le=2**31 - 1), OrTemplate(before=_integer)]
    Port = Annotated[int, Field(ge=1, le=65535), OrTemplate(before=_integer)]
Many = Annotated[tuple[T, ...], Field(strict=False)]
"""A list in the text, a tuple in the model."""
Tree = JsonValue
"""A value carried to the letter: what JSON can say."""


def external(reference: str) -> bool:
    """Whether a reference points into another provider."""
    return "@" in reference
