"""What every vendor of a realtime API has in common. No I/O: a vendor writes requests and reads responses as values.

``transport`` sends what a vendor writes. A new vendor is one module beside ``openai``, and one row of the table in
``dialect``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.core.errors import ServiceError
from service.core.model import CallType, ClientSecret, Grant, Offer, SessionType

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LiveLayout:
    """What a live session has that others do not: it has no client secrets, so that only a call opens it.

    ``models`` is a pattern of its models' names. ``members`` are those known today, and ``caller_members`` the dotted
    paths of those that are harmless in a caller's hands. ``fixed`` is sent with every session. ``client_events`` are
    the events that a client may send over its data channel, and ``delegate_events`` those besides, where the session
    names its client as the one that tasks are delegated to.
    """

    models: re.Pattern[str]
    members: frozenset[str]
    caller_members: tuple[str, ...]
    delegation: Path
    fixed: Mapping[str, Any]
    reserved: tuple[str, ...]
    data_channel: Path
    client_events: tuple[str, ...]
    delegate_events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionLayout:
    """Where a vendor's session keeps what policy looks at. Paths lead to members below ``session``.

    ``name`` is how the admin chose the vendor, for errors. ``session_types`` are those that the vendor mints
    for. ``members`` are the session's own members that are known today. ``has_expiry`` tells whether a request
    may choose its secret's life, and ``reserved`` names members of a session in which a caller could choose it
    all the same. ``call_types`` are those that the vendor opens for a server that brings a client's offer.
    """

    name: str
    session_types: tuple[SessionType, ...]
    model: Path
    transcription_model: Path
    voice: Path
    output_limit: Path
    tools: Path
    prompt: Path
    tracing: Path
    mcp_destinations: tuple[str, ...]
    members: frozenset[str]
    has_expiry: bool = True
    reserved: tuple[str, ...] = ()
    call_types: tuple[SessionType, ...] = ()
    live: LiveLayout | None = None

    def is_live(self, model: str) -> bool:
        """Tell by its public name whether a model is one that only a call opens."""
        return self.live is not None and self.live.models.match(model) is not None

    def type_of(self, model: str) -> SessionType:
        """Tell by its public name for which type of session a model is."""
        if self.is_live(model):
            return "live"
        if "transcribe" in model or "whisper" in model:
            return "transcription"
        return "translation" if "translate" in model else "realtime"

    def model_path(self, session_type: SessionType) -> Path:
        """Return where a session of this type keeps its own model."""
        return self.transcription_model if session_type == "transcription" else self.model


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request to the vendor, without the account's own headers, which the transport adds.

    ``path`` goes below the base URL and may carry a query. ``retryable`` says that sending it twice does no harm: a
    second mint leaves a secret that nobody uses and that expires.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """The vendor's whole answer. Names of ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PublicEndpoint:
    """Where clients are told to connect: what a client may know of the account, so there is no place for a key."""

    base_url: str
    organization: str | None = None
    project: str | None = None


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session that the vendor opened: its id there, and its SDP answer, byte for byte.

    ``sdp`` is empty where the answer holds none that can be used: the session runs all the same, and must be ended.
    """

    upstream_id: str
    sdp: bytes = field(repr=False)
    upstream_request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a session is ended: by a ``message`` over its control socket where that is the first way, and by a request.

    ``socket_path`` goes below the base URL. Both confirm: the socket with an event that ``read_closing`` knows, the
    request with its status.
    """

    request: Request
    socket_path: str | None = None
    message: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Closing:
    """The vendor's last word on a session; ``seconds`` is what it bills, where it says so."""

    seconds: float | None = None


class CallApi(Protocol):
    """How a vendor opens sessions for a server that brings a client's offer, and ends them. No I/O."""

    def open_call(self, grant: Grant, offer: Offer, user: str) -> Request:
        """Write the request that opens a session; ``user`` names the end user to the vendor's abuse checks."""

    def read_call(self, call_type: CallType, response: Response) -> OpenedSession:
        """Read the answer to an opening that was not refused.

        Raises:
            UpstreamError: it names no session, so that nobody can find what may be running.
        """

    def is_refusal(self, response: Response) -> bool:
        """Tell whether an answer says for certain that no session was opened."""

    def end_call(self, call_type: CallType, upstream_id: str) -> Ending:
        """Say how a session is ended."""

    def read_closing(self, message: str) -> Closing | None:
        """Read a message of the control socket; ``None`` for all but the one that confirms the end."""

    def control_socket(self, call_type: CallType, upstream_id: str) -> str:
        """Return the path of a session's control socket, which is there as long as the session is."""


class Vendor(Protocol):
    """A vendor's realtime API, in one of its dialects.

    ``drop_in`` tells whether the vendor's own SDKs mint in this dialect, so that the drop-in routes exist. ``calls``
    is how it opens sessions for a server, ``None`` where it does not.
    """

    @property
    def calls(self) -> CallApi | None:
        """How it opens sessions for a server."""

    @property
    def name(self) -> str:
        """What the vendor is called in settings and logs."""

    @property
    def layout(self) -> SessionLayout:
        """Where its sessions keep what policy looks at."""

    @property
    def drop_in(self) -> bool:
        """Whether its own SDKs mint in this dialect."""

    def mint(self, grant: Grant, user: str) -> Request:
        """Write the request for a client secret; ``user`` names the end user to the vendor's abuse checks."""

    def read_mint(self, response: Response) -> ClientSecret:
        """Read the answer to a mint.

        Raises:
            ServiceError: the vendor refused, or its answer holds no client secret.
        """

    def connection(self, secret: str, grant: Grant, endpoint: PublicEndpoint) -> dict[str, Any]:
        """List all that a client needs to open a session with ``secret``: ``url``, ``protocols``, ``calls_url``."""

    def models(self) -> Request:
        """Write the request that lists the models which the account can use."""

    def error(self, response: Response) -> ServiceError:
        """Turn the vendor's refusal into ours: only words about the caller's own session are passed on."""
