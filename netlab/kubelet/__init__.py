"""The node agent: makes the pods bound to its node real, and reports what became of them."""
