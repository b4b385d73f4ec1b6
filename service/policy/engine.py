"""The decision: ``(Caller, TokenRequest) → Grant``, or a refusal. Pure: no Flask, no I/O, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from service.errors import InvalidRequestError, InvalidValueError, UnknownParameterError
from service.identity import Grant
from service.policy.draft import Draft
from service.policy.paths import MISSING, dotted, get, merge, put
from service.policy.rules import AllowedModels, LongestLife
from service.wire import model_path

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from service.identity import Caller, SessionType, TokenRequest
    from service.policy.rules import Rule


class Policy:
    """What callers may have. Lifetimes are in seconds."""

    def __init__(
        self,
        *,
        allowed_models: Collection[str],
        default_model: str,
        token_ttl: int,
        token_max_ttl: int,
        beta: bool = False,
    ) -> None:
        self._default_model = default_model
        self._token_ttl = token_ttl
        self._beta = beta
        self._ceiling: tuple[Rule, ...] = (
            AllowedModels("ALLOWED_MODELS", tuple(allowed_models)),
            LongestLife("TOKEN_MAX_TTL", token_max_ttl),
        )

    def decide(self, caller: Caller, request: TokenRequest) -> Grant:
        """Say what the caller gets.

        Raises:
            InvalidValueError: where the request contradicts itself, or names no model.
            InvalidRequestError: for what the beta dialect has not.
            ModelNotAllowedError: for a model that is not the caller's to use.
            SessionFieldNotAllowedError: for a member of the session that is not.
            InsufficientScopeError: for a profile that asks for a scope.
        """
        if self._beta:
            refuse_what_beta_has_not(request)
        if request.profile is not None:
            raise UnknownParameterError("Unknown parameter: 'profile'.", param="profile")
        draft = self._draft(caller, request)
        for rule in self._ceiling:
            draft = rule.cap(draft)
        for rule in self._ceiling:
            for refusal in rule.refusals(draft):
                raise refusal
        return Grant(
            session_type=draft.session_type,
            model=draft.model,
            session=draft.session,
            expires_in=draft.expires_in,
            profile=draft.profile,
        )

    def _draft(self, caller: Caller, request: TokenRequest) -> Draft:
        session_type = request.session_type or "realtime"
        base = {"model": self._default_model} if session_type == "realtime" else {}
        given = place_model(request, session_type)
        session = {"type": session_type, **merge(base, given)}
        path = model_path(session_type)
        param = "model" if request.model else "session." + dotted(path)
        if not isinstance(get(session, path), str):
            raise InvalidValueError(f"Name the model of a {session_type} session in '{param}'.", param=param)
        return Draft(
            caller=caller,
            profile=None,
            session_type=session_type,
            base=base,
            given=given,
            session=session,
            model_param=param,
            asked_seconds=request.expires_in,
            prepared_seconds=self._token_ttl,
            expires_in=request.expires_in or self._token_ttl,
        )


def place_model(request: TokenRequest, session_type: SessionType) -> Mapping[str, Any]:
    """Move a top-level model to where a session of this type keeps its own.

    Raises:
        InvalidValueError: where the session already names another, or leaves no place for one.
    """
    if request.model is None:
        return request.session
    path = model_path(session_type)
    inner = get(request.session, path)
    if inner is not MISSING and inner != request.model:
        raise InvalidValueError(
            f"'model' and 'session.{dotted(path)}' differ; give one of them, or the same twice.",
            param="model",
        )
    try:
        return put(request.session, path, request.model)
    except TypeError as error:
        param = "session." + dotted(error.args[0])
        raise InvalidValueError(f"Invalid value for '{param}': it must be an object.", param=param) from None


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
