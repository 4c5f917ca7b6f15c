"""What kube-proxy is to Kubernetes: turns Services and their endpoints into the node's rules."""
