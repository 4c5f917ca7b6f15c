"""netlab: Kubernetes networking that you can take apart."""

__version__ = "0.1.0"
