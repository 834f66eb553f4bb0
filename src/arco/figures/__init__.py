"""The appendix's figures, from results to pictures."""
