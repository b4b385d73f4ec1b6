"""Names of the vendor's Realtime API that the service, its companion and the sandbox share. No I/O, no dependencies.

Sources: the vendor's API reference (https://platform.openai.com/docs/api-reference/realtime-sessions) and its
WebSocket guide (https://platform.openai.com/docs/guides/realtime-websocket).
"""

from __future__ import annotations

SUBPROTOCOL = "realtime"
"""The subprotocol that the vendor's server selects."""

API_KEY_SUBPROTOCOL = "openai-insecure-api-key."
ORGANIZATION_SUBPROTOCOL = "openai-organization."
PROJECT_SUBPROTOCOL = "openai-project."
BETA_SUBPROTOCOL = "openai-beta.realtime-v1"

AUTHORIZATION_HEADER = "Authorization"
ORGANIZATION_HEADER = "OpenAI-Organization"
PROJECT_HEADER = "OpenAI-Project"
SAFETY_IDENTIFIER_HEADER = "OpenAI-Safety-Identifier"
BETA_HEADER = "OpenAI-Beta"
BETA_HEADER_VALUE = "realtime=v1"
AZURE_KEY_HEADER = "api-key"
REQUEST_ID_HEADER = "x-request-id"

CLIENT_SECRETS_PATH = "/realtime/client_secrets"
TRANSLATION_CLIENT_SECRETS_PATH = "/realtime/translations/client_secrets"
BETA_SESSIONS_PATH = "/realtime/sessions"
REALTIME_PATH = "/realtime"
TRANSLATIONS_PATH = "/realtime/translations"
CALLS_PATH = "/realtime/calls"
TRANSLATION_CALLS_PATH = "/realtime/translations/calls"
LIVE_SESSIONS_PATH = "/live/sessions"
MODELS_PATH = "/models"

AZURE_BASE_PATH = "/openai/v1"
AZURE_EVENT_FILTER = "?webrtcfilter=on"
"""On Azure's calls: lets few types of server events reach a browser, none that tells instructions or tools."""

MIN_SECRET_TTL = 10
MAX_SECRET_TTL = 7200
"""The lifetime of a secret in seconds, as the vendor bounds it."""

SECRET_ALREADY_USED = "ephemeral_token_already_used"  # noqa: S105 - an error code
"""The vendor's code for a secret that has opened its one session (observed)."""


def subprotocols(
    secret: str, *, organization: str | None = None, project: str | None = None, beta: bool = False
) -> list[str]:
    """List what an insecure client offers as ``Sec-WebSocket-Protocol``, the secret among it."""
    offered = [SUBPROTOCOL, API_KEY_SUBPROTOCOL + secret]
    if organization:
        offered.append(ORGANIZATION_SUBPROTOCOL + organization)
    if project:
        offered.append(PROJECT_SUBPROTOCOL + project)
    if beta:
        offered.append(BETA_SUBPROTOCOL)
    return offered
