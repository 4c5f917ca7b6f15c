"""Pods without a node -> bindings: filters, scores, bind."""
