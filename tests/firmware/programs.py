"""Small images written by hand in bytecode, so that the firmware is tested without the translator."""

from __future__ import annotations

from mcutool.encoding import STUB_CODE, encode
from mcutool.hostapi import BY_NAME as HOST
from mcutool.hostapi import WASI, slots
from mcutool.image.format import Image
from mcutool.image.link import arena_bytes
from mcutool.isa import BY_NAME

WINDOW = 256
IOVEC, COUNT, TEXT = 0, 8, 16  # addresses in the linear memory
HOST_NAMES = [(WASI, "fd_write"), (WASI, "proc_exit"), (WASI, "fd_read"), ("mcu", "sleep_ms"), ("mcu", "led_set")]
FD_WRITE, PROC_EXIT, FD_READ, SLEEP, LED_SET = range(len(HOST_NAMES))


def op(name: str, **operands: int) -> list[int]:
    return encode(BY_NAME[name], **operands)


def host(number: int, *arguments: int) -> list[int]:
    """A call of the import `number` with constants; the result lies in slot 8."""
    code = []
    for place, value in enumerate(arguments):
        code += op("i32.const", d=8 + place, i=value)
    return code + op("call_host", k=8, h=number)


def image(start: list[int], *others: list[int], data: bytes = b"") -> bytes:
    """A bundle of one module: function 0 copies `data` to TEXT, 1 is the start function, then the others."""
    instantiate = []
    for place, value in enumerate((TEXT, 0, len(data))):
        instantiate += op("i32.const", d=place, i=value)
    instantiate += op("memory.init", x=0, a=0, b=1, c=2) + op("return")
    result = Image(code=list(STUB_CODE), stack_slots=128, version=(1, 2, 3, 0))
    for body in (instantiate, start, *others):
        result.functions.append(dict(code=len(result.code), signature=0, module=0))
        result.code += [24, *body]
    _declare(result, data)
    result.ram = arena_bytes(result)
    return result.build()


def _declare(result: Image, data: bytes) -> None:
    result.signatures.append(dict(parameter_slots=0, result_slots=0, text=">"))
    for number, name in enumerate(HOST_NAMES, start=1):
        row = HOST[name]
        sizes = dict(parameter_slots=slots(row.parameters), result_slots=slots(row.results), text="")
        result.signatures.append(sizes)
        result.imports.append(dict(host=row.number, signature=number, module_name=row.module, name=row.name))
    result.modules = [dict(memory=0, instantiate=0, start=1, flags=0)]
    memory = dict(minimum=1, maximum=1, page_log2=16, window_low=0, flags=0)
    result.memories = [memory | dict(window_size=WINDOW, capacity=WINDOW)]
    result.datas = [data]
    result.exports = [dict(name="_start", kind=0, module=0, index=1)]


def _iovec(address: int, size: int) -> list[int]:
    code = op("i32.const", d=0, i=IOVEC) + op("i32.const", d=1, i=address) + op("i32.const", d=2, i=size)
    return code + op("i32.store", a=0, b=1, e=0) + op("i32.store", a=0, b=2, e=4)


def writes(text: bytes, status: int) -> bytes:
    """Writes a text and ends with a status."""
    body = _iovec(TEXT, len(text)) + host(FD_WRITE, 1, IOVEC, 1, COUNT) + host(PROC_EXIT, status)
    return image(body + op("return"), data=text)


def writes_for_ever(text: bytes) -> bytes:
    """Writes a text every 5 milliseconds."""
    body = _iovec(TEXT, len(text)) + host(FD_WRITE, 1, IOVEC, 1, COUNT) + host(SLEEP, 5)
    return image(body + op("br", j=-len(body)), data=text)


def echoes() -> bytes:
    """Writes what it reads, until the end of its input."""
    body = _iovec(TEXT, WINDOW - TEXT) + host(FD_READ, 0, IOVEC, 1, COUNT)
    body += op("i32.const", d=0, i=IOVEC) + op("i32.load", d=1, a=0, e=COUNT)
    write = op("i32.store", a=0, b=1, e=4) + host(FD_WRITE, 1, IOVEC, 1, COUNT)
    skip = op("br_unless", a=1, j=0)
    back = op("br", j=-(len(body) + len(skip) + len(write)))
    return image(body + op("br_unless", a=1, j=len(skip) + len(write) + len(back)) + write + back + op("return"))


def traps() -> bytes:
    """Its start function calls function 2, which is unreachable."""
    return image(op("call", k=8, f=2) + op("return"), op("trap", u=1))


def adds() -> bytes:
    """Function 2 gives the sum of its two arguments."""
    return image(op("return"), op("i32.add", d=0, a=0, b=1) + op("return"))


def loops_for_ever(*body: list[int]) -> bytes:
    """Goes round the instructions for ever; function 2 returns at once."""
    code = [halfword for instruction in body for halfword in instruction]
    return image(code + op("br", j=-len(code)), op("return"))


def blinks(milliseconds: int) -> bytes:
    """Switches the light off, on, waits, off."""
    return image(host(LED_SET, 0) + host(LED_SET, 1) + host(SLEEP, milliseconds) + host(LED_SET, 0) + op("return"))
