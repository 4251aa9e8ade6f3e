"""babelweave: search one language's collection with another language's questions.

The public names below are loaded when first used: `import babelweave` imports nothing heavy. Names of
stages (`babelweave.encode`, `babelweave.evaluate`, ...) are packages, so no function here carries one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from babelweave.artifact import Manifest as Manifest
    from babelweave.data.collection import Collection as Collection
    from babelweave.data.collection import write_collection as write_collection
    from babelweave.data.leaks import check_recipe_leaks as check_recipe_leaks
    from babelweave.data.parallel.read import read_parallel as read_parallel
    from babelweave.data.relevance import read_relevance as read_relevance
    from babelweave.data.trec import read_qrels as read_qrels
    from babelweave.data.trec import read_run as read_run
    from babelweave.data.trec import write_qrels as write_qrels
    from babelweave.data.trec import write_run as write_run
    from babelweave.encode.spec import open_encoder as open_encoder
    from babelweave.encode.store import VectorStore as VectorStore
    from babelweave.encode.store import build_store as build_store
    from babelweave.encode.store import encode_collection as encode_collection
    from babelweave.errors import BabelweaveError as BabelweaveError
    from babelweave.errors import DataError as DataError
    from babelweave.errors import MissingExtraError as MissingExtraError
    from babelweave.errors import SignatureError as SignatureError
    from babelweave.errors import StorageError as StorageError
    from babelweave.errors import UsageError as UsageError
    from babelweave.evaluate.compare import Comparison as Comparison
    from babelweave.evaluate.compare import compare as compare
    from babelweave.evaluate.compare import compare_gains as compare_gains
    from babelweave.evaluate.compare import correct as correct
    from babelweave.evaluate.compare import estimate as estimate
    from babelweave.evaluate.measures import IrMeasure as IrMeasure
    from babelweave.evaluate.scorecard import Scorecard as Scorecard
    from babelweave.evaluate.scorecard import Task as Task
    from babelweave.evaluate.scorecard import compare_cards as compare_cards
    from babelweave.evaluate.scorecard import open_task as open_task
    from babelweave.evaluate.scorecard import score_run as score_run
    from babelweave.evaluate.token_recall import TokenRecall as TokenRecall
    from babelweave.evaluate.token_recall import answer_ceiling as answer_ceiling
    from babelweave.evaluate.token_recall import token_recall as token_recall
    from babelweave.generate.code_switch import code_switch as code_switch
    from babelweave.generate.convert import convert_generator as convert_generator
    from babelweave.generate.filters import Gates as Gates
    from babelweave.generate.filters import filter_queries as filter_queries
    from babelweave.generate.identify import Identifier as Identifier
    from babelweave.generate.inspect import Inspected as Inspected
    from babelweave.generate.inspect import inspect_queries as inspect_queries
    from babelweave.generate.queries import GeneratedQueries as GeneratedQueries
    from babelweave.generate.run import generate_queries as generate_queries
    from babelweave.generate.run import plan_generation as plan_generation
    from babelweave.generate.spec import open_generator as open_generator
    from babelweave.index.bm25 import Bm25Index as Bm25Index
    from babelweave.index.bm25 import build_bm25 as build_bm25
    from babelweave.index.bm25 import open_bm25 as open_bm25
    from babelweave.index.dense import DenseIndex as DenseIndex
    from babelweave.index.dense import build_index as build_index
    from babelweave.index.dense import open_index as open_index
    from babelweave.protocols import Encoder as Encoder
    from babelweave.protocols import Fuser as Fuser
    from babelweave.protocols import Generator as Generator
    from babelweave.protocols import Index as Index
    from babelweave.protocols import Measure as Measure
    from babelweave.protocols import Perturbation as Perturbation
    from babelweave.protocols import Searcher as Searcher
    from babelweave.recipe import Recipe as Recipe
    from babelweave.recipe import load_recipe as load_recipe
    from babelweave.records import Encoded as Encoded
    from babelweave.records import EncoderSignature as EncoderSignature
    from babelweave.records import GeneratedQuery as GeneratedQuery
    from babelweave.records import Hits as Hits
    from babelweave.records import Passage as Passage
    from babelweave.records import Qrels as Qrels
    from babelweave.records import Query as Query
    from babelweave.records import Run as Run
    from babelweave.records import Scores as Scores
    from babelweave.search.hybrid import HybridSearcher as HybridSearcher
    from babelweave.search.hybrid import reciprocal_rank_fusion as reciprocal_rank_fusion
    from babelweave.search.hybrid import weighted_sum as weighted_sum
    from babelweave.search.judge import open_judges as open_judges
    from babelweave.search.rerank import CrossEncoder as CrossEncoder
    from babelweave.search.rerank import RerankSearcher as RerankSearcher
    from babelweave.search.search import Bm25Searcher as Bm25Searcher
    from babelweave.search.search import DenseSearcher as DenseSearcher
    from babelweave.search.search import find_passages as find_passages
    from babelweave.shift.perturb import perturb_queries as perturb_queries
    from babelweave.shift.spec import open_perturbation as open_perturbation
    from babelweave.study.cells import plan_study as plan_study
    from babelweave.study.recipe import load_study as load_study
    from babelweave.study.run import run_study as run_study
    from babelweave.train.export import export_model as export_model
    from babelweave.train.saved import save_model as save_model
    from babelweave.weave.fusers.spec import open_fuser as open_fuser
    from babelweave.weave.stream import weave_collection as weave_collection
    from babelweave.weave.stream import weave_vectors as weave_vectors
    from babelweave.weave.tune import Tuning as Tuning
    from babelweave.weave.tune import encode_dev as encode_dev
    from babelweave.weave.tune import tune as tune

_HOME = {
    "BabelweaveError": "errors",
    "Bm25Index": "index.bm25",
    "Bm25Searcher": "search.search",
    "Collection": "data.collection",
    "Comparison": "evaluate.compare",
    "CrossEncoder": "search.rerank",
    "DataError": "errors",
    "DenseIndex": "index.dense",
    "DenseSearcher": "search.search",
    "Encoded": "records",
    "Encoder": "protocols",
    "EncoderSignature": "records",
    "Fuser": "protocols",
    "Gates": "generate.filters",
    "GeneratedQueries": "generate.queries",
    "GeneratedQuery": "records",
    "Generator": "protocols",
    "Hits": "records",
    "HybridSearcher": "search.hybrid",
    "Identifier": "generate.identify",
    "Index": "protocols",
    "Inspected": "generate.inspect",
    "IrMeasure": "evaluate.measures",
    "Manifest": "artifact",
    "Measure": "protocols",
    "MissingExtraError": "errors",
    "Passage": "records",
    "Perturbation": "protocols",
    "Qrels": "records",
    "Query": "records",
    "Recipe": "recipe",
    "RerankSearcher": "search.rerank",
    "Run": "records",
    "Scorecard": "evaluate.scorecard",
    "Scores": "records",
    "Searcher": "protocols",
    "SignatureError": "errors",
    "StorageError": "errors",
    "Task": "evaluate.scorecard",
    "TokenRecall": "evaluate.token_recall",
    "Tuning": "weave.tune",
    "UsageError": "errors",
    "VectorStore": "encode.store",
    "answer_ceiling": "evaluate.token_recall",
    "build_bm25": "index.bm25",
    "build_index": "index.dense",
    "build_store": "encode.store",
    "check_recipe_leaks": "data.leaks",
    "code_switch": "generate.code_switch",
    "compare": "evaluate.compare",
    "compare_cards": "evaluate.scorecard",
    "compare_gains": "evaluate.compare",
    "convert_generator": "generate.convert",
    "correct": "evaluate.compare",
    "encode_collection": "encode.store",
    "encode_dev": "weave.tune",
    "estimate": "evaluate.compare",
    "export_model": "train.export",
    "filter_queries": "generate.filters",
    "find_passages": "search.search",
    "generate_queries": "generate.run",
    "inspect_queries": "generate.inspect",
    "load_recipe": "recipe",
    "load_study": "study.recipe",
    "open_bm25": "index.bm25",
    "open_encoder": "encode.spec",
    "open_fuser": "weave.fusers.spec",
    "open_generator": "generate.spec",
    "open_index": "index.dense",
    "open_judges": "search.judge",
    "open_perturbation": "shift.spec",
    "open_task": "evaluate.scorecard",
    "perturb_queries": "shift.perturb",
    "plan_generation": "generate.run",
    "plan_study": "study.cells",
    "read_parallel": "data.parallel.read",
    "read_qrels": "data.trec",
    "read_relevance": "data.relevance",
    "read_run": "data.trec",
    "reciprocal_rank_fusion": "search.hybrid",
    "run_study": "study.run",
    "save_model": "train.saved",
    "score_run": "evaluate.scorecard",
    "token_recall": "evaluate.token_recall",
    "tune": "weave.tune",
    "weave_collection": "weave.stream",
    "weave_vectors": "weave.stream",
    "weighted_sum": "search.hybrid",
    "write_collection": "data.collection",
    "write_qrels": "data.trec",
    "write_run": "data.trec",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
