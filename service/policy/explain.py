"""A policy in words: what each profile and rule allows, what the admin should look at, and what none of it can do."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from service.core.claims import is_user_editable
from service.core.model import Action
from service.policy.calls import DataChannel
from service.policy.conditions import describe_conditions
from service.policy.decide import Policy
from service.policy.document import ClaimRule, Constraints, PolicyDocument, Profile
from service.policy.json_path import join_names
from service.policy.resolve import BaseSession
from service.policy.rules import SourcedRule
from service.vendors.base import SessionLayout

HONEST_WORDS = """\
What this does not do: the service decides when a secret is minted. The vendor takes the configuration
attached to a secret as a default, and a client may change it in the running session with session.update:
instructions, tools, voice and limits included. Locks and bounds therefore guide well-behaved clients and decide
what is asked for at the mint; they do not restrict a hostile client that already has a session. What is enforced
is who gets a secret, how often, and how long a secret is valid before it must be used. A call is opened and ended
by the service: its maximum duration is enforced, and so is what a live call's client may send."""

_WIDTH = 100


def explain(policy: Policy) -> str:
    """Describe a policy to the person who runs the service."""
    return "\n".join(_lines(policy)) + "\n"


def _lines(policy: Policy) -> Iterator[str]:
    document = policy.document
    if document is None:
        yield "SESSION_POLICY is not set: callers are limited by the environment alone."
    elif document.mode == "enforce":
        yield "This policy is enforced: what it does not allow is refused."
    else:
        yield "This policy is in audit mode: it refuses nothing, and logs what it would refuse."
    yield from _section("Every caller", _describe(policy.environment_rules + policy.common_rules))
    presets = document.session_defaults() if document else {}
    for place in sorted(presets, key=lambda place: place != "defaults"):
        base, preset = policy.resolver.base_sessions[place], presets[place]
        title = f"Callers who name no profile (sessions of type {base.session_type})"
        if isinstance(preset, Profile):
            description = f": {preset.description}" if preset.description else ""
            title = f'Profile "{base.profile}" (type {base.session_type}){description}'
        yield from _section(title, _describe_base(base, policy))
    for rule, place, parts in policy.claim_rules:
        yield from _section(f"And {_describe_callers(rule)} [{place}]", _describe(parts))
    yield from _section("Live calls", _describe_live(policy))
    if policy.claim_rules:
        yield ""
        yield "Everything that applies to a caller applies at once: a rule narrows and never widens."
    if found := warnings(policy):
        yield from _section("Warnings", found)
    yield ""
    yield HONEST_WORDS


def _section(title: str, points: Iterable[str]) -> Iterator[str]:
    yield ""
    yield title
    for point in points:
        yield textwrap.fill(point, _WIDTH, initial_indent="  - ", subsequent_indent="    ")


def _describe(rules: Iterable[SourcedRule]) -> Iterator[str]:
    return (part.rule.describe() for part in rules)


def _describe_base(base: BaseSession, policy: Policy) -> Iterator[str]:
    action: Action = "call" if base.session_type == "live" else "secret"
    session = policy.resolver.add_default_model(base.session, base.session_type, action)
    sent = join_names(sorted(session))
    yield f"is sent: {sent}" if session else "nothing is sent other than what the caller sets"
    if isinstance(session.get("model"), str):
        yield f"model, unless the caller names another that is allowed: {session['model']}"
    if base.expires_in is None:
        seconds = f"{policy.resolver.token_ttl} seconds unless the caller requests otherwise (TOKEN_TTL)"
        yield f"a secret is valid for {seconds}"
    else:
        yield f"a secret is valid for {base.expires_in} seconds unless the caller requests otherwise"
    yield from _describe(base.rules)


def _describe_live(policy: Policy) -> Iterator[str]:
    live, document = policy.layout.live, policy.document
    if live is None:
        yield f"{policy.layout.name} has none"
        return
    places = {"": document.data_channel} if document else {}
    if document:
        places |= {f"{place}: ": preset.data_channel for place, preset in document.session_defaults().items()}
    for place, channel in {"": None, **places}.items():
        if channel or not place:
            yield place + (channel or DataChannel()).describe(live)


def _describe_callers(rule: ClaimRule) -> str:
    who = "callers"
    if rule.when:
        who += f" whose {describe_conditions(rule.when)}"
    if rule.unless:
        who += f"{',' if rule.when else ''} unless {describe_conditions(rule.unless)}"
    return who


def warnings(policy: Policy) -> list[str]:
    """List what is valid and suspicious, one sentence each that begins with its place."""
    document = policy.document
    if document is None:
        return []
    return [
        *_never_used(document),
        *_editable_claims(document),
        *_unlocked_elsewhere(document),
        *_unknown_members(document, policy.layout),
    ]


def _never_used(document: PolicyDocument) -> Iterator[str]:
    defaults = document.defaults
    if document.mode == "audit":
        yield 'mode: is "audit", so nothing is refused; set "enforce" to refuse what is now only logged'
    if document.profile_required.value and defaults:
        yield "defaults: are never used, since profile_required makes every caller name a profile"


def _editable_claims(document: PolicyDocument) -> Iterator[str]:
    decides = "choose what they get"
    used = [
        (f"profiles.{n}.requires", profile.requires.value, decides)
        for n, profile in document.profiles.items()
    ]
    for index, rule in enumerate(document.rules):
        used += [
            (f"rules[{index}].when", rule.when, decides),
            (f"rules[{index}].unless", rule.unless, decides),
        ]
    for place, preset in document.session_defaults().items():
        used.append(
            (f"{place}.session", dict.fromkeys(preset.session.claims, ()), "what their sessions are told")
        )
    for place, claims, effect in used:
        for claim in filter(is_user_editable, claims):
            yield (
                f'{place}: users can often write the claim "{claim}" themselves, and so {effect};'
                " use one that only your server writes, such as app_metadata"
            )


def _unlocked_elsewhere(document: PolicyDocument) -> Iterator[str]:
    defaults = document.defaults
    if defaults and defaults.locked.value and document.types is None:
        yield (
            f"defaults.locked: holds sessions of type {defaults.session_type} only, and a caller may ask for"
            f' another type; add "types": ["{defaults.session_type}"] if none should'
        )


def _unknown_members(document: PolicyDocument, layout: SessionLayout) -> Iterator[str]:
    live = layout.live.members if layout.live else frozenset()
    everywhere = layout.members | live
    places = [(everywhere, *place) for place in _paths_of_constraints("", document)]
    for index, rule in enumerate(document.rules):
        places += [(everywhere, *place) for place in _paths_of_constraints(f"rules[{index}].", rule)]
    for place, preset in document.session_defaults().items():
        known = live if preset.session_type == "live" else layout.members
        places += [(known, f"{place}.session", name) for name in preset.session.value]
        places += [(known, f"{place}.locked", path) for path in preset.locked.value if path != "expires_in"]
    for known, place, path in places:
        member = path.partition(".")[0]
        if member not in known:
            close = get_close_matches(member, known, n=1)
            hint = f'; did you mean "{close[0]}"?' if close else ""
            yield f'{place}: "{member}" is no member of a session that this service knows{hint}'


def _paths_of_constraints(place: str, constraints: Constraints) -> Iterator[tuple[str, str]]:
    yield from ((f"{place}bounds", path) for path in constraints.bounds.value)
    fields = constraints.fields
    for name, listed in (("allow", fields.allow), ("deny", fields.deny)) if fields else ():
        yield from ((f"{place}fields.{name}", path) for path in (listed.value if listed else ()))
