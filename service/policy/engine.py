"""The decision: ``(Caller, TokenRequest) → Grant``, or a refusal. Pure: no Flask, no I/O, no clock."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import get_args

from service.core.errors import InvalidRequestError, InvalidValueError, ServiceError, UnknownParameterError
from service.core.model import Caller, Grant, SessionType, TokenRequest
from service.policy.access import ProfileRequired
from service.policy.compilation import Rulebook, compile_document
from service.policy.document import PolicyDocument
from service.policy.draft import Draft
from service.policy.foundation import Foundation, bare_foundation
from service.policy.resolution import resolve
from service.policy.review import review
from service.policy.rules import AllowedModels, LongestLife, Rule
from service.policy.words import shown
from service.vendors.wire import MIN_SECRET_TTL

MOST_FINDINGS = 20
"""How many findings a grant carries: a request of many members must not fill the log."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A rule's word against a draft."""

    source: str
    error: ServiceError

    def __str__(self) -> str:
        """Name the rule that decided, then what it says."""
        return f"{self.source}: {self.error.message}"


class Policy:
    """What callers may have. Lifetimes are in seconds.

    ``allowed_models`` and ``token_max_ttl`` hold always. A document's rules hold beside them; in audit mode
    what they would have refused is noted in the grant instead.
    """

    def __init__(
        self,
        *,
        allowed_models: Collection[str],
        default_model: str,
        token_ttl: int,
        token_max_ttl: int,
        beta: bool = False,
        document: PolicyDocument | None = None,
    ) -> None:
        self.document = document
        self.token_ttl = token_ttl
        self.beta = beta
        self.ceiling: tuple[Rule, ...] = (
            AllowedModels("ALLOWED_MODELS", tuple(allowed_models)),
            LongestLife("TOKEN_MAX_TTL", token_max_ttl),
        )
        self.rulebook = (
            compile_document(document, default_model=default_model, beta=beta) if document else Rulebook()
        )
        self._bare: dict[SessionType, Foundation] = {
            session_type: bare_foundation(session_type, default_model)
            for session_type in get_args(SessionType)
        }

    def decide(self, caller: Caller, request: TokenRequest) -> Grant:
        """Say what the caller gets.

        Raises:
            InvalidRequestError: where the request contradicts itself, names no model or no known profile,
                or asks for what the beta dialect has not.
            ForbiddenError: for what is not the caller's to have; ``reason`` names the rule that decided.
        """
        if self.beta:
            refuse_what_beta_has_not(request)
        foundation = self._foundation(request)
        draft = hold(resolve(caller, request, foundation, token_ttl=self.token_ttl), self.ceiling)
        rules = (*foundation.rules, *self._rules_for(caller))
        findings: tuple[str, ...] = ()
        if self.rulebook.enforcing:
            draft = hold(draft, rules)
        else:
            found = refusals(cap(draft, rules), rules)
            findings = tuple(map(str, islice(found, MOST_FINDINGS)))
        return Grant(
            session_type=draft.session_type,
            model=draft.model,
            session=draft.session,
            expires_in=draft.expires_in,
            profile=draft.profile,
            findings=findings,
        )

    def conflicts(self) -> list[str]:
        """List the profiles (and defaults) that nobody could ever be granted as they stand, and why."""
        foundations = [*self.rulebook.profiles.values(), self.rulebook.defaults]
        return [
            problem for foundation in foundations if foundation for problem in self._conflicts_of(foundation)
        ]

    def _conflicts_of(self, foundation: Foundation) -> Iterator[str]:
        if self.beta and foundation.session_type != "realtime":
            yield f"{foundation.source}: REALTIME_API=beta has realtime sessions only"
            return
        anybody = Caller(issuer="", subject="", claims={}, pseudonym="")
        lifetime = foundation.expires_in or MIN_SECRET_TTL
        try:
            draft = resolve(anybody, TokenRequest(None, {}), foundation, token_ttl=lifetime)
        except InvalidValueError:
            return  # the caller must name the model, so there is nothing yet to hold against it
        rules = [rule for rule in self.rulebook.rules if not isinstance(rule, ProfileRequired)]
        for refusal in refusals(draft, (*self.ceiling, *rules)):
            yield f"{foundation.source}: {refusal.source} refuses it as it stands. {refusal.error.message}"

    def warnings(self) -> list[str]:
        """Say what the admin should look at, though the service can start with it."""
        return review(self.document, beta=self.beta) if self.document else []

    def _rules_for(self, caller: Caller) -> Iterator[Rule]:
        yield from self.rulebook.rules
        for claim_rules in self.rulebook.claim_rules:
            if claim_rules.apply_to(caller.claims):
                yield from claim_rules.rules

    def _foundation(self, request: TokenRequest) -> Foundation:
        if request.profile is not None:
            return self._profile(request.profile, request.session_type)
        defaults = self.rulebook.defaults
        if defaults and request.session_type in {None, defaults.session_type}:
            return defaults
        return self._bare[request.session_type or "realtime"]

    def _profile(self, name: str, session_type: SessionType | None) -> Foundation:
        if self.document is None:
            raise UnknownParameterError("Unknown parameter: 'profile'.", param="profile")
        profile = self.rulebook.profiles.get(name)
        if profile is None:
            raise InvalidValueError(f"There is no profile {shown(name)}.", param="profile")
        if session_type not in {None, profile.session_type}:
            raise InvalidValueError(
                f"The profile {shown(name)} is for sessions of type {profile.session_type}.",
                param="session.type",
            )
        return profile


def cap(draft: Draft, rules: Iterable[Rule]) -> Draft:
    """Lower what nobody asked for to what the rules grant."""
    for rule in rules:
        draft = rule.cap(draft)
    return draft


def hold(draft: Draft, rules: Collection[Rule]) -> Draft:
    """Cap a draft by the rules, and raise the first refusal that is left."""
    capped = cap(draft, rules)
    for refusal in refusals(capped, rules):
        refusal.error.reason = str(refusal)
        raise refusal.error
    return capped


def refusals(draft: Draft, rules: Iterable[Rule]) -> Iterator[Refusal]:
    """List what the rules have against a draft."""
    for rule in rules:
        for error in rule.refusals(draft):
            yield Refusal(rule.source, error)


def refuse_what_beta_has_not(request: TokenRequest) -> None:
    """Refuse what the retired ``POST /realtime/sessions`` cannot do.

    Raises:
        InvalidRequestError: naming the member.
    """
    if request.session_type not in {None, "realtime"}:
        raise InvalidRequestError("REALTIME_API=beta has realtime sessions only.", param="session.type")
    if request.expires_in is not None:
        raise InvalidRequestError(
            "REALTIME_API=beta has no 'expires_after': its secrets live one minute.", param="expires_after"
        )
    # In the beta the session is the whole body, and in it a compatible server may take the secret's own life.
    for member in ("client_secret", "expires_after"):
        if member in request.session:
            raise InvalidRequestError(
                f"REALTIME_API=beta takes no 'session.{member}': its secrets live one minute.",
                param=f"session.{member}",
            )
