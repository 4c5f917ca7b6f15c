"""The kubelet's own HTTPS server on port 10250: what those who may ask of a node."""
