"""The cluster's memory: every version of every object, on disk before anybody is told.

Stands where etcd stands in Kubernetes. ``log`` is the file, ``writer`` the thread that commits,
``watch`` the fan-out, ``store`` puts them together.
"""
