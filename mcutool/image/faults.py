"""What can be wrong with an image, and what a person is told about it: the board's loader names these, and so do we.

This file decides the names and the texts; firmware_runtime/generated/image_faults.h is made from it. It refuses to know
how either is found out. Behind a text about the code stands the halfword, behind one about an import its name.
"""

from __future__ import annotations

FAULTS = {
    "ABSENT": "there is no image",
    "UNHASHED": "the image has no hash",
    "ALTERED": "the image is damaged: its hash is wrong",
    "FOREIGN": "the image does not hold a module for mcutool",
    "FORMAT": "the image has another format than this firmware reads; build it with a mcutool of this version",
    "NEWER": "the image needs a newer firmware; install it with: mcutool flash --runtime",
    "FEATURE": "the image uses a part of WebAssembly that this firmware was built without",
    "SIZE": "the image is damaged: its size is wrong",
    "SECTION": "the image is damaged: a section lies outside it",
    "NAMES": "the image is damaged: its names do not end",
    "PROVENANCE": "the image is damaged: it has no provenance",
    "SEGMENT": "the image is damaged: a segment lies outside it",
    "FUNCTION": "the image is damaged: a function lies outside it",
    "MODULE": "the image is damaged: a module names what it does not have",
    "HANDLER": "the image is damaged: its exception handlers are wrong",
    "MEMORY": "the image is damaged: a memory is backed where it does not reach",
    "IMPORT": "the module imports a function that this firmware does not have",
    "IMPORT_TYPE": "the module imports a function with another type than this firmware gives it",
    "UNGRANTED": "the module imports a function that it is not granted",
    "CODE": "the image is damaged: its code does not begin as it must",
    "EXTENT": "invalid code: a function does not begin where the one before it ends",
    "ILLEGAL": "invalid code: no such instruction",
    "UNANNOUNCED": "invalid code: an instruction of a part that the image does not announce",
    "CUT": "invalid code: an instruction is cut off",
    "RUNS_OUT": "invalid code: it runs out of a function",
    "SLOT": "invalid code: a slot outside the frame",
    "BRANCH": "invalid code: a branch to where no instruction of the function begins",
    "CALL": "invalid code: a call with its frame or values in the wrong place",
    "INDEX": "invalid code: it names what is not there",
    "CATCH": "invalid code: an exception handler does not fit the function",
    "RAM": "the module needs more RAM than this board has; build it with smaller --memory, --heap or --stack",
}
"""Name -> text, in the order of the firmware's enumeration."""

SIGNATURE_FAULTS = {
    "UNSIGNED": "the image is not signed; sign it with: mcutool sign",
    "OWNER": "the image is signed with another key than this firmware's",
    "SIGNATURE": "the image's signature is wrong",
    "OLDER": "the image is older than one that was confirmed; sign it with a higher --counter",
}
"""What more a firmware with a key finds; the enumeration of another one ends before."""


def render_header() -> str:
    """`generated/image_faults.h`: a list for macros."""
    rows = [f'    X({name}, "{text}")' for name, text in FAULTS.items()]
    keyed = [f'    X({name}, "{text}")' for name, text in SIGNATURE_FAULTS.items()]
    return "\n".join(
        [
            "/* Made by mcutool/generate.py from mcutool/image/faults.py; do not edit.",
            " *",
            " * The loader gives the name only: the texts lie in the flash of who reports them. */",
            "#ifndef IMAGE_FAULTS_H",
            "#define IMAGE_FAULTS_H",
            "",
            "#ifdef SIGNATURE_KEY",
            " \\\n".join(["#define IMAGE_SIGNATURE_FAULTS(X)", *keyed]),
            "#else",
            "#define IMAGE_SIGNATURE_FAULTS(X)",
            "#endif",
            "",
            " \\\n".join(["#define IMAGE_FAULTS(X)", *rows, "    IMAGE_SIGNATURE_FAULTS(X)"]),
            "",
            "#endif",
            "",
        ]
    )
