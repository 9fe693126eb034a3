"""Landscapes of the steppe, drawn from a number: the same number, the same view."""

from __future__ import annotations

import math
import random
import typing as t

WIDTH, HEIGHT = 1200, 800

# Sky above, sky at the horizon, sun or moon, then the hills from the farthest to the nearest.
SKIES = {
    "dawn": ("#f6b8a0", "#fde7c8", "#fff3d6", "#d99a8b", "#b5736f", "#7f4f5f", "#4a3247"),
    "noon": ("#4fb3d9", "#d8f0ee", "#fff6cf", "#a9c59a", "#84a866", "#5f8445", "#3b5c33"),
    "gold": ("#f2a541", "#fbe3a4", "#fffbe6", "#d9a04a", "#b97a34", "#8a5527", "#53341f"),
    "dusk": ("#35477d", "#e7a08f", "#ffe3c2", "#6f6391", "#544a7b", "#3a335f", "#231f42"),
    "night": ("#0b1730", "#2c4a70", "#f3f1dc", "#24406a", "#1b3256", "#122441", "#0a162b"),
    "frost": ("#8fb8d6", "#eef4f7", "#ffffff", "#cddbe4", "#adc2d0", "#86a0b3", "#5b7689"),
}

# How deep each line of hills lies and how far it swings: mountains far off, the plain before us.
RIDGES = ((505, 42), (575, 34), (655, 24), (748, 9))


def ridge(chance: random.Random, base: float, swing: float) -> str:
    """One line of hills as an SVG path, filled down to the lower edge."""
    waves = [(chance.uniform(0.6, 1.6) * n, chance.uniform(0, math.tau), 1 / n) for n in (1, 2, 4)]
    points = []
    for x in range(0, WIDTH + 1, 30):
        lift = sum(size * math.sin(turns * x / WIDTH * math.tau + at) for turns, at, size in waves)
        points.append(f"{x} {base - lift * swing:.0f}")
    return f"M0 {HEIGHT}L{'L'.join(points)}L{WIDTH} {HEIGHT}Z"


def draw(seed: int) -> dict[str, t.Any]:
    """What the template ``landscape.svg`` needs for the landscape of this number."""
    chance = random.Random(seed)
    sky = list(SKIES)[seed % len(SKIES)]
    top, horizon, light, *grounds = SKIES[sky]
    hills = [
        {"path": ridge(chance, base, swing), "colour": colour}
        for colour, (base, swing) in zip(grounds, RIDGES, strict=True)
    ]
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "top": top,
        "horizon": horizon,
        "light": light,
        "dark": grounds[-1],
        "sun": {
            "x": chance.randint(200, 1000),
            "y": chance.randint(240, 410),
            "r": chance.randint(48, 86),
        },
        "hills": hills,
        "birds": [
            {
                "x": chance.randint(150, 1050),
                "y": chance.randint(90, 300),
                "size": chance.uniform(0.6, 1.3),
            }
            for _ in range(0 if sky == "night" else chance.randint(2, 5))
        ],
        "stars": [
            {
                "x": chance.randint(0, WIDTH),
                "y": chance.randint(0, 430),
                "r": chance.uniform(0.8, 2.6),
            }
            for _ in range(90 if sky == "night" else 0)
        ],
        "yurts": [
            {"x": 170 + 330 * place + chance.randint(-60, 60), "size": chance.uniform(0.75, 1.15)}
            for place in chance.sample(range(3), chance.randint(1, 2))
        ],
    }
