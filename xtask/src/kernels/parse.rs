//! What a kernel file shares with the host: kernels and their parameters, structures, numbers.
//!
//! Reads the few forms that the kernels keep to, and refuses others.

use anyhow::{Context, Result, bail, ensure};

/// A type of a parameter or a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    Int,
    Unsigned,
    Long,
    Float,
    Double,
    Struct(String),
    /// To values of this type, which are read or written.
    Pointer {
        of: Box<Type>,
        constant: bool,
    },
    /// So many values, by the name of a number or a sum `NAME + 1`.
    Array(Box<Type>, String),
}

/// A named thing with its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) of: Type,
}

/// A kernel or a structure, with the comment above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) docs: Vec<String>,
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
}

/// A whole number, with the comment above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) docs: Vec<String>,
    pub(super) name: String,
    pub(super) value: u32,
}

/// What the kernels of a file are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copies {
    /// Once.
    One,
    /// For each precision.
    Precisions,
    /// For each precision, and for those with a large tile.
    Variants,
}

/// How kernels begin.
const MARKS: [(&str, Copies); 3] = [
    ("KERNEL ", Copies::One),
    ("PRECISION_KERNEL ", Copies::Precisions),
    ("VARIANT_KERNEL ", Copies::Variants),
];
/// How numbers of variants begin, and how those with a large tile end.
pub(super) const VARIANT: &str = "VARIANT_";
const LARGE: &str = "_LARGE";
/// The variant whose blocks have as many threads as those of other kernels.
const UNROUNDED: &str = "VARIANT_F32";

/// What is compiled by itself: a file, or a file for one variant.
#[derive(Debug, Clone)]
pub(super) struct Module<'a> {
    pub(super) source: &'a Source,
    pub(super) stem: String,
    variant: Option<&'a Number>,
}

impl Module<'_> {
    /// The name of one of the file's kernels.
    pub(super) fn kernel(&self, kernel: &Item) -> String {
        self.variant.map_or_else(|| kernel.name.clone(), |v| with_variant(&kernel.name, v))
    }

    /// The number of threads of its blocks, by name.
    pub(super) fn threads(&self) -> &'static str {
        if self.variant.is_some_and(|v| v.name != UNROUNDED) { "ROUNDED_THREADS" } else { "THREADS" }
    }

    /// Flags of the compiler: the variant's number, and the names of the kernels.
    pub(super) fn flags(&self) -> Vec<String> {
        let Some(variant) = self.variant else { return Vec::new() };
        let names = self.source.kernels.iter().map(|k| format!("-D{}={}", k.name, self.kernel(k)));
        std::iter::once(format!("-DVARIANT={}", variant.value)).chain(names).collect()
    }
}

/// A kernel's or a file's name for a variant.
pub(super) fn with_variant(name: &str, variant: &Number) -> String {
    format!("{name}_{}", variant.name.trim_start_matches(VARIANT).to_lowercase())
}

/// The variants that kernels are compiled for.
pub(super) fn variants(sources: &[Source], copies: Copies) -> Vec<&Number> {
    let all = sources.iter().flat_map(|s| &s.numbers).filter(|n| n.name.starts_with(VARIANT));
    all.filter(|n| copies == Copies::Variants || copies == Copies::Precisions && !n.name.ends_with(LARGE))
        .collect()
}

/// All modules, in the order of files and variants.
pub(super) fn modules(sources: &[Source]) -> Vec<Module<'_>> {
    let mut modules = Vec::new();
    for source in sources.iter().filter(|s| s.is_module()) {
        if source.copies == Copies::One {
            modules.push(Module { source, stem: source.stem().to_owned(), variant: None });
        }
        let of = |v| Module { source, stem: with_variant(source.stem(), v), variant: Some(v) };
        modules.extend(variants(sources, source.copies).into_iter().map(of));
    }
    modules
}

/// One file.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) kernels: Vec<Item>,
    pub(super) copies: Copies,
    /// Of the header that is shared with the host alone.
    pub(super) structs: Vec<Item>,
    pub(super) numbers: Vec<Number>,
}

/// The header whose structures and numbers the host knows.
const SHARED: &str = "shared.cuh";

impl Source {
    pub(super) fn parse(name: &str, text: &str) -> Result<Self> {
        let lines: Vec<&str> = text.lines().collect();
        let mut source = Self {
            name: name.into(),
            text: text.into(),
            kernels: Vec::new(),
            copies: Copies::One,
            structs: Vec::new(),
            numbers: Vec::new(),
        };
        for (i, line) in lines.iter().enumerate() {
            let kernel = MARKS.iter().find_map(|&(mark, copies)| Some((line.strip_prefix(mark)?, copies)));
            if let Some((rest, copies)) = kernel {
                ensure!(
                    source.kernels.is_empty() || source.copies == copies,
                    "kernels of {name} are compiled for different variants"
                );
                source.copies = copies;
                let signature = until(&lines[i..], ')').context("a signature without an end")?;
                let (kernel, _) = rest.split_once('(').context("a kernel without parameters")?;
                let (_, parameters) = signature.split_once('(').context("a kernel without parameters")?;
                let fields = parameters.split(',').map(field).collect::<Result<_>>()?;
                source.kernels.push(Item { docs: docs(&lines[..i]), name: kernel.trim().into(), fields });
            }
            if name != SHARED {
                continue;
            }
            if let Some(rest) = line.strip_prefix("constexpr int ") {
                let (number, value) =
                    rest.trim_end_matches(';').split_once('=').context("a number without a value")?;
                let value = value.trim().parse().with_context(|| format!("{number} is no plain number"))?;
                source.numbers.push(Number { docs: docs(&lines[..i]), name: number.trim().into(), value });
            }
            if let Some(rest) = line.strip_prefix("struct ") {
                let body = until(&lines[i + 1..], '}').context("a structure without an end")?;
                let fields =
                    body.split(';').filter(|m| !m.trim().is_empty()).map(field).collect::<Result<_>>()?;
                let name = rest.trim_end_matches('{').trim().into();
                source.structs.push(Item { docs: docs(&lines[..i]), name, fields });
            }
        }
        Ok(source)
    }

    /// Whether it is compiled, and not a header.
    pub(super) fn is_module(&self) -> bool {
        std::path::Path::new(&self.name).extension().is_some_and(|e| e == "cu")
    }

    /// The name without its ending.
    pub(super) fn stem(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }
}

/// The lines' text up to the character.
fn until(lines: &[&str], end: char) -> Option<String> {
    let mut text = String::new();
    for line in lines {
        if let Some((before, _)) = line.split_once(end) {
            text.push_str(before);
            return Some(text);
        }
        text.push_str(line);
        text.push(' ');
    }
    None
}

/// The comment that ends directly above.
fn docs(above: &[&str]) -> Vec<String> {
    let mut docs: Vec<String> =
        above.iter().rev().map_while(|l| l.strip_prefix("//")).map(|l| l.trim().to_owned()).collect();
    docs.reverse();
    docs
}

/// `const float *x`, `unsigned long long n`, `int width[MAX + 1]`.
fn field(text: &str) -> Result<Field> {
    let spaced = text.replace('*', " * ");
    let (spaced, array) = match spaced.split_once('[') {
        Some((before, size)) => (before.to_owned(), Some(size.trim_end_matches(']').trim().to_owned())),
        None => (spaced, None),
    };
    let mut words: Vec<&str> = spaced.split_whitespace().collect();
    let name = words.pop().with_context(|| format!("no name in {text:?}"))?.trim_end_matches(']').to_owned();
    if ["stream", "grid", "arguments", "kernel", "variant"].contains(&name.as_str()) {
        bail!("{text:?}: launchers call something else {name}");
    }
    let constant = words.first() == Some(&"const");
    if constant {
        words.remove(0);
    }
    let pointer = words.last() == Some(&"*");
    if pointer {
        words.pop();
    }
    let of = match words.as_slice() {
        ["int"] => Type::Int,
        ["unsigned"] => Type::Unsigned,
        ["unsigned", "long", "long"] => Type::Long,
        ["float"] => Type::Float,
        ["double"] => Type::Double,
        [one] if one.starts_with(char::is_uppercase) => Type::Struct((*one).to_owned()),
        _ => bail!("{text:?}: a type that launchers do not know"),
    };
    let of = match (pointer, array) {
        (true, None) => Type::Pointer { of: Box::new(of), constant },
        (false, Some(size)) if !size.contains('[') => Type::Array(Box::new(of), size),
        (false, None) if !constant => of,
        _ => bail!("{text:?}: a form that launchers do not know"),
    };
    Ok(Field { name, of })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_read() {
        let text = "// Adds.\n// Twice.\nKERNEL add(int n, const float *x,\n    unsigned long long at, Net *net) {\n}\n";
        let source = Source::parse("add.cu", text).unwrap();
        let kernel = &source.kernels[0];
        assert_eq!(
            (kernel.name.as_str(), &kernel.docs[..]),
            ("add", &["Adds.".to_owned(), "Twice.".into()][..])
        );
        let pointer = |of, constant| Type::Pointer { of: Box::new(of), constant };
        let want = [
            ("n", Type::Int),
            ("x", pointer(Type::Float, true)),
            ("at", Type::Long),
            ("net", pointer(Type::Struct("Net".into()), false)),
        ];
        let want = want.map(|(name, of)| Field { name: name.into(), of });
        assert_eq!(kernel.fields, want);
        assert!(source.is_module() && source.stem() == "add");
    }

    #[test]
    fn structures_and_numbers_are_read() {
        let text = "// Many.\nconstexpr int MANY = 8;\nstruct Net {\n    int layers;\n    int width[MANY + 1];\n};\n";
        let source = Source::parse(SHARED, text).unwrap();
        assert_eq!((source.numbers[0].name.as_str(), source.numbers[0].value), ("MANY", 8));
        assert_eq!(source.structs[0].fields[1].of, Type::Array(Box::new(Type::Int), "MANY + 1".into()));
        assert!(Source::parse("other.cuh", text).unwrap().numbers.is_empty());
    }

    #[test]
    fn kernels_are_compiled_for_variants() {
        let numbers = "constexpr int VARIANT_F32 = 0;\nconstexpr int VARIANT_F32_LARGE = 1;\n";
        let sources = [
            ("a.cu", "KERNEL a(int n) {\n}\n"),
            ("b.cu", "PRECISION_KERNEL b(int n) {\n}\n"),
            ("c.cu", "VARIANT_KERNEL c(int n) {\n}\n"),
            (SHARED, numbers),
        ]
        .map(|(name, text)| Source::parse(name, text).unwrap());
        let all = modules(&sources);
        let stems: Vec<&str> = all.iter().map(|m| m.stem.as_str()).collect();
        assert_eq!(stems, ["a", "b_f32", "c_f32", "c_f32_large"]);
        assert!(all[0].flags().is_empty());
        assert_eq!([0, 1, 3].map(|i| all[i].threads()), ["THREADS", "THREADS", "ROUNDED_THREADS"]);
        assert_eq!(all[3].flags(), ["-DVARIANT=1", "-Dc=c_f32_large"]);
        assert!(Source::parse("d.cu", "KERNEL d(int n) {\n}\nVARIANT_KERNEL e(int n) {\n}\n").is_err());
    }

    #[test]
    fn unknown_types_are_refused() {
        for parameter in ["short x", "float **x", "const int n", "float x[3][3]", "int grid"] {
            let text = format!("KERNEL f({parameter}) {{\n}}\n");
            assert!(Source::parse("f.cu", &text).is_err(), "{parameter}");
        }
    }
}
