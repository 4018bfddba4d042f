#!/usr/bin/env bash
# On a machine with a GPU: the network on it against the processor's, the time of an update, then the training of
# melis-10m, which stops after LIMIT seconds and goes on when this is run again.
# POCKETLM_LAB and TESTS are programs that were built elsewhere, DATA is Penn Treebank, OUT is where the results go.
set -euo pipefail
cd "$(dirname "$0")/.."

device=${DEVICE:-cuda}
data=${DATA:-../shared/data/ptb}
out=${OUT:-runs/cuda}
limit=${LIMIT:-480}
# Where toolkits and PyPI's wheels keep their libraries.
folders=(/usr/local/cuda/lib64 "$(python3 -c 'import site; print(site.getsitepackages()[0])' 2>/dev/null)"/nvidia/cu1?/lib)
LD_LIBRARY_PATH=$(IFS=:; echo "${folders[*]}")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH

if [[ -z ${POCKETLM_LAB:-} ]]; then
    cargo build --release -p pocketlm-lab --features cuda
    POCKETLM_LAB=${CARGO_TARGET_DIR:-target}/release/pocketlm-lab
fi
tests=(cargo test --release -p pocketlm-train --features cuda --lib --)
[[ -n ${TESTS:-} ]] && tests=("$TESTS")

mkdir -p "$out"
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader || echo "nvidia-smi shows no GPU"
"${tests[@]}" cuda::tests::gpu cuda::tests::nvrtc --nocapture 2>&1 | tee "$out/tests.txt"
if grep -q SKIPPED "$out/tests.txt"; then
    exit 1
fi
for each in "$device" cuda-tf32; do
    "$POCKETLM_LAB" bench-train --model melis-10m --device "$each" --json | tee "$out/bench-$each.json"
done
timeout --signal=INT --kill-after=90 "$limit" \
    "$POCKETLM_LAB" reproduce bases --rows melis-10m --device "$device" --data "$data" --work "$out" --results "$out"
