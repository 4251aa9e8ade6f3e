"""Adversaries of training, one a file; `registry.py` names them, `protocols.Adversary` is the seam."""
