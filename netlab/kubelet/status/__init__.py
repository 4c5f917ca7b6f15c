"""What is told of a pod: its status, its conditions, its containers' last words."""
