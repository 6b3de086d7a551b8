"""Stands in for ``swebench.harness``: the same calls, without Docker."""
