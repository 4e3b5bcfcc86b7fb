"""Bytecode: instructions chosen, laid out and measured."""
