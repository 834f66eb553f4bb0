"""Global and local contrast for volumes (GCL; Chaitanya et al., NeurIPS 2020).

Slices at the same height of different scans look alike. First the encoder learns that; then,
the encoder frozen, the decoder learns to tell the regions of a slice apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from arco import fields
from arco.contracts import Batch, Context, Progress, StepOutput, Trainable
from arco.contrastive_views import apply_intensity, draw_intensity, random_view
from arco.errors import ArcoError
from arco.fields import Fraction, Positive, PositiveInt, View
from arco.losses.block_contrast import block_contrast, region_contrast
from arco.models.projection import global_average, mlp, spread
from arco.models.regions import SIDE, cut_regions, region_neighbors

DECODED_STRIDE = 2
"""The second stage trains the decoder up to half the resolution: three blocks of the U-Net."""

NETWORK_STRIDE = 16


class Settings(fields.Settings):
    """Constants of GCL.

    Attributes:
        global_share: share of the run, at its start, of the first stage.
        blocks: parts along the slice axis of a scan; as in `training.batch.blocks`.
        view: how the augmented copy is drawn; the second stage takes its intensities alone.
        hidden, embedding: widths of the projection of an image; `embedding` also of a region.
        temperature: of both stages.
        local_width: channels of the two 1-wide convolutions before regions are cut out.
    """

    global_share: Fraction
    blocks: PositiveInt
    view: View
    hidden: PositiveInt
    embedding: PositiveInt
    temperature: Positive
    local_width: PositiveInt


class Method(Trainable):
    """The global loss G^D, then the local loss L^R.

    Deviations: the encoder is the one of all methods here, so its maps are averaged instead of
    flattened before the projection, and the second stage's decoder is the network's own. Over
    volumes a patch is cut into its blocks, which overlap where they would be thinner than the
    network can halve.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.views = context.randomness.generator("views")
        self.network = context.student()
        axes = context.spatial_axes
        self.global_head = nn.Sequential(
            nn.Linear(self.network.bottleneck_channels, settings.hidden, bias=False),
            nn.ReLU(),
            nn.Linear(settings.hidden, settings.embedding, bias=False),
        )
        width = settings.local_width
        self.level = self.network.strides.index(DECODED_STRIDE)
        self.local_head = mlp(self.network.feature_channels[self.level], width, width)
        self.region_head = nn.Linear(SIDE**axes * width, settings.embedding, bias=False)
        self.neighbors: Tensor
        self.register_buffer("neighbors", region_neighbors(axes), persistent=False)

    def step(self, batch: Batch, progress: Progress) -> StepOutput:
        """The loss of one batch.

        Raises:
            ArcoError: all images are of one block.
        """
        if progress.fraction < self.settings.global_share:
            return self._global_step(*self._in_blocks(batch))
        return self._local_step(self._in_blocks(batch)[0])

    def _global_step(self, images: Tensor, blocks: Tensor) -> StepOutput:
        if bool((blocks == blocks[0]).all()):
            raise ArcoError(
                "params.yaml: pretraining.gcl needs images of several blocks in a batch; set "
                "blocks and training.batch.blocks to the same number above 1"
            )
        copies = random_view(images, self.settings.view, self.views)
        features = global_average(self.network.encode(torch.cat([images, copies]))[-1])
        embeddings, augmented = self.global_head(features).chunk(2)
        loss = block_contrast(embeddings, augmented, blocks, self.settings.temperature)
        nothing = loss.new_zeros(())
        logs = {"global": loss.detach(), "local": nothing, "feature_std": spread(features)}
        return StepOutput(loss, logs)

    def _local_step(self, images: Tensor) -> StepOutput:
        """Two versions of each image that differ in intensity alone, so that regions match."""
        versions = torch.cat([self._jittered(images), self._jittered(images)])
        self.network.encoder.eval()  # frozen: neither weights nor batch statistics move
        with torch.no_grad():
            encoded = self.network.encode(versions)
        self.network.encoder.train(self.training)
        maps = self.network.decode(encoded)[self.level].movedim(1, -1)
        first, second = self.region_head(cut_regions(self.local_head(maps))).chunk(2)
        loss = region_contrast(first, second, self.neighbors, self.settings.temperature)
        logs = {
            "global": loss.new_zeros(()),
            "local": loss.detach(),
            "feature_std": spread(global_average(encoded[-1])),
        }
        return StepOutput(loss, logs)

    def _in_blocks(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Images [N, channels, *S] and the block [N] int64 that each is of."""
        count = self.settings.blocks
        if batch.images.ndim == 4:
            return batch.images, (batch.heights * count).long()
        slabs = slabs_of(batch.images.shape[2], count)
        images = torch.cat([batch.images[:, :, slab] for slab in slabs])
        blocks = torch.arange(count, device=images.device)
        return images, blocks.repeat_interleave(len(batch.images))

    def _jittered(self, images: Tensor) -> Tensor:
        view = self.settings.view
        intensity = draw_intensity(
            len(images),
            jitter=view.jitter,
            strength=(view.strength, view.strength),
            blur=view.blur,
            sigma=(view.blur_min, view.blur_max),
            solarize=view.solarize,
            generator=self.views,
        )
        return apply_intensity(images, intensity)

    def exported(self) -> dict[str, Tensor]:
        """The network; what follows half the resolution in its decoder is as it began."""
        return self.network.state_dict()


def slabs_of(depth: int, blocks: int) -> Sequence[slice]:
    """Equally spaced slabs along an axis, as thick as a block but divisible by 16."""
    thick = max(NETWORK_STRIDE, depth // blocks // NETWORK_STRIDE * NETWORK_STRIDE)
    starts = [round(block * (depth - thick) / max(blocks - 1, 1)) for block in range(blocks)]
    return [slice(start, start + thick) for start in starts]
