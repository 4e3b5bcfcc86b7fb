"""Runs the IR as it stands, slowly: what a function means between two stages."""

from __future__ import annotations

import struct

from mcutool.ir.nodes import Block, Function, Instruction, Value
from mcutool.ir.rules import fold

ACCESSES = {"load": "", "store": "", "8_s": "b", "8_u": "B", "16_s": "h", "16_u": "H", "32_s": "i", "32_u": "I"}


class Trap(Exception):
    """The program did what traps."""


class Machine:
    """The functions of a module in memory of one page; all but floats and tables that change."""

    def __init__(self, functions: list[Function], globals_: list[int], data: dict[int, bytes]) -> None:
        self.functions = functions
        self.ranges: dict[Value, tuple[int, int]] = {}
        self.globals = list(globals_)
        self.memory = bytearray(65536)
        for address, content in data.items():
            self.memory[address : address + len(content)] = content

    def call(self, number: int, arguments: list[int]) -> list[int]:
        function = self.functions[number]
        values = dict(zip(function.entry.parameters, arguments, strict=True))
        block = function.entry
        while True:
            for instruction in block.instructions:
                operands = [values[value] for value in instruction.operands]
                self._put(values, instruction.results, self._do(instruction, operands))
            terminator = block.terminator
            operands = [values[value] for value in terminator.operands]
            if terminator.op == "return":
                return operands
            if terminator.op == "unreachable":
                raise Trap
            block = self._follow(terminator, operands, values)

    def _follow(self, terminator: Instruction, operands: list[int], values: dict[Value, int]) -> Block:
        index = 0
        if terminator.op == "br_if":
            index = operands[0] == 0
        elif terminator.op == "br_table":
            index = min(operands[0], len(terminator.edges) - 1)
        edge = terminator.edges[index]
        self._put(values, edge.target.parameters, [values[value] for value in edge.arguments])
        return edge.target

    def _put(self, values: dict[Value, int], names: list[Value], numbers: list[int]) -> None:
        """Let values be numbers, which lie in their `ranges` when these are known."""
        for value, number in zip(names, numbers, strict=True):
            least, most = self.ranges.get(value, (number, number))
            assert least <= number <= most, (str(value), number, least, most)
            values[value] = number

    def _do(self, instruction: Instruction, operands: list[int]) -> list[int]:
        op, immediates = instruction.op, instruction.immediates
        if op.endswith(".const"):
            return [immediates[0]]
        if op == "select":
            return [operands[0] if operands[2] else operands[1]]
        if op == "call":
            return self.call(immediates[0], operands)
        if op == "call_indirect":
            return self.call(operands[-1], operands[:-1])
        if op == "global.get":
            return [self.globals[immediates[0]]]
        if op == "global.set":
            self.globals[immediates[0]] = operands[0]
            return []
        if ".load" in op or ".store" in op:
            return self._access(op, operands[0] + immediates[0], operands[1:])
        result = fold(op, operands, 32 * instruction.result.slots)
        if result is None:
            raise Trap
        return [result]

    def _access(self, op: str, address: int, values: list[int]) -> list[int]:
        type_, _, name = op.partition(".")
        kind = name.removeprefix("load").removeprefix("store")
        code = {"8": "B", "16": "H", "32": "I", "": "IQ"[type_ == "i64"]}.get(kind) or ACCESSES[kind]
        size = struct.calcsize(code)
        if address + size > len(self.memory):
            raise Trap
        if name.startswith("store"):
            struct.pack_into(f"<{code}", self.memory, address, values[0] & (1 << 8 * size) - 1)
            return []
        return [struct.unpack_from(f"<{code}", self.memory, address)[0] & (1 << int(type_[1:])) - 1]
