"""Audio: PCM and G.711, synthetic speech, and turn detection. Standard library only."""
