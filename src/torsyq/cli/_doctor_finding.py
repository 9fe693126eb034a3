"""What the doctor finds: one sentence about one place, and what to do about it."""

from __future__ import annotations

import dataclasses
import typing as t

Level = t.Literal["problem", "hint"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """A finding.

    :param level: ``problem`` will fail when it is reached; ``hint`` may be meant so
    :param about: the rule, template, module or extension
    :param text: what is the matter
    :param remedy: what to do about it
    """

    level: Level
    about: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.level}: {self.about}: {self.text}" + (
            f" {self.remedy}" if self.remedy else ""
        )
