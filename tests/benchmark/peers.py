"""Puts each candidate's pinned packages, and no others, into the cache folder, once for each change of its files."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
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
        _install(target)
    stamp.write_text(digest)
    return target


def python_for_service(cache: Path) -> Path:
    """Return a Python with what the service needs in production: libraries use what tests need besides (rich)."""
    source, target = _ROOT / "requirements.txt", cache / "service"
    digest = hashlib.sha256(sys.version.encode() + source.read_bytes()).hexdigest()
    stamp = target / _STAMP
    if not (stamp.exists() and stamp.read_text() == digest):
        sys.stderr.write(f"installing the service's packages into {target}\n")
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        shutil.copy(source, target)
        _install(target)
        stamp.write_text(digest)
    return target / ".venv/bin/python"


def _install(target: Path) -> None:
    """Install the ``requirements.txt`` of a folder into a ``.venv`` beside it."""
    subprocess.run([sys.executable, "-m", "venv", ".venv"], cwd=target, check=True)
    pip = [".venv/bin/python", "-m", "pip", "install", "--quiet", "--requirement", "requirements.txt"]
    subprocess.run(pip, cwd=target, check=True)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for file in sorted(folder.iterdir()):
        if file.is_file():
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
