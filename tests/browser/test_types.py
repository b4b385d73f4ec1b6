from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.examples import install_node_packages
from tests.support.tools import require

HERE = Path(__file__).parent


def test_the_browser_code_is_typed() -> None:
    """Editors read the types from the JSDoc; the strict TypeScript compiler agrees with all of them."""
    require("node", "npm")
    install_node_packages(HERE)
    compiler = HERE / "node_modules" / ".bin" / "tsc"
    checked = subprocess.run((compiler, "--project", HERE), capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
