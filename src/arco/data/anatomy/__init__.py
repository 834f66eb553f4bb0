"""Synthetic anatomy: shapes and tissues in millimetres, and the scanner that makes images of them."""
