"""Differential fuzzing: generated modules on every road against wasmtime, damaged ones against its validator."""
