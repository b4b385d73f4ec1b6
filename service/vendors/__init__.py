"""The vendor of the realtime API: how to spell its requests, read its answers, and reach it."""
