"""A policy in words: what each profile and rule allows, and what none of it can do."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from service.policy.compilation import ClaimRules
from service.policy.conditions import Condition
from service.policy.engine import Policy
from service.policy.foundation import Foundation
from service.policy.words import listed

HONEST_WORDS = """\
What this does not do: the service decides when a secret is minted. The vendor takes the configuration
attached to a secret as a default, and a client may change it in the running session with session.update:
instructions, tools, voice, limits and all. Locks and bounds therefore keep honest clients on course and shape
what is asked for at the mint; they do not hold a hostile client that already has a session. What does hold is
who gets a secret at all, how often, and how long a secret lives before it must be used."""

_WIDTH = 100


def explain(policy: Policy) -> str:
    """Describe a policy to the person who runs the service."""
    return "\n".join(_lines(policy)) + "\n"


def _lines(policy: Policy) -> Iterator[str]:
    rulebook = policy.rulebook
    if policy.document is None:
        yield "SESSION_POLICY is not set: the models and lifetimes of the environment are all that holds."
    elif rulebook.enforcing:
        yield "This policy is enforced: what it does not allow is refused."
    else:
        yield "This policy is in audit mode: it refuses nothing, and logs what it would refuse."
    yield from _section("Every caller", (rule.in_words() for rule in (*policy.ceiling, *rulebook.rules)))
    if rulebook.defaults:
        title = f"Callers who name no profile (sessions of type {rulebook.defaults.session_type})"
        yield from _section(title, _foundation(rulebook.defaults, policy))
    for name, profile in rulebook.profiles.items():
        description = policy.document.profiles[name].description if policy.document else None
        title = f'Profile "{name}" (type {profile.session_type})' + (
            f": {description}" if description else ""
        )
        yield from _section(title, _foundation(profile, policy))
    for claim_rules in rulebook.claim_rules:
        yield from _section(f"And {_who(claim_rules)}", (rule.in_words() for rule in claim_rules.rules))
    if rulebook.claim_rules:
        yield ""
        yield "Everything that applies to a caller applies at once: a rule narrows and never widens."
    if warnings := policy.warnings():
        yield from _section("Look at", warnings)
    yield ""
    yield HONEST_WORDS


def _section(title: str, points: Iterable[str]) -> Iterator[str]:
    yield ""
    yield title
    for point in points:
        yield textwrap.fill(point, _WIDTH, initial_indent="  - ", subsequent_indent="    ")


def _foundation(foundation: Foundation, policy: Policy) -> Iterator[str]:
    session = foundation.session
    yield f"is sent: {listed(sorted(session))}" if session else "nothing is sent beside what the caller sets"
    if isinstance(session.get("model"), str):
        yield f"model, unless the caller names another that is allowed: {session['model']}"
    if foundation.expires_in is None:
        yield f"a secret lives {policy.token_ttl} seconds unless the caller asks otherwise (TOKEN_TTL)"
    else:
        yield f"a secret lives {foundation.expires_in} seconds unless the caller asks otherwise"
    yield from (rule.in_words() for rule in foundation.rules)


def _who(claim_rules: ClaimRules) -> str:
    who = "callers"
    if claim_rules.when:
        who += f" whose {_all(claim_rules.when)}"
    if claim_rules.unless:
        who += f"{',' if claim_rules.when else ''} unless {_all(claim_rules.unless)}"
    return f"{who} [{claim_rules.source}]"


def _all(conditions: tuple[Condition, ...]) -> str:
    return " and ".join(condition.in_words() for condition in conditions)
