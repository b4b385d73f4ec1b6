from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMPILER = HERE / "node_modules" / ".bin" / "tsc"


def test_the_browser_code_is_typed() -> None:
    """Editors read the types from the JSDoc; the strict TypeScript compiler agrees with all of them."""
    if not COMPILER.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"run 'npm ci' in {HERE.name} first")
    checked = subprocess.run([COMPILER, "--project", HERE], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
