"""``python -m service check``: is this environment fit to serve, and how to fix what is not."""
