"""``python -m service.sandbox``: the server itself, in a process of its own."""

from __future__ import annotations

from service.sandbox.server import main

if __name__ == "__main__":
    main()
