"""A student and its average teacher: what the mean-teacher family of methods shares."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor

from arco.contracts import Context, Progress, Trainable
from arco.models.teacher import Teacher, ema_decay


class MeanTeacherSettings(Protocol):
    """What this module reads of a method's settings."""

    ema_decay: float
    tested: Literal["student", "teacher"]


class MeanTeacher(Trainable):
    """Keeps the teacher; a method derived from it writes `step`.

    The teacher copies the student at the first update and averages its weights from then on
    (`ema_decay`'s warm-up), parameters only, and sees every image in train mode.
    """

    def __init__(self, settings: MeanTeacherSettings, context: Context) -> None:
        super().__init__()
        self._teacher_settings = settings
        self.student = context.student()
        self.teacher = Teacher(self.student)
        self._noise = context.randomness.generator("noise")

    def noisy(self, images: Tensor, deviation: float) -> Tensor:
        """Images plus Gaussian noise, cut off at two standard deviations (UA-MT, SSL4MIS)."""
        noise = torch.empty_like(images).normal_(0, 1, generator=self._noise)
        return images + deviation * noise.clamp(-2, 2)

    def after_update(self, progress: Progress) -> None:
        """Move the teacher."""
        decay = ema_decay(progress.step, self._teacher_settings.ema_decay, warm_up=True)
        self.teacher.update(self.student, decay)

    def exported(self) -> dict[str, Tensor]:
        """The student, comparable with published tables; or the teacher, where that is tested."""
        if self._teacher_settings.tested == "teacher":
            return self.teacher.exported(self.student)
        return self.student.state_dict()
