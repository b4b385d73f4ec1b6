from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.examples import install_node_packages

HERE = Path(__file__).parent


def test_the_browser_code_is_typed() -> None:
    """Editors read the types from the JSDoc; the strict TypeScript compiler agrees with all of them."""
    if not shutil.which("npm"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("npm is not installed")
    install_node_packages(HERE)
    compiler = HERE / "node_modules" / ".bin" / "tsc"
    checked = subprocess.run((compiler, "--project", HERE), capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
