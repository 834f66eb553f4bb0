"""Readers of original downloads: a file per layout, each with find_cases()."""
