"""Questions to runs: dense, BM25, hybrids and re-ranking."""
