"""The bodies that open a call: JSON, and for the vendor's SDKs raw SDP or a form. An offer is kept byte for byte."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, Literal, get_args

from flask import Request
from pydantic import BeforeValidator, Field
from werkzeug.http import parse_options_header

from service.budgets import MINIMUM_GRANT
from service.calls.registry import PAGE
from service.core.errors import (
    InvalidJSONError,
    InvalidRequestError,
    InvalidValueError,
    RequestTooLargeError,
    UnsupportedMediaTypeError,
)
from service.core.json import parse_object
from service.core.model import CallType, Offer, TokenRequest
from service.http.request import read_body
from service.http.schemas import Name, Optional, RequestBody, StrictModel, pop_type, validate, whole

MAX_SDP_BYTES: Final = 65_536
"""An offer has some 2 KB; one of many candidates a few more."""

_MAX_PARTS: Final = 8
_MAX_PART_HEAD: Final = 1024
_MAX_BOUNDARY: Final = 70
"""Characters (RFC 2046 §5.1.1)."""
_MAX_ECHO: Final = 200
_MAX_CHANNEL_ID: Final = 65_534
"""The highest id of a data channel (RFC 8832 §6)."""
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
"""Every number that is accepted; Python itself refuses to read one of some thousand digits."""


def _number(value: Any) -> Any:
    """Take the text of a form or a query for its number."""
    return int(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


CallSeconds = Annotated[int, Field(ge=MINIMUM_GRANT), BeforeValidator(whole)]
FormSeconds = Annotated[int, Field(ge=MINIMUM_GRANT), BeforeValidator(_number)]
ChannelId = Annotated[int, Field(ge=0, le=_MAX_CHANNEL_ID), BeforeValidator(_number)]


class CallBody(RequestBody):
    """``POST /calls``."""

    sdp: Annotated[str, Field(min_length=1)]
    model: Optional[Name] = None
    max_seconds: Optional[CallSeconds] = None

    def to_request(self) -> TokenRequest:
        """Take both types of call; without one, policy tells it by the model."""
        session = dict(self.session)
        return TokenRequest(
            session_type=pop_type(session, get_args(CallType)),
            session=session,
            model=self.model,
            profile=self.profile,
            action="call",
            max_seconds=self.max_seconds,
            offer=read_offer(self.sdp.encode(), "sdp"),
        )


class Transport(StrictModel):
    """The offer in the vendor's own form."""

    type: Literal["webrtc"]
    sdp: Annotated[str, Field(min_length=1)]


class LiveBody(RequestBody):
    """``POST /v1/live/sessions``: the vendor's request, or just an offer; and ``profile`` and ``max_seconds``."""

    transport: Optional[Transport] = None
    sdp: Annotated[str | None, Field(min_length=1)] = None
    max_seconds: Optional[CallSeconds] = None

    def to_request(self) -> TokenRequest:
        """Ask for a live session."""
        session = dict(self.session)
        pop_type(session, ("live",))
        if (self.transport is None) == (self.sdp is None):
            raise InvalidValueError(
                "Give the offer in 'transport.sdp', or in 'sdp' alone.", param="transport.sdp"
            )
        param = "transport.sdp" if self.transport else "sdp"
        sdp = self.transport.sdp if self.transport else self.sdp or ""
        return TokenRequest(
            session_type="live",
            session=session,
            profile=self.profile,
            action="call",
            max_seconds=self.max_seconds,
            offer=read_offer(sdp.encode(), param),
        )


class RealtimeForm(RequestBody):
    """What ``POST /v1/realtime/calls`` takes beside the offer, from its form and its query."""

    model: Optional[Name] = None
    dcid: Optional[ChannelId] = None
    max_seconds: Optional[FormSeconds] = None

    def to_request(self) -> TokenRequest:
        """Ask for a conversation; the offer is added by who has its bytes."""
        session = dict(self.session)
        pop_type(session, ("realtime",))
        return TokenRequest(
            session_type="realtime",
            session=session,
            model=self.model,
            profile=self.profile,
            action="call",
            max_seconds=self.max_seconds,
            offer=Offer(b"", self.dcid),
        )


class Paging(StrictModel):
    """Which part of a list of calls is asked for: at most ``limit``, those opened after the call with the id ``after``.

    The list goes on where it has as many calls as ``limit``.
    """

    limit: Annotated[int, Field(ge=1, le=PAGE), BeforeValidator(_number)] = PAGE
    after: Optional[Name] = None


def parse_paging(query: Mapping[str, str]) -> Paging:
    """Read ``limit`` and ``after`` of a query; other members are not looked at.

    Raises:
        InvalidValueError: one of them is not what it must be.
    """
    return validate(Paging, {name: query[name] for name in Paging.model_fields if name in query})


def read_offer(sdp: bytes, param: str, channel_id: int | None = None) -> Offer:
    """Check an offer's size; what is in it is the vendor's affair.

    Raises:
        InvalidValueError: it is empty.
        RequestTooLargeError: it is over 64 KB.
    """
    if not sdp:
        raise InvalidValueError(f"'{param}' is empty: it must be the client's SDP offer.", param=param)
    if len(sdp) > MAX_SDP_BYTES:
        raise _offer_too_large(MAX_SDP_BYTES, param)
    return Offer(sdp, channel_id)


def _offer_too_large(most: int, param: str) -> RequestTooLargeError:
    return RequestTooLargeError(
        f"The SDP offer is too large; at most {most} bytes are accepted.", param=param
    )


def read_realtime(request: Request, *, max_bytes: int) -> bytes:
    """Return the body of the vendor's Realtime route: a form, bounded as any body, or raw SDP, bounded as any offer.

    Raises:
        UnsupportedMediaTypeError: for any other media type.
        RequestTooLargeError, RequestTimeoutError, InvalidRequestError: as ``read_body`` does.
    """
    if request.mimetype == "application/sdp":
        most = min(max_bytes, MAX_SDP_BYTES)
        try:
            return read_body(request.environ, max_bytes=most)
        except RequestTooLargeError:
            raise _offer_too_large(most, "sdp") from None
    if request.mimetype == "multipart/form-data" and request.mimetype_params.get("boundary"):
        return read_body(request.environ, max_bytes=max_bytes)
    raise UnsupportedMediaTypeError(
        "Send the offer as 'Content-Type: application/sdp', or as 'multipart/form-data' with 'sdp' and 'session'."
    )


def parse_realtime(request: Request, raw: bytes) -> TokenRequest:
    """Read an offer of the vendor's Realtime route: raw with a query, or a form of ``sdp``, ``session`` and the rest.

    Raises:
        InvalidRequestError: the form cannot be read, or what ``parse_body`` says of its members.
        RequestTooLargeError: the offer is over 64 KB.
    """
    members: dict[str, Any] = request.args.to_dict()
    sdp = raw
    if request.mimetype != "application/sdp":
        fields = _read_form(raw, request.mimetype_params["boundary"])
        sdp = fields.pop("sdp", b"")
        if "session" in fields:
            members["session"] = _read_session(fields.pop("session"))
        members |= {name: _text(name, value) for name, value in fields.items()}
    asked = validate(RealtimeForm, members).to_request()
    channel_id = asked.offer.data_channel_id if asked.offer else None
    return replace(asked, offer=read_offer(sdp, "sdp", channel_id))


def _read_form(body: bytes, boundary: str) -> dict[str, bytes]:
    """Read multipart/form-data (RFC 7578, RFC 2046 §5.1.1), the bytes of each part as they are.

    In time that grows with the body's length alone. Werkzeug's decoder takes 0.9 s of CPU for 262 kB of a part's head,
    and decodes a part without a file name, replacing what is not UTF-8.
    """
    delimiter = b"\r\n--" + boundary.encode()
    parts: dict[str, bytes] = {}
    for piece in (b"\r\n" + body).split(delimiter, _MAX_PARTS + 1)[1:]:
        if piece.startswith(b"--"):
            return parts
        head, blank, content = piece.partition(b"\r\n\r\n")
        name = _part_name(head) if blank and len(head) <= _MAX_PART_HEAD else None
        if name is None or len(boundary) > _MAX_BOUNDARY:
            break
        if name in parts:
            raise InvalidRequestError("The form contains a part more than once.", param=name[:_MAX_ECHO])
        parts[name] = content
    raise InvalidRequestError(f"The form is malformed, is not closed, or has over {_MAX_PARTS} parts.")


def _part_name(head: bytes) -> str | None:
    """Read the name in a part's ``Content-Disposition``; ``None`` where there is none."""
    for line in head.decode(errors="replace").split("\r\n"):
        field, _, value = line.partition(":")
        if field.strip().lower() == "content-disposition":
            kind, options = parse_options_header(value)
            return options.get("name") if kind == "form-data" else None
    return None


def _read_session(value: bytes) -> Mapping[str, Any]:
    try:
        return parse_object(value, unique_members=False)
    except ValueError as problem:
        raise InvalidJSONError(f"The part 'session' {problem}.", param="session") from None


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidValueError(f"Invalid value for '{name}': it is not UTF-8.", param=name) from None
