"""What a machine instruction costs in modelled cycles, from its halfwords.

This file decides the table, and which loads pair. It refuses to know what has been executed (`profile.py`) or may be
(`estimate.py`).

The cycles are a model, never a measurement: Cortex-M4 with zero wait states after Arm DDI0439 sections 3.3.1 and 7.2.3.
Not in it: flash wait states, address-generation interlocks, fetch alignment, misaligned access. For Cortex-M3 the same
table holds; ARMv6-M is counted by that of Cortex-M0+ (Arm DDI0484 section 3.3), where loads do not pair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from mcutool.devices import Core

NOTHING = -1  # no register


@dataclass(frozen=True)
class Cost:
    """What an instruction costs, and how it takes part in the pairing of loads.

    `cycles` when it executes; `branch` more when it continues elsewhere; one less directly behind a load whose result
    (`result`, a register number of the load before) is not among the `address` registers, if it `pairs`. What always
    goes where a register or memory says has no `branch`: it costs the same when that is directly behind it.
    """

    cycles: int = 1
    branch: int = 2
    pairs: bool = False
    result: int | None = None  # set for single loads only; NOTHING for a load into the floating-point unit
    address: tuple[int, ...] = ()


def pair(before: Cost, here: Cost) -> bool:
    """Whether the second, directly behind the first, takes a cycle less."""
    return here.pairs and before.result is not None and before.result not in here.address


def table_of(core: Core) -> Callable[[int, int], Cost]:
    """What an instruction costs on this core, by its halfwords; the second is 0 when it has one only."""
    return cost_small if core.architecture == "armv6-m" else cost


# --- Cortex-M4 and M3 -------------------------------------------------------------------------------------------------

ONE = Cost()


@cache
def cost(first: int, second: int) -> Cost:
    """The cost of the instruction with these halfwords; `second` is 0 for a 16-bit one."""
    return _wide(first, second) if first >> 11 >= 0x1D else _narrow(first)


def _load(result: int, *address: int) -> Cost:
    return Cost(2, pairs=True, result=result, address=address)


def _store_indexed(*address: int) -> Cost:
    return Cost(2, pairs=True, address=address)


def _goes_to_register(code: int) -> bool:
    """BX, BLX; MOV and ADD into PC."""
    return code & 0xFF00 == 0x4700 or code & 0xFD87 == 0x4487


def _narrow(code: int) -> Cost:
    """16-bit instructions."""
    if _goes_to_register(code):
        return Cost(3, branch=0)
    base, index, low = code >> 3 & 7, code >> 6 & 7, code & 7
    if code >> 11 == 0b01001:  # LDR literal
        return _load(code >> 8 & 7, 15)
    if code >> 12 == 0b0101:  # register offset: STR STRH STRB LDRSB LDR LDRH LDRB LDRSH
        return _store_indexed(base, index) if code >> 9 & 7 < 3 else _load(low, base, index)
    if code >> 13 == 0b011 or code >> 12 == 0b1000:  # immediate offset
        return _load(low, base) if code >> 11 & 1 else ONE
    if code >> 12 == 0b1001:  # relative to SP
        return _load(code >> 8 & 7, 13) if code >> 11 & 1 else ONE
    if code >> 12 == 0b1100 or code & 0xF600 == 0xB400:  # LDM, STM, PUSH, POP with LR or PC as a ninth register
        extra = code >> 8 & 1 if code >> 12 == 0b1011 else 0
        return Cost(1 + (code & 0xFF).bit_count() + extra)
    return ONE


def _wide(first: int, second: int) -> Cost:
    """32-bit instructions."""
    if first & 0xFE40 == 0xE800:  # LDM, STM
        return Cost(1 + second.bit_count())
    if first & 0xFE40 == 0xE840:
        return _dual_or_exclusive(first, second)
    if first & 0xFE00 == 0xF800:
        return _single_transfer(first, second)
    if first & 0xEC00 == 0xEC00:
        return _floating(first, second) if second & 0x0E00 == 0x0A00 else ONE
    if first & 0xFFD0 == 0xFB90 and second & 0xF0 == 0xF0:  # SDIV, UDIV
        return Cost(7)
    return ONE


def _dual_or_exclusive(first: int, second: int) -> Cost:
    if first & 0xFFF0 == 0xE8D0 and second & 0xE0 == 0:  # TBB, TBH
        return Cost(2)
    if first & 0xFF60 == 0xE840 or first & 0xFFE0 == 0xE8C0:  # LDREX, STREX and their narrow forms
        return Cost(2)
    return Cost(3)  # LDRD, STRD


def _single_transfer(first: int, second: int) -> Cost:
    """Loads and stores of one register; LDRB, LDRH into PC are memory hints."""
    base, register, size = first & 0xF, second >> 12, first >> 5 & 3
    by_register = first & 0x0080 == 0 and second & 0x0FC0 == 0 and base != 15
    index = (second & 0xF,) if by_register else ()
    if not first & 0x0010:
        return _store_indexed(base, *index) if by_register else ONE
    if register == 15 and size != 2:
        return ONE
    if register == 15:
        return Cost(4, branch=0, pairs=True, address=(base, *index))
    return _load(register, base, *index)


def _floating(first: int, second: int) -> Cost:
    """VFPv4 single precision."""
    if first & 0xFE00 == 0xEC00:
        return _floating_transfer(first, second)
    if first & 0xFF00 != 0xEE00 or second & 0x10:  # FPv5 extras; moves to and from core registers, VMRS
        return ONE
    operation = first >> 4 & 0xB  # opc1 without the D bit
    if operation in (0b0000, 0b0001, 0b1001, 0b1010):  # VMLA VMLS, VNMLA VNMLS, VFNMA VFNMS, VFMA VFMS
        return Cost(3)
    square_root = operation == 0b1011 and first & 0xF == 1 and second & 0xC0 == 0xC0
    return Cost(14) if operation == 0b1000 or square_root else ONE


def _floating_transfer(first: int, second: int) -> Cost:
    double = second >> 8 & 1
    if first & 0xFFE0 == 0xEC40:  # VMOV of two core registers
        return Cost(2)
    if first & 0x0120 != 0x0100:  # VLDM, VSTM, VPUSH, VPOP
        return Cost(1 + (second & 0xFF))
    if not first & 0x10:
        return Cost(2 + double)
    # A VLDR of a double is no single load for the one behind it.
    return Cost(2 + double, pairs=True, result=None if double else NOTHING, address=(first & 0xF,))


# --- Cortex-M0+ -------------------------------------------------------------------------------------------------------

SMALL = Cost(branch=1)


@cache
def cost_small(first: int, second: int) -> Cost:
    """Loads and stores 2, of N words 1 + N, taken branches 2, BL 3, with a one-cycle multiplier; 32-bit others 3."""
    if first >> 11 >= 0x1D:
        return Cost(2, branch=1) if second & 0xD000 == 0xD000 else Cost(3)
    if first >> 12 == 0b1100 or first & 0xF600 == 0xB400:
        extra = first >> 8 & 1 if first >> 12 == 0b1011 else 0
        return Cost(1 + (first & 0xFF).bit_count() + extra, branch=1)
    if _goes_to_register(first):
        return Cost(2, branch=0)
    memory = first >> 11 == 0b01001 or first >> 12 in (0b0101, 0b0110, 0b0111, 0b1000, 0b1001)
    return Cost(2) if memory else SMALL
