"""The optimisers a run can name."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from lightly.utils.lars import LARS
from torch import nn

from arco.errors import ArcoError
from arco.schema import Optimizer


def build_optimizer(
    settings: Optimizer, parameters: Iterable[tuple[str, nn.Parameter]]
) -> torch.optim.Optimizer:
    """The optimiser that `settings` describe.

    `sgd` decays every parameter, as the appendix's code does. `lars` (You et al. 2017, Eq. 6)
    scales each weight tensor's step by 0.001 ||w|| / (||g|| + weight_decay ||w||) and takes a
    plain momentum step, undecayed, for biases and norm parameters, as SimCLR, BYOL and VICReg do.
    `adam` reads `momentum` as its first decay rate and ignores `nesterov`.

    Args:
        settings: name and constants.
        parameters: as from `nn.Module.named_parameters`; those that require no gradient, such as
            a teacher's, are left out.

    Raises:
        ArcoError: Nesterov's form without momentum, or LARS without weight decay.
    """
    trained = [parameter for _, parameter in parameters if parameter.requires_grad]
    if settings.nesterov and not settings.momentum:
        raise ArcoError(
            "params.yaml: training.optimizer.nesterov needs a momentum above 0; set either"
        )
    if settings.name == "lars" and not settings.weight_decay:
        raise ArcoError(
            "params.yaml: training.optimizer.weight_decay must be above 0 for lars; write 1.0e-6"
        )
    constants = {
        "lr": settings.lr,
        "momentum": settings.momentum,
        "weight_decay": settings.weight_decay,
        "nesterov": settings.nesterov,
    }
    match settings.name:
        case "sgd":
            return torch.optim.SGD(trained, **constants)
        case "lars":
            # lightly's LARS takes a weight decay of 0 as the sign to leave out the trust ratio.
            weights = {"params": [parameter for parameter in trained if parameter.ndim > 1]}
            rest = [parameter for parameter in trained if parameter.ndim <= 1]
            return LARS([weights, {"params": rest, "weight_decay": 0.0}], **constants)
        case "adam":
            return torch.optim.Adam(
                trained,
                lr=settings.lr,
                betas=(settings.momentum, 0.999),
                weight_decay=settings.weight_decay,
            )
