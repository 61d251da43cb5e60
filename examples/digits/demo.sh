#!/bin/sh
# Records, exports and verifies the training of this example, in a copy of it under demo/.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
place=${DEMO_DIRECTORY:-$top/demo}
project=$place/project
export REPROPACK_HOME="$place/settings"
export PATH="$top/.venv/bin:$PATH"
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=Author GIT_AUTHOR_EMAIL=author@example.invalid
export GIT_COMMITTER_NAME=Author GIT_COMMITTER_EMAIL=author@example.invalid

show() { printf '\n$ %s\n' "$*"; "$@"; }

rm -rf "$place/project" "$place/settings" "$place/digits.rpk" "$place/evaluate.html" "$place/retrain.html"
mkdir -p "$project" "$place/reader"
cp "$here/train.py" "$here/eval.py" "$here/repropack.yaml" "$here/.gitignore" "$project"
cd "$project"
git init -q -b main . && git add . && git commit -q -m 'Digits'

if [ ! -x "$place/venv/bin/python" ]; then
    echo "installing scikit-learn into the project's own environment"
    "$top/.venv/bin/python" -m venv "$place/venv"
    "$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'scikit-learn>=1.4'
fi
PATH="$place/venv/bin:$PATH"
export PATH

echo "--- the author"
show repropack key new
show repropack run --name train -- python train.py
show repropack run --name eval -- python eval.py out/model.joblib
show repropack export --run eval -o "$place/digits.rpk" --yes
signer=$(repropack key show | head -n 1)

echo
echo "--- the reader, in another directory"
cd "$place/reader"
export REPROPACK_HOME="$place/reader/settings"
show repropack verify "$place/digits.rpk" --evaluate --signer "$signer" --report "$place/evaluate.html"
show repropack verify "$place/digits.rpk" --retrain --signer "$signer" --report "$place/retrain.html"
echo
echo "bundle:  $place/digits.rpk"
echo "reports: $place/evaluate.html $place/retrain.html"
