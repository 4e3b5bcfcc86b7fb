"""Tests of the room wasm and of the scripts that drive it."""
