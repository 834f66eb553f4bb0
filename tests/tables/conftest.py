from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

HEADER = (
    "case,patient,class,dice,jaccard,asd_voxel,assd_voxel,hd95_voxel,asd_mm,assd_mm,hd95_mm,part"
)

Scores = Mapping[tuple[str, str], tuple[float, float]]
WriteMetrics = Callable[..., Path]


@pytest.fixture
def write_metrics(tmp_path: Path) -> WriteMetrics:
    """Writes a metrics file from (Dice, ASSD in voxels) by (case, class); mm are twice that.

    Each case is of a patient of its own, unless `patients` names the patient of a case.
    """

    def write(
        name: str, scores: Scores, part: str = "test", patients: Mapping[str, str] | None = None
    ) -> Path:
        lines = [HEADER]
        for (case, class_name), (dice, assd) in scores.items():
            voxel, mm = f"{assd!r},{assd!r},{assd!r}", f"{2 * assd!r},{2 * assd!r},{2 * assd!r}"
            patient = (patients or {}).get(case, f"p{case}")
            lines.append(f"{case},{patient},{class_name},{dice!r},{dice!r},{voxel},{mm},{part}")
        path = tmp_path / name / "metrics.csv"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write
