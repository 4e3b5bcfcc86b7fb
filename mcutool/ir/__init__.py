"""The register IR: SSA with block parameters, its laws, rewrites, passes and slot allocation."""
