"""Calls: sessions over WebRTC, with the sidebands that watch and steer them, and a registry of them all."""
