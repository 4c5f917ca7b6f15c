"""Decides what a pod needs next: from what is seen, remembered and wanted to steps.

Everything here is pure.
"""
