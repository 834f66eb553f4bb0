"""Pretraining frameworks: a file per framework, each with the classes Settings and Method."""
