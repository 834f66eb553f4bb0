"""Synthetic anatomy: organs in millimeters, and the scanner that makes images of them."""
