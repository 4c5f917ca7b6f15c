"""Objects as rows: the Table form of ``meta.k8s.io/v1`` that ``kubectl get`` asks for.

Mirrors ``k8s.io/kubernetes/pkg/printers/internalversion`` and its table convertor: one column
list and one cell function per kind, which the kind's descriptor names. Cells are computed from the
plain objects, so a printer reads only what it shows. Kinds with little to show keep their printer
beside their descriptor; the larger ones are here.

Rules for callers: ``now`` is the server's time, ages are relative to it; objects are read, never
changed, and rows refer to parts of them, so do not change them before the table is encoded.
"""

from __future__ import annotations

from netlab.api.tables.build import table_for

__all__ = ["table_for"]
