"""The register IR: built from stack code, optimised, given slots."""
