//! The host's side of the kernels, written from their signatures: no argument is packed by hand.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::parse::{
    Copies, Field, Item, Module, Number, Source, Type, VARIANT, modules as compiled, variants, with_variant,
};

/// Names and texts of the Rust files, formatted as the workspace is: what all kernels share, and the launchers of each `.cu` file and of the headers
/// that hold the kernel of a generated source.
pub(super) fn write(sources: &[Source], root: &Path) -> Result<Vec<(String, String)>> {
    let modules = || sources.iter().filter(|s| s.is_module() || !s.kernels.is_empty());
    // The formatter would look for the files of the modules, which are being written: they are named after it.
    let mut names = String::new();
    for module in modules() {
        writeln!(names, "mod {};", module.stem())?;
    }
    let shared = format(&shared(sources)?, root)?;
    let mut files = vec![(
        "mod.rs".to_owned(),
        shared.replacen("\npub(crate) use", &format!("\n{names}\npub(crate) use"), 1),
    )];
    for module in modules() {
        files.push((format!("{}.rs", module.stem()), format(&launchers(module, sources)?, root)?));
    }
    Ok(files)
}

fn shared(sources: &[Source]) -> Result<String> {
    let mut out = String::from(
        "//! Kernels, their structures and their launchers. Written by `cargo xtask kernels build` from the signatures of the `.cu` files.\n\n",
    );
    let modules: Vec<&Source> = sources.iter().filter(|s| s.is_module()).collect();
    for module in &modules {
        let names: Vec<&str> = module.kernels.iter().map(|k| k.name.as_str()).collect();
        writeln!(out, "pub(crate) use {}::{{{}}};", module.stem(), names.join(", "))?;
    }
    for header in sources.iter().filter(|s| !s.is_module() && !s.kernels.is_empty()) {
        writeln!(out, "pub(crate) use {0}::{0};", header.stem())?;
    }
    writeln!(out)?;
    for number in sources.iter().flat_map(|s| &s.numbers).filter(|n| !n.name.starts_with(VARIANT)) {
        comment(&mut out, &number.docs);
        writeln!(out, "pub(crate) const {}: usize = {};\n", number.name, number.value)?;
    }
    for item in sources.iter().flat_map(|s| &s.structs) {
        comment(&mut out, &item.docs);
        writeln!(
            out,
            "#[repr(C)]\n#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]"
        )?;
        writeln!(out, "pub(crate) struct {} {{", item.name)?;
        for field in &item.fields {
            writeln!(out, "pub(crate) {}: {},", field.name, member(&field.of)?)?;
        }
        writeln!(out, "}}\n")?;
    }
    let variants = variants(sources, Copies::Variants);
    if let Some(first) = variants.first() {
        comment(&mut out, &first.docs);
        writeln!(out, "#[derive(Debug, Clone, Copy, PartialEq, Eq)]\npub(crate) enum Variant {{")?;
        for variant in variants {
            writeln!(out, "{},", camel(&variant.name.trim_start_matches(VARIANT).to_lowercase()))?;
        }
        writeln!(out, "}}\n")?;
    }
    writeln!(
        out,
        "/// Every kernel, in the order of [`KERNELS`].\n#[derive(Debug, Clone, Copy, PartialEq, Eq)]"
    )?;
    writeln!(out, "pub(crate) enum Kernel {{")?;
    let copies = compiled(sources);
    for module in &copies {
        for kernel in &module.source.kernels {
            writeln!(out, "{},", camel(&module.kernel(kernel)))?;
        }
    }
    writeln!(out, "}}\n\n/// Name of each kernel, the number of its module, and threads of a block.")?;
    writeln!(out, "pub(crate) const KERNELS: &[(&str, usize, usize)] = &[")?;
    for (number, module) in copies.iter().enumerate() {
        for kernel in &module.source.kernels {
            let threads = module.threads();
            writeln!(out, "(\"{}\", {number}, {threads}),", module.kernel(kernel))?;
        }
    }
    writeln!(out, "];\n\n/// Name and PTX of each module.\npub(crate) const MODULES: &[(&str, &str)] = &[")?;
    for Module { stem, .. } in &copies {
        writeln!(out, "(\"{stem}\", include_str!(\"../../kernels/ptx/{stem}.ptx\")),")?;
    }
    writeln!(out, "];")?;
    Ok(out)
}

fn launchers(module: &Source, sources: &[Source]) -> Result<String> {
    let mut out = format!("//! Launchers of `{}`. Written by `cargo xtask kernels build`.\n\n", module.name);
    out += "#![allow(unsafe_code, reason = \"launches, whose lengths the callers check\")]\n\n";
    let mut structs: Vec<&str> = module
        .kernels
        .iter()
        .flat_map(|kernel| &kernel.fields)
        .filter_map(|field| match &field.of {
            Type::Pointer { of, .. } => match &**of {
                Type::Struct(name) => Some(name.as_str()),
                _ => None,
            },
            _ => None,
        })
        .collect();
    if module.is_module() {
        structs.push("Kernel");
    }
    if module.copies == Copies::Variants {
        structs.push("Variant");
    }
    structs.sort_unstable();
    structs.dedup();
    if !structs.is_empty() {
        writeln!(out, "use super::{{{}}};", structs.join(", "))?;
    }
    let own = if module.is_module() { "" } else { "OwnKernel, " };
    writeln!(
        out,
        "use crate::CudaError;\nuse crate::buffer::Buffer;\nuse crate::device::{{Grid, {own}Stream}};"
    )?;
    if module.copies == Copies::Precisions {
        writeln!(out, "use crate::ops::Precision;")?;
    }
    writeln!(out)?;
    for kernel in &module.kernels {
        launcher(&mut out, module, kernel, &variants(sources, module.copies))?;
    }
    Ok(out)
}

/// Of a kernel of a `.cu` file; or of that of a generated source, which has the source's name and is given to its launcher, the header's.
fn launcher(out: &mut String, module: &Source, kernel: &Item, variants: &[&Number]) -> Result<()> {
    let own = !module.is_module();
    comment(out, &kernel.docs);
    writeln!(
        out,
        "/// # Safety\n/// Buffers are as long as the kernel reads and writes them with these sizes."
    )?;
    let name = if own { module.stem() } else { &kernel.name };
    writeln!(out, "pub(crate) unsafe fn {name}(stream: &Stream, grid: Grid,")?;
    if own {
        writeln!(out, "kernel: &OwnKernel,")?;
    }
    let choice = match module.copies {
        Copies::One => None,
        Copies::Precisions => Some(("precision", "Precision")),
        Copies::Variants => Some(("variant", "Variant")),
    };
    if let Some((name, of)) = choice {
        writeln!(out, "{name}: {of},")?;
    }
    for Field { name, of } in &kernel.fields {
        writeln!(out, "{name}: {},", parameter(of)?)?;
    }
    writeln!(out, ") -> Result<(), CudaError> {{")?;
    for Field { name, of } in &kernel.fields {
        if let Type::Pointer { .. } = of {
            writeln!(out, "{name}.must_be_of(stream, \"{name}\")?;")?;
        }
    }
    for Field { name, of } in &kernel.fields {
        if let Type::Pointer { .. } = of {
            writeln!(out, "let {name} = {name}.address();")?;
        }
    }
    match choice {
        None if own => {}
        None => writeln!(out, "let kernel = Kernel::{};", camel(&kernel.name))?,
        Some((name, of)) => {
            writeln!(out, "let kernel = match {name} {{")?;
            for variant in variants {
                let case = camel(&variant.name.trim_start_matches(VARIANT).to_lowercase());
                writeln!(out, "{of}::{case} => Kernel::{},", camel(&with_variant(&kernel.name, variant)))?;
            }
            writeln!(out, "}};")?;
        }
    }
    writeln!(out, "let mut arguments = [")?;
    for Field { name, .. } in &kernel.fields {
        writeln!(out, "(&raw const {name}).cast_mut().cast(),")?;
    }
    writeln!(
        out,
        "];\n// SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise."
    )?;
    let call = if own { "kernel.launch(stream, grid" } else { "stream.launch(kernel, grid" };
    writeln!(out, "unsafe {{ {call}, &mut arguments) }}\n}}\n")?;
    Ok(())
}

fn comment(out: &mut String, docs: &[String]) {
    for line in docs {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "// {line}");
    }
}

fn scalar(of: &Type) -> Result<&str> {
    Ok(match of {
        Type::Int => "i32",
        Type::Unsigned => "u32",
        Type::Long => "u64",
        Type::Float => "f32",
        Type::Double => "f64",
        Type::Struct(name) => name,
        other => anyhow::bail!("{other:?} is no plain type"),
    })
}

fn member(of: &Type) -> Result<String> {
    match of {
        Type::Array(of, size) => Ok(format!("[{}; {size}]", scalar(of)?)),
        of => Ok(scalar(of)?.to_owned()),
    }
}

fn parameter(of: &Type) -> Result<String> {
    match of {
        Type::Pointer { of, constant: true } => Ok(format!("&Buffer<{}>", scalar(of)?)),
        Type::Pointer { of, constant: false } => Ok(format!("&mut Buffer<{}>", scalar(of)?)),
        Type::Struct(name) => anyhow::bail!("{name} by value: give a pointer"),
        of => Ok(scalar(of)?.to_owned()),
    }
}

fn camel(name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|c| c.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default()
    };
    name.split('_').map(capital).collect()
}

/// As `cargo fmt` would leave it.
fn format(text: &str, root: &Path) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("rustfmt did not start")?;
    child.stdin.take().context("rustfmt takes no input")?.write_all(text.as_bytes())?;
    let out = child.wait_with_output()?;
    ensure!(out.status.success(), "rustfmt refuses the launchers");
    Ok(String::from_utf8(out.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launchers_have_the_types_of_the_signature() {
        let text = "// Scales x [n].\nKERNEL scale_all(int n, unsigned long long at, const float *x, float *y) {\n}\n";
        let source = [Source::parse("scale.cu", text).unwrap()];
        let out = shared(&source).unwrap() + &launchers(&source[0], &source).unwrap();
        for part in [
            "// Scales x [n].",
            "unsafe fn scale_all(stream: &Stream, grid: Grid,\nn: i32,\nat: u64,\nx: &Buffer<f32>,\ny: &mut Buffer<f32>,",
            "x.must_be_of(stream, \"x\")?;",
            "let y = y.address();",
            "Kernel::ScaleAll",
            "(\"scale_all\", 0, THREADS),",
            "include_str!(\"../../kernels/ptx/scale.ptx\")",
            "pub(crate) use scale::{scale_all};",
            "use super::{Kernel};",
        ] {
            assert!(out.contains(part), "{part}\n{out}");
        }
        // Of a generated source the kernel is what the source was compiled to.
        let text = "KERNEL GENERATED(int n, float *y) {\n}\n";
        let source = [Source::parse("generated_walk.cuh", text).unwrap()];
        let out = shared(&source).unwrap() + &launchers(&source[0], &source).unwrap();
        for part in [
            "unsafe fn generated_walk(stream: &Stream, grid: Grid,\nkernel: &OwnKernel,\nn: i32,",
            "unsafe { kernel.launch(stream, grid, &mut arguments) }",
            "pub(crate) use generated_walk::generated_walk;",
        ] {
            assert!(out.contains(part), "{part}\n{out}");
        }
        assert!(!out.contains("GENERATED") && !out.contains("Kernel::"), "{out}");
        let by_value = Source::parse("bad.cu", "KERNEL bad(Net net) {\n}\n").unwrap();
        assert!(launchers(&by_value, &[]).is_err());
    }
}
