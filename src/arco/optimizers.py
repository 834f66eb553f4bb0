"""The optimizers a run can name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable

import torch
from lightly.utils.lars import LARS
from torch import nn

from arco.errors import ArcoError
from arco.schema.training import Optimizer


@functools.cache
def without_compiler(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """The same optimizer without the guards that load torch's compiler when they are first passed.

    The guards only act inside a compiled function, of which there is none, and loading takes longer
    than everything else that a short run does beside importing torch.
    """
    guarded = "add_param_group", "zero_grad", "state_dict", "load_state_dict"
    functions = {name: inspect.unwrap(getattr(kind, name)) for name in guarded}
    functions["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), functions)


def build_optimizer(
    settings: Optimizer, parameters: Iterable[tuple[str, nn.Parameter]]
) -> torch.optim.Optimizer:
    """The optimizer that `settings` describe.

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
    lr, momentum, weight_decay = settings.lr, settings.momentum, settings.weight_decay
    match settings.name:
        case "sgd":
            return without_compiler(torch.optim.SGD)(
                trained, lr, momentum, weight_decay=weight_decay, nesterov=settings.nesterov
            )
        case "lars":
            return _lars(trained, settings)
        case "adam":
            return without_compiler(torch.optim.Adam)(
                trained, lr, (momentum, 0.999), weight_decay=weight_decay
            )


def _lars(trained: list[nn.Parameter], settings: Optimizer) -> torch.optim.Optimizer:
    # lightly's LARS takes a weight decay of 0 as the sign to leave out the trust ratio.
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1]},
        {
            "params": [parameter for parameter in trained if parameter.ndim <= 1],
            "weight_decay": 0.0,
        },
    ]
    return without_compiler(LARS)(
        groups,
        settings.lr,
        settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.nesterov,
    )
