"""Low-rank adapters in a network while it trains, and a stock network afterwards."""

from __future__ import annotations

import warnings
from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model

from babelweave.errors import UsageError, nearest
from babelweave.train.settings import Lora


def add_lora(network: Any, settings: Lora) -> Any:
    """The network with adapters, its own weights frozen; for an encoder, put it back in its place:
    `model[0].model = add_lora(model[0].model, settings)`.

    Args:
        network: of transformers.
    Raises:
        UsageError: no module has one of the names.
    """
    named = {name.rpartition(".")[2] for name, _ in network.named_modules() if name}
    targets = settings.target_modules
    for key, wanted in (("target_modules", targets), ("trained", settings.trained)):
        for name in () if isinstance(wanted, str) else wanted:
            if name not in named:
                raise UsageError(f"lora.{key}: no module {name!r}; {nearest(name, named)}")
    config = LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        modules_to_save=list(settings.trained) or None,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers 5 by an old name
        return get_peft_model(network, config)


def merge_lora(network: Any) -> Any:
    """The network itself with the adapters added to its weights; one without adapters as it is."""
    return network.merge_and_unload().requires_grad_(True) if isinstance(network, PeftModel) else network
