"""The decision: ``(Caller, TokenRequest) → Grant``, or a refusal. Pure: no Flask, no I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import NamedTuple, get_args

from service.core.errors import InvalidValueError, MissingModelError, ServiceError
from service.core.model import Action, Caller, CallType, Grant, SecretType, SessionType, TokenRequest
from service.policy.calls import (
    CallTypes,
    DataChannel,
    Kind,
    LiveMembers,
    ReservedLiveMembers,
    SecretTypes,
    SessionTypes,
    complete_live_session,
)
from service.policy.document import ClaimRule, PolicyDocument
from service.policy.json_path import Path, differences, path_tree, paths_overlapping
from service.policy.request import ResolvedRequest
from service.policy.resolve import BaseSession, Resolver, refuse_unsupported, supported_types
from service.policy.rules import (
    AllowedModels,
    MaxExpiresIn,
    ProfileRequired,
    SourcedRule,
    rules_of,
    split_path,
)
from service.policy.session_rules import Bounds
from service.vendors.base import LiveLayout, SessionLayout
from service.vendors.wire import MIN_SECRET_TTL

MAX_FINDINGS = 20
"""How many findings a grant carries: a request of many members must not fill the log."""


class ClaimRuleParts(NamedTuple):
    """A rule for some callers, its place in the document, and the rules that it is made of."""

    rule: ClaimRule
    place: str
    parts: tuple[SourcedRule, ...]


class Policy:
    """What callers may have. Lifetimes are in seconds.

    ``environment_rules`` hold always. A document's rules hold beside them; in audit mode what they would
    have refused is noted in the grant instead.
    """

    def __init__(  # noqa: PLR0913 - each is a variable of the environment, given by its name
        self,
        *,
        allowed_models: Iterable[str],
        default_model: str,
        token_ttl: int,
        token_max_ttl: int,
        layout: SessionLayout,
        secret_types: tuple[SecretType, ...] = get_args(SecretType),
        call_types: tuple[CallType, ...] = get_args(CallType),
        document: PolicyDocument | None = None,
    ) -> None:
        self.document = document
        self.layout = layout
        models = tuple(allowed_models)
        self.resolver = Resolver(
            layout, document, default_model=default_model, allowed_models=models, token_ttl=token_ttl
        )
        self.environment_rules = (
            SourcedRule("CLIENT_SECRET_TYPES", SecretTypes(_common(secret_types, layout.session_types))),
            SourcedRule("CALL_TYPES", CallTypes(_common(call_types, layout.call_types))),
            SourcedRule("ALLOWED_MODELS", AllowedModels(models)),
            SourcedRule("TOKEN_MAX_TTL", MaxExpiresIn(token_max_ttl)),
            *(live_rules(layout.live, document) if layout.live else ()),
        )
        self._enforces = document is None or document.mode == "enforce"
        self.common_rules = document.common_rules() if document else ()
        self.claim_rules = tuple(
            ClaimRuleParts(rule, place, rules_of(rule, f"{place}."))
            for place, rule in (document.claim_rules() if document else ())
        )

    def decide(self, caller: Caller, request: TokenRequest) -> Grant:
        """Decide what the caller gets.

        Raises:
            InvalidRequestError: where the request contradicts itself, names no model or no known profile,
                or asks for what the vendor does not have.
            ForbiddenError: for what the caller may not have; ``reason`` names the rule that decided.
        """
        refuse_unsupported(request, self.layout)
        base = self.resolver.find(request)
        always = self.environment_rules + base.usable_claims
        rules = base.rules + self.rules_for(caller)
        try:
            resolved = self.resolver.resolve(caller, request, base)
        except MissingModelError:
            refuse_type(request.action, base.session_type, always + rules if self._enforces else always)
            raise
        findings: tuple[str, ...] = ()
        if self._enforces:
            resolved = enforce(resolved, always + rules)
        else:
            resolved = enforce(resolved, always)
            found = violations(clamp(resolved, rules), rules)
            findings = tuple(f"{source}: {error.message}" for source, error in islice(found, MAX_FINDINGS))
        session, live = resolved.session, self.layout.live
        if live and resolved.session_type == "live":
            channel = self.document.find_data_channel(resolved.profile) if self.document else DataChannel()
            session = complete_live_session(session, live, channel)
        return Grant(
            session_type=resolved.session_type,
            model=resolved.model,
            session=session,
            expires_in=resolved.expires_in,
            profile=resolved.profile,
            findings=findings,
            action=resolved.action,
            max_call_seconds=resolved.max_call_seconds,
        )

    def rules_for(self, caller: Caller) -> tuple[SourcedRule, ...]:
        """Return the document's rules that apply to a caller, excluding those of profiles."""
        narrowing = (each.parts for each in self.claim_rules if each.rule.applies_to(caller.claims))
        return (*self.common_rules, *chain.from_iterable(narrowing))

    def conflicts(self) -> list[str]:
        """List the profiles (and defaults) that can never be granted as they are, and why."""
        bases = self.resolver.base_sessions.values()
        problems = [problem for base in bases for problem in self._conflicts_of(base)]
        return [*problems, *self._bounds_without_effect()]

    def _conflicts_of(self, base: BaseSession) -> Iterator[str]:
        both: tuple[Action, Action] = ("secret", "call")
        actions = [action for action in both if self.resolver.supports(base, action)]
        if not actions:
            yield f"{base.source}: {supported_types(self.layout)}"
            return
        for path in self._reserved_members(base):
            yield f"{base.source}: leave {'.'.join(path)} out, the service sets it (see data_channel)"
        for member in self.layout.unheld_members(base.session):
            yield f"{base.source}: leave {member} out, secrets of {self.layout.name} hold no configuration"
        found = [list(self._violations_of(base, action)) for action in actions]
        if all(found):  # a conflict only if no action can grant it
            yield from found[0]

    def _bounds_without_effect(self) -> Iterator[str]:
        """List the bounds of what the vendor's secrets do not hold, so that nothing would enforce them."""
        claim_rules = chain.from_iterable(each.parts for each in self.claim_rules)
        base_rules = (part for base in self.resolver.base_sessions.values() for part in base.rules)
        for source, rule in (*self.common_rules, *claim_rules, *base_rules):
            members = (
                dict.fromkeys(split_path(path)[0] for path in rule.value) if isinstance(rule, Bounds) else {}
            )
            for member in self.layout.unheld_members(members):
                yield f"{source}: secrets of {self.layout.name} hold no {member}, so nothing would enforce this"

    def _violations_of(self, base: BaseSession, action: Action) -> Iterator[str]:
        anybody = Caller(issuer="", subject="", claims={}, pseudonym="")
        try:
            resolved = self.resolver.resolve(anybody, TokenRequest(None, {}, action=action), base)
        except MissingModelError:
            return  # the caller must name the model, so there is nothing yet to check
        except InvalidValueError as refusal:
            yield f"{base.source}: {refusal.message}"
            return
        resolved = replace(resolved, expires_in=base.expires_in or MIN_SECRET_TTL)
        rules = [part for part in self.common_rules if not isinstance(part.rule, ProfileRequired)]
        for source, error in violations(resolved, (*self.environment_rules, *rules)):
            yield f"{base.source}: {source} refuses it unchanged. {error.message}"

    def _reserved_members(self, base: BaseSession) -> Iterator[Path]:
        live = self.layout.live
        if live and base.session_type == "live":
            reserved = path_tree(map(split_path, live.reserved))
            yield from paths_overlapping(differences(base.session, {}), reserved)


def live_rules(live: LiveLayout, document: PolicyDocument | None) -> Iterator[SourcedRule]:
    """List what holds for live sessions in every mode.

    An enforced document's ``fields.allow`` takes the place of the members that a caller may set by default: the
    admin has then said which.
    """
    yield SourcedRule("live sessions", ReservedLiveMembers(live.reserved))
    fields = document.fields if document and document.mode == "enforce" else None
    if fields is None or fields.allow is None:
        yield SourcedRule("live sessions", LiveMembers(live.caller_members))


def _common(configured: tuple[Kind, ...], vendor: tuple[SessionType, ...]) -> tuple[Kind, ...]:
    return tuple(kind for kind in configured if kind in vendor)


def refuse_type(action: Action, session_type: SessionType, rules: Iterable[SourcedRule]) -> None:
    """Raise the refusal of a type of session that no model could be named for."""
    for source, rule in rules:
        for error in rule.refusals(action, session_type) if isinstance(rule, SessionTypes) else ():
            error.reason = f"{source}: {error.message}"
            raise error


def clamp(request: ResolvedRequest, rules: Iterable[SourcedRule]) -> ResolvedRequest:
    """Clamp defaults, which the caller did not ask for, to what the rules allow."""
    for part in rules:
        request = part.rule.clamp(request)
    return request


def enforce(request: ResolvedRequest, rules: Iterable[SourcedRule]) -> ResolvedRequest:
    """Clamp a request by the rules, and raise the first violation that is left."""
    request = clamp(request, rules)
    for source, rule in rules:
        for error in rule.violations(request):
            error.reason = f"{source}: {error.message}"
            raise error
    return request


def violations(request: ResolvedRequest, rules: Iterable[SourcedRule]) -> Iterator[tuple[str, ServiceError]]:
    """List what the rules refuse in a request, each with the rule's source."""
    for source, rule in rules:
        yield from ((source, error) for error in rule.violations(request))
