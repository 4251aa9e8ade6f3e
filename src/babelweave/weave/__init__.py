"""Weaving: the vectors of generated queries fused into the vector of their passage."""
