#!/usr/bin/env bash
# Tests of export with the tools that engines are built with, in an environment of their own. Says in
# one line what cannot be installed here; the tests that need it skip, and say so, too.
#
#   export.sh          graphs, gate and engines: minutes
#   export.sh slow     also PyTorch's families (YOLO, docTR, DeBERTa, Whisper): a quarter of an hour
set -uo pipefail
cd "$(dirname "$0")/.."

env=.venv-export
python=$env/bin/python
[[ -x $python ]] || "${PYTHON:-python3}" -m venv "$env" || exit 1
pip() { timeout "$1" "$python" -m pip install --quiet --disable-pip-version-check "${@:2}"; }

pip 300 --editable '.[dev]' || exit 1
missing() { echo "export tests: $1 cannot be installed here; what needs it skips"; }
pip 60 onnxslim || missing onnxslim
pip 120 'tensorrt-rtx>=1.7,<2' || missing tensorrt-rtx
# Only a build for the CPU: the default one on x86-64 brings several GB of CUDA with it. Where none
# is offered: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
torch='torch==2.13.0+cpu'
if pip 200 "$torch"; then
    # Not its extra `onnx`, which would replace onnxruntime by onnxruntime-gpu.
    pip 150 "$torch" 'nvidia-modelopt>=0.47' onnx-graphsurgeon onnxconverter-common onnxscript \
        polygraphy cppimport lief || missing nvidia-modelopt
else
    missing 'PyTorch for the CPU'
fi
[[ ${1:-} == slow ]] ||
    exec "$python" -m pytest tests/export tests/inference -m 'not slow and not live'

# Without their dependencies: opencv-python would break the headless one, and torchvision would bring
# another torch. What they use of them comes after.
pip 300 "$torch" 'transformers>=5' matplotlib polars psutil requests h5py pypdfium2 pyclipper \
    shapely langdetect rapidfuzz huggingface-hub anyascii validators defusedxml ||
    missing 'what ultralytics and docTR need'
pip 200 --no-deps torchvision 'ultralytics>=8.4' ultralytics-thop 'python-doctr>=1.1' ||
    missing 'ultralytics or docTR'
exec "$python" -m pytest tests/export tests/inference -m 'not live'
