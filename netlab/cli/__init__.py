"""The ``netlab`` command: verbs about the lab, and kubectl's verbs with kubectl's output."""
