"""The text of one environment variable, or why it cannot be what its author meant.

No message here repeats the text: it may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FILE_SUFFIX: Final = "_FILE"
"""``<NAME>_FILE`` names a file that holds the value, as Docker and Kubernetes mount secrets."""

MAX_FILE_BYTES: Final = 65_536

_BYTE_ORDER_MARKS: Final = ("\ufeff", "\u00ef\u00bb\u00bf")  # the second: the first, read as Latin-1
_QUOTES: Final = "\"'`\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb"
_INVISIBLE: Final = re.compile("[\u00a0\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]")
_PLACEHOLDER: Final = re.compile(
    r"\$\{[A-Za-z_]\w*(:?[-?+=].*)?\}|\$[A-Z_][A-Z0-9_]*|\$\([^()]*\)|\{\{.*\}\}|%[A-Z_]+%|<[^<>]+>",
    re.DOTALL,
)
_SECRET_FOLDERS: Final = ("/run/secrets/", "/var/run/secrets/", "/etc/secrets/", "file://")


class MisreadError(ValueError):
    """A variable's text is not what its author meant; ``variable`` is the one to correct."""

    def __init__(self, variable: str, message: str) -> None:
        super().__init__(message)
        self.variable = variable


def read_variable(
    name: str, environ: Mapping[str, str], *, is_secret: bool, may_have_space: bool
) -> str | MisreadError | None:
    """Return a variable's text, of a secret perhaps out of a file; None where it is empty or not set.

    An error is returned, not raised, so that all variables' problems can be reported together.
    """
    text, file_variable = environ.get(name, ""), name + FILE_SUFFIX
    path = environ.get(file_variable, "") if is_secret else ""
    try:
        if path.strip():
            if text.strip():
                raise MisreadError(file_variable, f"is set beside {name}; unset one of the two")  # noqa: TRY301
            _check_text(file_variable, path, is_secret=True, may_have_space=False)
            text = _read_file(file_variable, path)
        if not text.strip():
            return None
        _check_text(
            file_variable if path.strip() else name, text, is_secret=is_secret, may_have_space=may_have_space
        )
        if is_secret and not path.strip():
            _check_is_no_path(name, text)
    except MisreadError as error:
        return error
    return text


def _check_text(name: str, text: str, *, is_secret: bool, may_have_space: bool) -> None:
    """Find what a shell, an editor or a template has left in a value.

    Raises:
        MisreadError: saying what is wrong, and how to fix it.
    """
    bare = text.strip()
    is_document = bare.startswith(("{", "-----BEGIN"))
    first, last = bare[:1] in _QUOTES, bare[-1:] in _QUOTES
    if any("\ud800" <= character <= "\udfff" for character in text):
        complaint = "holds bytes that are not UTF-8; save the file it comes from as UTF-8"
    elif bare.startswith(_BYTE_ORDER_MARKS):
        complaint = "begins with a byte order mark; save the file it comes from as UTF-8 without BOM"
    elif first and last and len(bare) > 1:
        complaint = (
            "is in quotation marks, which are part of the value here (docker --env-file keeps them); "
            "leave the quotation marks out"
        )
    elif (first or last) and not is_secret and not is_document:
        complaint = "has a quotation mark at one end; leave it out"
    elif text != bare and not is_document and not may_have_space:
        complaint = f"{_describe_space(text)}; remove it"
    elif _PLACEHOLDER.fullmatch(bare):
        complaint = "is a placeholder that nothing has replaced; write the value itself"
    elif bare.startswith((f"{name}=", f"export {name}=")):
        complaint = f"begins with its own name; write only what follows {name}="
    elif not is_secret and not is_document and _INVISIBLE.search(bare):
        complaint = "holds an invisible character, as text copied from a page may; type it anew"
    else:
        return
    raise MisreadError(name, complaint)


def _describe_space(text: str) -> str:
    if text.endswith("\r"):
        return "ends with a carriage return, as files with Windows line ends leave it"
    if text.endswith("\n"):
        return "ends with a line break (echo adds one, printf %s does not)"
    return "begins with white space" if text[:1].isspace() else "ends with white space"


def _check_is_no_path(name: str, text: str) -> None:
    bare = text.strip()
    try:
        is_path = bare.startswith(_SECRET_FOLDERS) or (bare.startswith("/") and Path(bare).is_file())
    except (OSError, ValueError):  # too long, or it holds a NUL: no path
        is_path = False
    if is_path:
        raise MisreadError(name, f"is a path, not the secret; give the path in {name}{FILE_SUFFIX} instead")


def _read_file(variable: str, path: str) -> str:
    """Read a secret from a file, without the line break at its end.

    Raises:
        MisreadError: the file cannot be read, or holds no such thing. The path, which may be the secret itself by
            mistake, is not repeated.
    """
    try:
        if not Path(path).is_file():
            raise MisreadError(
                variable, "names no file that exists; it must be the path of the file that holds the secret"
            )
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        text = data.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise MisreadError(variable, "names a file that is not text in UTF-8; save it as such") from None
    except OSError as error:
        raise MisreadError(
            variable,
            f"names a file that cannot be read ({error.strerror}); correct its permissions or the path",
        ) from None
    except ValueError as error:
        if isinstance(error, MisreadError):
            raise
        raise MisreadError(variable, "must be the path of the file that holds the secret") from None
    if len(data) > MAX_FILE_BYTES:
        raise MisreadError(variable, f"names a file of more than {MAX_FILE_BYTES} bytes; that is no secret")
    if not text.strip():
        raise MisreadError(variable, "names an empty file; put the secret into it")
    return text
