"""Bytes between a caller and a pod: logs, processes in containers, connections."""
