#!/bin/sh
# On a machine with a GPU: tests, sanitizers, times and a profile of the programs beside this file (`cargo xtask gpu --bundle` put them
# there). Writes one file for each into OUT. Nothing stops it: what is missing or fails is told in its file.
# usage: run.sh OUT [test|sanitize|times|peers|profile ..]
here=$(cd "$(dirname "$0")" && pwd)
out=$1
shift
parts=${*:-test times peers profile sanitize}
mkdir -p "$out"
export CHREODE_CUDA=gpu
python=${PYTHON:-python3}

# cudarc looks for libcuda.so by name; drivers in containers lie where the loader does not look.
for dir in /usr/local/nvidia/lib64 /usr/lib/x86_64-linux-gnu /usr/lib64 /usr/lib/wsl/lib; do
    [ -e "$dir/libcuda.so.1" ] && LD_LIBRARY_PATH=$dir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} && break
done
export LD_LIBRARY_PATH

# A command within its time, into a file, with its exit status as the last line.
within() {
    seconds=$1 file=$2
    shift 2
    timeout "$seconds" "$@" >>"$out/$file" 2>&1
    printf '\nexit status %s: %s\n' "$?" "$*" >>"$out/$file"
}

{
    date -u +%Y-%m-%d
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader
} >"$out/device.txt" 2>&1

for part in $parts; do
    begun=$(date +%s)
    case $part in
    test)
        within 120 tests.txt "$here/parity" --show-output
        within 20 tests.txt "$here/no_driver"
        ;;
    sanitize)
        # Random shapes many times over take minutes under the tools: these tests touch every kernel but those of noise and optimisers.
        few="ensemble::little_memory ensemble::rows_do_not network::lorenz clouds::sinkhorn_divergence engine::training_steps mlp::"
        for tool in memcheck synccheck; do
            # shellcheck disable=SC2086
            within 45 sanitizer.txt compute-sanitizer --tool "$tool" --error-exitcode 9 "$here/parity" --test-threads=1 $few
        done
        # Slower by far: each test by itself.
        for test in ensemble::rows_do_not mlp::gradient_against network::lorenz clouds::sinkhorn_divergence; do
            within 40 sanitizer.txt compute-sanitizer --tool racecheck --error-exitcode 9 "$here/parity" --test-threads=1 "$test"
        done
        ;;
    times) within 120 ours.csv "$here/gpu_times" ;;
    peers) within 240 peers.csv "$python" "$here/peers.py" ;;
    profile)
        for kernel in em_forward em_backward layer_gradient softmin_rows transport_rows; do
            within 40 profile.txt ncu --clock-control none --set full --kernel-name-base function -k "$kernel" --launch-count 1 \
                "$here/gpu_times" --once training-step
        done
        ;;
    esac
    echo "$part: $(($(date +%s) - begun)) s" >>"$out/device.txt"
done
cat "$out/device.txt"
