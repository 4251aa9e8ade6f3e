"""A lexicon small enough to check by hand, and passages it covers."""

from __future__ import annotations

from babelweave.generate.lexicon import Lexicon
from babelweave.records import Passage

# Meanings 1-3: "bank" is the institution (known in four languages) before the river side (in two).
ROWS = [
    ("en", "00000001-n", "bank|depository"),
    ("de", "00000001-n", "Bank"),
    ("es", "00000001-n", "banco"),
    ("ar", "00000001-n", "xyz|بنك"),
    ("en", "00000002-n", "bank|riverside"),
    ("de", "00000002-n", "Ufer"),
    ("en", "00000003-n", "river"),
    ("de", "00000003-n", "Fluss"),
    ("es", "00000003-n", "río"),
    ("ar", "00000003-n", "نهر"),
    ("en", "00000004-n", "steam engine"),
    ("de", "00000004-n", "Dampfmaschine"),
    ("es", "00000004-n", "máquina de vapor"),
    ("en", "00000005-v", "build"),
    ("de", "00000005-v", "bauen|errichten"),
    ("es", "00000005-v", "construir"),
    ("en", "00000006-n", "phloem"),
    ("en", "00000007-n", "Paris"),
    ("de", "00000007-n", "Paris"),
    ("es", "00000007-n", "París"),
    ("ar", "00000007-n", "باريس"),
    ("en", "00000008-n", "bush"),
    ("de", "00000008-n", "Busch"),
    ("ar", "00000008-n", "شجيرة"),
]
PASSAGES = [
    Passage(
        "d1",
        "The bank stood by the river. Steam engines were built in Paris in 1854. Phloem has 12 cells.",
        "en",
    ),
    Passage("d2", "President Bush met Ms Okonkwo by the river.", "en", "Rivers"),
    Passage("d3", "Die Bank am Fluss. Paris.", "de"),
    Passage("d4", "... !", "en"),
]


def lexicon() -> Lexicon:
    return Lexicon(ROWS, "digest")
