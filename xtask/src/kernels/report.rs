//! What NVIDIA's assembler makes of the PTX: registers, spills, instructions, and with `limits` occupancy and least times. Static counts: no loop is weighed.
//!
//! The assembler and disassembler come from Python wheels, into an environment in the target folder. Nothing of theirs is run on a GPU,
//! and nothing that they make is run on a processor.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::DIR;
use super::limits::{DEVICES, occupancy, roofline, shared};
use super::parse::{Module, modules};
use crate::ci::run::{passes, system};
use crate::workspace::Workspace;

/// Versions that were tried together.
const WHEELS: &[&str] =
    &["nvidia-cuda-nvcc==13.0.88", "nvidia-cuda-cuobjdump==13.5.37", "nvidia-cuda-nvdisasm==13.5.37"];
/// The page, and the lines between which the table stands.
const PAGE: &str = "docs/GPU.md";
const BEGIN: &str = "<!-- kernels report: begin -->";
const END: &str = "<!-- kernels report: end -->";

/// Registers, bytes of spills and counted instructions of a kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Row {
    registers: u32,
    spilled: u32,
    ffma: usize,
    hmma: usize,
    lds: usize,
    instructions: usize,
}

/// Prints the table, writes it to the page, and says whether no kernel spills.
pub(crate) fn run() -> Result<bool> {
    let workspace = Workspace::load()?;
    let Some(bin) = tools(&workspace.target)? else {
        println!("report: skipped, the assembler could not be installed; is there a python3 and a network?");
        return Ok(false);
    };
    let mut table = String::from(
        "| kernel | architecture | registers | spilled bytes | shared memory | blocks per multiprocessor | occupancy | FFMA | HMMA | LDS | instructions |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut clean = true;
    let out = workspace.target.join("kernels");
    std::fs::create_dir_all(&out)?;
    for module in modules(&super::sources(&workspace.root)?) {
        for device in &DEVICES {
            let architecture = device.architecture;
            for (kernel, row) in assemble(&bin, &workspace.root, &module, architecture, &out)? {
                clean &= row.spilled == 0;
                let Row { registers, spilled, ffma, hmma, lds, instructions } = row;
                let (blocks, occupied) = occupancy(&kernel, registers, device);
                let room = shared(&kernel);
                // Writing to a String cannot fail.
                let _ = writeln!(
                    table,
                    "| `{kernel}` | {architecture} | {registers} | {spilled} | {room} | {blocks} | {occupied} % | {ffma} | {hmma} | {lds} | {instructions} |"
                );
            }
        }
    }
    table +=
        "\nThe least time that a work could take, by the peak of the units that do it or of the memory:\n\n";
    table += &roofline();
    print!("{table}");
    let path = workspace.root.join(PAGE);
    let page = std::fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("{PAGE} has no {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{PAGE} has no {END}"))?;
    std::fs::write(path, format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))?;
    if !clean {
        println!("report: a kernel spills registers");
    }
    Ok(clean)
}

/// The folder with `ptxas`, `cuobjdump` and `nvdisasm`; none if they cannot be had.
fn tools(target: &Path) -> Result<Option<PathBuf>> {
    let dir = target.join("ptxas");
    let find = || {
        let lib = std::fs::read_dir(dir.join("lib")).ok()?.flatten().next()?.path();
        let bin = lib.join("site-packages/nvidia/cu13/bin");
        ["ptxas", "cuobjdump", "nvdisasm"].iter().all(|t| bin.join(t).exists()).then_some(bin)
    };
    if let Some(bin) = find() {
        return Ok(Some(bin));
    }
    if system("python3").arg("--version").output().is_err() {
        return Ok(None);
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"];
    let python = dir.join("bin/python").to_string_lossy().into_owned();
    let made = passes(system("python3").args(["-m", "venv"]).arg(&dir))?
        && passes(system(&python).args(pip).args(WHEELS))?;
    Ok(if made { find() } else { None })
}

/// Assembles one module and counts.
fn assemble(
    bin: &Path,
    root: &Path,
    module: &Module,
    architecture: &str,
    out: &Path,
) -> Result<BTreeMap<String, Row>> {
    let ptx = root.join(DIR).join(format!("ptx/{}.ptx", module.stem));
    let cubin = out.join(format!("{}.{architecture}.cubin", module.stem));
    let tool = |name: &str| system(&bin.join(name).to_string_lossy());
    let said = tool("ptxas")
        .args([&format!("-arch={architecture}"), "-v"])
        .arg(&ptx)
        .arg("-o")
        .arg(&cubin)
        .output()?;
    let log = String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.success(), "ptxas refuses {}: {log}", module.stem);
    let mut rows = read_log(&log);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let code = tool("cuobjdump").env("PATH", path).arg("-sass").arg(&cubin).output()?;
    ensure!(code.status.success(), "cuobjdump: {}", String::from_utf8_lossy(&code.stderr));
    count(&String::from_utf8_lossy(&code.stdout), &mut rows);
    Ok(rows)
}

/// Registers and spills from what `ptxas -v` says.
fn read_log(log: &str) -> BTreeMap<String, Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut name = String::new();
    let before = |line: &str, word: &str| -> u32 {
        let words: Vec<&str> = line.split(word).next().unwrap_or_default().split_whitespace().collect();
        words.last().and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            rest.split('\'').next().unwrap_or_default().clone_into(&mut name);
            rows.insert(name.clone(), Row::default());
        }
        let Some(row) = rows.get_mut(&name) else { continue };
        if line.contains("bytes spill stores") {
            row.spilled = before(line, " bytes spill stores") + before(line, " bytes spill loads");
        }
        if line.contains("Used ") {
            row.registers = before(line, " registers");
        }
    }
    rows
}

/// Adds the instructions of a disassembly.
fn count(code: &str, rows: &mut BTreeMap<String, Row>) {
    let mut name = String::new();
    for line in code.lines() {
        if let Some((_, function)) = line.split_once("Function : ") {
            function.trim().clone_into(&mut name);
        }
        let Some(row) = rows.get_mut(&name) else { continue };
        // `/*0010*/   @!P0 FFMA R1, R2, R3, R4 ;   /* 0x... */`
        let Some((_, rest)) = line.split_once("*/") else { continue };
        let Some(what) = rest.split_whitespace().find(|w| !w.starts_with('@')) else { continue };
        if !what.starts_with(|c: char| c.is_ascii_uppercase()) {
            continue;
        }
        row.instructions += 1;
        match what.split('.').next() {
            Some("FFMA" | "FFMA2") => row.ffma += 1,
            Some("HMMA") => row.hmma += 1,
            Some("LDS") => row.lds += 1,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_assembler_is_understood() {
        let log = "ptxas info    : Compiling entry function 'em' for 'sm_80'\n\
                   ptxas info    : Function properties for em\n\
                   \u{20}   8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads\n\
                   ptxas info    : Used 40 registers, used 1 barriers, 400 bytes cmem[0]\n";
        let mut rows = read_log(log);
        let code = "\tFunction : em\n        /*0000*/   MOV R1, c[0x0] ;  /* 0x0 */\n        /*0010*/   @!P0 FFMA R1, R2, R3, R4 ;\n\
                    \u{20}       /*0020*/   LDS.128 R4, [R1] ;\n                                 /* 0x003fde0000000f00 */\n";
        count(code, &mut rows);
        let want = Row { registers: 40, spilled: 16, ffma: 1, hmma: 0, lds: 1, instructions: 3 };
        assert_eq!(rows.get("em"), Some(&want));
    }
}
