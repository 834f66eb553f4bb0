from __future__ import annotations

import pytest
import torch

from arco.models.regions import cut_regions, region_neighbors, region_places


@pytest.mark.parametrize(("axes", "lattice", "quarters"), [(2, 9, 4), (3, 27, 8)])
def test_a_lattice_of_three_and_the_quarter_points(axes, lattice, quarters):
    places = region_places(axes)
    assert places.shape == (lattice + quarters, axes)
    assert len({tuple(place) for place in places.tolist()}) == lattice + quarters
    assert set(places[:lattice].flatten().tolist()) == {0.0, 0.5, 1.0}
    assert set(places[lattice:].flatten().tolist()) == {0.25, 0.75}


@pytest.mark.parametrize("axes", [2, 3])
def test_neighbors_are_the_five_nearest_of_the_lattice_and_never_itself(axes):
    places, neighbors = region_places(axes), region_neighbors(axes)
    assert neighbors.shape == (len(places), 5)
    for region, chosen in enumerate(neighbors.tolist()):
        assert region not in chosen and len(set(chosen)) == 5 and max(chosen) < 3**axes
        distances = (places[: 3**axes] - places[region]).norm(dim=1)
        others = [d for n, d in enumerate(distances.tolist()) if n != region and n not in chosen]
        assert distances[chosen].max().item() <= min(others) + 1e-6


@pytest.mark.parametrize("size", [(9, 11), (7, 9, 11), (3, 3)])
def test_regions_are_cut_where_they_lie(size):
    axes = len(size)
    maps = torch.arange(2 * torch.tensor(size).prod() * 2).view(2, *size, 2)
    regions = cut_regions(maps)
    assert regions.shape == (2, len(region_places(axes)), 3**axes * 2)
    first = maps[(slice(None), *[slice(0, 3)] * axes)]
    last = maps[(slice(None), *[slice(length - 3, length) for length in size])]
    assert torch.equal(regions[:, 0], first.flatten(1))
    assert torch.equal(regions[:, 3**axes - 1], last.flatten(1))
