"""One container: its environment, rights and bounds, its start, its hooks and its end."""
