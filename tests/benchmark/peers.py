"""Puts the peers with their pinned packages into the cache folder, once for each change of their files."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_STAMP = ".installed"


def installed(name: str, cache: Path) -> Path:
    """Return the folder with the peer's files and packages, installing them where that has not been done."""
    source, target = _HERE / name, cache / name
    digest = _digest(source)
    stamp = target / _STAMP
    if stamp.exists() and stamp.read_text() == digest:
        return target
    sys.stderr.write(f"installing {name} into {target}\n")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    if (target / "package-lock.json").exists():
        subprocess.run(["npm", "ci", "--omit=dev", "--no-audit", "--no-fund"], cwd=target, check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", ".venv"], cwd=target, check=True)
        pip = [".venv/bin/python", "-m", "pip", "install", "--quiet", "--requirement", "requirements.txt"]
        subprocess.run(pip, cwd=target, check=True)
    stamp.write_text(digest)
    return target


def _digest(folder: Path) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for file in sorted(folder.iterdir()):
        if file.is_file():
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
