"""The drives that this computer has mounted, by the labels that their makers gave them.

Decides what counts as a drive of that label, on Linux, macOS and Windows, and what is said when there is none, or more
than one. Refuses to know what is on a drive, and never mounts one itself.
"""

from __future__ import annotations

import re
import string
import sys
from collections.abc import Iterator
from pathlib import Path

from mcutool.errors import NoPort, UsageError

MOUNTS = Path("/proc/self/mounts")
BY_LABEL = Path("/dev/disk/by-label")
BY_PATH = Path("/dev/disk/by-path")
MAC_VOLUMES = Path("/Volumes")
AGAIN = r"( ?\d+)?"  # what desktops append to the folder of a second drive of the same label


def find(label: str, enter: str) -> Path:
    """The folder of the drive called `label`; `enter` is how a person makes the board show it.

    Raises NoPort when there is none, UsageError when there are several.
    """
    found = [folder for name, folder in mounted() if name.casefold() == label.casefold() or _is_again(folder, label)]
    folders = list(dict.fromkeys(found))
    if not folders:
        raise NoPort(f"no drive called {label} is mounted", next_action=_how_to_mount(label, enter))
    if len(folders) > 1:
        raise UsageError(
            f"{len(folders)} drives are called {label}: {', '.join(map(str, folders))}",
            next_action="say which with --port FOLDER, or disconnect the others",
        )
    return folders[0]


def _is_again(folder: Path, label: str) -> bool:
    return re.fullmatch(re.escape(label) + AGAIN, folder.name, re.IGNORECASE) is not None


def _how_to_mount(label: str, enter: str) -> str:
    device = BY_LABEL / label
    if device.exists():
        return f"it is connected: mount it (udisksctl mount -b {device}), or name its folder with --port FOLDER"
    alone = "; without a desktop, mount it then" if sys.platform == "linux" else ""
    return f"{enter}{alone}; or name its folder with --port FOLDER"


def mounted() -> Iterator[tuple[str, Path]]:
    """Label and folder of every mounted drive; a drive may come twice."""
    if sys.platform == "win32":
        yield from _of_windows()
    elif sys.platform == "darwin":
        yield from ((folder.name, folder) for folder in sorted(MAC_VOLUMES.iterdir()))
    else:
        yield from _of_linux()


def device_of(folder: Path) -> Path | None:
    """The device that is mounted there, where the system tells; without a desktop, a mount outlives its device."""
    place = folder.resolve()
    return next((device for device, mounted_at, _ in _mounts() if mounted_at == place and device.exists()), None)


def place_of(device: Path) -> Path:
    """The device's name by where it is connected, under which it comes back, whatever number it gets then."""
    links = sorted(BY_PATH.iterdir()) if BY_PATH.is_dir() else []
    return next((link for link in links if link.resolve() == device), device)


def is_labelled(device: Path, label: str) -> bool:
    """Whether the device is there and has that label, mounted or not."""
    return device.exists() and (BY_LABEL / label).resolve() == device.resolve()


def _mounts() -> Iterator[tuple[Path, Path, str]]:
    """Device, folder and file system of every mount of a Linux system."""
    text = MOUNTS.read_text(encoding="utf-8", errors="replace") if MOUNTS.exists() else ""
    for line in text.splitlines():
        device, folder, kind, *_ = [*map(_unescaped, line.split()), "", "", ""]
        yield Path(device).resolve(), Path(folder), kind


def _of_linux() -> Iterator[tuple[str, Path]]:
    """The FAT drives: by the labels that udev found, and by the folders that desktops named."""
    labels: dict[Path, list[str]] = {}
    for link in sorted(BY_LABEL.iterdir()) if BY_LABEL.is_dir() else []:
        labels.setdefault(link.resolve(), []).append(_unescaped(link.name))
    for device, folder, kind in _mounts():
        if kind in ("vfat", "msdos"):
            yield from ((name, folder) for name in (*labels.get(device, []), folder.name))


ESCAPED = re.compile(r"\\x([0-9a-f]{2})|\\([0-7]{3})")


def _unescaped(name: str) -> str:
    r"""A name from udev, where a space is \x20, or from the table of mounts, where it is \040."""
    return ESCAPED.sub(lambda code: chr(int(code[1], 16) if code[1] else int(code[2], 8)), name)


def _of_windows() -> Iterator[tuple[str, Path]]:
    import ctypes

    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 - elsewhere there is no such attribute
    for letter in string.ascii_uppercase:
        folder, label = f"{letter}:\\", ctypes.create_unicode_buffer(64)
        if kernel.GetVolumeInformationW(folder, label, len(label), None, None, None, None, 0):
            yield label.value, Path(folder)
