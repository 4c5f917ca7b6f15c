"""Long-lived connections through the API server: commands, port-forward, the HTTP proxy."""
