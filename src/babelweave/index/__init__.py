"""Indexes over vectors (exact, FAISS) and over texts (BM25)."""
