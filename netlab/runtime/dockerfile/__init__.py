"""Builds images from Dockerfiles: reading, planning, and carrying out on netlab's own runtime."""
