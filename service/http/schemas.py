"""Parse request bodies, strictly.

A session's members are the vendor's affair; this module settles only that the body is JSON, that its own members are
known, and of which type the session is. ``openapi.json`` describes the same bodies, which schemathesis checks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import ErrorDetails

from service.core.errors import (
    InvalidJSONError,
    InvalidRequestError,
    InvalidValueError,
    UnknownParameterError,
)
from service.core.json import parse_object
from service.core.model import SecretType, SessionType, TokenRequest
from service.vendors.wire import MIN_SECRET_TTL

T = TypeVar("T")

_MAX_ECHO = 200
"""How much of a caller's own member name an error repeats, in characters."""


def _refuse_null(value: T) -> T:
    if value is None:
        raise ValueError("null")
    return value


def whole(value: Any) -> Any:
    """Take 60.0 for 60: JSON has one kind of number, and JSON Schema calls both an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Optional = Annotated[T | None, AfterValidator(_refuse_null)]
"""A member that may be left out but may not be null."""

Name = Annotated[str, Field(min_length=1, max_length=256)]
Seconds = Annotated[int, Field(ge=MIN_SECRET_TTL), BeforeValidator(whole)]


class StrictModel(BaseModel):
    """A JSON object of which every member is known and of its exact type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Body = TypeVar("Body", bound=StrictModel)


class ExpiresAfter(StrictModel):
    """How long the secret may open a session."""

    seconds: Seconds
    anchor: Literal["created_at"] = "created_at"


class OptionalExpiresAfter(StrictModel):
    """The vendor's own form, which may leave the seconds to the server."""

    seconds: Optional[Seconds] = None
    anchor: Literal["created_at"] = "created_at"


class RequestBody(StrictModel, ABC):
    """A body that asks for a client secret."""

    session: dict[str, JsonValue] = Field(default_factory=dict)
    profile: Optional[Name] = None

    @abstractmethod
    def to_request(self) -> TokenRequest:
        """Return what the body asks for, in the service's own terms.

        Raises:
            InvalidValueError: this route does not mint for ``session.type``.
        """


class TokenBody(RequestBody):
    """``POST /token``."""

    model: Optional[Name] = None
    expires_after: Optional[ExpiresAfter] = None

    def to_request(self) -> TokenRequest:
        """Take all three session types; a top-level model is placed by policy, which knows the type."""
        session = dict(self.session)
        return TokenRequest(
            session_type=pop_type(session, get_args(SecretType), refused_by_policy=_WITHOUT_SECRETS),
            session=session,
            model=self.model,
            expires_in=self.expires_after.seconds if self.expires_after else None,
            profile=self.profile,
        )


class ClientSecretBody(RequestBody):
    """``POST /v1/realtime/client_secrets``: the vendor's request, and ``profile``."""

    expires_after: Optional[OptionalExpiresAfter] = None

    def to_request(self) -> TokenRequest:
        """Take the two types that the vendor's route mints for."""
        session = dict(self.session)
        return TokenRequest(
            session_type=pop_type(session, _CLIENT_SECRET_TYPES, refused_by_policy=_WITHOUT_SECRETS),
            session=session,
            expires_in=self.expires_after.seconds if self.expires_after else None,
            profile=self.profile,
            route_types=_CLIENT_SECRET_TYPES,
        )


class TranslationSecretBody(RequestBody):
    """``POST /v1/realtime/translations/client_secrets``: the vendor's request, and ``profile``."""

    expires_after: Optional[OptionalExpiresAfter] = None

    def to_request(self) -> TokenRequest:
        """Ask for a translation session; the vendor knows no ``session.type`` on this route."""
        if "type" in self.session:
            raise UnknownParameterError(
                "Unknown parameter: 'session.type'. This route mints for translation sessions only.",
                param="session.type",
            )
        return TokenRequest(
            session_type="translation",
            session=self.session,
            expires_in=self.expires_after.seconds if self.expires_after else None,
            profile=self.profile,
        )


_CLIENT_SECRET_TYPES: tuple[SessionType, ...] = ("realtime", "transcription")
_WITHOUT_SECRETS: tuple[SessionType, ...] = ("live",)


def pop_type(
    session: dict[str, Any],
    known: tuple[SessionType, ...],
    *,
    refused_by_policy: tuple[SessionType, ...] = (),
) -> SessionType | None:
    """Take ``type`` out of a session, ``None`` where it has none.

    Those that are ``refused_by_policy`` are read as well: it can say which route they need.

    Raises:
        InvalidValueError: it is none of those that are ``known``.
    """
    if "type" not in session:
        return None
    given = session.pop("type")
    for session_type in (*known, *refused_by_policy):
        if given == session_type:
            return session_type
    raise InvalidValueError(
        f"Invalid value for 'session.type': use one of {', '.join(known)}.", param="session.type"
    )


def parse_body(model: type[RequestBody], raw: bytes) -> TokenRequest:
    """Read a request's body; an empty one counts as ``{}``.

    JSON as RFC 8259 has it: UTF-8, no NaN or Infinity, no lone surrogates, at most 200 levels deep. Of
    a member given twice the last counts; only what was read here is ever sent on, so there is no second
    reading of it to disagree.

    Raises:
        InvalidJSONError: the body is not one JSON object.
        UnknownParameterError: it has a member that the route does not know.
        InvalidValueError: a member has a value that it cannot have.
    """
    return read_model(model, raw).to_request()


def read_model(model: type[Body], raw: bytes) -> Body:
    """Read a body into its model; raises as ``parse_body`` does."""
    try:
        body = parse_object(raw, unique_members=False) if raw else {}
    except ValueError as problem:
        raise InvalidJSONError(f"The body {problem}.") from None
    return validate(model, body)


def validate(model: type[Body], members: Mapping[str, Any]) -> Body:
    """Check members that were read already.

    Raises:
        UnknownParameterError, InvalidValueError: as ``parse_body`` does.
    """
    try:
        return model.model_validate(members)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise _invalid_request(problems[0]) from None


def _invalid_request(problem: ErrorDetails) -> InvalidRequestError:
    """Describe a problem to the body's author, without the value that caused it."""
    kind = problem["type"]
    param = ".".join(str(part) for part in problem["loc"])[:_MAX_ECHO]
    if kind == "extra_forbidden":
        return UnknownParameterError(f"Unknown parameter: '{param}'.", param=param)
    if kind == "missing":
        return InvalidValueError(f"Missing required parameter: '{param}'.", param=param)
    if kind == "finite_number":
        return InvalidValueError("A number in 'session' is too large.", param="session")
    expected = _EXPECTATIONS.get(kind, problem["msg"]).format_map(problem.get("ctx", {}))
    return InvalidValueError(f"Invalid value for '{param}': {expected}.", param=param)


_EXPECTATIONS = {
    "dict_type": "it must be an object",
    "model_type": "it must be an object",
    "string_type": "it must be a string",
    "int_type": "it must be a whole number",
    "string_too_short": "it must not be empty",
    "string_too_long": "it is too long",
    "greater_than_equal": "it must be at least {ge}",
    "less_than_equal": "it must be at most {le}",
    "literal_error": "it must be {expected}",
    "value_error": "leave it out rather than giving null",
}
"""Pydantic's error types as API users know them, with what pydantic says of the bound or the literal."""
