"""SDP offers that need no client: well-formed, of Chromium's making, with a candidate that nobody answers at."""

from __future__ import annotations

CANDIDATE = "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host"

_LINES = """v=0
o=- 1483698185692868384 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=msid-semantic: WMS
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 0
c=IN IP4 0.0.0.0
a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host
a=ice-ufrag:+g2B
a=ice-pwd:duY31JHdiKvHuymbVC15oI2g
a=fingerprint:sha-256 03:ED:A0:A6:17:6B:F5:15:E5:32:6F:77:63:D3:C7:B5:E0:0E:B3:38:87:AC:E1:00:01:1D:B5:A7:5D:1A:34:43
a=setup:actpass
a=mid:0
a=sendrecv
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:0 PCMU/8000
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=ice-ufrag:+g2B
a=ice-pwd:duY31JHdiKvHuymbVC15oI2g
a=fingerprint:sha-256 03:ED:A0:A6:17:6B:F5:15:E5:32:6F:77:63:D3:C7:B5:E0:0E:B3:38:87:AC:E1:00:01:1D:B5:A7:5D:1A:34:43
a=setup:actpass
a=mid:1
a=sctp-port:5000
a=max-message-size:262144
""".splitlines()

OFFER = "\r\n".join(_LINES) + "\r\n"


def offer_without(*beginnings: str, add: tuple[str, ...] = ()) -> str:
    """Make the offer without some of its lines, and with some at the end of its last section."""
    return "\r\n".join([*(line for line in _LINES if not line.startswith(beginnings)), *add]) + "\r\n"
