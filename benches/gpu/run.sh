#!/bin/sh
# On a machine with a GPU: tests, sanitizers, times and a profile of the programs beside this file (`cargo xtask gpu --bundle` put them
# there). Writes one file for each into OUT. Nothing stops it: what is missing or fails is told in its file.
# usage: run.sh OUT [test|fit|times|peers|profile|sanitize ..]; ONLY names the cases of times and peers
here=$(cd "$(dirname "$0")" && pwd)
out=$1
shift
parts=${*:-test fit times peers profile sanitize}
mkdir -p "$out"
export CHREODE_CUDA=gpu
python=${PYTHON:-python3}

# cudarc looks for libcuda.so by name; drivers in containers lie where the loader does not look.
for dir in /usr/local/nvidia/lib64 /usr/lib/x86_64-linux-gnu /usr/lib64 /usr/lib/wsl/lib; do
    [ -e "$dir/libcuda.so.1" ] && LD_LIBRARY_PATH=$dir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} && break
done
# NVRTC comes with the toolkit, or with PyTorch, whose copy has the version in its name.
nvrtc=$(find /usr/local /usr/lib "$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' 2>/dev/null)" \
    -name 'libnvrtc.so*' 2>/dev/null | head -n 1)
if [ -n "$nvrtc" ]; then
    mkdir -p "$out/lib" && ln -sf "$nvrtc" "$out/lib/libnvrtc.so"
    LD_LIBRARY_PATH=$out/lib:$(dirname "$nvrtc")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi
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
        within 120 tests.txt "$here/parity" --include-ignored --show-output
        within 20 tests.txt "$here/no_driver"
        ;;
    fit)
        # Three clouds that move apart, by the program, on the processor and on the device from the same seed.
        awk 'BEGIN { srand(1); printf "cell,day"; for (k = 0; k < 20; ++k) printf ",x%d", k; print ""
            for (t = 0; t < 3; ++t) for (i = 0; i < 2000; ++i) { printf "c%d_%d,%d", t, i, t
                for (k = 0; k < 20; ++k) printf ",%.4f", (k % 3 - 1) * t / 2 + rand() + rand() + rand() - 1.5; print "" } }' >"$out/cells.csv"
        columns=$(awk 'BEGIN { for (k = 0; k < 20; ++k) printf "%sx%d", k ? "," : "", k }')
        for device in cpu cuda; do
            echo "fit: $device" >>"$out/fit.txt"
            started=$(date +%s.%N)
            within 120 fit.txt "$here/chreode" fit "$out/cells.csv" --time day --state "$columns" --route simulation --device "$device" --steps 60 --batch 1024 \
                --drift-hidden 256,256 --seed 1 --overwrite -o "$out/run-$device"
            {
                echo "told: $(date +%s.%N | awk -v from="$started" '{ printf "%.1f", $1 - from }') s with start and end"
                sed -n 's/^\(finished .*\); the model.*/told: \1/p' "$out/fit.txt" | tail -n 1
            } >"$out/told.txt"
            cat "$out/told.txt" >>"$out/fit.txt"
            # Step, loss and gradient norm.
            sed -n 's/^{"step":\([0-9]*\),"loss":\([^,]*\),"gradient_norm":\([^,]*\),.*/\1 \2 \3/p' "$out/run-$device/metrics.jsonl" >"$out/$device.steps"
            rm -rf "$out/run-$device"
        done
        # The same cells and noise: what differs is rounding, which grows with the steps.
        paste -d ' ' "$out/cpu.steps" "$out/cuda.steps" | awk 'function off(a, b) { return a > b ? (a - b) / a : (b - a) / b }
            $1 == $4 { ++n; l = off($2, $5); g = off($3, $6); if (n <= 10) { if (l > l10) l10 = l; if (g > g10) g10 = g }; if (l > loss) loss = l; if (g > norm) norm = g }
            END { if (n) printf "told: over the first 10 steps losses within %.1e of the processor'"'"'s and norms of gradients within %.1e, over all %d within %.1e and %.1e\n", l10, g10, n, loss, norm
                else print "told: no steps to compare" }' >>"$out/fit.txt"
        rm -f "$out/cells.csv" "$out/told.txt" "$out/cpu.steps" "$out/cuda.steps"
        ;;
    sanitize)
        # Each tool with each test, or part of their names, in a process of its own and all side by side: one that takes too long stops no other. SANITIZE
        # names the tests, SANITIZE_TOOLS the tools, SANITIZE_SECONDS the limit, CHREODE_CASES how many random shapes a test may have (they take minutes
        # under the tools, racecheck most).
        cases=${CHREODE_CASES:-2}
        tests=${SANITIZE:-"clouds:: divergence:: engine:: ensemble:: generated:: host:: mlp::rounded mlp::many mlp::gradient mlp::values mlp::large network:: noise:: optimiser:: step:: stiff::"}
        for tool in ${SANITIZE_TOOLS:-memcheck synccheck racecheck}; do
            for test in $tests; do
                within "${SANITIZE_SECONDS:-150}" "sanitizer-$tool-$(echo "$test" | tr -d :).txt" env CHREODE_CASES="$cases" compute-sanitizer --tool "$tool" \
                    --error-exitcode 9 "$here/parity" --test-threads=1 "$test" &
            done
        done
        wait
        cat "$out"/sanitizer-*.txt >>"$out/sanitizer.txt" && rm -f "$out"/sanitizer-*.txt
        ;;
    # shellcheck disable=SC2086
    times) within 120 ours.csv "$here/gpu_times" $ONLY ;;
    # shellcheck disable=SC2086
    peers) within 240 peers.csv "$python" "$here/peers.py" $ONLY ;;
    profile)
        # Kernels, the case and size (a part of the whole) that run them, and how many launches come before (of updates, those before the first level).
        while read -r kernel case part_of skip; do
            within 40 profile.txt env CHREODE_GPU_SHRINK="$part_of" ncu --clock-control none --set full --kernel-name-base function -k "$kernel" --launch-skip "$skip" \
                --launch-count 1 "$here/gpu_times" --once "$case" </dev/null
        done <<-'END'
	em_forward_tf32_large paths-drift-100000 5 0
	em_forward_f32 paths-both-2048 1 0
	em_layers_tf32_large gradient-2048 1 0
	em_backward_tf32 gradient-2048 1 0
	em_backward_f32 gradient-2048 1 0
	layer_gradient_f32 gradient-2048 1 0
	layer_gradient_tf32 gradient-2048 1 0
	pair_costs sinkhorn-2048 1 0
	update_potentials_kept sinkhorn-2048 1 18
	cloud_pulls_kept sinkhorn-2048 1 0
	update_potentials sinkhorn-streaming 1 18
	nearest_of_split neighbours 1 0
	END
        ;;
    esac
    echo "$part: $(($(date +%s) - begun)) s" >>"$out/device.txt"
done
cat "$out/device.txt"
