"""The lab's machines: node 0 is the VM itself, or the network namespace that plays it."""
