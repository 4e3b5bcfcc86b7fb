"""A boot ROM for the emulated RP2040: the tables that the chip's own has, and functions that leave the work to a model.

This file decides what stands where in the ROM and how a call reaches the model: the function stores its arguments at
an address of its own in the ROM, where a store does nothing else. It refuses to know what the functions do (flash.py).
Layout: RP2040 datasheet, section 2.8.3. Nothing of the vendor's code is here.
"""

from __future__ import annotations

import struct

SIZE = 0x4000
BOOT2 = 0x20041F00  # where the second stage bootloader is copied to, and executed; the stack ends below it
FUNCTIONS = ("IF", "EX", "RE", "RP", "FC", "CX")

MAGIC = b"Mu\x01\x02"
TABLES, LOOKUP_AT, TABLE_AT, FUNCTIONS_AT, CALLS = 0x10, 0x20, 0x40, 0x80, 0xF00
ARGUMENTS = 4  # of a call, in words

# r0: table, r1: code; gives the function, or 0. Entries are a code and an address, a code of 0 ends the table.
LOOKUP = (
    0x8802,  # next: ldrh r2, [r0]
    0x428A,  # cmp r2, r1
    0xD004,  # beq found
    0x3004,  # adds r0, #4
    0x2A00,  # cmp r2, #0
    0xD1F9,  # bne next
    0x2000,  # movs r0, #0
    0x4770,  # bx lr
    0x8840,  # found: ldrh r0, [r0, #2]
    0x4770,  # bx lr
)
CALL = (0xB510, 0x4C01, 0xC40F, 0xBD10)  # push {r4, lr}; ldr r4, behind; stmia r4!, {r0-r3}; pop {r4, pc}
CALL_SIZE = 2 * len(CALL) + 4


def contents() -> bytes:
    """The ROM: its vectors lead to the second stage bootloader, which the model has put into RAM by then."""
    rom = bytearray(SIZE)
    struct.pack_into("<II", rom, 0, BOOT2, BOOT2 | 1)
    struct.pack_into("<4s3H", rom, TABLES, MAGIC, TABLE_AT, _end_of_table(), LOOKUP_AT | 1)
    struct.pack_into(f"<{len(LOOKUP)}H", rom, LOOKUP_AT, *LOOKUP)
    for number, code in enumerate(FUNCTIONS):
        place = FUNCTIONS_AT + number * CALL_SIZE
        struct.pack_into("<2sH", rom, TABLE_AT + 4 * number, code.encode(), place | 1)
        struct.pack_into(f"<{len(CALL)}HI", rom, place, *CALL, CALLS + 4 * ARGUMENTS * number)
    return bytes(rom)


def _end_of_table() -> int:
    """There are no data to look up."""
    return TABLE_AT + 4 * len(FUNCTIONS)


def call_of(address: int) -> tuple[str, int] | None:
    """Which function stores there, and which of its arguments that is; None for any other place."""
    number, index = divmod((address - CALLS) // 4, ARGUMENTS)
    return (FUNCTIONS[number], index) if 0 <= number < len(FUNCTIONS) else None
