"""SDP offers: what the sandbox can answer, and what it cannot, said in words.

Grammar: RFC 8866. ICE in SDP: RFC 8839. Trickle ICE: RFC 8838 and 8840. mDNS candidates:
draft-ietf-mmusic-mdns-ice-candidates.
"""

from __future__ import annotations

import re

MAX_BYTES = 64 * 1024
_MAX_SECTIONS = 8
_OPUS = re.compile(r"a=rtpmap:\d+ opus/48000/2", re.IGNORECASE)
_END = "a=end-of-candidates"
_CANDIDATE = re.compile(r"a=candidate:\S+ \d+ (?P<transport>\S+) \d+ (?P<host>\S+) \d+ typ ")


class InvalidOfferError(ValueError):
    """The offer cannot be answered; the message says why, and what would be right."""


def answerable(offer: str) -> str:
    """Check an offer, and remove the candidates that nothing could be sent to.

    Candidates hidden behind ``.local`` names are removed, since asking for them by multicast would leave the
    machine: the client's address shows itself with its first connectivity check. An offer without any candidate
    is answered where it announces trickle ICE (its sender has not waited for its candidates), and refused otherwise.

    Raises:
        InvalidOfferError: where it is not an SDP offer, or lacks what WebRTC needs.
    """
    if len(offer.encode()) > MAX_BYTES:
        raise InvalidOfferError(f"it is larger than {MAX_BYTES} bytes")
    lines = offer.splitlines()
    if not lines or lines[0] != "v=0":
        raise InvalidOfferError("it does not begin with v=0")
    _check_media(lines)
    for attribute in ("ice-ufrag", "ice-pwd", "fingerprint"):
        if not any(line.startswith(f"a={attribute}:") for line in lines):
            raise InvalidOfferError(f"it has no a={attribute} line")
    _check_candidates(lines)
    kept = [line for line in lines if not line.startswith("a=candidate:") or _is_usable(line)]
    kept = [line for line in kept if line != _END]
    return "\r\n".join(kept) + "\r\n"


def _check_media(lines: list[str]) -> None:
    media = [line for line in lines if line.startswith("m=")]
    if not media:
        raise InvalidOfferError("it has no media section")
    if len(media) > _MAX_SECTIONS:
        raise InvalidOfferError(f"it has more than {_MAX_SECTIONS} media sections")
    if sum(line.startswith("m=audio ") for line in media) != 1:
        raise InvalidOfferError("it must have exactly one audio section (m=audio)")
    if not any(_OPUS.match(line) for line in lines):
        raise InvalidOfferError("its audio section does not offer Opus (opus/48000/2)")


def _udp_host(line: str) -> str | None:
    """Return the address or name of a candidate that is reached by UDP, or None."""
    found = _CANDIDATE.match(line)
    return found["host"] if found and found["transport"].lower() == "udp" else None


def _is_usable(line: str) -> bool:
    host = _udp_host(line)
    return host is not None and not host.endswith(".local")


def _check_candidates(lines: list[str]) -> None:
    if any(_udp_host(line) for line in lines):
        return
    trickles = any(line.startswith("a=ice-options:") and "trickle" in line for line in lines)
    if trickles and _END not in lines:
        return
    raise InvalidOfferError(
        "it has no ICE candidate that can be reached. WebRTC needs a network interface that is up (the Internet "
        "is not needed); on a machine with nothing but loopback start Chromium with "
        "--allow-loopback-in-peer-connection"
    )
