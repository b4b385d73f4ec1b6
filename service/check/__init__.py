"""``python -m service check``: is this environment fit to serve, and if not, what mends it."""
