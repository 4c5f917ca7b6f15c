"""The newest state and writes to it, and what single kinds need beyond being stored."""
