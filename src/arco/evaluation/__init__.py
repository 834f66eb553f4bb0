"""Inference on test scans and the scores computed from it."""
