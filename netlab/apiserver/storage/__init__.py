"""What single kinds need of the API server itself: allocations, bindings, quotas."""
