"""Names for new files: resolved on the server, kept inside one folder, claimed before a byte is written, never overwriting.

A name is claimed by creating `NAME.part` exclusively. The finished file gets its name by a hard link, which fails where the name
exists; so the final name is free or a whole file at every moment, whatever kills the process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError

PART = ".part"
_DIGITS = 5
_LONGEST_NAME = 180
_MOST_TRIES = 1000

_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
# The letters of ComfyUI's %date:...% token; longest first.
_DATE_LETTERS = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "hh": "%H", "mm": "%M", "ss": "%S"}


@dataclass(frozen=True)
class _Template:
    folders: tuple[str, ...]
    before: str
    after: str

    def name(self, counter: int, extension: str) -> str:
        return f"{self.before}{counter:0{_DIGITS}d}{self.after}{extension}"

    def counter_of(self, name: str) -> int:
        """The counter in a name of this template, whatever its extension, or 0."""
        found = re.match(re.escape(self.before) + r"(\d+)" + re.escape(self.after) + r"(\.|$)", name, re.IGNORECASE)
        return int(found[1]) if found else 0


class Claim:
    """A claimed name: `part` may be written; `publish` gives it its final name, `discard` removes it.

    As a context it discards when the block raises, whatever it is.
    """

    def __init__(self, folder: Path, template: _Template, extension: str, counter: int, is_folder: bool) -> None:
        self._folder, self._template, self._extension, self._counter = folder, template, extension, counter
        self._is_folder = is_folder
        self.subfolder = "/".join(template.folders)
        self.part = folder / (self.name + PART)

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.discard()

    @property
    def name(self) -> str:
        """The final file name, without folders."""
        return self._template.name(self._counter, self._extension)

    def publish(self) -> Path:
        """Give the finished part its final name and return it; the next free number where another program took the name meanwhile."""
        for _ in range(_MOST_TRIES):
            final = self._folder / self.name
            try:
                _move_without_overwriting(self.part, final, self._is_folder)
            except FileExistsError:
                self._counter += 1
                continue
            return final
        raise UserError(f"No free file name like {self.name} was found; choose another prefix.")

    def discard(self) -> None:
        """Remove the part; what is already gone is fine."""
        if self._is_folder:
            shutil.rmtree(self.part, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                self.part.unlink()


def claim(root: Path, prefix: str, extension: str, *, width: int, height: int, is_folder: bool = False) -> Claim:
    """Claim a new name below `root`.

    `prefix` may hold subfolders and the tokens %year% %month% %day% %hour% %minute% %second% %width% %height% %date% (2026-01-31)
    %date:yyyy-MM-dd% %time% (23-59-59) and, in the file name, %counter%. Without %counter% the number follows the name as ComfyUI writes
    it: `name_00001_.mp4`. `extension` includes its dot, or is empty for a folder. Raises UserError for a prefix that leads outside
    `root`.
    """
    template = _template(prefix, width, height)
    folder = _folder(root, template.folders)
    taken = [template.counter_of(entry.name) for entry in folder.iterdir()]
    counter = max(taken, default=0) + 1
    for _ in range(_MOST_TRIES):
        attempt = Claim(folder, template, extension, counter, is_folder)
        counter += 1
        try:
            if is_folder:
                attempt.part.mkdir()
            else:
                attempt.part.open("xb").close()
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(f"{attempt.name} cannot be created in the output folder: {error.strerror}.") from error
        # Another run may have finished this very name between our listing and our claim.
        if not os.path.lexists(folder / attempt.name):
            return attempt
        attempt.discard()
    raise UserError(f"No free file name like {template.name(counter, extension)} was found; choose another prefix.")


def _template(prefix: str, width: int, height: int) -> _Template:
    if not isinstance(prefix, str) or not prefix.strip():
        raise UserError("The file name prefix is empty; write a name such as video/clip.")
    text = _resolve_tokens(prefix.strip(), width, height).replace("\\", "/")
    if text.startswith("/") or re.match(r"^[A-Za-z]:", text):
        raise UserError("The file name prefix must not be an absolute path; files are saved below the output folder.")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in [part.strip() for part in parts]:
        raise UserError("The file name prefix must not contain '..'; files are saved below the output folder.")
    if not parts or text.endswith("/"):
        raise UserError("The file name prefix names a folder only; add a file name, such as video/clip.")
    parts = [_clean(part) for part in parts]
    if any("%counter%" in part for part in parts[:-1]):
        raise UserError("%counter% belongs in the file name, not in a folder of the prefix.")
    before, token, after = parts[-1].partition("%counter%")
    return _Template(tuple(parts[:-1]), before if token else before + "_", after if token else "_")


def _resolve_tokens(text: str, width: int, height: int) -> str:
    now = time.localtime()

    def formatted(match: re.Match[str]) -> str:
        return re.sub("yyyy|yy|MM|dd|hh|mm|ss", lambda part: time.strftime(_DATE_LETTERS[part[0]], now), match[1])

    text = re.sub(r"%date:([^%]*)%", formatted, text)
    values = {"date": "%Y-%m-%d", "time": "%H-%M-%S", "year": "%Y", "month": "%m", "day": "%d"}
    values |= {"hour": "%H", "minute": "%M", "second": "%S"}
    for token, pattern in values.items():
        text = text.replace(f"%{token}%", time.strftime(pattern, now))
    return text.replace("%width%", str(width)).replace("%height%", str(height))


def _clean(part: str) -> str:
    """A name that every file system takes: Windows forbids some characters, device names, and dots or spaces at the end."""
    part = _FORBIDDEN.sub("_", part).rstrip(". ") or "_"
    if _RESERVED.match(part):
        part = "_" + part
    if len(part.encode()) > _LONGEST_NAME:
        raise UserError(f"A name in the file name prefix is longer than {_LONGEST_NAME} bytes; shorten it.")
    return part


def _folder(root: Path, parts: tuple[str, ...]) -> Path:
    """Make the subfolders one by one, following no link that leads outside."""
    root.mkdir(parents=True, exist_ok=True)
    inside = root.resolve()
    folder = inside
    for part in parts:
        folder = folder / part
        try:
            folder.mkdir(exist_ok=True)
        except FileExistsError as error:
            raise UserError(f"The subfolder {part} of the file name prefix is a file; choose another name.") from error
        except OSError as error:
            raise UserError(f"The subfolder {part} cannot be created: {error.strerror}.") from error
        if not folder.resolve().is_relative_to(inside):
            raise UserError(f"The subfolder {part} is a link that leads outside the output folder; choose another name.")
    return folder


def _move_without_overwriting(part: Path, final: Path, is_folder: bool) -> None:
    if is_folder or os.name == "nt":
        # Renaming fails on Windows where the name exists, and for folders everywhere unless it is an empty folder.
        if os.path.lexists(final):
            raise FileExistsError(errno.EEXIST, "exists", final.name)
        part.rename(final)
        return
    try:
        os.link(part, final)
    except FileExistsError:
        raise
    except OSError:
        # No hard links here (exFAT, some network drives): hold the name with an empty file for the instant of the renaming.
        final.open("xb").close()
        part.replace(final)
    else:
        part.unlink()
