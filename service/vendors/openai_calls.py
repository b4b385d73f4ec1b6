"""How OpenAI opens sessions for a server that brings a client's offer, and how it ends them: Realtime and GPT-Live.

Sources: the vendor's API reference (https://platform.openai.com/docs/api-reference/realtime-calls) and its guide to
server controls (https://platform.openai.com/docs/guides/realtime-server-controls). What only third parties saw is
marked as observed.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from secrets import token_hex
from typing import Final
from urllib.parse import quote

from service.core.json import encode_object, parse_object
from service.core.model import CallType, Grant, Offer
from service.vendors import wire
from service.vendors.base import Closing, Ending, OpenedSession, Request, Response
from service.vendors.responses import bad_response, read_error

MAX_SDP_BYTES: Final = 65_536
"""Maximum size of an SDP answer, as of an offer; usually each has about 2 KB."""

_SESSION_ID: Final = re.compile(r"[A-Za-z0-9._~-]{1,256}")
_CLOSE: Final = '{"type":"session.close"}'


class OpenAICalls:
    """Sessions opened with the standard key, which alone can end them (observed since September 2026)."""

    def mint_for_call(self, grant: Grant, user: str) -> Request | None:  # noqa: ARG002 - others mint
        """Write nothing: the standard key opens sessions."""
        return None

    def open_call(self, grant: Grant, offer: Offer, user: str, secret: str | None = None) -> Request:  # noqa: ARG002 - as above
        """Write the request that opens a session; it is never sent twice, since each opens one that is billed."""
        if grant.session_type == "live":
            # A live session has no type, and names its end user in the body.
            session = {name: value for name, value in grant.session.items() if name != "type"}
            session["safety_identifier"] = user
            transport = {"type": "webrtc", "sdp": offer.sdp.decode()}
            body = encode_object({"session": session, "transport": transport})
            return Request("POST", wire.LIVE_SESSIONS_PATH, {"Content-Type": "application/json"}, body)
        boundary = token_hex(16)
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Accept": "application/sdp",
            wire.SAFETY_IDENTIFIER_HEADER: user,
        }
        parts = (
            ("sdp", "application/sdp", offer.sdp),
            ("session", "application/json", encode_object(grant.session)),
        )
        query = "" if offer.data_channel_id is None else f"?dcid={offer.data_channel_id}"
        return Request("POST", wire.CALLS_PATH + query, headers, _form(boundary, parts))

    def read_call(self, call_type: CallType, response: Response) -> OpenedSession:
        """Read the answer to an opening: the id is in the body (Live), or ends the ``Location`` (Realtime)."""
        upstream_id, sdp = (_read_live if call_type == "live" else _read_realtime)(response)
        if not _SESSION_ID.fullmatch(upstream_id):
            raise bad_response("the answer to an opening names no session")
        if 0 < len(sdp) <= MAX_SDP_BYTES and sdp.startswith(b"v=0") and _is_text(sdp):
            return OpenedSession(upstream_id, sdp)
        problem = bad_response("the answer to an opening holds no SDP that can be used; the call is ended")
        return OpenedSession(upstream_id, b"", problem)

    def is_refusal(self, response: Response) -> bool:
        """Return whether no session was opened: any 4xx, and a 500 or 503 in the vendor's own words."""
        if HTTPStatus.BAD_REQUEST <= response.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return True
        failed = response.status in {HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE}
        return failed and bool(read_error(response.body))

    def end_call(self, call_type: CallType, upstream_id: str) -> Ending:
        """End a session: ``hangup``, for Live after ``session.close``, since it is documented for SIP alone."""
        if call_type == "realtime":
            return Ending(Request("POST", f"{wire.CALLS_PATH}/{quote(upstream_id, safe='')}/hangup"))
        path = f"{wire.LIVE_SESSIONS_PATH}/{quote(upstream_id, safe='')}"
        # Without graceful_close the socket may drop before its last event arrives (observed).
        return Ending(Request("POST", f"{path}/hangup"), f"{path}/attach?graceful_close=true", _CLOSE)

    def read_closing(self, message: str) -> Closing | None:
        """Read ``session.closed``, whose usage is final. Reflected audio, most of all messages, is not parsed."""
        if '"session.closed"' not in message:
            return None
        try:
            event = parse_object(message.encode(), unique_members=False)
        except ValueError:
            return None
        if event.get("type") != "session.closed":
            return None
        usage = event.get("usage")
        seconds = usage.get("seconds") if isinstance(usage, dict) else None
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
            return Closing()
        return Closing(float(seconds))

    def control_socket(self, call_type: CallType, upstream_id: str) -> str:
        """Return the path of the sideband, whose 404 means an ended session or (observed) one not connected yet."""
        name = quote(upstream_id, safe="")
        if call_type == "realtime":
            return f"{wire.REALTIME_PATH}?call_id={name}"
        return f"{wire.LIVE_SESSIONS_PATH}/{name}/attach"


def _form(boundary: str, parts: tuple[tuple[str, str, bytes], ...]) -> bytes:
    """Write multipart/form-data (RFC 7578), the parts' bytes as they are."""
    lines = []
    for name, media_type, content in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\nContent-Type: {media_type}\r\n\r\n'
        lines += [head.encode(), content, b"\r\n"]
    return b"".join([*lines, f"--{boundary}--\r\n".encode()])


def _read_live(response: Response) -> tuple[str, bytes]:
    try:
        answer = parse_object(response.body, unique_members=False)
    except ValueError:
        return "", b""
    session, transport = answer.get("session"), answer.get("transport")
    upstream_id = session.get("id") if isinstance(session, dict) else None
    sdp = transport.get("sdp") if isinstance(transport, dict) else None
    return (
        upstream_id if isinstance(upstream_id, str) else "",
        sdp.encode() if isinstance(sdp, str) else b"",
    )


def _read_realtime(response: Response) -> tuple[str, bytes]:
    path = response.headers.get("location", "").partition("?")[0]
    before, _, upstream_id = path.rpartition("/")
    return (upstream_id if before.endswith(wire.CALLS_PATH) else ""), response.body


def _is_text(sdp: bytes) -> bool:
    try:
        sdp.decode()
    except UnicodeDecodeError:
        return False
    return True
