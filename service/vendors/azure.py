"""Azure OpenAI: OpenAI's requests and responses, with deployments for models, and calls that need a client secret.

Documented (Microsoft Learn, November 2026; https://learn.microsoft.com/azure/foundry/openai/how-to/realtime-audio-webrtc
and .../azure/foundry/reference/rest/): the base path ``/openai/v1`` without ``api-version``, both routes for client
secrets, ``session.model`` as the name of a deployment, ``webrtcfilter=on`` and the eleven types of events that it lets
through, hangup and control sockets by the key or Entra ID, and WebRTC as the way for browsers.
Observed by others: a transcription model must be a deployment too; calls refuse keys and Entra tokens; the control
socket of a Live session answers 404 until its client is connected.
Assumed: that a client secret opens a WebSocket as it does at OpenAI (nothing says so for browsers), that translations
have a ``/calls`` route, that ``hangup`` ends a Live session to which nobody is connected, and that
``OpenAI-Safety-Identifier`` is read, or else ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from service.core.model import ClientSecret, Grant, Offer
from service.vendors import openai, wire
from service.vendors.base import (
    MODEL,
    TRANSCRIPTION_MODEL,
    Path,
    PublicEndpoint,
    Request,
    Response,
    SessionLayout,
    model_path,
)
from service.vendors.openai_calls import OpenAICalls

LAYOUT: Final = replace(openai.LAYOUT, name="OPENAI_VENDOR=azure")

_CALL_SECRET_SECONDS: Final = 30
"""The lifetime of a secret that is used at once; an opening ends within 20 s."""


@dataclass(frozen=True, slots=True)
class Azure(openai.OpenAI):
    """Today's API on Azure. ``deployments`` maps public names to names of deployments; others are sent as they are.

    Policy, limits, audit and answers know public names alone. A deployment's name is in the request, and in the URL of
    a WebSocket, which a client must open itself.
    """

    name: str = "azure"
    layout: SessionLayout = LAYOUT
    lists_models: bool = False
    notes: tuple[str, ...] = (
        "a client secret over a browser's WebSocket is undocumented; WebRTC (calls_url) is the documented way",
    )
    deployments: Mapping[str, str] = field(default_factory=dict)

    def mint(self, grant: Grant, user: str) -> Request:
        """Write the request for a client secret, with deployments for models."""
        # Not by super(): a dataclass with slots is another class than the one that super() remembers.
        return openai.OpenAI.mint(self, deployed(grant, self.deployments), user)

    def read_mint(self, response: Response, grant: Grant) -> ClientSecret:
        """Read the answer to a mint, and give models their public names again."""
        secret = openai.OpenAI.read_mint(self, response, grant)
        public = {deployment: name for name, deployment in self.deployments.items()}
        # Of several names for one deployment, the one that was asked for.
        public[self.deployments.get(grant.model, grant.model)] = grant.model
        session = _rename_models(secret.session, public)
        return replace(secret, session=session, answer={**secret.answer, "session": session})

    def connection(self, secret: str, grant: Grant, endpoint: PublicEndpoint) -> dict[str, Any]:
        """List what a client needs; ``calls_url`` filters the events that reach a browser."""
        recipe = openai.connection(secret, deployed(grant, self.deployments), endpoint)
        return {**recipe, "calls_url": recipe["calls_url"] + wire.AZURE_EVENT_FILTER}

    def try_model(self, model: str) -> Request | None:
        """Write a mint: Azure lists the models of a region, and tells of a deployment only where one is used.

        Live sessions have no client secrets, and opening one is billed.
        """
        session_type = self.layout.type_of(model)
        if session_type == "live":
            return None
        session: Any = model
        for member in reversed(model_path(session_type)):
            session = {member: session}
        grant = Grant(session_type, model, {"type": session_type, **session}, wire.MIN_SECRET_TTL)
        return self.mint(grant, "check")


class AzureCalls(OpenAICalls):
    """Calls on Azure: Realtime ones are opened by a client secret alone (observed), and ended by the key (documented).

    Live sessions are opened by the key, as at OpenAI (documented). Their control socket answers 404 until the client is
    connected (observed): ``hangup`` is tried next, whose 404 the keeper takes for "not yet" in the first two minutes.
    """

    def __init__(self, deployments: Mapping[str, str]) -> None:
        self._deployments = deployments

    def mint_for_call(self, grant: Grant, user: str) -> Request | None:
        """Write the mint of a secret that opens this call, with the whole session in it."""
        if grant.session_type == "live":
            return None
        return Azure(deployments=self._deployments).mint(
            replace(grant, expires_in=_CALL_SECRET_SECONDS), user
        )

    def open_call(self, grant: Grant, offer: Offer, user: str, secret: str | None = None) -> Request:
        """Write the request that relays the offer: with the secret, and nothing beside it."""
        if secret is None:
            return super().open_call(deployed(grant, self._deployments), offer, user, None)
        query = wire.AZURE_EVENT_FILTER
        if offer.data_channel_id is not None:
            query += f"&dcid={offer.data_channel_id}"
        headers = {"Content-Type": "application/sdp", "Accept": "application/sdp"}
        return Request("POST", wire.CALLS_PATH + query, headers, offer.sdp, secret=secret)


def deployed(grant: Grant, deployments: Mapping[str, str]) -> Grant:
    """Name deployments in a grant, for models that have one of another name."""
    session = _rename_models(grant.session, deployments)
    return replace(grant, model=deployments.get(grant.model, grant.model), session=session)


def _rename_models(session: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    """Give every model in a session its other name, where it has one: that of a transcription inside it, too."""
    for path in (MODEL, TRANSCRIPTION_MODEL):
        session = _rename(session, path, names)
    return session


def _rename(tree: Mapping[str, Any], path: Path, names: Mapping[str, str]) -> Mapping[str, Any]:
    member, below = path[0], path[1:]
    value = tree.get(member)
    if below and isinstance(value, dict):
        return {**tree, member: _rename(value, below, names)}
    if not below and isinstance(value, str) and value in names:
        return {**tree, member: names[value]}
    return tree
