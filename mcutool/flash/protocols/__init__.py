"""Codecs of the serial protocols. None of them knows a wire, a clock or a chip's name."""
