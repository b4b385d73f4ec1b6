"""WebRTC itself, on aiortc: offers, peers, the voice on a track, and the event loop they share."""
