"""What client-go is to Kubernetes: read, write and watch objects, informers and work queues."""
