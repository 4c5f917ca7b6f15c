"""What the server tells about itself: version, health, discovery, OpenAPI."""
