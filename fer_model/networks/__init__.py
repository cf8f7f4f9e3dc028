"""The networks: architectures, loading, import and download."""
