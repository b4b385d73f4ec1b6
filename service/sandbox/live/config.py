"""A Live session's configuration: resolved with the vendor's defaults, and what its data channel may carry."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from service.sandbox.live.events import REFLECTED_EVENTS, SIDEBAND_ONLY

Config = dict[str, Any]
"""A session as JSON."""

SESSION_SECONDS = 7200
"""A session ends after two hours at the latest (observed, not documented)."""

DEFAULT_VOICE = "marin"
DEFAULT_INSTRUCTIONS = "You are a friendly voice assistant. Answer briefly."


def resolve(config: Config, *, session_id: str, expires_at: int) -> Config:
    """Fill in what a configuration leaves to the server, as ``session.started`` repeats it.

    ``config`` is what was posted; ``expires_at`` is in seconds since the epoch.
    """
    output = (config.get("audio") or {}).get("output") or {}
    resolved: Config = {
        "id": session_id,
        "model": config["model"],
        "status": "active",
        "expires_at": expires_at,
        "instructions": (config.get("instructions") or "").strip() or DEFAULT_INSTRUCTIONS,
        "input": deepcopy(config.get("input", [])),
        "audio": {"output": {"voice": output.get("voice") or DEFAULT_VOICE}},
        "delegation": resolve_delegation(config.get("delegation")),
        "triggers": [],
        "safety_identifier": config.get("safety_identifier"),
        "store": config.get("store", False),
    }
    if config.get("client"):
        channel = config["client"]["data_channel"]
        names = ("allowed_client_events", "allowed_server_events")
        lists = {name: "all" if channel.get(name) is None else deepcopy(channel[name]) for name in names}
        resolved["client"] = {"data_channel": lists}
    return resolved


def resolve_delegation(given: Config | None, before: Config | None = None) -> Config:
    """Complete a delegation to the client; what is omitted stays as it was ``before``."""
    named = {name: value for name, value in (given or {}).items() if value is not None}
    return {"type": "client", "acknowledgement_delay_ms": 0, **(before or {}), **named}


@dataclass(frozen=True, slots=True)
class Permissions:
    """What an untrusted client may send and receive on its data channel; ``None`` means everything."""

    client_events: frozenset[str] | None
    server_events: frozenset[str] | None

    @property
    def restricted(self) -> bool:
        """Whether anything is forbidden."""
        return self.client_events is not None or self.server_events is not None

    def may_send(self, kind: str) -> bool:
        """Return whether the client may send events of a type."""
        allowed = self.client_events is None or kind in self.client_events
        return allowed and kind not in SIDEBAND_ONLY

    def may_receive(self, kind: str) -> bool:
        """Return whether the client is sent events of a type."""
        allowed = self.server_events is None or kind in self.server_events
        return allowed and kind not in REFLECTED_EVENTS


def permissions(resolved: Config) -> Permissions:
    """Read what the data channel of a session may carry."""
    channel = resolved.get("client", {}).get("data_channel", {})
    client, server = channel.get("allowed_client_events", "all"), channel.get("allowed_server_events", "all")
    return Permissions(
        client_events=None if client == "all" else frozenset(client),
        server_events=None if server == "all" else frozenset(selector["type"] for selector in server),
    )
