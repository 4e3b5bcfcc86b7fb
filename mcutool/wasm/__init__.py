"""From the bytes of a .wasm file to a validated module."""
