"""Well-formed answers to SDP offers, section by section; the peer they name does not exist.

Grammar: RFC 8866; the offer/answer rules RFC 3264 and RFC 9429; data channels RFC 8841.
"""

from __future__ import annotations

import re
import secrets

from service.sandbox.ids import random_token

_FINGERPRINT = re.compile(r"^a=fingerprint:", re.MULTILINE)
_DISCARD_PORT = "9"
_REVERSED = {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive", "sendrecv": "sendrecv"}
_COPIED = ("a=mid:", "a=rtcp-mux", "a=sctp-port:", "a=max-message-size:")


class InvalidOfferError(ValueError):
    """The SDP offer cannot be answered."""


def answer(offer: str) -> str:
    """Response an offer: its audio and data channels are accepted, anything else is turned down.

    Raises:
        InvalidOfferError: if it is not SDP, or has no media section or fingerprint.
    """
    lines = [line.rstrip() for line in offer.strip().splitlines()]
    if not lines or lines[0] != "v=0":
        raise InvalidOfferError("the offer does not begin with v=0")
    sections = _sections(lines)
    if len(sections) == 1:
        raise InvalidOfferError("the offer has no media section")
    if not _FINGERPRINT.search(offer):
        raise InvalidOfferError("the offer has no fingerprint")
    answered = [_answered(section) for section in sections[1:]]
    bundled = [_value(section, "a=mid:") for section in sections[1:] if _accepted(section)]
    head = [
        "v=0",
        f"o=- {secrets.randbelow(2**62)} 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        *([f"a=group:BUNDLE {' '.join(bundled)}"] if bundled else []),
        "a=msid-semantic: WMS *",
    ]
    transport = _transport(setup="passive" if "a=setup:active" in lines else "active")
    body = [line for section, kept in answered for line in (*section, *(transport if kept else ()))]
    return "\r\n".join([*head, *body]) + "\r\n"


def _sections(lines: list[str]) -> list[list[str]]:
    """Split into the session's own lines and one list for each ``m=``."""
    sections: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("m="):
            sections.append([])
        sections[-1].append(line)
    return sections


def _accepted(section: list[str]) -> bool:
    kind = section[0].split()[0]
    return kind in {"m=audio", "m=application"} and any(line.startswith("a=mid:") for line in section)


def _answered(section: list[str]) -> tuple[list[str], bool]:
    media = section[0].split()
    if not _accepted(section):
        return [" ".join([media[0], "0", *media[2:]]), "c=IN IP4 0.0.0.0", "a=inactive"], False
    kept = [line for line in section if line.startswith(_COPIED)]
    if media[0] == "m=audio":
        payloads, described = _codec(section, media[3:])
        media[3:] = payloads
        kept += [f"a={_direction(section)}", *described]
    return [" ".join([media[0], _DISCARD_PORT, *media[2:]]), "c=IN IP4 0.0.0.0", *kept], True


def _codec(section: list[str], payloads: list[str]) -> tuple[list[str], list[str]]:
    """Choose Opus, or else the first codec, with the lines that describe it."""
    opus = [found[1] for line in section if (found := re.match(r"a=rtpmap:(\d+) opus/", line, re.IGNORECASE))]
    chosen = (opus or payloads)[:1]
    prefixes = tuple(f"a={name}:{payload} " for name in ("rtpmap", "fmtp") for payload in chosen)
    return chosen, [line for line in section if line.startswith(prefixes)]


def _direction(section: list[str]) -> str:
    return next((back for way, back in _REVERSED.items() if f"a={way}" in section), "sendrecv")


def _transport(*, setup: str) -> list[str]:
    fingerprint = ":".join(f"{byte:02X}" for byte in secrets.token_bytes(32))
    return [
        f"a=ice-ufrag:{random_token(8)}",
        f"a=ice-pwd:{random_token(24)}",
        f"a=fingerprint:sha-256 {fingerprint}",
        f"a=setup:{setup}",
        f"a=candidate:1 1 udp 2130706431 127.0.0.1 {_DISCARD_PORT} typ host",
        "a=end-of-candidates",
    ]


def _value(section: list[str], prefix: str) -> str:
    return next(line.removeprefix(prefix) for line in section if line.startswith(prefix))
