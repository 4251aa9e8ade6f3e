"""Parallel text: English sentences and questions beside their translations, from the publishers' layouts."""
