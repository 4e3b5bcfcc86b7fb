"""Benchmarks: small C programs, compiled to WebAssembly and natively, compared on the emulated Cortex-M4F."""
