"""Programs that some tests need: without them they are skipped, and the end of the run says what to install."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable

import pytest

PACKAGES = {
    "redis-server": "redis-server",
    "chromium": "chromium",
    "node": "nodejs",
    "npm": "npm",
    "wrk": "wrk",
    "openssl": "openssl",
    "curl": "curl",
    "git": "git",
    "espeak-ng": "espeak-ng",
    "ip": "iproute2",
    "nginx": "nginx-light",
}
"""Each program's package on Debian."""

_MISSING = re.compile(r"([a-z-]+) is not installed")


def require(*programs: str) -> None:
    """Skip the test where a program is missing; in CI, which installs all of them, fail it."""
    if missing := [program for program in programs if not shutil.which(program)]:
        reason = ", ".join(f"{program} is not installed" for program in missing)
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def advice(reasons: Iterable[str]) -> list[str]:
    """Say what to install, for the reasons for which tests were skipped."""
    missing = {found for reason in reasons for found in _MISSING.findall(reason)} & PACKAGES.keys()
    if not missing:
        return []
    packages = " ".join(sorted(PACKAGES[program] for program in missing))
    return [
        f"Tests were skipped that need {', '.join(sorted(missing))}. To run all of them, on Debian or Ubuntu:",
        f"  sudo apt-get install --yes --no-install-recommends {packages}",
    ]
