"""``python -m service.sandbox``: the server itself, in a process of its own.

gevent has to patch before anything else is imported, so nothing stands above it.
"""

from gevent import monkey

monkey.patch_all()

from service.sandbox.server import main  # noqa: E402 - after the patch

if __name__ == "__main__":
    main()
