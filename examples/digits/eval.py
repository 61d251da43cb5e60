"""Evaluates a saved classifier on the held-out digits."""

import json
import pathlib
import sys

import joblib
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split

images, labels = load_digits(return_X_y=True)
_, test_x, _, test_y = train_test_split(
    images / 16.0, labels, test_size=0.25, random_state=0, stratify=labels
)
model = joblib.load(sys.argv[1])
result = {
    "accuracy": accuracy_score(test_y, model.predict(test_x)),
    "log_loss": log_loss(test_y, model.predict_proba(test_x)),
}
pathlib.Path("out/metrics.json").write_text(json.dumps(result))
print(f"accuracy: {result['accuracy']:.4f}")
print(f"log loss: {result['log_loss']:.4f}")
