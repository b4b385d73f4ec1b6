"""WebRTC: an SDP offer of Chromium's is answered, with a secret or a key, as browsers and servers send it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from service.sandbox import sdp
from tests.support.realtime import bearing, line, mint
from tests.support.service import Sandbox

_OFFER = "\r\n".join(
    """v=0
o=- 1483698185692868384 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1 2
a=extmap-allow-mixed
a=msid-semantic: WMS
m=audio 9 UDP/TLS/RTP/SAVPF 63 111 0
c=IN IP4 0.0.0.0
a=ice-ufrag:+g2B
a=ice-pwd:duY31JHdiKvHuymbVC15oI2g
a=fingerprint:sha-256 03:ED:A0:A6:17:6B:F5:15:E5:32:6F:77:63:D3:C7:B5:E0:0E:B3:38:87:AC:E1:00:01:1D:B5:A7:5D:1A:34:43
a=setup:actpass
a=mid:0
a=sendrecv
a=rtcp-mux
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:0 PCMU/8000
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=mid:1
a=sendonly
a=rtpmap:96 VP8/90000
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=mid:2
a=sctp-port:5000
a=max-message-size:262144
""".splitlines()
)


def _call(
    sandbox: Sandbox, credential: str, path: str = "/realtime/calls", **options: Any
) -> requests.Response:
    headers = {"Authorization": f"Bearer {credential}", **options.pop("headers", {})}
    return requests.post(sandbox.base_url + path, headers=headers, timeout=10, **options)


def _sections(description: str) -> list[list[str]]:
    return [["m=" + part.splitlines()[0], *part.splitlines()[1:]] for part in description.split("\r\nm=")[1:]]


def test_an_offer_is_answered_section_by_section() -> None:
    """Audio with Opus alone, the data channel, and no video; bundled on one transport."""
    audio, video, channel = _sections(sdp.answer(_OFFER))
    assert audio[0] == "m=audio 9 UDP/TLS/RTP/SAVPF 111"
    assert "a=rtpmap:111 opus/48000/2" in audio
    assert "a=sendrecv" in audio
    assert video[0] == "m=video 0 UDP/TLS/RTP/SAVPF 96"
    assert channel[0] == "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"
    assert "a=sctp-port:5000" in channel
    answer = sdp.answer(_OFFER).splitlines()
    assert "a=group:BUNDLE 0 2" in answer
    assert answer.count("a=setup:active") == 2
    assert all(line[1] == "=" for line in answer)


@pytest.mark.parametrize(
    ("offered", "answered"),
    [("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive"), ("sendrecv", "sendrecv")],
)
def test_directions_are_turned_round(offered: str, answered: str) -> None:
    """What one sends, the other receives."""
    audio = _sections(sdp.answer(_OFFER.replace("a=sendrecv", f"a={offered}")))[0]
    assert f"a={answered}" in audio


def test_who_begins_the_handshake_is_agreed() -> None:
    """An active offer wants a passive answer (RFC 8842)."""
    assert "a=setup:passive" in sdp.answer(_OFFER.replace("a=setup:actpass", "a=setup:active"))


@pytest.mark.parametrize(
    "offer", ["", "hello", "v=0\r\ns=-\r\n", _OFFER.replace("a=fingerprint", "a=finger")]
)
def test_what_is_no_offer_is_refused(sandbox: Sandbox, offer: str) -> None:
    """In the vendor's shape; the secret is not used up by it."""
    secret = mint(sandbox.base_url)
    kind = {"Content-Type": "application/sdp"}
    answer = _call(sandbox, secret, data=offer, headers=kind)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "sdp")
    assert _call(sandbox, secret, data=_OFFER, headers=kind).status_code == 201


def test_a_browser_calls_with_its_secret_once(sandbox: Sandbox) -> None:
    """201, the answer, where the call is, and readable from any origin."""
    secret, kind = mint(sandbox.base_url), {"Content-Type": "application/sdp"}
    answer = _call(sandbox, secret, data=_OFFER, headers=kind)
    assert answer.status_code == 201
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Location"].startswith("/v1/realtime/calls/rtc_")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Location" in answer.headers["Access-Control-Expose-Headers"]
    assert answer.text.startswith("v=0\r\n")
    again = _call(sandbox, secret, data=_OFFER, headers=kind)
    assert (again.status_code, again.json()["error"]["code"]) == (401, "ephemeral_token_already_used")
    with line(sandbox.base_url, **bearing(secret)) as client:
        client.listen()
        assert client.closed == (3000, "invalid_request_error.ephemeral_token_already_used")


def test_a_server_calls_with_a_form(sandbox: Sandbox) -> None:
    """The offer beside the session, as the vendor's SDKs send them."""
    form = {
        "sdp": (None, _OFFER, "application/sdp"),
        "session": (None, json.dumps({"type": "realtime", "model": "gpt-realtime-2.1"}), "application/json"),
    }
    assert _call(sandbox, "sk-test", files=form).status_code == 201
    bad = form | {"session": (None, json.dumps({"type": "realtime", "voice": "ash"}), "application/json")}
    assert _call(sandbox, "sk-test", files=bad).json()["error"]["param"] == "session.voice"
    assert (
        _call(sandbox, "sk-test", files=form | {"session": (None, "{")}).json()["error"]["param"] == "session"
    )
    assert _call(sandbox, "sk-test", files={"session": form["session"]}).json()["error"]["param"] == "sdp"


def test_a_translation_has_its_own_calls(sandbox: Sandbox) -> None:
    """Its secrets call there and nowhere else."""
    path, kind = "/realtime/translations/client_secrets", {"Content-Type": "application/sdp"}
    secret = mint(sandbox.base_url, path, session={"model": "gpt-realtime-translate"})
    assert _call(sandbox, secret, data=_OFFER, headers=kind).json()["error"]["param"] == "session.type"
    answer = _call(sandbox, secret, "/realtime/translations/calls", data=_OFFER, headers=kind)
    assert answer.headers["Location"].startswith("/v1/realtime/translations/calls/rtc_")


def test_a_call_needs_a_credential(sandbox: Sandbox) -> None:
    """An unknown secret is refused by HTTP, where there is no socket to refuse it in."""
    answer = _call(sandbox, "ek_unknown", data=_OFFER, headers={"Content-Type": "application/sdp"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
