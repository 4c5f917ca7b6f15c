"""HTTP and TLS: from a connection to a verb of the registry, and back."""
