"""Every named part: kind and name to the object, the extra it needs, and one line of help.

Adding a part is one new file and one row here; help texts, error messages and the conformance suites
read this table.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

from babelweave.errors import MissingExtraError, UsageError, nearest


class Entry(NamedTuple):
    target: str
    """`module:attribute`, imported when first asked for."""
    help: str
    extra: str | None = None
    """The `babelweave[extra]` that installs what it imports."""


TABLE: dict[str, dict[str, Entry]] = {
    "encoder": {
        "babelweave-mini": Entry(
            "babelweave.encode.packaged:mini",
            "packaged, 25 languages, 384 dimensions: the default",
        ),
        "minilm": Entry(
            "babelweave.encode.packaged:minilm",
            "all-MiniLM-L6-v2, installed with babelweave: English, 384 dimensions",
        ),
        "onnx": Entry(
            "babelweave.encode.onnx:OnnxEncoder",
            "onnx:FOLDER, or the folder alone: what export wrote, run by onnxruntime",
            "onnx",
        ),
        "openai": Entry(
            "babelweave.encode.remote:RemoteEncoder",
            "openai:MODEL?url=...: any OpenAI-compatible /v1/embeddings endpoint",
            "openai",
        ),
    },
    "generator": {
        "babelweave-mini-qg": Entry(
            "babelweave.generate.packaged:mini_qg",
            "packaged: the lexical generator with words of 24 languages beside English",
        ),
        "lexical": Entry(
            "babelweave.generate.lexical:LexicalGenerator",
            "salient terms put into another language with a lexicon; no model",
        ),
        "seq2seq": Entry(
            "babelweave.generate.seq2seq:Seq2SeqGenerator",
            "seq2seq:FOLDER_OR_ID: T5, mT5, umT5 or mBART of Hugging Face",
        ),
        "ctranslate2": Entry(
            "babelweave.generate.ctranslate2:CTranslate2Generator",
            "ctranslate2:FOLDER: the same models converted, in int8 on a CPU",
            "ctranslate2",
        ),
        "chat": Entry(
            "babelweave.generate.chat:ChatGenerator",
            "chat:MODEL?url=...: any OpenAI-compatible /v1/chat/completions endpoint",
            "openai",
        ),
    },
    "fuser": {
        "max": Entry(
            "babelweave.weave.fusers.max:MaxFuser",
            "the passage, and centroids of its queries, as rows; max?centroids=3&by=cluster|language",
        ),
        "mean": Entry("babelweave.weave.fusers.mean:MeanFuser", "(1 - alpha) p + alpha mean(q)"),
        "sum": Entry("babelweave.weave.fusers.sum:SumFuser", "(1 - alpha) p + alpha sum(q), as in xQG"),
    },
    "index": {
        "exact": Entry("babelweave.index.exact:ExactIndex", "every row compared, with numpy; the oracle"),
        "flat": Entry("babelweave.index.faiss:FaissIndex", "every row compared, with FAISS"),
        "ivf": Entry(
            "babelweave.index.faiss:FaissIndex", "FAISS inverted lists; ivf1024?nprobe=128 sets the sizes"
        ),
        "hnsw": Entry("babelweave.index.faiss:FaissIndex", "FAISS graph; hnsw32?efSearch=128 sets the sizes"),
        "bm25": Entry("babelweave.index.bm25:Bm25Index", "terms instead of vectors; bm25?k1=1.5&b=0.75"),
    },
    "dataset": {
        "arcd": Entry("babelweave.data.squad:ARCD", "ARCD: Arabic questions on Wikipedia"),
        "beir": Entry("babelweave.data.beir:CARD", "any folder in the form of BEIR"),
        "cmrc2018": Entry("babelweave.data.squad:CMRC2018", "CMRC 2018: Chinese (simplified) questions"),
        "drcd": Entry("babelweave.data.squad:DRCD", "DRCD: Chinese (traditional) questions"),
        "english-pool": Entry("babelweave.data.english_pool:CARD", "71k English passages of nine sources"),
        "hub": Entry("babelweave.data.hub:CARD", "a Hugging Face data set in BEIR or MTEB form", "datasets"),
        "iapp": Entry("babelweave.data.squad:IAPP", "iapp-wiki-qa: Thai questions on Wikipedia"),
        "jaquad": Entry("babelweave.data.squad:JAQUAD", "JaQuAD: Japanese questions on Wikipedia"),
        "mined-questions": Entry(
            "babelweave.data.mined:CARD", "questions in 18 languages with English passages, found by answer"
        ),
        "mkqa": Entry("babelweave.data.mkqa:CARD", "MKQA: parallel questions with answers, no passages"),
        "mlqa": Entry("babelweave.data.mlqa:CARD", "MLQA: 7 languages of passages by 7 of questions"),
        "nq-oracle": Entry("babelweave.data.nq:CARD", "Natural Questions with their gold passages"),
        "squad": Entry("babelweave.data.squad:SQUAD", "any SQuAD JSON, v1.1 or v2"),
        "squad-jsonl": Entry("babelweave.data.squad:SQUAD_JSONL", "SQuAD with one paragraph a line"),
        "tevatron": Entry("babelweave.data.tevatron:CARD", "Tevatron training rows, v1 or v2"),
        "tydi": Entry("babelweave.data.tydi:CARD", "TyDi QA GoldP: natural questions in 9 languages"),
        "xor-retrieve": Entry("babelweave.data.xor:CARD", "XOR-Retrieve: 7 languages, English answers"),
        "xquad": Entry("babelweave.data.xquad:CARD", "XQuAD and XQuAD-R: 11 parallel languages"),
    },
    "relevance": {
        "arcd": Entry("babelweave.data.relevance:ARCD", "ARCD: all of it"),
        "cmrc2018": Entry("babelweave.data.relevance:CMRC2018", "CMRC 2018: dev and trial"),
        "drcd": Entry("babelweave.data.relevance:DRCD", "DRCD: dev and test"),
        "iapp": Entry("babelweave.data.relevance:IAPP", "iapp-wiki-qa: all of it"),
        "jaquad": Entry("babelweave.data.relevance:JAQUAD", "JaQuAD: all of it"),
        "mined": Entry(
            "babelweave.data.relevance:MINED", "XOR-Retrieve train, MKQA, Mintaka with English passages"
        ),
        "nq": Entry("babelweave.data.relevance:NQ", "Natural Questions with their gold passages"),
        "squad": Entry("babelweave.data.relevance:SQUAD", "SQuAD 1.1: train only"),
        "tydi": Entry("babelweave.data.relevance:TYDI", "TyDi QA GoldP: train and dev"),
    },
    "parallel": {
        "mintaka": Entry("babelweave.data.parallel.questions:MINTAKA", "Mintaka: complex questions"),
        "mkqa": Entry("babelweave.data.parallel.questions:MKQA", "MKQA: questions of Natural Questions"),
        "ntrex128": Entry("babelweave.data.parallel.sentences:NTREX128", "NTREX-128: news, in documents"),
        "pawsx": Entry("babelweave.data.parallel.sentences:PAWSX", "PAWS-X: Wikipedia, with near-duplicates"),
        "sib200": Entry("babelweave.data.parallel.sentences:SIB200", "SIB-200: sentences of FLORES-200"),
        "tatoeba": Entry("babelweave.data.parallel.sentences:TATOEBA", "Tatoeba: short everyday sentences"),
        "tico19": Entry("babelweave.data.parallel.sentences:TICO19", "TICO-19: COVID-19 texts, in order"),
        "xor-tydi": Entry("babelweave.data.parallel.questions:XOR_TYDI", "XOR-TyDi: questions, by people"),
    },
    "training": {
        "distil": Entry(
            "babelweave.train.distil:Distil",
            "an English encoder taught other languages, with a vocabulary for them",
            "train",
        ),
        "generator": Entry(
            "babelweave.train.generator:QueryGenerator",
            "an encoder-decoder that writes questions for passages, in several languages",
            "train",
        ),
        "lexicon": Entry(
            "babelweave.train.lexicon:LexiconRecipe",
            "words and their translations, aligned in parallel text; for the lexical generator",
        ),
        "negatives": Entry(
            "babelweave.train.negatives:Mine",
            "hard negatives for the questions of other recipes; writes training rows, no model",
        ),
        "retriever": Entry(
            "babelweave.train.retriever:Retriever",
            "a bi-encoder trained by contrast on questions and passages",
            "train",
        ),
    },
    "adversary": {
        "consistency": Entry(
            "babelweave.train.adversaries.consistency:Consistency",
            "questions and their variants rank alike, in one direction or both",
            "train",
        ),
        "fgm": Entry(
            "babelweave.train.adversaries.fgm:Fgm", "one step on word embeddings along the gradient", "train"
        ),
        "freelb": Entry(
            "babelweave.train.adversaries.freelb:FreeLb",
            "ascent on word embeddings, every step of which trains the model",
            "train",
        ),
        "language_confusion": Entry(
            "babelweave.train.adversaries.language_confusion:LanguageConfusion",
            "vectors that do not tell their language",
            "train",
        ),
        "output_space": Entry(
            "babelweave.train.adversaries.output_space:OutputSpace",
            "vectors moved along the gradient; no text is encoded again",
            "train",
        ),
        "pgd": Entry(
            "babelweave.train.adversaries.pgd:Pgd", "projected gradient ascent on word embeddings", "train"
        ),
        "smart": Entry(
            "babelweave.train.adversaries.smart:Smart",
            "symmetric divergence from the clean output, in a box",
            "train",
        ),
        "vat": Entry(
            "babelweave.train.adversaries.vat:Vat",
            "the direction of most divergence from the clean output; needs no labels",
            "train",
        ),
        "worst_mixture": Entry(
            "babelweave.train.adversaries.worst_mixture:WorstMixture",
            "the mixture of generated queries, or of languages, that hurts most",
            "train",
        ),
    },
    "export": {
        "fp16": Entry(
            "babelweave.train.formats:FP16", "float16 weights in the layout of sentence-transformers"
        ),
        "int8": Entry("babelweave.train.graph:INT8", "8-bit integers, run by onnxruntime on a CPU", "onnx"),
        "onnx": Entry("babelweave.train.graph:FLOAT32", "float32, run by onnxruntime", "onnx"),
    },
    "perturbation": {
        "case": Entry(
            "babelweave.shift.perturbations.case:Case",
            "letters in the other case; case?form=random|lower|upper",
        ),
        "code_switch": Entry(
            "babelweave.shift.perturbations.code_switch:CodeSwitch",
            "content words in another language; code_switch?lexicon=FILE&to=en,es",
        ),
        "diacritics": Entry(
            "babelweave.shift.perturbations.diacritics:Diacritics", "words without their marks"
        ),
        "homoglyphs": Entry(
            "babelweave.shift.perturbations.homoglyphs:Homoglyphs",
            "letters of another alphabet that look the same; homoglyphs?table=confusables.txt",
        ),
        "keyboard": Entry(
            "babelweave.shift.perturbations.keyboard:Keyboard",
            "letters of neighbouring keys; keyboard?layouts=FOLDER of LANG.json",
        ),
        "keywords": Entry(
            "babelweave.shift.perturbations.keywords:Keywords", "question and function words left out"
        ),
        "punctuation": Entry(
            "babelweave.shift.perturbations.punctuation:Punctuation",
            "marks left out or added; punctuation?form=both|drop|add",
        ),
        "transliterate": Entry(
            "babelweave.shift.perturbations.transliterate:Transliterate",
            "words in Latin letters",
            "translit",
        ),
        "transpose": Entry(
            "babelweave.shift.perturbations.transpose:Transpose", "neighbouring letters of a word swapped"
        ),
        "truncate": Entry(
            "babelweave.shift.perturbations.truncate:Truncate",
            "the end of a question cut off, or its beginning; truncate?end=tail|head",
        ),
        "word_order": Entry(
            "babelweave.shift.perturbations.word_order:WordOrder", "words shuffled near their places"
        ),
    },
    "benchmark": {
        "mlqa": Entry(
            "babelweave.evaluate.benchmarks.mlqa:read",
            "MLQA as passage retrieval, by MTEB's protocol: RR@10, R@100, nDCG@10",
        ),
        "xor-retrieve": Entry(
            "babelweave.evaluate.benchmarks.xor_retrieve:read",
            "XOR-Retrieve over any English pool: R@2kt, R@5kt and the pool's answer ceiling",
        ),
        "xquad-r": Entry(
            "babelweave.evaluate.benchmarks.xquad_r:read",
            "XQuAD-R (LAReQA): eleven parallel languages, and all of them pooled",
        ),
    },
}


DEFAULT_ENCODER = "babelweave-mini"
"""What `--encoder` is where none is named."""


DEFAULT_GENERATOR = "babelweave-mini-qg"
"""What writes questions where no generator is named."""


def names(kind: str) -> list[str]:
    """The names registered under a kind, sorted."""
    return sorted(TABLE[kind])


def entry(kind: str, name: str) -> Entry:
    """The row of a name.

    Raises:
        UsageError: unknown; the message holds the nearest name and the list.
    """
    try:
        return TABLE[kind][name]
    except KeyError:
        raise UsageError(f"unknown {kind} {name!r}; {nearest(name, TABLE[kind])}") from None


def load(kind: str, name: str) -> Any:
    """Import and return the object behind a name.

    Raises:
        UsageError: unknown name.
        MissingExtraError: its extra is not installed; the message is the command that installs it.
    """
    found = entry(kind, name)
    module, attribute = found.target.split(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if found.extra is None or (error.name or "").startswith("babelweave"):
            raise
        raise MissingExtraError(
            f"{kind} {name!r} needs {error.name!r}; install it with: pip install 'babelweave[{found.extra}]'"
        ) from error
