"""Boards without hardware: the very firmware of a board, run on Unicorn with models of its peripherals."""
