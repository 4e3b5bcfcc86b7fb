"""The register IR and its way to bytecode."""
