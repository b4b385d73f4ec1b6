"""Resolving a request: the session that the admin prepared for it, with what the caller asks for merged over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from service.core.errors import (
    InvalidRequestError,
    InvalidValueError,
    MissingModelError,
    UnknownParameterError,
)
from service.core.model import Action, Caller, SessionType, TokenRequest
from service.policy.document import PolicyDocument, SessionDefaults
from service.policy.json_path import MISSING, Path, as_json_snippet, get, merge, put, session_member
from service.policy.request import ResolvedRequest
from service.policy.rules import SourcedRule, rules_of
from service.policy.templates import UsableClaims, render
from service.vendors.base import MODEL, SessionLayout, model_path


@dataclass(frozen=True, slots=True)
class BaseSession:
    """What is merged under a caller's session (a profile, the defaults, or only a model), and its rules."""

    source: str
    profile: str | None
    session_type: SessionType
    session: Mapping[str, Any]
    expires_in: int | None = None
    rules: tuple[SourcedRule, ...] = ()
    usable_claims: tuple[SourcedRule, ...] = ()

    def session_for(self, caller: Caller) -> Mapping[str, Any]:
        """Return the session with the caller's claims filled in."""
        filled: Mapping[str, Any] = render(self.session, caller) if self.usable_claims else self.session
        return filled


_NOTHING_PREPARED: Final[Mapping[SessionType, BaseSession]] = {
    session_type: BaseSession("none", None, session_type, {}) for session_type in get_args(SessionType)
}


class Resolver:
    """Knows what the admin prepared: profiles, defaults, and the models that are filled in."""

    def __init__(
        self,
        layout: SessionLayout,
        document: PolicyDocument | None,
        *,
        default_model: str,
        allowed_models: tuple[str, ...],
        token_ttl: int,
    ) -> None:
        self.layout = layout
        self.token_ttl = token_ttl
        self._default_model = default_model
        self._allowed_models = allowed_models
        self._has_document = document is not None
        self.base_sessions = {
            place: self._base_session(place, preset)
            for place, preset in (document.session_defaults() if document else {}).items()
        }

    def find(self, request: TokenRequest) -> BaseSession:
        """Return what the admin prepared for a request: the profile it names, the defaults, or nothing.

        Raises:
            InvalidRequestError: there is no such profile, or it is for another type of session.
        """
        if request.profile is not None:
            return self._find_profile(request.profile, request)
        session_type = request.session_type
        if request.action == "call" and session_type is None:
            session_type = self._type_of_call(request.model or get(request.session, MODEL))
        defaults = self.base_sessions.get("defaults")
        if defaults and self._is_usable(defaults, request) and session_type in {None, defaults.session_type}:
            return defaults
        if session_type is None:
            session_type = self._type_of_call(self._default_model) if request.action == "call" else "realtime"
        return _NOTHING_PREPARED[session_type or "realtime"]

    def _type_of_call(self, model: Any) -> SessionType | None:
        """Tell the type of a call from its model's public name, if there is one."""
        if not isinstance(model, str):
            return None
        return "live" if self.layout.is_live(model) else "realtime"

    def supports(self, base: BaseSession, action: Action) -> bool:
        """Return whether the vendor has secrets, or calls, for sessions of this type."""
        types = self.layout.call_types if action == "call" else self.layout.session_types
        return base.session_type in types

    def _is_usable(self, base: BaseSession, request: TokenRequest) -> bool:
        return self.supports(base, request.action) and request.may_be(base.session_type)

    def _find_profile(self, name: str, request: TokenRequest) -> BaseSession:
        if not self._has_document:
            raise UnknownParameterError("Unknown parameter: 'profile'.", param="profile")
        profile, shown = self.base_sessions.get(f"profiles.{name}"), as_json_snippet(name)
        if profile is None:
            raise InvalidValueError(f"There is no profile {shown}.", param="profile")
        kind = f"The profile {shown} is for sessions of type {profile.session_type}"
        if request.session_type not in {None, profile.session_type}:
            raise InvalidValueError(f"{kind}.", param="session.type")
        if request.action == "secret" and profile.session_type == "live":
            raise InvalidValueError(
                f"{kind}, which has no client secrets; POST /calls opens them.", param="profile"
            )
        if request.action == "call" and not self.supports(profile, "call"):
            raise InvalidValueError(f"{kind}, which has no calls.", param="profile")
        if not request.may_be(profile.session_type):
            raise InvalidValueError(
                f"{kind}, which this route does not mint for; POST /token does.", param="profile"
            )
        return profile

    def resolve(self, caller: Caller, request: TokenRequest, base: BaseSession) -> ResolvedRequest:
        """Merge a request over its base session, which is of the same type.

        Raises:
            MissingModelError: where neither the request nor a default names a model.
            InvalidValueError: where the request contradicts itself.
        """
        path = model_path(base.session_type)
        prepared = self.add_default_model(base.session_for(caller), base.session_type, request.action)
        given = _place_model(request, path)
        session = {"type": base.session_type, **merge(prepared, given)}
        param = "model" if request.model is not None else session_member(path)
        if not isinstance(get(session, path), str):
            raise MissingModelError(
                f"Name the model of a {base.session_type} session in '{param}'.", param=param
            )
        if self.layout.is_live(model := get(session, path)) and base.session_type != "live":
            its = "is for sessions of type live"
            if request.action == "secret":
                its = "has no client secrets; POST /calls opens its sessions"
            raise InvalidValueError(f"The model {as_json_snippet(model)} {its}.", param=param)
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
            action=request.action,
            max_call_seconds=request.max_seconds,
        )

    def add_default_model(
        self, session: Mapping[str, Any], session_type: SessionType, action: Action
    ) -> Mapping[str, Any]:
        """Fill in the model where the admin's session names none and its type has a default.

        That is ``DEFAULT_MODEL``, or for a call of another type the first allowed model of that type.
        """
        path, model = model_path(session_type), self._default_model
        if session_type not in {"realtime", "live"} or get(session, path) is not MISSING:
            return session
        if action == "call" and self.layout.type_of(model) != session_type:
            of_type = [name for name in self._allowed_models if self.layout.type_of(name) == session_type]
            return put(session, path, of_type[0]) if of_type else session
        return put(session, path, model)

    def _base_session(self, place: str, preset: SessionDefaults) -> BaseSession:
        session: dict[str, Any] = {n: value for n, value in preset.session.value.items() if n != "type"}
        path = model_path(preset.session_type)
        if preset.model is not None:
            session = put(session, path, preset.model)
        usable = UsableClaims(preset.session.templates, preset.listed_claims)
        return BaseSession(
            source=place,
            profile=place.partition(".")[2] or None,
            session_type=preset.session_type,
            session=session,
            expires_in=preset.expires_in,
            rules=rules_of(preset, f"{place}."),
            usable_claims=tuple(usable.parts(f"{place}.session")),
        )


def refuse_unsupported(request: TokenRequest, layout: SessionLayout) -> None:
    """Refuse what the vendor does not have.

    Raises:
        InvalidRequestError: naming the member.
    """
    of_type = request.session_type
    if request.action == "call":
        if not layout.call_types:
            raise InvalidRequestError(f"{layout.name} has no calls.")
        if of_type not in {None, *layout.call_types}:
            choice = " or ".join(layout.call_types)
            message = f"Invalid value for 'session.type': calls are of type {choice}."
            raise InvalidValueError(message, param="session.type")
    elif of_type == "live" and layout.live:
        message = "Live sessions have no client secrets; POST /calls opens them."
        raise InvalidValueError(message, param="session.type")
    elif of_type not in {None, *layout.session_types}:
        raise InvalidRequestError(f"{supported_types(layout)}.", param="session.type")
    if request.expires_in is not None and not layout.has_expiry:
        message = f"{layout.name} does not support 'expires_after': its secrets expire after one minute."
        raise InvalidRequestError(message, param="expires_after")
    for member in layout.unheld_members(request.session):
        message = f"{layout.name} does not support 'session.{member}': its secrets carry no configuration."
        raise InvalidRequestError(message, param=f"session.{member}")
    for member in layout.reserved:
        if member in request.session:
            message = (
                f"{layout.name} does not support 'session.{member}': its secrets expire after one minute."
            )
            raise InvalidRequestError(message, param=f"session.{member}")


def supported_types(layout: SessionLayout) -> str:
    """Say which types of session the vendor has."""
    return f"{layout.name} has {' and '.join(layout.session_types)} sessions only"


def _place_model(request: TokenRequest, path: Path) -> Mapping[str, Any]:
    """Move a top-level model to where the session keeps its own."""
    if request.model is None:
        return request.session
    inner = get(request.session, path)
    if inner is not MISSING and inner != request.model:
        raise InvalidValueError(
            f"'model' and '{session_member(path)}' differ; set only one, or give both the same value.",
            param="model",
        )
    try:
        return put(request.session, path, request.model)
    except TypeError as error:
        param = session_member(error.args[0])
        raise InvalidValueError(f"Invalid value for '{param}': it must be an object.", param=param) from None
