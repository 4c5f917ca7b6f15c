"""Containers: OCI specs, images and root filesystems, conmon with crun or runc."""
