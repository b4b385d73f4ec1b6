"""The companion: how an insecure client turns its user's JWT into a live Realtime session.

Usable alone, beside ``service.vendors.wire``: no Flask, no server.

    token = request_token("https://tokens.example.com/token", jwt)
    with connect(token) as session:
        session.send({"type": "response.create"})
        for event in session:
            ...
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import websocket
from urllib3.exceptions import HTTPError

from service.vendors.wire import SECRET_ALREADY_USED, subprotocols

__all__ = [
    "CompanionError",
    "RealtimeSession",
    "SessionRefusedError",
    "Token",
    "TokenRefusedError",
    "connect",
    "request_token",
    "subprotocols",
]

_MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""Twice the longest session that a service may be told to take, which its answer repeats."""

MAX_MESSAGE_BYTES = _MAX_ANSWER_BYTES
"""Maximum size of one event: ``session.created`` repeats the whole session."""

_CONNECT_SECONDS = 30.0

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_NO_PROXIES: Final = {"http": "", "https": ""}
"""For loopback, which no proxy reaches; ``None`` would leave the environment's in force."""
_NO_WEBSOCKET_PROXY: Final[dict[str, Any]] = {"http_proxy_host": "unused", "http_no_proxy": ["*"]}
"""The same for the WebSocket, whose library reads exceptions only where a proxy is named."""

_NORMAL_CLOSURES = frozenset({None, 1000, 1001, 1005})


class CompanionError(Exception):
    """The session could not be opened; ``code`` is the machine-readable cause."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class TokenRefusedError(CompanionError):
    """The token service refused: ``status``, ``code``, ``param`` by its contract, ``retry_after`` in seconds."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.param = param
        self.retry_after = retry_after


class SessionRefusedError(CompanionError):
    """The Realtime API refused or ended the session: its ``code``, and the WebSocket's ``close_code``."""

    def __init__(self, message: str, *, code: str | None = None, close_code: int | None = None) -> None:
        super().__init__(message, code=code)
        self.close_code = close_code


@dataclass(frozen=True, slots=True)
class Token:
    """A client secret with all that is needed to use it; ``expires_at`` in seconds since the epoch.

    ``calls_url`` is where a WebRTC client posts its offer; ``None`` where the vendor has no WebRTC.
    ``renew`` asks the token service for another one, the same way.
    """

    value: str = field(repr=False)
    expires_at: int
    session: Mapping[str, Any] = field(repr=False)
    url: str
    protocols: Sequence[str] = field(repr=False)
    calls_url: str | None = None
    renew: Callable[[], Token] | None = field(default=None, repr=False, compare=False)


def request_token(  # noqa: PLR0913 - the contract's names, and two that every network call has
    token_url: str,
    jwt: str,
    *,
    model: str | None = None,
    session: Mapping[str, Any] | None = None,
    expires_in: int | None = None,
    timeout: float = 30,
    ca_certs: str | None = None,
) -> Token:
    """Ask the token service for a client secret. White space around ``jwt``, as a file leaves it, is not sent.

    ``expires_in`` and ``timeout`` are in seconds; ``ca_certs`` is a file of certificates to trust instead
    of the usual ones.

    Raises:
        TokenRefusedError: where it answered with an error.
        requests.RequestException: where it could not be reached.
        CompanionError: ``invalid_token``, where ``jwt`` is none that could be sent.
    """
    body: dict[str, Any] = {}
    if model is not None:
        body["model"] = model
    if session is not None:
        body["session"] = dict(session)
    if expires_in is not None:
        body["expires_after"] = {"anchor": "created_at", "seconds": expires_in}

    def ask() -> Token:
        response, content = request_bounded(
            "POST", token_url, jwt, encode(body), seconds=timeout, ca_certs=ca_certs
        )
        if response.status_code != HTTPStatus.OK:
            raise token_refusal(response, content)
        return read_token(content, renew=ask)

    return ask()


def read_token(body: bytes, *, renew: Callable[[], Token]) -> Token:
    """Read the answer of ``POST /token``; members that are not known here are left out.

    Raises:
        requests.RequestException: it is not JSON.
        CompanionError: ``unexpected_answer``, where it is something else, as the vendor's own routes answer.
    """
    try:
        answer = json.loads(body)
    except ValueError:
        raise requests.exceptions.InvalidJSONError("The token service's answer is not JSON.") from None
    try:
        connection = answer["connection"]
        return Token(
            value=answer["value"],
            expires_at=answer["expires_at"],
            session=answer["session"],
            url=connection["url"],
            protocols=connection["protocols"],
            calls_url=connection.get("calls_url"),
            renew=renew,
        )
    except (KeyError, TypeError, AttributeError):
        message = "The answer is not that of POST /token; give the URL of that route."
        raise CompanionError(message, code="unexpected_answer") from None


def request_bounded(
    method: str, url: str, jwt: str, body: bytes | None = None, *, seconds: float, ca_certs: str | None
) -> tuple[requests.Response, bytes]:
    """Send a request, with JSON where it has a body, and return the answer and its body, all within ``seconds``.

    Raises:
        requests.RequestException: there was none.
    """
    done: list[tuple[requests.Response, bytes] | Exception] = []

    def send() -> None:
        try:
            with _send(method, url, jwt, body, seconds=seconds, ca_certs=ca_certs) as response:
                done.append((response, _read_bounded(response, seconds=seconds)))
        except Exception as error:  # noqa: BLE001 - it is raised where it was asked for
            done.append(error)

    # In a thread of its own: requests bounds each read, and nothing a head that comes byte by byte.
    sending = threading.Thread(target=send, name="token-request", daemon=True)
    sending.start()
    sending.join(seconds + 1)
    answer = (
        done[0] if done else requests.exceptions.ReadTimeout(f"There was no answer within {seconds:g} s.")
    )
    if isinstance(answer, Exception):
        raise answer
    return answer


def _send(
    method: str, url: str, jwt: str, body: bytes | None, *, seconds: float, ca_certs: str | None
) -> requests.Response:
    return requests.request(
        method,
        url,
        proxies=_NO_PROXIES if _is_loopback(url) else None,
        data=body,
        headers={} if body is None else {"Content-Type": "application/json"},
        auth=Bearer(jwt),
        timeout=seconds,
        verify=ca_certs or True,
        allow_redirects=False,  # as a GET it would find nothing, and elsewhere somebody else
        stream=True,
    )


def _is_loopback(url: str) -> bool:
    try:
        return urlsplit(url).hostname in _LOOPBACK
    except ValueError:  # whoever connects says what is wrong with it
        return False


def encode(value: Mapping[str, Any]) -> bytes:
    r"""Write JSON in UTF-8, in which most scripts take half of what ``\uXXXX`` does; a lone surrogate stays escaped."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


class Bearer(requests.auth.AuthBase):
    """Sets the header itself: without an ``auth``, ``~/.netrc`` would overwrite it."""

    def __init__(self, jwt: str) -> None:
        self._jwt = jwt.strip()
        if not re.fullmatch(r"[!-~]+", self._jwt):  # http.client's own error would repeat it
            message = "The JWT holds white space, control or non-ASCII characters, or nothing; copy it again."
            raise CompanionError(message, code="invalid_token")

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._jwt}"
        return request


def _read_bounded(response: requests.Response, *, seconds: float) -> bytes:
    """Read a body, decompressed: neither a flood nor a drip goes on for ever."""
    ends = time.monotonic() + seconds
    body = bytearray()
    while True:
        try:
            piece = response.raw.read1(65_536, decode_content=True)
        except HTTPError as error:
            name = type(error).__name__
            raise requests.exceptions.ConnectionError(f"The response was incomplete ({name}).") from None
        if not piece:
            return bytes(body)
        body += piece
        if len(body) > _MAX_ANSWER_BYTES:
            raise requests.exceptions.ContentDecodingError("The response exceeds the maximum size.")
        if time.monotonic() > ends:
            raise requests.exceptions.ReadTimeout(f"There was no whole answer within {seconds:g} s.")


def token_refusal(response: requests.Response, body: bytes) -> TokenRefusedError:
    """Read an error of the token service, in its contract's shape or in any other."""
    try:
        error = json.loads(body)["error"]
        message, code, param = error["message"], error["code"], error["param"]
    except (ValueError, KeyError, TypeError):
        message, code, param = f"The token service answered {response.status_code}.", None, None
    retry_after = response.headers.get("Retry-After", "")
    return TokenRefusedError(
        message,
        status=response.status_code,
        code=code,
        param=param,
        retry_after=int(retry_after[:9]) if retry_after.isdecimal() else None,
    )


def text_turn(text: str, modalities: str = "output_modalities") -> list[dict[str, Any]]:
    """Write the events that say a text and ask for an answer in text; the beta calls ``modalities`` so."""
    content = [{"type": "input_text", "text": text}]
    return [
        {
            "event_id": "say",
            "type": "conversation.item.create",
            "item": {"type": "message", "role": "user", "content": content},
        },
        {"event_id": "answer", "type": "response.create", "response": {modalities: ["text"]}},
    ]


class BoundedWebSocket(websocket.WebSocket):
    """A WebSocket whose messages are bounded in bytes, and its handshake in time (``timeout``, seconds)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._left = MAX_MESSAGE_BYTES
        self._is_overdue = False
        self._receive = self.frame_buffer.recv
        self.frame_buffer.recv = self._receive_bounded

    def connect(self, url: str, **options: Any) -> None:
        """Connect, and shake hands: the library bounds each byte of the answer, and not all of them together."""
        seconds = self.gettimeout()
        overdue = threading.Timer(_CONNECT_SECONDS if seconds is None else seconds, self._interrupt)
        overdue.daemon = True
        overdue.start()
        try:
            super().connect(url, **options)  # type: ignore[no-untyped-call]
        except ConnectionResetError:
            if self._is_overdue:  # bytes that still come reset the connection
                raise websocket.WebSocketTimeoutException("the upgrade was not answered in time") from None
            raise
        finally:
            overdue.cancel()

    def recv_data(self, control_frame: bool = False) -> tuple[int, bytes]:  # noqa: FBT001, FBT002 - the library's
        """Receive a message."""
        self._left = MAX_MESSAGE_BYTES
        received: tuple[int, bytes] = super().recv_data(control_frame)
        return received

    def _receive_bounded(self, size: int) -> bytes:
        data: bytes = self._receive(size)
        self._left -= len(data)
        if self._left < 0:
            raise websocket.WebSocketPayloadException("the message exceeds the maximum size")
        return data

    def _interrupt(self) -> None:
        self._is_overdue = True
        if self.sock:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)


class RealtimeSession:
    """An open session: ``send`` client events, iterate over server events, both as dicts."""

    def __init__(self, opened: websocket.WebSocket) -> None:
        self._socket = opened
        self._read: list[dict[str, Any]] = []

    def send(self, event: Mapping[str, Any]) -> None:
        """Send one client event."""
        self._socket.send(encode(event))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield server events until the session ends.

        Raises:
            SessionRefusedError: where the vendor ended it for a cause.
        """
        while True:
            if self._read:
                yield self._read.pop(0)
                continue
            event = self._receive()
            if event is None:
                return
            yield event

    def close(self) -> None:
        """Close the session, and the socket too: the library leaves it open where the server closed first."""
        self._socket.close()
        self._socket.shutdown()  # type: ignore[no-untyped-call]  # the library types most of itself

    def _receive(self) -> dict[str, Any] | None:
        try:
            opcode, data = self._socket.recv_data()
        except websocket.WebSocketConnectionClosedException:
            raise SessionRefusedError("The connection to the Realtime API was lost.") from None
        except websocket.WebSocketPayloadException as error:
            self.close()
            raise SessionRefusedError(f"The Realtime API sent an unreadable message: {error}.") from None
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            _end(data)
            return None
        event = json.loads(data)
        return event if isinstance(event, dict) else {"type": "error", "error": {"message": "not an event"}}

    def _await_start(self) -> None:
        """Read the first event: a refusal comes in-band, as an ``error`` and a close."""
        first = self._receive()
        if first is not None and first.get("type") == "error":
            raise self._refusal(first.get("error") or {})
        if first is not None:
            self._read.append(first)

    def _refusal(self, error: Mapping[str, Any]) -> SessionRefusedError:
        close_code = None
        try:
            self._receive()
        except SessionRefusedError as closed:
            close_code = closed.close_code
        except (websocket.WebSocketException, OSError):
            pass  # the error event has said why already
        return SessionRefusedError(
            str(error.get("message") or "The Realtime API refused the session."),
            code=error.get("code"),
            close_code=close_code,
        )


def _end(close_frame: bytes) -> None:
    """Read a close frame (RFC 6455 §5.5.1): a code in two bytes, then a reason, ``<type>.<code>`` at the vendor."""
    close_code = int.from_bytes(close_frame[:2], "big") if len(close_frame) > 1 else None
    if close_code not in _NORMAL_CLOSURES:
        reason = close_frame[2:].decode(errors="replace")
        raise SessionRefusedError(
            f"The Realtime API ended the session: {reason or close_code}.",
            code=reason.rpartition(".")[2] or None,
            close_code=close_code,
        )


@contextmanager
def connect(token: Token, *, timeout: float = 30, ca_certs: str | None = None) -> Iterator[RealtimeSession]:
    """Open a session with ``token``; once more with a fresh secret, if this one had been used.

    ``timeout`` bounds each wait for the server, in seconds.

    Raises:
        SessionRefusedError: carrying the vendor's code.
        TokenRefusedError: where no fresh secret could be had.
        websocket.WebSocketException: where the URL leads to no WebSocket; a redirect is not followed.
    """
    try:
        session = _open(token, timeout, ca_certs)
    except SessionRefusedError as refused:
        if refused.code != SECRET_ALREADY_USED or token.renew is None:
            raise
        session = _open(token.renew(), timeout, ca_certs)
    try:
        yield session
    finally:
        session.close()


def _upgrade_refusal(refused: websocket.WebSocketBadStatusException) -> SessionRefusedError:
    """Read the vendor's code off an upgrade that was refused. The exception's own text holds the headers."""
    code = "invalid_api_key" if refused.status_code == HTTPStatus.UNAUTHORIZED else None
    with suppress(ValueError, KeyError, TypeError):  # it may be any server's page
        said = json.loads(refused.resp_body or b"")["error"]["code"]
        code = said if isinstance(said, str) else code
    return SessionRefusedError(
        f"The Realtime API refused the connection with status {refused.status_code}.", code=code
    )


def _open(token: Token, timeout: float, ca_certs: str | None) -> RealtimeSession:
    try:
        opened = websocket.create_connection(
            token.url,
            timeout=timeout,
            subprotocols=list(token.protocols),
            sslopt={"ca_certs": ca_certs} if ca_certs else {},
            **(_NO_WEBSOCKET_PROXY if _is_loopback(token.url) else {}),
            redirect_limit=0,  # a redirect target would receive the secret
            class_=BoundedWebSocket,
        )
    except websocket.WebSocketBadStatusException as refused:
        raise _upgrade_refusal(refused) from None
    session = RealtimeSession(opened)
    try:
        session._await_start()  # noqa: SLF001 - the other half of opening
    except BaseException:
        session.close()
        raise
    return session
