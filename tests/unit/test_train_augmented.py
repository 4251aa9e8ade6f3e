"""What a batch carries beside its group: slots, draws, variants, labels, and the alpha of a step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from babelweave.records import Passage, Query
from babelweave.train.augmented import Extras, GeneratedDraw, Layout, Source
from babelweave.train.rows import Example, RowPool
from babelweave.train.sections import Weaving
from babelweave.train.weaving import Weaver

LANGUAGES = ("ar", "de", "es", "zh")
QUERIES = {
    passage: {
        lang: [f"{passage} {lang} {i}" for i in range(n)]
        for lang, n in zip(LANGUAGES, (3, 2, 1, 0), strict=True)
    }
    for passage in range(20)
}


def pool_of_two() -> RowPool:
    pool = RowPool()
    examples = []
    for i in range(2):
        texts = [Passage(f"{i}{j}", f"text {i} {j}", "en") for j in range(2)]
        examples.append(Example(Query(str(i), f"question {i}", "en"), (texts[0],), (texts[1],)))
    pool.add("set", examples)
    return pool


def draws(**options: Any) -> GeneratedDraw:
    return GeneratedDraw(QUERIES, Weaving(generated="g", **options), LANGUAGES, seed=5)


def test_a_slot_is_of_one_language_and_no_query_comes_twice() -> None:
    for epoch in range(6):
        slots, texts = draws(per_step=6).draw([4, 9, 1], [[0, 1, 2], [3, 4, 5]], epoch)
        assert slots.shape == (2, 3, 6)
        languages = np.where(slots < 0, ~slots, slots)
        assert (languages == languages[0, 0]).all()
        assert len(set(texts)) == len(texts) == (slots >= 0).sum()
        filled = [(w, b, j) for w in range(2) for b in range(3) for j in range(6) if slots[w, b, j] >= 0]
        passages = [[0, 1, 2], [3, 4, 5]]
        for (w, b, j), text in zip(filled, texts, strict=True):
            passage, lang, _ = text.split()
            assert int(passage) == passages[w][b]
            assert lang == LANGUAGES[slots[w, b, j]]
        for w, b in ((w, b) for w in range(2) for b in range(3)):
            asked = Counter(languages[w, b].tolist())
            held = Counter(slots[w, b][slots[w, b] >= 0].tolist())
            has = {number: len(QUERIES[0][lang]) for number, lang in enumerate(LANGUAGES)}
            assert held == Counter({n: min(k, has[n]) for n, k in asked.items() if has[n]})


def test_a_draw_depends_on_seed_epoch_and_batch_alone() -> None:
    one, other = draws(), draws()
    other.draw([7, 7], [[0, 1]], 3)
    np.random.seed(1)  # noqa: NPY002
    state = torch.get_rng_state()
    first = one.draw([2, 3], [[0, 1]], 1)
    again = other.draw([2, 3], [[0, 1]], 1)
    assert first[1] == again[1]
    assert (first[0] == again[0]).all()
    assert torch.equal(torch.get_rng_state(), state)
    assert one.draw([2, 3], [[0, 1]], 2)[1] != first[1]


def test_few_languages_per_step_take_turns_over_batches() -> None:
    seen: set[int] = set()
    for row in range(30):
        slots, _ = draws(per_step=4, languages_per_step=2).draw([row], [[0]], 0)
        languages = set(np.where(slots < 0, ~slots, slots).ravel().tolist())
        assert len(languages) == 2
        seen |= languages
    assert seen == {0, 1, 2, 3}


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.integers(1, 3), st.integers(1, 3))
def test_labels_are_cut_as_they_were_packed(b: int, g: int, woven: int, slots: int, known: int) -> None:
    woven = min(woven, g)
    layout = Layout(g, woven, slots if woven else 0)
    ids = torch.arange(b * (g + known)).reshape(b, -1)
    languages = np.arange(b * (1 + g)).reshape(b, -1)
    packed = np.full((woven, b, slots), -1) if woven else None
    if packed is not None:
        packed[:, :, :] = ~np.arange(slots)
        packed[-1, -1, 0] = 0
    cut = layout.cut(layout.pack(ids, languages, packed))
    assert torch.equal(cut.ids, ids)
    assert torch.equal(cut.languages, torch.from_numpy(languages))
    if packed is None:
        assert cut.slots is None
    else:
        assert cut.slots is not None
        assert cut.slots.languages.tolist() == list(range(slots))
        assert torch.equal(cut.slots.present, torch.from_numpy(packed.reshape(-1, slots) >= 0))


class Told:
    """A perturbation that says what it was asked."""

    signature: Mapping[str, Any] = {"name": "told"}
    languages = frozenset({"en"})

    def perturb(self, text: str, lang: str, severity: int, seed: int) -> str:
        return f"{lang} {severity} {text} {seed}"


def test_variants_come_from_their_sources() -> None:
    pool = pool_of_two()
    own = {0: {"de": ["eins"], "es": ["uno"]}}
    extras = Extras(
        pool,
        Layout(2, variants=(2, 1)),
        sources=[Source(None, 2), Source(Told(), 1, severity=4)],
        queries=own,
        seed=0,
    )
    extra = extras.of([0, 1], [(0, 1), (2, 3)], 0)
    assert set(extra.columns["variant_1"][:2]) <= {"eins", "uno"}
    assert extra.columns["variant_1"][2:] == ["question 1"] * 2  # its passage has none
    assert [text.rsplit(" ", 1)[0] for text in extra.columns["variant_2"]] == [
        "en 4 question 0",
        "en 4 question 1",
    ]
    assert extra.languages.shape == (2, 3)
    assert extra.slots is None
    drawn = [extras.of([0], [(0, 1)], epoch).columns["variant_1"] for epoch in range(8)]
    assert len({tuple(texts) for texts in drawn}) > 1


def test_alpha_is_fixed_scheduled_or_learned() -> None:
    section = Weaving(generated="g")
    assert Weaver(section.open_at).alpha(100) == 0.26
    moving = Weaver(section.open_at, alpha=0.1, alpha_end=0.5, alpha_steps=4)
    assert [moving.alpha(step) for step in (0, 1, 4, 9)] == pytest.approx([0.1, 0.2, 0.5, 0.5])
    learned = Weaver(section.open_at, alpha=0.3, learn=True)
    assert learned.alpha(0).item() == pytest.approx(0.3)
    rows = torch.ones(1, 2), torch.zeros(1, 1, 2), torch.ones(1, 1), ["ar"]
    woven = learned.weave(*rows, step=0)
    torch.testing.assert_close(woven, torch.full((1, 2), 0.7))
    woven.sum().backward()
    assert learned.alpha_logit is not None
    # d(2 (1 - a))/dlogit = -2 a (1 - a)
    assert learned.alpha_logit.grad == pytest.approx(-2 * 0.3 * 0.7)


def test_gradients_reach_passages_and_queries(tmp_path: Path) -> None:
    weaver = Weaver(Weaving(generated="g", fuser="sum", alpha=0.2).open_at, alpha=0.2)
    passages, queries = torch.randn(2, 3, requires_grad=True), torch.randn(2, 2, 3, requires_grad=True)
    mask = torch.tensor([[True, False], [False, False]])
    weaver.weave(passages, queries, mask, ["ar", "de"], 0).sum().backward()
    torch.testing.assert_close(passages.grad, torch.full((2, 3), 0.8))
    expected = torch.zeros(2, 2, 3)
    expected[0, 0] = 0.2
    torch.testing.assert_close(queries.grad, expected)
