"""The objects of the Kubernetes API: kinds, names, selectors, defaults, validation, patches.

Everything here is pure. Objects travel as plain ``dict`` (the JSON the user wrote, completed with
defaults); code that acts on them reads them through the frozen views of ``meta``, ``core``,
``apps`` and ``discovery``.
"""
