"""Stores to data RAM at full speed.

Unicorn 2.1.4 treats every page of RAM as if it might hold translated code, so each store takes a path that costs as
much as ten instructions. Its software TLB has a flag for that; QEMU clears it at the first store, Unicorn forgets to.
This file finds the TLB in memory, by what it does and not by assumed offsets, and decides which pages get the flag
cleared: those of RAM that cannot be executed. When the search finds anything but exactly one place, nothing is changed
and stores are as slow as ever. It refuses to know what is stored.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import unicorn
from unicorn import arm_const as arm
from unicorn.unicorn_py3.unicorn import Uc

from mcutool.emulator import helper

NEVER = 0xFFFFFFFE
CORES = 3
WORDS = 400  # of the engine's structure that are searched
_PAGE = 0x2ABCE000  # an address that nothing else in memory is likely to hold
_MARKED_PAGES = {1 << bit: struct.pack("<I", _PAGE | 1 << bit) for bit in range(10)}
"""By flag: the page with that one bit set below it."""
_STORE_FOREVER = struct.pack("<2H", 0x6008, 0xE7FD)  # str r0, [r1]; b to it
_REGISTERS = struct.pack("<13I", *(0x5AA50000 + 0x1111 * index for index in range(13)))


@dataclass(frozen=True)
class _Layout:
    """Where the TLB of a `Uc` is: *(*(uc + cpu) + table) in bytes, and what an entry looks like."""

    cpu: int
    table: int
    entry_size: int
    write_address: int  # offset in an entry
    flag: int


def _peek(memory: int, address: int, size: int) -> bytes:
    """Memory of this process, or nothing where there is none."""
    try:
        return os.pread(memory, size, address)
    except (OSError, OverflowError):
        return b""


def _is_pointer(word: int) -> bool:
    return 0x1000 < word < 1 << 47 and word % 8 == 0


@cache
def _layout() -> _Layout | None:
    """Search cores that have just stored something; None unless exactly one place answers in all of them.

    One core is not enough: what lies before its structure in memory by chance seems to lead there too.
    """
    try:
        memory = os.open("/proc/self/mem", os.O_RDONLY)
    except OSError:
        return None
    try:
        cores = [_storing_core() for _ in range(CORES)]
        found = set.intersection(*(set(_search(memory, uc)) for uc in cores))
    finally:
        os.close(memory)
    return found.pop() if len(found) == 1 else None


def _storing_core() -> Uc:
    """A core about to store to _PAGE for ever, with registers that can be recognised."""
    uc = Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB, arm.UC_CPU_ARM_CORTEX_M4)
    uc.ctl_set_tcg_buffer_size(1 << 20)  # type: ignore[attr-defined]  # made at run time
    uc.mem_map(0, 0x1000)
    uc.mem_map(_PAGE, 0x1000)
    uc.mem_write(0, _STORE_FOREVER)
    for index, value in enumerate(struct.unpack("<13I", _REGISTERS)):
        uc.reg_write(arm.UC_ARM_REG_R0 + index, value)
    return uc


def _search(memory: int, uc: Uc) -> Iterator[_Layout]:
    """Every place that looks like the TLB: found from the registers before it stores, by the entry afterwards."""
    pointers = [(cpu, pointer) for cpu, pointer in enumerate(_words(uc)) if _is_pointer(pointer)]
    found = [(cpu, pointer, _peek(memory, pointer, 1 << 16).find(_REGISTERS)) for cpu, pointer in pointers]
    uc.reg_write(arm.UC_ARM_REG_R1, _PAGE)
    uc.emu_start(1, NEVER, count=10)
    for cpu, pointer, registers in found:
        if registers >= 0:
            yield from _tables(memory, cpu, pointer, registers)


def _words(uc: Uc) -> ctypes.Array[ctypes.c_uint64]:
    return (ctypes.c_uint64 * WORDS).from_address(uc._uch.value or 0)  # type: ignore[union-attr]  # it is open


def _tables(memory: int, cpu: int, pointer: int, registers: int) -> list[_Layout]:
    """Pairs (mask, table) before the registers, where the table has an entry for the page with one more bit set."""
    start = max(registers - 0x4000, 0)
    area = _peek(memory, pointer + start, registers - start)
    layouts = []
    for offset in range(0, len(area) - 16, 8):
        mask, table = struct.unpack_from("<QQ", area, offset)
        entry_size = mask & -mask
        if not 16 <= entry_size <= 128 or mask >= 1 << 20 or not _is_pointer(table):
            continue
        entries = _peek(memory, table, mask + entry_size)
        for flag, wanted in _MARKED_PAGES.items():
            place = entries.find(wanted)
            while place >= 0:
                if place % 4 == 0:
                    layouts.append(_Layout(8 * cpu, start + offset, entry_size, place % entry_size, flag))
                place = entries.find(wanted, place + 1)
    return layouts


def opener(uc: Uc, spans: list[tuple[int, int]]) -> Callable[[bool], None] | None:
    """A function that opens (True) or closes (False) the pages of the spans (address, bytes) now in the TLB.

    None when there is no helper, or when this build of Unicorn is unknown.
    """
    loaded, layout = helper.library(), _layout()
    if loaded is None or layout is None:
        return None
    table = ctypes.c_void_p(_words(uc)[layout.cpu // 8] + layout.table)
    change = loaded.stores_change
    change.argtypes = [ctypes.c_void_p, *[ctypes.c_uint32] * 5, ctypes.c_bool]
    fixed = (table, layout.entry_size, layout.write_address, layout.flag)

    def change_all(open_them: bool) -> None:
        for address, size in spans:
            change(*fixed, address, size, open_them)

    return change_all
