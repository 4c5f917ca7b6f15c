"""What a CNI plugin is to Kubernetes: gives each pod an address and a link to the node."""
