"""The appendix's tables, from metrics files to printed pages."""
