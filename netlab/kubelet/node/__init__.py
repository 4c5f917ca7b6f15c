"""The Node object: what the machine is and uses, and that it is alive."""
