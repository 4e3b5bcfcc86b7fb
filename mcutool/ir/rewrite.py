from mcutool.ir.nodes import Function
def simplify(function: Function) -> bool:
    return False
