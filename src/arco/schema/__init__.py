"""The sections of params.yaml: every key, its type and its range. Loads no torch."""
