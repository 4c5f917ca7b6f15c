"""The forms objects are printed in: aligned tables, YAML, JSON, JSONPath, names, custom columns.

Everything here is pure.
"""
