"""The decision: ``(Caller, TokenRequest) → Grant``, or a refusal. Pure: no Flask, no I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple

from service.core.errors import InvalidRequestError, InvalidValueError, ServiceError, UnknownParameterError
from service.core.model import Caller, Grant, SessionType, TokenRequest
from service.policy.document import ClaimRule, PolicyDocument, SessionDefaults
from service.policy.formatting import as_json_snippet, session_member
from service.policy.json_path import MISSING, Path, get, merge, put
from service.policy.request import ResolvedRequest
from service.policy.rules import AllowedModels, MaxExpiresIn, ProfileRequired, SourcedRule, rules_of
from service.policy.templates import is_template, render
from service.vendors.base import SessionLayout
from service.vendors.wire import MIN_SECRET_TTL

MAX_FINDINGS = 20
"""How many findings a grant carries: a request of many members must not fill the log."""


class Violation(NamedTuple):
    """What one rule refuses in a request."""

    source: str
    error: ServiceError

    def __str__(self) -> str:
        """Name the rule that decided, then what it says."""
        return f"{self.source}: {self.error.message}"


@dataclass(frozen=True, slots=True)
class BaseSession:
    """What is merged under a caller's session (a profile, the defaults, or only a model), and its rules."""

    source: str
    profile: str | None
    session_type: SessionType
    session: Mapping[str, Any]
    expires_in: int | None = None
    rules: tuple[SourcedRule, ...] = ()
    is_template: bool = False

    def session_for(self, caller: Caller) -> Mapping[str, Any]:
        """Return the session with the caller's claims filled in."""
        filled: Mapping[str, Any] = render(self.session, caller) if self.is_template else self.session
        return filled


class Policy:
    """What callers may have. Lifetimes are in seconds.

    ``environment_rules`` hold always. A document's rules hold beside them; in audit mode what they would
    have refused is noted in the grant instead.
    """

    def __init__(
        self,
        *,
        allowed_models: Iterable[str],
        default_model: str,
        token_ttl: int,
        token_max_ttl: int,
        layout: SessionLayout,
        document: PolicyDocument | None = None,
    ) -> None:
        self.document = document
        self.token_ttl = token_ttl
        self.layout = layout
        self.environment_rules = (
            SourcedRule("ALLOWED_MODELS", AllowedModels(tuple(allowed_models))),
            SourcedRule("TOKEN_MAX_TTL", MaxExpiresIn(token_max_ttl)),
        )
        self.common_rules = document.common_rules() if document else ()
        self.claim_rules: tuple[tuple[ClaimRule, str, tuple[SourcedRule, ...]], ...] = tuple(
            (rule, place, rules_of(rule, f"{place}."))
            for place, rule in (document.claim_rules() if document else ())
        )
        self._default_model = default_model
        self.base_sessions = {
            place: self._base_session(place, preset)
            for place, preset in (document.session_defaults() if document else {}).items()
        }

    def decide(self, caller: Caller, request: TokenRequest) -> Grant:
        """Decide what the caller gets.

        Raises:
            InvalidRequestError: where the request contradicts itself, names no model or no known profile,
                or asks for what the vendor does not have.
            ForbiddenError: for what the caller may not have; ``reason`` names the rule that decided.
        """
        refuse_unsupported(request, self.layout)
        base = self._find_base_session(request)
        resolved = self.resolve(caller, request, base)
        rules = (*base.rules, *self.rules_for(caller))
        findings: tuple[str, ...] = ()
        if self.document is None or self.document.mode == "enforce":
            resolved = enforce(resolved, (*self.environment_rules, *rules))
        else:
            resolved = enforce(resolved, self.environment_rules)
            found = violations(clamp(resolved, rules), rules)
            findings = tuple(map(str, islice(found, MAX_FINDINGS)))
        return Grant(
            session_type=resolved.session_type,
            model=resolved.model,
            session=resolved.session,
            expires_in=resolved.expires_in,
            profile=resolved.profile,
            findings=findings,
        )

    def rules_for(self, caller: Caller) -> tuple[SourcedRule, ...]:
        """List the document's rules for a caller, those of profiles apart."""
        narrowing = (rules for rule, _, rules in self.claim_rules if rule.applies_to(caller.claims))
        return sum(narrowing, self.common_rules)

    def resolve(self, caller: Caller, request: TokenRequest, base: BaseSession) -> ResolvedRequest:
        """Merge a request over its base session, which is of the same type.

        Raises:
            InvalidValueError: where the request contradicts itself, or names no model.
        """
        path = self.layout.model_path(base.session_type)
        prepared = base.session_for(caller)
        given = _place_model(request, path)
        session = {"type": base.session_type, **merge(prepared, given)}
        param = "model" if request.model is not None else session_member(path)
        if not isinstance(get(session, path), str):
            raise InvalidValueError(
                f"Name the model of a {base.session_type} session in '{param}'.", param=param
            )
        default_seconds = base.expires_in or self.token_ttl
        return ResolvedRequest(
            caller=caller,
            profile=base.profile,
            session_type=base.session_type,
            layout=self.layout,
            base=prepared,
            given=given,
            session=session,
            model_param=param,
            requested_seconds=request.expires_in,
            default_seconds=default_seconds,
            expires_in=default_seconds if request.expires_in is None else request.expires_in,
        )

    def conflicts(self) -> list[str]:
        """List the profiles (and defaults) that nobody could ever be granted as they stand, and why."""
        return [problem for base in self.base_sessions.values() for problem in self._conflicts_of(base)]

    def _conflicts_of(self, base: BaseSession) -> Iterator[str]:
        if base.session_type not in self.layout.session_types:
            yield f"{base.source}: {_supported_types(self.layout)}"
            return
        anybody = Caller(issuer="", subject="", claims={}, pseudonym="")
        try:
            resolved = self.resolve(anybody, TokenRequest(None, {}), base)
        except InvalidValueError:
            return  # the caller must name the model, so there is nothing yet to check
        resolved = replace(resolved, expires_in=base.expires_in or MIN_SECRET_TTL)
        rules = [part for part in self.common_rules if not isinstance(part.rule, ProfileRequired)]
        for violation in violations(resolved, (*self.environment_rules, *rules)):
            yield f"{base.source}: {violation.source} refuses it as it stands. {violation.error.message}"

    def _base_session(self, place: str, preset: SessionDefaults) -> BaseSession:
        session: dict[str, Any] = {n: value for n, value in preset.session.value.items() if n != "type"}
        path = self.layout.model_path(preset.session_type)
        if preset.model is not None:
            session = put(session, path, preset.model)
        elif preset.session_type == "realtime" and get(session, path) is MISSING:
            session = put(session, path, self._default_model)
        return BaseSession(
            source=place,
            profile=place.partition(".")[2] or None,
            session_type=preset.session_type,
            session=session,
            expires_in=preset.expires_in,
            rules=rules_of(preset, f"{place}."),
            is_template=is_template(session),
        )

    def _find_base_session(self, request: TokenRequest) -> BaseSession:
        if request.profile is not None:
            return self._find_profile(request.profile, request.session_type)
        defaults = self.base_sessions.get("defaults")
        if defaults and request.session_type in {None, defaults.session_type}:
            return defaults
        session_type = request.session_type or "realtime"
        session = {"model": self._default_model} if session_type == "realtime" else {}
        return BaseSession("none", None, session_type, session)

    def _find_profile(self, name: str, session_type: SessionType | None) -> BaseSession:
        if self.document is None:
            raise UnknownParameterError("Unknown parameter: 'profile'.", param="profile")
        profile = self.base_sessions.get(f"profiles.{name}")
        if profile is None:
            raise InvalidValueError(f"There is no profile {as_json_snippet(name)}.", param="profile")
        if session_type not in {None, profile.session_type}:
            raise InvalidValueError(
                f"The profile {as_json_snippet(name)} is for sessions of type {profile.session_type}.",
                param="session.type",
            )
        return profile


def clamp(request: ResolvedRequest, rules: Iterable[SourcedRule]) -> ResolvedRequest:
    """Clamp what nobody asked for to what the rules allow."""
    for part in rules:
        request = part.rule.clamp(request)
    return request


def enforce(request: ResolvedRequest, rules: Iterable[SourcedRule]) -> ResolvedRequest:
    """Clamp a request by the rules, and raise the first violation that is left."""
    clamped = clamp(request, rules)
    for violation in violations(clamped, rules):
        violation.error.reason = str(violation)
        raise violation.error
    return clamped


def violations(request: ResolvedRequest, rules: Iterable[SourcedRule]) -> Iterator[Violation]:
    """List what the rules refuse in a request."""
    for source, rule in rules:
        for error in rule.violations(request):
            yield Violation(source, error)


def refuse_unsupported(request: TokenRequest, layout: SessionLayout) -> None:
    """Refuse what the vendor does not have.

    Raises:
        InvalidRequestError: naming the member.
    """
    if request.session_type not in {None, *layout.session_types}:
        raise InvalidRequestError(f"{_supported_types(layout)}.", param="session.type")
    if request.expires_in is not None and not layout.has_expiry:
        raise InvalidRequestError(
            f"{layout.name} has no 'expires_after': its secrets live one minute.", param="expires_after"
        )
    for member in layout.reserved:
        if member in request.session:
            raise InvalidRequestError(
                f"{layout.name} takes no 'session.{member}': its secrets live one minute.",
                param=f"session.{member}",
            )


def _supported_types(layout: SessionLayout) -> str:
    return f"{layout.name} has {' and '.join(layout.session_types)} sessions only"


def _place_model(request: TokenRequest, path: Path) -> Mapping[str, Any]:
    """Move a top-level model to where the session keeps its own."""
    if request.model is None:
        return request.session
    inner = get(request.session, path)
    if inner is not MISSING and inner != request.model:
        raise InvalidValueError(
            f"'model' and '{session_member(path)}' differ; give one of them, or the same twice.",
            param="model",
        )
    try:
        return put(request.session, path, request.model)
    except TypeError as error:
        param = session_member(error.args[0])
        raise InvalidValueError(f"Invalid value for '{param}': it must be an object.", param=param) from None
