"""The request bodies, and how they are read: strictly.

A session's members are the vendor's affair (``service.wire`` knows the few that matter here); this module
settles only that the body is JSON, that its own members are known, and of which type the session is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    JsonValue,
    ValidationError,
)
from pydantic_core import from_json
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function

from service.errors import InvalidJSONError, InvalidValueError, UnknownParameterError
from service.identity import SessionType, TokenRequest
from service.schemas.refusals import refusal_of
from service.wire import MIN_SECRET_TTL

T = TypeVar("T")


class _Given:
    """Marks a member that may be left out but may not be null, in validation and in the JSON Schema."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._refuse_null, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        without_null: dict[str, Any] = handler(core)["anyOf"][0]
        return without_null

    @staticmethod
    def _refuse_null(value: T) -> T:
        if value is None:
            raise ValueError("null")
        return value


Optional = Annotated[T | None, _Given()]


def _drop_null_defaults(schema: dict[str, Any]) -> None:
    for member in schema["properties"].values():
        if "default" in member and member["default"] is None:
            del member["default"]


Name = Annotated[str, Field(min_length=1, max_length=256)]

Session = Annotated[
    dict[str, JsonValue],
    Field(description="The session's configuration, in the vendor's own shape."),
]


def _whole(value: Any) -> Any:
    """Take 60.0 for 60: JSON has one kind of number, and JSON Schema calls both an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Seconds = Annotated[int, Field(ge=MIN_SECRET_TTL), BeforeValidator(_whole)]

_Model = Annotated[Name, Field(description="The model; the same as the one in `session`, if both are given.")]
_Profile = Annotated[Name, Field(description="A session profile that the service's admin has defined.")]


class ExpiresAfter(BaseModel):
    """How long the secret may open a session."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, json_schema_extra=_drop_null_defaults)

    seconds: Seconds = Field(description="Seconds from now; at most `TOKEN_MAX_TTL`.")
    anchor: Literal["created_at"] = "created_at"


class OptionalExpiresAfter(ExpiresAfter):
    """The vendor's own form, which may leave the seconds to the server."""

    seconds: Optional[Seconds] = None  # type: ignore[assignment]  # wider


class RequestBody(BaseModel, ABC):
    """A body that asks for a client secret."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        json_schema_extra=_drop_null_defaults,
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
            session_type=_pop_type(session, get_args(SessionType)),
            session=session,
            model=self.model,
            expires_in=self.expires_after.seconds if self.expires_after else None,
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
            expires_in=self.expires_after.seconds if self.expires_after else None,
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
            expires_in=self.expires_after.seconds if self.expires_after else None,
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
