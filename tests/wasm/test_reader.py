"""What the reader takes, and the message and offset with which it refuses everything else."""

from __future__ import annotations

import pytest

from mcutool.errors import InvalidModule, Unsupported
from mcutool.wasm.module import FunctionType, GlobalType, Limits, MemoryType, TableType
from mcutool.wasm.reader import read_module
from mcutool.wasm.text import assemble
from mcutool.wasm.validate import validate
from tests.wasm.binary import HEADER, PROPOSALS, SAMPLE, leb, module, module_with_body, section, vector

TYPE = section(1, vector(b"\x60\0\0"))


def test_a_module_of_everything() -> None:
    data = assemble(SAMPLE)
    sample = read_module(data)
    validate(sample)
    assert sample.size == len(data)
    assert sample.function_types[0] == FunctionType(("i32",), ())
    assert [item.name for item in sample.imports] == ["print", "base"]
    assert sample.function_names[1] == "add" and sample.function_name(5) == "main"
    assert sample.memories == [MemoryType(Limits(1, 2))]
    assert sample.table_types == [TableType("funcref", Limits(4, 8)), TableType("externref", Limits(1))]
    assert sample.global_types[:2] == [GlobalType("i32", False), GlobalType("i64", True)]
    assert sample.globals[0].expression[0].immediates == (2**64 - 5,)
    assert sample.start == 5
    assert [element.mode for element in sample.elements] == ["active", "passive", "declarative"]
    assert [data.bytes for data in sample.datas] == [b"hello", b"later"]
    assert sample.functions[1].locals == ("i64", "f64")
    export = sample.export("main")
    assert export and (export.kind, export.index) == ("function", 5)
    assert sample.export("nothing") is None


def test_immediates_are_bits_and_resolved_types() -> None:
    sample = read_module(assemble(SAMPLE))
    seen = {str(item.opcode): item.immediates for function in sample.functions for item in function.body}
    assert seen["call_indirect"] == (FunctionType(("i32", "i32"), ("i32",)), 0)
    assert seen["if"] == (FunctionType((), ("i32", "f32")),)
    assert seen["br_table"] == ((1, 0), 1)
    assert seen["f64.store"] == (3, 8, 0)
    assert seen["f64.const"] == (0x4202A05F20000000,)
    assert seen["memory.init"] == (1, 0)
    assert seen["table.init"] == (1, 0)
    assert seen["memory.copy"] == (0, 0)
    assert seen["select_t"] == ("externref",)
    choose = [item.immediates for item in sample.functions[2].body if str(item.opcode) == "f32.const"]
    assert choose[0] == (0x7FA00001,) and choose[2] == (0x80000000,)


def test_immediates_of_the_proposals() -> None:
    sample = read_module(assemble(PROPOSALS), refused=frozenset())
    validate(sample)
    seen = {str(item.opcode): item.immediates for function in sample.functions for item in function.body}
    binary = FunctionType(("i32", "i32"), ("i32",))
    reference = FunctionType(("(ref null 0)", "externref"), ("(ref func)",))
    assert seen["return_call"] == (2,)
    assert seen["return_call_indirect"] == (binary, 0)
    assert seen["call_ref"] == (binary,) and seen["return_call_ref"] == (reference,)
    assert seen["ref.null"] == ("(ref null 0)",)
    assert seen["br_on_null"] == seen["br_on_non_null"] == (0,)
    assert seen["throw"] == (0,) and seen["throw_ref"] == ()
    tables = [item.immediates for item in sample.functions[1].body if str(item.opcode) == "try_table"]
    catches = (("catch_ref", 0, 0), ("catch", 1, 1), ("catch_all_ref", None, 2))
    assert tables == [(FunctionType((), ("i32",)), catches), (FunctionType(), (("catch_all", None, 0),))]
    assert seen["i64.store8"] == (0, 1, 1) and seen["memory.copy"] == (0, 1)
    assert sample.tag_types == [FunctionType(("i32",)), FunctionType(("i64", "externref"))]
    assert sample.tags == sample.tag_types[1:]
    assert [(item.kind, item.index) for item in sample.exports if item.name == "error"] == [("tag", 1)]
    assert [str(value[0]) if value else None for value in sample.table_values] == [None, "ref.func 2"]


def test_offsets_point_at_opcodes() -> None:
    data = assemble(SAMPLE)
    sample = read_module(data)
    instructions = [item for function in sample.functions for item in function.body]
    for item in instructions:
        assert data[item.offset] == (item.opcode.prefix or item.opcode.code)
    assert all(data[function.offset - 1] > 0 for function in sample.functions)


MALFORMED = {
    "nothing": (b"", "magic header not detected", 0),
    "no magic": (b"hello world", "magic header not detected", 0),
    "cut magic": (b"\0as", "unexpected end", 3),
    "version": (b"\0asm\2\0\0\0", "unknown binary version", 4),
    "component": (b"\0asm\x0d\0\1\0", "a component, and only core modules", 4),
    "section id": (module(section(14, b"")), "malformed section id: section 14", 8),
    "section twice": (module(TYPE, TYPE), "unexpected content after last section: section 1", 14),
    "sections out of order": (module(section(3, b"\0"), TYPE), "unexpected content after last section: section 1", 11),
    "data count late": (
        module(section(10, b"\0"), section(12, b"\0")),
        "unexpected content after last section: section 12",
        11,
    ),
    "section beyond the end": (HEADER + b"\1\5\0", "length out of bounds", 11),
    "section too short": (HEADER + b"\1\3\1\x60\0\0", "unexpected end", 13),
    "section too long": (HEADER + b"\1\5\1\x60\0\0\0", "section size mismatch", 14),
    "number too long": (HEADER + b"\1\x84\x80\x80\x80\x80\0", "integer representation too long", 9),
    "number too large": (HEADER + b"\1\x84\x80\x80\x80\x10", "integer too large", 9),
    "signed number too large": (
        module_with_body(b"\x41\xff\xff\xff\xff\x0f\x1a\x0b"),
        "integer too large",
        0x18,
    ),
    "signed number too long": (
        module_with_body(b"\x42\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x1a\x0b"),
        "integer representation too long",
        0x18,
    ),
    "name": (module(section(0, b"\2\xc3\x28")), "malformed UTF-8 encoding", 10),
    "surrogate": (module(section(0, b"\3\xed\xa0\x80")), "malformed UTF-8 encoding", 10),
    "function type": (module(section(1, vector(b"\x40\0\0"))), "malformed function type 0x40", 11),
    "value type": (module(section(1, vector(b"\x60\1\x41\0"))), "malformed value type 0x41", 13),
    "unknown type": (module(TYPE, section(3, vector(b"\1"))), "unknown type 1", 17),
    "import kind": (module(section(2, vector(b"\0\0\5\0"))), "malformed import kind 0x05", 13),
    "export kind": (module(section(7, vector(b"\0\6\0"))), "malformed export kind 0x06", 12),
    "limits": (module(section(5, vector(b"\x10\0"))), "malformed limits flags", 11),
    "page size of a table": (module(section(4, vector(b"\x70\x08\0\0"))), "malformed limits flags", 12),
    "page size": (module(section(5, vector(b"\x08\0\x41"))), "invalid custom page size", 13),
    "table of numbers": (module(section(4, vector(b"\x7f\0\0"))), "malformed reference type 0x7f", 11),
    "mutability": (module(section(6, vector(b"\x7f\2\x41\0\x0b"))), "malformed mutability", 12),
    "element flags": (module(section(9, vector(b"\x08"))), "malformed elements segment kind", 11),
    "element kind": (module(section(9, vector(b"\1\1\0"))), "malformed element kind", 12),
    "data flags": (module(section(11, vector(b"\3"))), "malformed data segment kind", 11),
    "no code": (module(TYPE, section(3, vector(b"\0"))), "inconsistent lengths", 18),
    "too little code": (
        module(TYPE, section(3, vector(b"\0", b"\0")), section(10, vector(b"\2\0\x0b"))),
        "inconsistent lengths",
        22,
    ),
    "code of nothing": (module(section(10, vector(b"\2\0\x0b"))), "inconsistent lengths", 11),
    "data count": (module(section(12, b"\1"), section(11, b"\0")), "data count and data section", 14),
    "data count required": (module_with_body(b"\xfc\x09\0\x0b"), "data count section required", 0x17),
    "function beyond the section": (
        module(TYPE, section(3, vector(b"\0")), section(10, vector(b"\3\0\x0b"))),
        "unexpected end of section or function",
        24,
    ),
    "function without end": (module_with_body(b"\1"), "unexpected end", 0x18),
    "function after its end": (module_with_body(b"\x0b\1"), "END opcode expected", 0x18),
    "open block": (module_with_body(b"\x02\x40\x0b"), "unexpected end", 0x1A),
    "else without if": (module_with_body(b"\x02\x40\x05\x0b\x0b"), "else without if", 0x19),
    "else twice": (module_with_body(b"\x41\0\x04\x40\x05\x05\x0b\x0b"), "else without if", 0x1C),
    "block type": (module_with_body(b"\x02\x41\x0b\x0b"), "malformed block type", 0x18),
    "block type index": (module_with_body(b"\x02\x05\x0b\x0b"), "unknown type 5", 0x18),
    "opcode": (module_with_body(b"\xff\x0b"), "illegal opcode ff", 0x17),
    "prefixed opcode": (module_with_body(b"\xfc\x7f\x0b"), "illegal opcode fc 7f", 0x17),
    "alignment flags": (module_with_body(b"\x28\x80\1\0\x0b"), "malformed memop flags", 0x18),
    "reference type": (module_with_body(b"\xd0\x7f\x1a\x0b"), "malformed heap type 0x7f", 0x18),
    "select of two": (module_with_body(b"\x1c\2\x7f\x7f\x0b"), "invalid result arity", 0x18),
    "locals": (
        module_with_body(b"\x0b", local_groups=b"\2\xff\xff\xff\xff\x0f\x7f\2\x7e"),
        "too many locals",
        0x16,
    ),
    "heap type": (module(section(6, vector(b"\x63\x7f\0\xd0\x70\x0b"))), "malformed heap type 0x7f", 12),
    "reference to no type": (module(section(6, vector(b"\x63\0\0\xd0\0\x0b"))), "unknown type 0", 12),
    "reference to a later type": (
        module(section(1, vector(b"\x60\1\x64\1\0", b"\x60\0\0"))),
        "unknown type 1",
        14,
    ),
    "value of a table": (module(section(4, vector(b"\x40\1\x70\0\0"))), "malformed reference type 0x40", 11),
    "tag attribute": (module(TYPE, section(13, vector(b"\1\0"))), "malformed tag attribute", 17),
    "type of a tag": (module(TYPE, section(13, vector(b"\0\1"))), "unknown type 1", 18),
    "catch": (module_with_body(b"\x1f\x40\1\4\0\x0b\x0b"), "malformed catch 0x04", 0x1A),
    "vector beyond the end": (module(section(1, leb(2**32 - 1))), "unexpected end", 15),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_module_is_refused_with_its_offset(name: str) -> None:
    data, message, offset = MALFORMED[name]
    with pytest.raises(InvalidModule) as caught:
        read_module(data, refused=frozenset())
    assert message in str(caught.value)
    assert caught.value.offset == offset


V128 = b"\x7b"
LATER = {
    "SIMD opcode": (module_with_body(b"\xfd\x0c\x0b"), "SIMD", 0x17),
    "SIMD type": (module(section(1, vector(b"\x60\1" + V128 + b"\0"))), "SIMD", 13),
    "atomics": (module_with_body(b"\xfe\x03\0\x0b"), "threads", 0x17),
    "shared memory": (module(section(5, vector(b"\3\1\1"))), "threads", 11),
    "memory64": (module(section(5, vector(b"\4\1"))), "memory64", 11),
    "struct type": (module(section(1, vector(b"\x5f\0"))), "garbage collection", 11),
    "anyref": (module(section(1, vector(b"\x60\1\x6e\0"))), "garbage collection", 13),
    "wide arithmetic": (module_with_body(b"\xfc\x13\x0b"), "wide arithmetic", 0x17),
    "very many locals": (
        module_with_body(b"\x0b", local_groups=b"\1\xd1\x86\3\x7f"),
        "more than 50000 local variables in a function",
        0x16,
    ),
}


@pytest.mark.parametrize("name", LATER)
def test_a_later_proposal_is_named(name: str) -> None:
    data, feature, offset = LATER[name]
    with pytest.raises(Unsupported) as caught:
        read_module(data)
    assert str(caught.value) == f"not supported: {feature} (at byte offset {offset:#x})"


@pytest.mark.parametrize("opener", [b"\x02\x40", b"\x03\x40", b"\x41\0\x04\x40"], ids=["block", "loop", "if"])
def test_nesting_costs_no_python_stack(opener: bytes) -> None:
    depth = 100_000
    deep = read_module(module_with_body(opener * depth + b"\x0b" * depth + b"\x0b"))
    validate(deep)
    with pytest.raises(InvalidModule):
        read_module(module_with_body(opener * depth))


def test_a_truncated_module_is_invalid_at_every_byte() -> None:
    data = assemble(SAMPLE)
    whole_sections = 0
    for length in range(len(data)):
        try:
            validate(read_module(data[:length]))
            whole_sections += 1
        except InvalidModule as error:
            assert error.offset is not None and error.offset <= length
    assert whole_sections <= 13  # a file may end after any of its sections


def test_custom_sections_are_kept_as_they_are() -> None:
    custom = section(0, b"\4note" + b"anything")
    kept = read_module(module(custom, TYPE, custom))
    assert kept.customs == [("note", b"anything", 15), ("note", b"anything", 36)]


@pytest.mark.parametrize("contents", [b"\1\4\1\0\2\xc3\x28", b"\1\x7f", b"\1\2\5\0", b"\xff"])
def test_a_malformed_name_section_is_ignored(contents: bytes) -> None:
    assert read_module(module(section(0, b"\4name" + contents))).function_names == {}


def test_function_names_are_found_after_other_subsections() -> None:
    contents = b"\0\2\1m" + b"\1\5\1\3\2hi" + b"\2\1\0"
    named = read_module(module(section(0, b"\4name" + contents)))
    assert named.function_names == {3: "hi"}
    assert named.function_name(4) == "function 4"


def test_page_sizes_of_one_byte() -> None:
    small = read_module(module(section(5, vector(b"\x09\x80\x08\xff\xff\xff\xff\x0f\0"))))
    validate(small)
    assert small.memories == [MemoryType(Limits(1024, 2**32 - 1), 1)]
