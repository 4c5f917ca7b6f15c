"""What a container sees of the node: files, folders, claims and tokens, and where they lie."""
