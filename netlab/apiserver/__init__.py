"""The API server: HTTPS requests -> the registry's verbs -> stored objects, watches, streams."""
