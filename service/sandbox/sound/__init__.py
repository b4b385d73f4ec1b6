"""Audio in and out: encodings, listening for speech, and babbling it."""
