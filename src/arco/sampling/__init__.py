"""Naive (NS), stratified group (SG) and stratified-antithetic group (SAG) sampling of pixels.

Source: Sec. 3.3 and appendix Sec. A of the paper. Groups are cells of a regular grid over the
image plane (or volume), cut by the mask of candidate pixels; each image has its own. All three
samplers are exactly unbiased for a mean over the candidates, at any number of draws.
"""

from __future__ import annotations

from arco.sampling.drawing import Scheme, draw
from arco.sampling.grouping import Groups, group

__all__ = ["Groups", "Scheme", "draw", "group"]
