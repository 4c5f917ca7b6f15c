"""The ``netlab`` command: its front, and the verbs about the lab. ``kubectl`` has kubectl's."""
