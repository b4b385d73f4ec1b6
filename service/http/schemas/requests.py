"""The request bodies, and how they are read: strictly.

A session's members are the vendor's affair (``service.vendors.wire`` knows the few that matter here); this module
settles only that the body is JSON, that its own members are known, and of which type the session is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from service.core.errors import InvalidJSONError, InvalidValueError, UnknownParameterError
from service.core.model import SecretType, SessionType, TokenRequest
from service.http.schemas.members import Name, Optional, Seconds, Session, drop_null_defaults
from service.http.schemas.refusals import refusal_of

_Model = Annotated[Name, Field(description="The model; the same as the one in `session`, if both are given.")]
_Profile = Annotated[Name, Field(description="A session profile that the service's admin has defined.")]


class ExpiresAfter(BaseModel):
    """How long the secret may open a session."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, json_schema_extra=drop_null_defaults)

    seconds: Seconds = Field(description="Seconds from now; at most `TOKEN_MAX_TTL`.")
    anchor: Literal["created_at"] = "created_at"


class OptionalExpiresAfter(ExpiresAfter):
    """The vendor's own form, which may leave the seconds to the server."""

    seconds: Optional[Seconds] = None  # type: ignore[assignment]  # wider


def _seconds(expires_after: ExpiresAfter | None) -> int | None:
    return expires_after.seconds if expires_after else None


class RequestBody(BaseModel, ABC):
    """A body that asks for a client secret."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        json_schema_extra=drop_null_defaults,
    )

    session: Session = Field(default_factory=dict)
    profile: Optional[_Profile] = None

    @abstractmethod
    def to_request(self) -> TokenRequest:
        """Say what the body asks for, in the service's own terms.

        Raises:
            InvalidValueError: where ``session.type`` is none that this route mints for.
        """


class TokenBody(RequestBody):
    """`POST /token`."""

    model: Optional[_Model] = None
    expires_after: Optional[ExpiresAfter] = None

    def to_request(self) -> TokenRequest:
        """Take all three session types; a top-level model is placed by policy, which knows the type."""
        session = dict(self.session)
        return TokenRequest(
            session_type=_pop_type(session, get_args(SecretType)),
            session=session,
            model=self.model,
            expires_in=_seconds(self.expires_after),
            profile=self.profile,
        )


class ClientSecretBody(RequestBody):
    """`POST /v1/realtime/client_secrets`: the vendor's request, and `profile`."""

    expires_after: Optional[OptionalExpiresAfter] = None

    def to_request(self) -> TokenRequest:
        """Take the two types that the vendor's route mints for."""
        session = dict(self.session)
        return TokenRequest(
            session_type=_pop_type(session, ("realtime", "transcription")),
            session=session,
            expires_in=_seconds(self.expires_after),
            profile=self.profile,
        )


class TranslationSecretBody(RequestBody):
    """`POST /v1/realtime/translations/client_secrets`: the vendor's request, and `profile`."""

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
            expires_in=_seconds(self.expires_after),
            profile=self.profile,
        )


def _pop_type(session: dict[str, Any], known: tuple[SessionType, ...]) -> SessionType | None:
    if "type" not in session:
        return None
    given = session.pop("type")
    for session_type in known:
        if given == session_type:
            return session_type
    raise InvalidValueError(
        f"Invalid value for 'session.type': use one of {', '.join(known)}.", param="session.type"
    )


def parse_body(model: type[RequestBody], raw: bytes) -> TokenRequest:
    """Read a request's body.

    JSON as RFC 8259 has it: UTF-8, no NaN or Infinity, no lone surrogates, at most 200 levels deep. Of
    a member given twice the last counts; only what was read here is ever sent on, so there is no second
    reading of it to disagree.

    Raises:
        InvalidJSONError: where the body is not one JSON object.
        UnknownParameterError: for a member that the route does not know.
        InvalidValueError: for a member with a value it cannot have.
    """
    try:
        body = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidJSONError(f"The body is not valid JSON: {error}.") from None
    if not isinstance(body, dict):
        raise InvalidJSONError("The body must be a JSON object, such as {}.")
    try:
        return model.model_validate(body).to_request()
    except ValidationError as error:
        raise refusal_of(
            error.errors(include_url=False, include_context=False, include_input=False)
        ) from None
