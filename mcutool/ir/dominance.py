"""Who is reached through whom: order of blocks, dominators, loops.

This file decides the order in which passes walk and answers questions about it. It refuses to change a function.
Dominators are found as in Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm" (2001).
"""

from __future__ import annotations

from mcutool.ir.nodes import Block, Function


def reverse_postorder(function: Function) -> list[Block]:
    """The blocks that can be reached, each before its successors except along back edges."""
    seen = {function.entry}
    order: list[Block] = []
    path = [(function.entry, iter(function.entry.edges))]
    while path:
        block, edges = path[-1]
        for edge in edges:
            if edge.target not in seen:
                seen.add(edge.target)
                path.append((edge.target, iter(edge.target.edges)))
                break
        else:
            order.append(block)
            path.pop()
    return order[::-1]


class Dominators:
    """The dominator tree of a function's reachable blocks."""

    def __init__(self, function: Function) -> None:
        self.order = reverse_postorder(function)
        self._number = {block: number for number, block in enumerate(self.order)}
        self._parent = self._parents()
        self._interval = self._intervals()

    def _parents(self) -> list[int]:
        """The immediate dominator of each block, by numbers in the order."""
        sources: list[list[int]] = [[] for _ in self.order]
        for number, block in enumerate(self.order):
            for edge in block.edges:
                sources[self._number[edge.target]].append(number)
        parent = [-1] * len(self.order)
        parent[0] = 0
        changed = True
        while changed:
            changed = False
            for number in range(1, len(self.order)):
                known = [source for source in sources[number] if parent[source] >= 0]
                nearest = known[-1]
                for source in known[-2::-1]:  # from below: what has been climbed need not be climbed again
                    nearest = _meet(parent, nearest, source)
                if parent[number] != nearest:
                    parent[number], changed = nearest, True
        return parent

    def _intervals(self) -> list[tuple[int, int]]:
        """Entry and exit times of a walk over the tree: one block dominates another when it encloses it."""
        children: list[list[int]] = [[] for _ in self.order]
        for number in range(len(self.order) - 1, 0, -1):
            children[self._parent[number]].append(number)
        entered, left = [0] * len(self.order), [0] * len(self.order)
        clock = 0
        path = [0]
        while path:
            number = path[-1]
            clock += 1
            if not entered[number]:
                entered[number] = clock
            if children[number]:
                path.append(children[number].pop())
            else:
                left[number] = clock
                path.pop()
        return list(zip(entered, left, strict=True))

    def reaches(self, block: Block) -> bool:
        """Whether the entry leads to the block at all."""
        return block in self._number

    def parent(self, block: Block) -> Block:
        """The immediate dominator; the entry's is itself."""
        return self.order[self._parent[self._number[block]]]

    def dominates(self, block: Block, other: Block) -> bool:
        """Whether every way to `other` goes through `block`; a block dominates itself."""
        first, last = self._interval[self._number[block]]
        inner_first, inner_last = self._interval[self._number[other]]
        return first <= inner_first and inner_last <= last


def _meet(parent: list[int], a: int, b: int) -> int:
    while a != b:
        while a > b:
            a = parent[a]
        while b > a:
            b = parent[b]
    return a


def loop_depths(blocks: list[Block]) -> dict[Block, int]:
    """How many loops surround each block, when a loop is taken to reach from its header to its last back edge.

    The list is in program order, where WebAssembly's loops lie in one piece.
    """
    place = {block: number for number, block in enumerate(blocks)}
    last: dict[int, int] = {}
    for number, block in enumerate(blocks):
        for edge in block.edges:
            header = place[edge.target]
            if header <= number:
                last[header] = max(last.get(header, 0), number)
    depth = [0] * len(blocks)
    for header, end in last.items():
        for number in range(header, end + 1):
            depth[number] += 1
    return dict(zip(blocks, depth, strict=True))
