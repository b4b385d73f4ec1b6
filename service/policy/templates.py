"""Templates in a profile's strings: ``{sub}`` and ``{claim:name}``, and nothing else is evaluated.

A value is written as the inside of a JSON string is, angle brackets and backticks escaped too, and cut at
``MAX_VALUE`` characters. So it cannot end a quotation, a tag or a fence that the profile puts around it,
begin a line of its own, or crowd out the profile's words. It remains text that a model reads: claims that
users write themselves do not belong into instructions (RFC 8259 §7 has the escapes).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, JsonValue

from service.core.claims import find_claim
from service.core.errors import ServiceError, SessionFieldNotAllowedError
from service.core.model import Caller
from service.policy.formatting import as_json_snippet, join_names
from service.policy.request import ResolvedRequest
from service.policy.rules import Rule, SourcedRule

MAX_VALUE = 200
"""How much of a claim is used, in characters before escaping."""

_FIELD = re.compile(r"\{(?:(?P<sub>sub)|claim:(?P<claim>[^{}]+))\}")
_ESCAPED = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("`"): "\\u0060"}


def claims_in(value: Any) -> Iterator[str]:
    """List the claims that the strings of a JSON value use."""
    if isinstance(value, str):
        yield from (field["claim"] for field in _FIELD.finditer(value) if field["claim"])
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from claims_in(inner)


def is_template(value: Any) -> bool:
    """Tell whether a JSON value holds anything to fill in."""
    if isinstance(value, str):
        return _FIELD.search(value) is not None
    if isinstance(value, dict | list):
        return any(map(is_template, value.values() if isinstance(value, dict) else value))
    return False


def render(value: Any, caller: Caller) -> Any:
    """Fill in every string of a JSON value; what the caller has no text for is left empty."""
    if isinstance(value, str):
        return _FIELD.sub(lambda field: escape(_value(field, caller)), value)
    if isinstance(value, dict):
        return {name: render(inner, caller) for name, inner in value.items()}
    if isinstance(value, list):
        return [render(inner, caller) for inner in value]
    return value


def escape(text: str) -> str:
    """Cut a value and make it harmless inside quotes, tags and fences; what does not print is a space."""
    printable = "".join(character if character.isprintable() else " " for character in text[:MAX_VALUE])
    return json.dumps(printable, ensure_ascii=False)[1:-1].translate(_ESCAPED)


def text_of(caller: Caller, claim: str) -> str | None:
    """Return a claim as text; ``None`` where the caller has none, or one that is no text and no number."""
    value = find_claim(caller.claims, claim)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value)


def _value(field: re.Match[str], caller: Caller) -> str:
    return caller.subject if field["sub"] else text_of(caller, field["claim"]) or ""


def _check_type(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if value.get("type", "realtime") not in ("realtime", "transcription", "translation"):
        raise ValueError('"type" must be realtime, transcription or translation')
    return value


class SessionTemplate(Rule[dict[str, JsonValue]]):
    """A session in the vendor's shape, its strings templates. Without the claims it would not be the admin's text."""

    parsed_as = Annotated[dict[str, JsonValue], AfterValidator(_check_type)]

    @cached_property
    def claims(self) -> tuple[str, ...]:
        """The claims that the strings use."""
        return tuple(dict.fromkeys(claims_in(self.value)))

    def parts(self, source: str) -> Iterator[SourcedRule]:
        return super().parts(source) if self.claims else iter(())

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        for claim in self.claims:
            if not text_of(request.caller, claim):
                yield SessionFieldNotAllowedError(
                    f"Your access token lacks the claim {as_json_snippet(claim)}, which this session needs.",
                    param="profile",
                )

    def describe(self) -> str:
        return f"text is filled in from the caller's claims: {join_names(self.claims)}"
