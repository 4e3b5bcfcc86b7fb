"""Every error a user can meet, each with its exit code and its next action.

This file decides which class of mistake ends the program with which code. It refuses to know what raises them:
a room raises the class that fits, the command line prints it and exits.
"""

from __future__ import annotations

from collections.abc import Iterable

SMALLER_STACK = "link with a smaller stack: -Wl,-z,stack-size=4096 (clang), --stackSize 1024 (asc)"
"""Helps where the stack lies above the data; one that lies below is cut by the window anyway."""
SMALLER_CODE = "compile for size: -Os (clang, zig cc), -O ReleaseSmall (zig), -C opt-level=z -C lto (rustc)"
"""Its frames and data are smaller too."""
LARGER_BOARD = "or choose a board with more RAM, see: mcutool boards"


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """The question that a next action begins with after a name that does not exist, when one comes near it."""
    from difflib import get_close_matches

    return "".join(f"did you mean {near}? " for near in get_close_matches(wrong, list(known), 1))


def choose_from(wrong: str, known: Iterable[str]) -> str:
    """The next action after a name that does not exist, when all that exist can be named."""
    names = list(known)
    return f"{did_you_mean(wrong, names)}use one of: {', '.join(names)}"


def printable(text: str) -> str:
    """The text with what would command a terminal spelt out; names in a file may hold anything."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\u{{{ord(c):x}}}" for c in text)


class Error(Exception):
    """A mistake or a failure that the user is told about in one message.

    `message` says what happened and where; `next_action` says what to do about it.
    """

    exit_code = 1
    name = "internal"
    ADVICE = ""
    """What to do next when who raises the error knows nothing better."""

    def __init__(self, message: str, *, next_action: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_action = next_action or self.ADVICE

    def about(self, what: object, *, next_action: str = "") -> Error:
        """The same error with the name of a file in front, and perhaps better advice."""
        self.message = f"{what}: {self.message}"
        self.args = (self.message,)
        self.next_action = next_action or self.next_action
        return self


class UsageError(Error):
    """The command line, or a value in it, makes no sense."""

    exit_code, name = 2, "usage"


class NoPort(Error):
    """No serial port or drive, or not the one that was named."""

    exit_code, name = 3, "no_port"


class PermissionDenied(Error):
    """The operating system refuses to open the port."""

    exit_code, name = 4, "permission"


class PortBusy(Error):
    """Another program holds the port."""

    exit_code, name = 5, "port_busy"


class NoAnswer(Error):
    """The port is open and the board says nothing that we understand."""

    exit_code, name = 6, "no_answer"


class WrongChip(Error):
    """The board answers, and is another one than was asked for; or a file is for another one."""

    exit_code, name = 7, "wrong_chip"


class DoesNotFit(Error):
    """The module needs more flash or RAM than the board has."""

    exit_code, name = 8, "does_not_fit"


class WriteFailed(Error):
    """Erasing or programming flash failed."""

    exit_code, name = 9, "write_failed"


class VerificationFailed(Error):
    """What was read back is not what was written."""

    exit_code, name = 10, "verification_failed"


class Protected(Error):
    """The chip refuses because its flash is protected."""

    exit_code, name = 11, "protected"


class Disconnected(Error):
    """The line was lost in the middle of the work."""

    exit_code, name = 12, "disconnected"


class InvalidModule(Error):
    """The input is not a valid WebAssembly module; `offset` is the byte where that shows, or None."""

    exit_code, name = 13, "invalid_module"
    ADVICE = "compile it again; when another engine accepts it, report a bug"

    def __init__(self, message: str, offset: int | None = None, *, next_action: str = "") -> None:
        where = "" if offset is None else f" (at byte offset {offset:#x})"
        super().__init__(message + where, next_action=next_action)
        self.offset = offset


class Unsupported(Error):
    """A valid module that uses a feature or an import that this version or this board has not."""

    exit_code, name = 14, "unsupported"
    ADVICE = "change the program so that it does without"


class ImageRefused(Error):
    """The device looked at the image and refused it; the message is the device's own."""

    exit_code, name = 15, "image_refused"


class FuelExhausted(Error):
    """The program was stopped because its time or its fuel was used up."""

    exit_code, name = 124, "timeout"


class Trapped(Error):
    """The program trapped."""

    exit_code, name = 134, "trap"
