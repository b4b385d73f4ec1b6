"""Resolving a request: what the caller asks, laid over the foundation that the admin prepared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.core.errors import InvalidValueError
from service.core.model import Caller, SessionType, TokenRequest
from service.policy.draft import Draft
from service.policy.foundation import Foundation
from service.policy.paths import MISSING, get, merge, put
from service.policy.words import member
from service.vendors.wire import model_path


def resolve(caller: Caller, request: TokenRequest, foundation: Foundation, *, token_ttl: int) -> Draft:
    """Lay a request over its foundation, which is of the same session type.

    Raises:
        InvalidValueError: where the request contradicts itself, or no model is named at all.
    """
    session_type = foundation.session_type
    base = foundation.session_for(caller)
    given = place_model(request, session_type)
    session = {"type": session_type, **merge(base, given)}
    path = model_path(session_type)
    param = "model" if request.model is not None else member(path)
    if not isinstance(get(session, path), str):
        raise InvalidValueError(f"Name the model of a {session_type} session in '{param}'.", param=param)
    prepared = foundation.expires_in or token_ttl
    return Draft(
        caller=caller,
        profile=foundation.profile,
        session_type=session_type,
        base=base,
        given=given,
        session=session,
        model_param=param,
        asked_seconds=request.expires_in,
        prepared_seconds=prepared,
        expires_in=prepared if request.expires_in is None else request.expires_in,
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
            f"'model' and '{member(path)}' differ; give one of them, or the same twice.",
            param="model",
        )
    try:
        return put(request.session, path, request.model)
    except TypeError as error:
        param = member(error.args[0])
        raise InvalidValueError(f"Invalid value for '{param}': it must be an object.", param=param) from None
