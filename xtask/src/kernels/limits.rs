//! What limits a kernel: registers and shared memory of a multiprocessor, and how fast a device could do its work.
//!
//! Stated sizes are a net 50-512-512-50, clouds of 50 coordinates and networks of 3. Peaks are those that the maker states, without sparsity.

use std::fmt::Write as _;

/// Compute capabilities: A100, H100, B200.
pub(super) const DEVICES: [Device; 3] = [
    Device {
        architecture: "sm_80",
        name: "A100",
        shared: 164,
        f32: 19.5,
        tf32: 156.0,
        bf16: 312.0,
        memory: 2.04,
    },
    Device {
        architecture: "sm_90",
        name: "H100",
        shared: 228,
        f32: 67.0,
        tf32: 495.0,
        bf16: 989.0,
        memory: 3.35,
    },
    Device {
        architecture: "sm_100",
        name: "B200",
        shared: 228,
        f32: 80.0,
        tf32: 1100.0,
        bf16: 2250.0,
        memory: 8.0,
    },
];

/// A generation, by one of its devices.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) architecture: &'static str,
    name: &'static str,
    /// Shared memory of a multiprocessor in KiB; a block may have one less, and the driver takes one for each.
    shared: usize,
    /// Peaks in TFLOP/s: of the units for f32, and of tensor cores.
    f32: f64,
    tf32: f64,
    bf16: f64,
    /// Of the memory, in TB/s.
    memory: f64,
}

/// Warps and registers of a multiprocessor.
const WARPS: u32 = 64;
const REGISTERS: u32 = 65536;
/// Threads of a block, and of one of a net's kernels whose factors are rounded.
const THREADS: u32 = 256;
const ROUNDED_THREADS: u32 = 512;

/// Coordinates of a cell, and the widest layer, of the stated sizes.
const D: usize = 50;
const WIDEST: usize = 512;
/// Distance of two rows of activations of it.
const LD: usize = WIDEST + 4;

/// Threads of a block of this kernel.
fn threads(kernel: &str) -> u32 {
    if kernel.contains("_tf32") || kernel.contains("_bf16") { ROUNDED_THREADS } else { THREADS }
}

/// Bytes of shared memory that a launch asks for at the stated sizes, with as many rows as a block has where there are many.
pub(super) fn shared(kernel: &str) -> usize {
    let large = kernel.ends_with("_large");
    let tile = |extra: usize| if large { 64 * (LD + extra) } else { 32 * (2 * LD + extra) };
    let starts = |name: &str| kernel.starts_with(name);
    let floats = if starts("em_forward") {
        tile(3 * D + 1)
    } else if starts("em_layers") {
        tile(0)
    } else if starts("em_backward") {
        tile(2 * D)
    } else if starts("mlp_") {
        tile(0)
    } else if starts("layer_gradient") {
        4 * 2 * 16 * 136
    } else {
        match kernel {
            "energy_rows" => 2 * 64 * (32 + 1) + (64 + 32) * (D + 1) + 64 * D,
            "softmin_rows" | "update_potentials" => (16 + 128) * (D | 1),
            "cloud_bounds" | "end_divergence" => 2 * 256,
            "begin_annealing" | "judge_potentials" => 256,
            "pair_costs" => 2 * 64 * 52,
            "cloud_pulls" | "cloud_pulls_kept" => 16 * (128 + 4) + (16 + 128) * (D | 1) + 16 * D,
            "transport_rows" => 16 * (128 + 1) + (16 + 128) * (D | 1) + 16 * D,
            "nearest_of_split" => 64 * (2 * 32 + 128),
            "tsit5_ensemble" => 9 * 256 * 3,
            "rosenbrock_ensemble" => (11 + 3) * 256 * 3,
            _ => 0,
        }
    };
    4 * floats
}

/// Blocks of a kernel that a multiprocessor holds, and the share of its warps that they are, in percent: none if a block does not fit.
pub(super) fn occupancy(kernel: &str, registers: u32, device: &Device) -> (u32, f64) {
    let warps = threads(kernel) / 32;
    let per_warp = (32 * registers).next_multiple_of(256).max(256);
    let by_shared = device.shared * 1024 / (shared(kernel) + 1024);
    let blocks = (REGISTERS / (per_warp * warps)).min(WARPS / warps).min(by_shared as u32); // 228 at most
    (blocks, f64::from(blocks * warps) / f64::from(WARPS) * 100.0)
}

/// Which units do a work's operations.
#[derive(Debug, Clone, Copy)]
enum Units {
    F32,
    /// Factors in two parts of TF32: three products for each.
    ThreeTf32,
    Tf32,
    Bf16,
}

/// A work of a stated size: kernel, size, units, operations, and bytes that must come from or go to memory.
const WORKS: &[(&str, &str, Units, f64, f64)] = &[
    ("em_forward_f32", "100,000 cells, 400 steps", Units::ThreeTf32, 1e5 * 400.0 * NET, 1e5 * 600.0),
    ("em_forward_tf32_large", "100,000 cells, 400 steps", Units::Tf32, 1e5 * 400.0 * NET, 1e5 * 600.0),
    ("em_forward_bf16_large", "100,000 cells, 400 steps", Units::Bf16, 1e5 * 400.0 * NET, 1e5 * 600.0),
    ("em_forward_f32", "2,048 cells, 40 steps", Units::ThreeTf32, 2048.0 * 40.0 * NET, 2048.0 * 600.0),
    ("em_forward_tf32", "2,048 cells, 40 steps", Units::Tf32, 2048.0 * 40.0 * NET, 2048.0 * 600.0),
    ("em_layers_f32", "2,048 cells, 40 steps", Units::ThreeTf32, 2048.0 * 40.0 * NET, 2048.0 * 40.0 * KEPT),
    ("em_backward_f32", "2,048 cells, 40 steps", Units::ThreeTf32, 2048.0 * 40.0 * NET, 2048.0 * 40.0 * KEPT),
    ("em_layers_tf32_large", "2,048 cells, 40 steps", Units::Tf32, 2048.0 * 40.0 * NET, 2048.0 * 40.0 * KEPT),
    ("em_backward_tf32", "2,048 cells, 40 steps", Units::Tf32, 2048.0 * 40.0 * NET, 2048.0 * 40.0 * KEPT),
    (
        "layer_gradient_f32",
        "2,048 cells, 40 steps",
        Units::ThreeTf32,
        2048.0 * 40.0 * NET,
        2048.0 * 40.0 * KEPT,
    ),
    ("layer_gradient_tf32", "2,048 cells, 40 steps", Units::Tf32, 2048.0 * 40.0 * NET, 2048.0 * 40.0 * KEPT),
    ("pair_costs", "2,048 by 2,048 points, three problems", Units::F32, 3.0 * PAIRS * 150.0, 12.0 * PAIRS),
    (
        "update_potentials",
        "2,048 by 2,048 points, four problems",
        Units::F32,
        4.0 * PAIRS * 175.0,
        2.0 * 2048.0 * 200.0,
    ),
    (
        "update_potentials_kept",
        "2,048 by 2,048 points, four problems",
        Units::F32,
        4.0 * PAIRS * 25.0,
        16.0 * PAIRS,
    ),
    ("cloud_pulls_kept", "2,048 by 2,048 points, two problems", Units::F32, 2.0 * PAIRS * 175.0, 8.0 * PAIRS),
    ("softmin_rows", "2,048 by 2,048 points", Units::F32, 2048.0 * 2048.0 * 175.0, 2.0 * 2048.0 * 200.0),
    ("transport_rows", "2,048 by 2,048 points", Units::F32, 2048.0 * 2048.0 * 325.0, 4.0 * 2048.0 * 200.0),
    ("nearest_of_split", "10,000 by 100,000 points", Units::F32, 1e9 * 150.0, 1.1e5 * 200.0),
];
/// Operations of the net for a cell, and bytes that the way back keeps of it.
const NET: f64 = 2.0 * (2 * D * WIDEST + WIDEST * WIDEST) as f64;
/// Pairs of two clouds of 2,048 points.
const PAIRS: f64 = 2048.0 * 2048.0;
const KEPT: f64 = 4.0 * (2 * D + 4 * WIDEST) as f64;

/// The table of the least times: by the units' peak or the memory's, whichever is longer.
pub(super) fn roofline() -> String {
    let mut table = String::from("| kernel | work | operations | memory |");
    for device in &DEVICES {
        let _ = write!(table, " {} |", device.name); // which cannot fail
    }
    table += "\n|---|---|---|---|---|---|---|\n";
    for &(kernel, size, units, operations, bytes) in WORKS {
        // Writing to a String cannot fail.
        let _ =
            write!(table, "| `{kernel}` | {size} | {:.3} TFLOP | {:.3} GB |", operations / 1e12, bytes / 1e9);
        for device in &DEVICES {
            let _ = write!(table, " {} |", told(least(units, operations, bytes, device)));
        }
        table.push('\n');
    }
    table
}

/// Seconds.
fn least(units: Units, operations: f64, bytes: f64, device: &Device) -> f64 {
    let peak = match units {
        Units::F32 => device.f32,
        Units::ThreeTf32 => device.tf32 / 3.0,
        Units::Tf32 => device.tf32,
        Units::Bf16 => device.bf16,
    };
    (operations / peak).max(bytes / device.memory) / 1e12
}

fn told(seconds: f64) -> String {
    if seconds < 1e-3 { format!("{:.0} µs", seconds * 1e6) } else { format!("{:.1} ms", seconds * 1e3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of a page on occupancy by hand: registers, then warps, then shared memory are what is short.
    #[test]
    fn the_scarcest_limits_blocks() {
        let [a100, h100, _] = &DEVICES;
        let of = |registers, device| occupancy("pack_net", registers, device).0;
        assert_eq!([32, 64, 128, 168, 255].map(|r| of(r, h100)), [8, 4, 2, 1, 1]);
        assert_eq!(occupancy("pack_net", 40, h100), (6, 75.0));
        assert_eq!(occupancy("em_forward_tf32_large", 128, h100), (1, 25.0));
        assert_eq!(occupancy("em_forward_tf32_large", 128, a100), (0, 0.0)); // 167 KiB of 163
        assert_eq!(occupancy("nearest_of_split", 32, a100), (3, 37.5)); // three times 49 KiB of 164
    }

    #[test]
    fn the_slower_of_units_and_memory_counts() {
        let h100 = &DEVICES[1];
        assert_eq!(told(least(Units::F32, 67e12, 1.0, h100)), "1000.0 ms");
        assert_eq!(told(least(Units::ThreeTf32, 495e9, 1.0, h100)), "3.0 ms");
        assert_eq!(told(least(Units::Bf16, 1.0, 3.35e8, h100)), "100 µs");
        assert_eq!(roofline().lines().count(), WORKS.len() + 2);
    }
}
