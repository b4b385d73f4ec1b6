"""Templates in a profile's strings: ``{sub}`` and ``{claim:name}``, and nothing else is evaluated.

Each place has its own rule, by which a claim can be no more than a value there:

- *text* (instructions, descriptions, and all that is not named below) is read by a model. A value is written
  as the inside of a JSON string is (RFC 8259 §7), with all quotation marks, angle brackets and backticks
  escaped, and cut at ``MAX_VALUE`` characters: so it cannot end a quotation, a tag or a fence that the profile
  puts around it, begin a line of its own, or crowd out the profile's words. An apostrophe stays one, unless
  the profile itself quotes with single quotation marks. It remains text that a model
  reads: claims that users write themselves do not belong into instructions.
- *URLs*: a value is percent-encoded (RFC 3986 §2.1), so it stays within its segment or parameter. In the host
  it may stand only where the profile's ``requires`` lists the claim's values.
- *plain values* (the variables of a stored prompt, headers, authorization) are escaped once, by the JSON that is sent.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import quote

from pydantic import AfterValidator, JsonValue

from service.core.claims import find_claim
from service.core.errors import ServiceError, SessionFieldNotAllowedError
from service.core.model import Caller, SessionType
from service.policy.json_path import as_json_snippet, join_names
from service.policy.request import ResolvedRequest
from service.policy.rules import Rule, SourcedRule

MAX_VALUE = 200
"""How much of a value is used, in characters before escaping."""

Place = Literal["text", "url", "plain"]

_FIELD = re.compile(r"\{(?:(?P<sub>sub)|claim:(?P<claim>[^{}]+))\}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S*")
_AUTHORITY = re.compile(r"(?:[^/?#\\:]*:)?[/\\]*[^/?#]*")
"""Scheme, slashes as browsers are lenient with them (https://url.spec.whatwg.org), and all up to the path."""

_HOST = re.compile(r"[A-Za-z0-9.-]+")
_PLAIN_MEMBERS = frozenset({"variables", "headers", "authorization"})
_QUOTES = {"Pi", "Pf"}
"""Unicode's categories of opening and closing quotation marks; the straight ones have none of their own."""

_SINGLE_QUOTES = "'\u2018\u2019"
_QUOTES_SINGLY = re.compile(rf"(?<![^\W\d_])[{_SINGLE_QUOTES}]|[{_SINGLE_QUOTES}](?![^\W\d_])")
"""A single quotation mark that is no apostrophe, since it is not between two letters."""


class Template(NamedTuple):
    """One string of a session with something to fill in, and where it is."""

    path: tuple[str, ...]
    text: str
    place: Place

    @property
    def claims(self) -> list[str]:
        """The claims that it uses, ``sub`` among them."""
        return [field["claim"] or "sub" for field in _FIELD.finditer(self.text)]

    @property
    def host_claims(self) -> list[str]:
        """The claims that decide where a URL leads: those in its scheme, host or port."""
        authority = _AUTHORITY.match(_FIELD.sub(lambda field: "\0" * len(field[0]), self.text))
        end = authority.end() if authority and self.place == "url" else 0
        return [field["claim"] or "sub" for field in _FIELD.finditer(self.text) if field.start() < end]


def place_of(path: tuple[str, ...], text: str) -> Place:
    """Tell which rule holds for a string: by the names of the members above it, and whether it is a URL."""
    if path and (path[-1].endswith("url") or _URL.fullmatch(_FIELD.sub("x", text))):
        return "url"
    return "plain" if _PLAIN_MEMBERS.intersection(path) else "text"


def find_templates(value: Any, path: tuple[str, ...] = ()) -> Iterator[Template]:
    """List the strings of a JSON value that hold something to fill in."""
    if isinstance(value, str) and _FIELD.search(value):
        yield Template(path, value, place_of(path, value))
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from find_templates(inner, (*path, name))
    elif isinstance(value, list):
        for inner in value:
            yield from find_templates(inner, path)


def render(value: Any, caller: Caller, path: tuple[str, ...] = ()) -> Any:
    """Fill in every string of a JSON value; what the caller has no text for is left empty."""
    if isinstance(value, str):
        if not _FIELD.search(value):
            return value
        place: str = place_of(path, value)
        if place == "text" and not _QUOTES_SINGLY.search(value):
            place = "unquoted"
        write = _WRITERS[place]
        return _FIELD.sub(lambda field: write(text_of(caller, field["claim"] or "sub") or ""), value)
    if isinstance(value, dict):
        return {name: render(inner, caller, (*path, name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [render(inner, caller, path) for inner in value]
    return value


def escape(text: str, *, apostrophes: str = "") -> str:
    """Cut a value and make it harmless inside quotes, tags and fences; what does not print is a space.

    ``apostrophes`` are written as they are.
    """
    inside = json.dumps(plain(text), ensure_ascii=False)[1:-1]
    return "".join(
        f"\\u{ord(one):04x}" if _delimits(one) and one not in apostrophes else one for one in inside
    )


def _delimits(character: str) -> bool:
    return character in "'<>`" or unicodedata.category(character) in _QUOTES


def plain(text: str) -> str:
    """Cut a value; what does not print is a space."""
    return "".join(character if character.isprintable() else " " for character in text[:MAX_VALUE])


def percent_encode(text: str) -> str:
    """Write a value so that it stays within one segment or parameter of a URL."""
    return quote(text[:MAX_VALUE], safe="", errors="replace")


_WRITERS: Mapping[str, Callable[[str], str]] = {
    "text": escape,
    "unquoted": partial(escape, apostrophes=_SINGLE_QUOTES),
    "url": percent_encode,
    "plain": plain,
}


def text_of(caller: Caller, claim: str) -> str | None:
    """Return a claim as text; ``None`` where the caller has none, or one that is no text and no number."""
    value = caller.subject if claim == "sub" else find_claim(caller.claims, claim)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value)


def _check_type(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if value.get("type", "realtime") not in ("realtime", "transcription", "translation", "live"):
        raise ValueError('"type" must be realtime, transcription, translation or live')
    return value


class SessionTemplate(Rule[dict[str, JsonValue]]):
    """A session in the vendor's shape, its strings templates. Without the claims it would not be the admin's text."""

    parsed_as = Annotated[dict[str, JsonValue], AfterValidator(_check_type)]

    @cached_property
    def templates(self) -> tuple[Template, ...]:
        """The strings that hold something to fill in."""
        return tuple(find_templates(self.value))

    @cached_property
    def claims(self) -> tuple[str, ...]:
        """The claims that the strings use, beside ``sub``, which every caller has."""
        used = dict.fromkeys(claim for template in self.templates for claim in template.claims)
        return tuple(claim for claim in used if claim != "sub")

    @property
    def session_type(self) -> SessionType:
        """The type of session, ``realtime`` where none is said."""
        given: Any = self.value.get("type", "realtime")
        session_type: SessionType = given
        return session_type

    def check_hosts(self, listed: Mapping[str, tuple[Any, ...]]) -> None:
        """Check that claims in a URL's host are among those whose values the admin lists.

        Raises:
            ValueError: naming the member and the claim.
        """
        for template in self.templates:
            for claim in template.host_claims:
                where = f'"session.{".".join(template.path)}" has the claim "{claim}" in its host'
                values = listed.get(claim, ())
                if not values:
                    raise ValueError(f'{where}; list the values that it may have in "requires"')
                if not all(isinstance(value, str) and _HOST.fullmatch(value) for value in values):
                    raise ValueError(
                        f'{where}; its values in "requires" may have letters, digits, dots and -'
                    )

    def parts(self, source: str) -> Iterator[SourcedRule]:
        return super().parts(source) if self.templates else iter(())

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        for claim in self.claims:
            if not text_of(request.caller, claim):
                message = (
                    f"Your access token lacks the claim {as_json_snippet(claim)}, which this session needs."
                )
                yield SessionFieldNotAllowedError(message, param="profile")

    def describe(self) -> str:
        return f"text is filled in from the caller's claims: {join_names(self.claims or ('sub',))}"


@dataclass(frozen=True)
class UsableClaims(Rule[tuple[Template, ...]]):
    """Claims in URLs and plain values can be used there. Holds in audit mode too: it keeps URLs the admin's.

    ``listed`` has the values of the claims that may decide a URL's host.
    """

    listed: Mapping[str, tuple[Any, ...]]

    unlimited = ()

    def violations(self, request: ResolvedRequest) -> Iterator[ServiceError]:
        for template in self.value:
            if template.place != "text" and not self._is_usable(template, request.caller):
                message = "A claim in your access token has a value that this session's URLs or values do not allow."
                yield SessionFieldNotAllowedError(message, param="profile")

    def _is_usable(self, template: Template, caller: Caller) -> bool:
        hosts = all(text_of(caller, claim) in self.listed.get(claim, ()) for claim in template.host_claims)
        lengths = (len(text_of(caller, claim) or "") for claim in template.claims)
        return hosts and max(lengths) <= MAX_VALUE and not _climbs(template, caller)


def _climbs(template: Template, caller: Caller) -> bool:
    """Return whether claims make dot segments of a URL (RFC 3986 §5.2.4), which would lead elsewhere."""
    if template.place != "url":
        return False
    filled: str = render(template.text, caller, template.path)
    segments = zip(
        re.split(r"[/?#]", filled), re.split(r"[/?#]", _FIELD.sub("x", template.text)), strict=True
    )
    return any(segment in {".", ".."} and segment != written for segment, written in segments)
