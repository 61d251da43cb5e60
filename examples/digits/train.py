"""Trains a classifier on scikit-learn's bundled digits and saves it."""

import argparse
import json
import pathlib

import joblib
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=40)
options = parser.parse_args()

images, labels = load_digits(return_X_y=True)
train_x, _, train_y, _ = train_test_split(
    images / 16.0, labels, test_size=0.25, random_state=0, stratify=labels
)
model = MLPClassifier(hidden_layer_sizes=(64,), random_state=options.seed)
history = []
for epoch in range(options.epochs):
    model.partial_fit(train_x, train_y, classes=range(10))
    loss = log_loss(train_y, model.predict_proba(train_x))
    history.append({"epoch": epoch, "loss": loss})
    if epoch % 10 == 9:
        print(f"epoch {epoch + 1}: loss {loss:.4f}")

out = pathlib.Path("out")
out.mkdir(exist_ok=True)
joblib.dump(model, out / "model.joblib")
(out / "history.json").write_text(json.dumps(history))
