"""What every vendor of a realtime API has in common. No I/O: a vendor writes requests and reads responses as values.

``transport`` sends what a vendor writes. A new vendor is one module beside ``openai``, and one row of the table in
``dialect``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, get_args

from service.core.errors import ServiceError
from service.core.model import CallType, ClientSecret, Grant, Offer, SessionType
from service.vendors.wire import MAX_SECRET_TTL

Path = tuple[str, ...]
"""The members that lead to a value, below a JSON object."""

SESSION_TYPES: Final = frozenset(get_args(SessionType))
_SNAPSHOT: Final = re.compile(r"-\d{4}-\d{2}-\d{2}$")
"""The date at the end of a snapshot's name."""

MODEL: Final[Path] = ("model",)
TRANSCRIPTION_MODEL: Final[Path] = ("audio", "input", "transcription", "model")
"""Where sessions of every vendor keep their model: a policy is checked before it is known which vendor it is for."""


def model_path(session_type: SessionType) -> Path:
    """Return where a session of this type keeps its own model."""
    return TRANSCRIPTION_MODEL if session_type == "transcription" else MODEL


def get_member(value: Any, path: Path) -> Any:
    """Return the member at ``path`` below a JSON value; ``None`` where there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


@dataclass(frozen=True, slots=True)
class LiveLayout:
    """What a live session has that others do not: it has no client secrets, so that only a call opens it."""

    models: re.Pattern[str]
    """A pattern of its models' names."""
    members: frozenset[str]
    """The session's own members that are known today."""
    caller_members: tuple[str, ...]
    """Dotted paths of the members that are harmless in a caller's hands."""
    delegation: Path
    """The member that says who tasks are delegated to."""
    fixed: Mapping[str, Any]
    """Members that are sent with every session."""
    reserved: tuple[str, ...]
    """Dotted paths of the members that only the service sets."""
    data_channel: Path
    """The member that restricts what a client may send over its data channel."""
    client_events: tuple[str, ...]
    """The events that a client may send over its data channel."""
    delegate_events: tuple[str, ...]
    """The events besides, where the session names its client as the one that tasks are delegated to."""


@dataclass(frozen=True, slots=True)
class SessionLayout:
    """Where a vendor's session keeps what policy looks at. Paths lead to members below ``session``."""

    name: str
    """How the admin chose the vendor, for errors."""
    session_types: tuple[SessionType, ...]
    """The types that the vendor mints secrets for."""
    voice: Path
    output_limit: Path
    members: frozenset[str]
    """The session's own members that are known today."""
    tools: Path = ("tools",)
    prompt: Path = ("prompt",)
    tracing: Path = ("tracing",)
    mcp_destinations: tuple[str, ...] = ("server_url", "connector_id", "tunnel_id")
    """The members of an MCP tool that name the server it calls."""
    has_expiry: bool = True
    """Whether a request may choose its secret's lifetime."""
    reserved: tuple[str, ...] = ()
    """Members of a session in which a caller could choose the secret's lifetime all the same."""
    call_types: tuple[SessionType, ...] = ()
    """The types that the vendor opens for a server that brings a client's offer."""
    live: LiveLayout | None = None
    held_members: frozenset[str] | None = None
    """The members that its secrets hold; ``None`` for all. Others are refused: the client alone would decide them."""
    max_secret_seconds: int = MAX_SECRET_TTL
    """Maximum lifetime of a secret."""
    example_model: str | None = None
    """One of the vendor's models, where it has none of OpenAI's names."""

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

    def unheld_members(self, session: Mapping[str, Any]) -> list[str]:
        """List the members of a session that this vendor's secrets do not hold."""
        held = self.held_members
        return [] if held is None else [name for name in session if name not in held and name != "type"]

    def find_mismatch(self, session: Mapping[str, Any], grant: Grant, models: Container[str]) -> str | None:
        """Say what shows that a ``session`` of the vendor belongs to another grant; ``None`` where nothing does.

        The vendor may answer with the name of a model's dated snapshot, so only a different allowed model counts.
        ``models`` are the allowed ones.
        """
        named = session.get("type")
        if isinstance(named, str) and named in SESSION_TYPES and named != grant.session_type:
            return f"it is of type {named}, and {grant.session_type} was asked for"
        path = model_path(grant.session_type)
        model, asked = get_member(session, path), get_member(grant.session, path)
        if isinstance(model, str) and model in models and asked not in {model, _SNAPSHOT.sub("", model)}:
            return f"it is for the model {model}, and {asked} was asked for"
        return None


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request to the vendor, without the account's own headers, which the transport adds.

    ``path`` goes below the base URL and may carry a query. ``retryable`` says that sending it twice does no harm: a
    second mint leaves an unused secret that expires. ``secret`` is a client secret that authenticates the
    request in the account's place.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    retryable: bool = False
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """The vendor's whole answer. Names of ``headers`` are in lower case.

    ``may_be_stray`` tells that its connection had served other requests, so that it may be the answer to one of them.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    may_be_stray: bool = True


Check = Callable[[Response], None]
"""Looks at a response before its connection is used again.

It raises an ``UpstreamError`` for one that cannot belong to its request: the connection is closed then.
"""


@dataclass(frozen=True, slots=True)
class PublicEndpoint:
    """Where clients are told to connect: what a client may know of the account, so there is no place for a key."""

    base_url: str
    organization: str | None = None
    project: str | None = None


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session that the vendor opened: its id there, and its SDP answer, byte for byte.

    ``problem`` says why the response is unusable for its client: the session runs all the same, and must be ended.
    """

    upstream_id: str
    sdp: bytes = field(repr=False)
    problem: ServiceError | None = None


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

    def mint_for_call(self, grant: Grant, user: str) -> Request | None:
        """Write the mint of the client secret with which the vendor opens such a session; ``None``: it needs none."""

    def open_call(self, grant: Grant, offer: Offer, user: str, secret: str | None = None) -> Request:
        """Write the request that opens a session; ``user`` names the end user to the vendor's abuse checks.

        ``secret`` is what ``mint_for_call`` minted.
        """

    def read_call(self, call_type: CallType, response: Response) -> OpenedSession:
        """Read the answer to an opening that was not refused.

        Raises:
            UpstreamError: it names no session, so that nobody can find what may be running.
        """

    def is_refusal(self, response: Response) -> bool:
        """Return whether an answer says for certain that no session was opened."""

    def end_call(self, call_type: CallType, upstream_id: str) -> Ending:
        """Say how a session is ended."""

    def read_closing(self, message: str) -> Closing | None:
        """Read a message of the control socket; ``None`` for all but the one that confirms the end."""

    def control_socket(self, call_type: CallType, upstream_id: str) -> str:
        """Return the path of a session's control socket, which is there as long as the session is."""


class Vendor(Protocol):
    """A vendor's realtime API, in one of its dialects."""

    @property
    def calls(self) -> CallApi | None:
        """How it opens sessions for a server; ``None`` where it does not."""

    @property
    def name(self) -> str:
        """What the vendor is called in settings and logs."""

    @property
    def layout(self) -> SessionLayout:
        """Where its sessions keep what policy looks at."""

    @property
    def drop_in(self) -> bool:
        """Whether its own SDKs mint in this dialect, so that the drop-in routes exist."""

    @property
    def lists_models(self) -> bool:
        """Whether ``models`` names all that the account can use."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What an admin should know of it, one sentence each."""

    def mint(self, grant: Grant, user: str) -> Request:
        """Write the request for a client secret; ``user`` names the end user to the vendor's abuse checks."""

    def read_mint(self, response: Response, grant: Grant) -> ClientSecret:
        """Read the answer to the mint of ``grant``.

        Raises:
            ServiceError: the vendor refused, or its answer holds no client secret.
        """

    def connection(self, secret: str, grant: Grant, endpoint: PublicEndpoint) -> dict[str, Any]:
        """List all that a client needs to open a session with ``secret``: ``url``, ``protocols``, ``calls_url``."""

    def models(self) -> Request:
        """Write the request that lists the models which the account can use."""

    def try_model(self, model: str) -> Request | None:
        """Write a request, free of charge, that succeeds only if ``model`` can be used; ``None``: there is none."""

    def error(self, response: Response) -> ServiceError:
        """Turn the vendor's refusal into ours: only words about the caller's own session are passed on."""
