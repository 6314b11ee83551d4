#!/usr/bin/env bash
# Everything that only a GPU can show, in an environment of its own: the kernels compiled for it, the
# tests with the marker `gpu` (compute-sanitizer's among them), and its benchmark. Ends with the name
# of a page in Markdown that has it all. Says in one line what cannot be installed here.
#
#   GPU_PYTHON=…/bin/python gpu.sh    with an environment that is set up already, and left as it is
set -uo pipefail
cd "$(dirname "$0")/.."

# CUDA's version as the driver has it, 13000 for 13.0; or why there is none.
driver=$("${GPU_PYTHON:-${PYTHON:-python3}}" - <<'END'
import ctypes
count, version = ctypes.c_int(), ctypes.c_int()
try:
    cuda = ctypes.CDLL("libcuda.so.1")
    code = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
    cuda.cuDriverGetVersion(ctypes.byref(version))
    print(f"the driver has none (CUDA error {code})" if code or not count.value else version.value)
except OSError:
    print("libcuda.so.1 of its driver is not here")
END
) || exit 1
[[ $driver =~ ^[0-9]+$ ]] || {
    echo "test-gpu: no NVIDIA GPU answers: $driver. Run it on a machine with one; make test runs anywhere." >&2
    exit 1
}

missing() { echo "test-gpu: $1 cannot be installed here; what needs it skips" >&2; }
set_up() {
    local env=.venv-gpu
    python=$env/bin/python
    [[ -x $python ]] || "${PYTHON:-python3}" -m venv "$env" || exit 1
    pip() { timeout "$1" "$python" -m pip install --quiet --disable-pip-version-check "${@:2}"; }
    pip 600 --editable '.[dev]' || exit 1
    # CUDA 13 or 12: what the driver takes.
    local runtime='>=1.28,<2' compiler=nvidia-cuda-nvrtc checker=nvidia-cuda-sanitizer-api
    if ((driver < 13000)); then
        runtime='>=1.23,<1.27' compiler=nvidia-cuda-nvrtc-cu12 checker=nvidia-cuda-sanitizer-api-cu12
    fi
    # Both bring the same module, and the last one has it.
    "$python" -m pip uninstall --quiet --yes onnxruntime onnxruntime-gpu
    pip 1200 "onnxruntime-gpu[cuda,cudnn]$runtime" || {
        missing onnxruntime-gpu
        "$python" -m pip uninstall --quiet --yes onnxruntime-gpu
        pip 300 onnxruntime || exit 1
    }
    command -v nvcc >/dev/null || pip 300 "$compiler" || missing "$compiler"
    command -v compute-sanitizer >/dev/null || pip 300 "$checker" || missing "$checker"
}
if [[ -n ${GPU_PYTHON:-} ]]; then python=$GPU_PYTHON; else set_up; fi

out=.bench/gpu
mkdir -p "$out" || exit 1
rm -f "$out"/*.txt "$out"/*.md
page=$out/gpu.md
failed=0
# For this one alone: an older nvcc knows none of the newest.
target=$("$python" -c 'from edge.inference.gpu import gpu_here; print(gpu_here().target)') &&
    "$python" -m edge.cli export kernels --target "$target" || failed=1
# The same examples every time, so that what fails fails again.
HYPOTHESIS_PROFILE=ci "$python" -m pytest -m gpu -rsfE | tee "$out/tests.txt" || failed=1
"$python" -m benchmarks.gpu --markdown "$page" ${GPU_QUICK:+--quick} || failed=1
{
    printf '\n**make test-gpu**: %s\n\n' "$(tail -n 1 "$out/tests.txt")"
    sed -nE 's/^(FAILED|ERROR) /- \1 /p' "$out/tests.txt"
    awk '/^SKIPPED/ {
        count = substr($2, 2) + 0
        sub(/^SKIPPED [^ ]+ [^ ]+ /, "")
        reasons[$0] += count
    } END { for (why in reasons) print "- skipped " reasons[why] ": " why }' "$out/tests.txt" | sort
} >>"$page"
((failed)) && echo "test-gpu: not all went well; see above" >&2
echo "test-gpu: $page has the figures, what they were measured on, and what was tested"
exit "$failed"
