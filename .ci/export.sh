#!/usr/bin/env bash
# Tests of export with the tools that engines are built with, in an environment of their own. Says in
# one line what cannot be installed here; the tests that need it skip, and say so, too.
set -uo pipefail
cd "$(dirname "$0")/.."

env=.venv-export
python=$env/bin/python
[[ -x $python ]] || "${PYTHON:-python3}" -m venv "$env" || exit 1
pip() { timeout "$1" "$python" -m pip install --quiet --disable-pip-version-check "${@:2}"; }

pip 150 --editable '.[dev]' || exit 1
missing() { echo "export tests: $1 cannot be installed here; what needs it skips"; }
pip 30 onnxslim || missing onnxslim
pip 60 'tensorrt-rtx>=1.7,<2' || missing tensorrt-rtx
pip 60 'nvidia-cuda-nvrtc>=13' || missing nvidia-cuda-nvrtc
# Only a build for the CPU: the default one on x86-64 brings several GB of CUDA with it. Where none
# is offered: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
if pip 150 'torch==2.13.0+cpu'; then
    # Not its extra `onnx`, which would replace onnxruntime by onnxruntime-gpu.
    pip 90 'nvidia-modelopt>=0.47' onnx-graphsurgeon onnxconverter-common onnxscript polygraphy \
        cppimport lief || missing nvidia-modelopt
else
    missing 'PyTorch for the CPU'
fi
exec "$python" -m pytest tests/export tests/inference -m 'not slow and not live'
