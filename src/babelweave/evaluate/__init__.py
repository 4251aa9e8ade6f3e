"""Runs and judgements to figures, and figures to claims that hold."""
