"""What an admin should look at in a document that is valid: words for the log at start, and ``--explain``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from service.core.claims import is_user_editable
from service.policy.document import PolicyDocument, Preset
from service.policy.limits import Limits
from service.vendors.wire import BETA_SESSION_MEMBERS, SESSION_MEMBERS


def review(document: PolicyDocument, *, beta: bool) -> list[str]:
    """List what is suspicious, one sentence each, beginning with its place."""
    known = BETA_SESSION_MEMBERS if beta else SESSION_MEMBERS
    return [
        *_unenforced(document),
        *_editable_claims(document),
        *_unlocked_elsewhere(document),
        *_unknown_members(document, known),
    ]


def _unenforced(document: PolicyDocument) -> Iterator[str]:
    if document.mode == "audit":
        yield 'mode: "audit" refuses nothing; what "enforce" would refuse is only logged'
    if document.profile_required and document.defaults:
        yield "defaults: are never used, since profile_required makes every caller name a profile"


def _editable_claims(document: PolicyDocument) -> Iterator[str]:
    conditions = [
        (f"profiles.{name}.requires", profile.requires) for name, profile in document.profiles.items()
    ]
    for index, rule in enumerate(document.rules):
        conditions += [(f"rules[{index}].when", rule.when), (f"rules[{index}].unless", rule.unless)]
    for place, claims in conditions:
        for claim in filter(is_user_editable, claims):
            yield (
                f'{place}: users can often write the claim "{claim}" themselves, and so choose what they get;'
                " use one that only your server writes, such as app_metadata"
            )


def _unlocked_elsewhere(document: PolicyDocument) -> Iterator[str]:
    if document.defaults and document.defaults.locked and document.types is None:
        used = document.defaults.session_type
        yield (
            f"defaults.locked: holds sessions of type {used} only, and a caller may ask for another type;"
            f' add "types": ["{used}"] if none should'
        )


def _unknown_members(document: PolicyDocument, known: frozenset[str]) -> Iterator[str]:
    places = [*_paths_of_limits("", document)]
    for index, rule in enumerate(document.rules):
        places += _paths_of_limits(f"rules[{index}].", rule)
    presets: dict[str, Preset] = {f"profiles.{name}": profile for name, profile in document.profiles.items()}
    if document.defaults:
        presets["defaults"] = document.defaults
    for place, preset in presets.items():
        places += [(f"{place}.session", name) for name in preset.session]
        places += [(f"{place}.locked", path) for path in preset.locked if path != "expires_in"]
    for place, path in places:
        member = path.partition(".")[0]
        if member not in known:
            close = get_close_matches(member, known, n=1)
            hint = f'; did you mean "{close[0]}"?' if close else ""
            yield f'{place}: "{member}" is no member of a session that this service knows{hint}'


def _paths_of_limits(place: str, limits: Limits) -> Iterable[tuple[str, str]]:
    fields = limits.fields
    yield from ((f"{place}bounds", path) for path in limits.bounds)
    yield from ((f"{place}fields.allow", path) for path in (fields.allow or () if fields else ()))
    yield from ((f"{place}fields.deny", path) for path in (fields.deny or () if fields else ()))
