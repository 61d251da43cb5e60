# SPDX-License-Identifier: Apache-2.0
"""A training that numpy and scikit-learn do, in which causes of other numbers can be planted.

Clusters from scikit-learn give features of a logistic regression, which numpy fits by gradient
descent; the Brier score of each step and the final accuracy are written down. threadpoolctl is
imported, so that a record says which BLAS kernels and how many threads there were.
"""

from __future__ import annotations

from typing import Final

__all__ = ["DATA", "TRAIN"]

DATA: Final = """\
import sys, pathlib, numpy
kind = numpy.random.default_rng(int(sys.argv[1]))
place = pathlib.Path("data")
place.mkdir(exist_ok=True)
for part in range(int(sys.argv[2]), int(sys.argv[3])):
    numpy.save(place / f"part{part}.npy", kind.normal(size=(10000, 24)).astype("float32"))
"""

TRAIN: Final = """\
import argparse, csv, json, pathlib, warnings
import numpy, threadpoolctl
from sklearn.cluster import KMeans
warnings.simplefilter("ignore")
options = argparse.ArgumentParser()
options.add_argument("--seed", type=int, default=0)
options.add_argument("--steps", type=int, default=30)
options = options.parse_args()
rows = numpy.concatenate([numpy.load(p) for p in sorted(pathlib.Path("data").glob("*.npy"))])
noise = numpy.random.default_rng(9).normal(scale=20, size=len(rows))
answer = (rows @ numpy.arange(24) + noise > 0).astype("float32")
model = KMeans(8, random_state=options.seed).fit(rows[:1000].astype("float64"))
near = model.transform(rows.astype("float64")) - 6
rows = numpy.hstack([rows, near])
weights = numpy.random.default_rng(options.seed).normal(size=rows.shape[1]) / 10
losses = []
for step in range(options.steps):
    chance = 1 / (1 + numpy.exp(-(rows @ weights)))
    wrong = chance - answer
    losses.append(float(numpy.dot(wrong, wrong) / len(rows)))
    weights -= 0.5 * losses[-1] * (rows.T @ wrong) / len(rows)
accuracy = float(((rows @ weights > 0) == answer).mean())
out = pathlib.Path("out")
out.mkdir(exist_ok=True)
with open(out / "loss.csv", "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["step", "loss"])
    table.writerows(enumerate(losses))
(out / "metrics.json").write_text(json.dumps({"accuracy": accuracy, "loss": losses[-1]}))
"""
