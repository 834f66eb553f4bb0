"""Synthetic datasets in original layouts: a file per layout, each with write_phantoms()."""
