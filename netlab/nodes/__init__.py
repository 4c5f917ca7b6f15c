"""The lab's machines: the node's network namespace, its addresses, and giving everything back."""
