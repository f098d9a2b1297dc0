//! Who may depend on whom, and what every package must have.

use super::{File, Problem, is_rust, source};
use crate::workspace::{Kind, Package};

/// One row of the house plan: a package and the packages of the workspace that it may use.
struct Row {
    package: &'static str,
    may_use: &'static [&'static str],
}

/// The arrows of `docs/ARCHITECTURE.md`. They point down only; a new one is a decision recorded there.
const PLAN: &[Row] = &[
    Row { package: "chreode-core", may_use: &[] },
    Row { package: "chreode-testkit", may_use: &["chreode-core"] },
    Row { package: "chreode-linalg", may_use: &["chreode-core"] },
    Row { package: "chreode-cuda", may_use: &["chreode-core"] },
    Row { package: "chreode-cuda-cpu", may_use: &[] },
    Row { package: "chreode-report", may_use: &["chreode-core"] },
    Row { package: "chreode-solve", may_use: &["chreode-core", "chreode-linalg"] },
    Row { package: "chreode-autodiff", may_use: &["chreode-core", "chreode-linalg"] },
    Row { package: "chreode-model", may_use: &["chreode-core", "chreode-linalg"] },
    Row { package: "chreode-adjoint", may_use: &["chreode-core", "chreode-linalg", "chreode-solve"] },
    Row {
        package: "chreode-train",
        may_use: &[
            "chreode-core",
            "chreode-linalg",
            "chreode-cuda",
            "chreode-solve",
            "chreode-adjoint",
            "chreode-model",
        ],
    },
    Row {
        package: "chreode-cells",
        may_use: &[
            "chreode-core",
            "chreode-linalg",
            "chreode-solve",
            "chreode-adjoint",
            "chreode-model",
            "chreode-report",
            "chreode-train",
        ],
    },
    Row {
        package: "chreode-kinetics",
        may_use: &[
            "chreode-core",
            "chreode-linalg",
            "chreode-solve",
            "chreode-autodiff",
            "chreode-adjoint",
            "chreode-model",
            "chreode-report",
            "chreode-train",
        ],
    },
    Row {
        package: "chreode",
        may_use: &[
            "chreode-core",
            "chreode-linalg",
            "chreode-solve",
            "chreode-autodiff",
            "chreode-adjoint",
            "chreode-model",
            "chreode-report",
            "chreode-train",
            "chreode-cells",
            "chreode-kinetics",
        ],
    },
    Row {
        package: "chreode-cli",
        may_use: &[
            "chreode",
            "chreode-core",
            "chreode-linalg",
            "chreode-solve",
            "chreode-adjoint",
            "chreode-model",
            "chreode-report",
            "chreode-train",
            "chreode-cells",
            "chreode-kinetics",
        ],
    },
    Row {
        package: "chreode-benches",
        may_use: &[
            "chreode-core",
            "chreode-linalg",
            "chreode-solve",
            "chreode-autodiff",
            "chreode-adjoint",
            "chreode-model",
            "chreode-train",
            "chreode-cells",
            "chreode-kinetics",
        ],
    },
    Row { package: "xtask", may_use: &[] },
];

/// Edges beyond [`PLAN`] that tests alone may use: (package, what its tests use).
const TESTS_MAY_USE: &[(&str, &str)] = &[
    ("chreode-adjoint", "chreode-autodiff"),
    ("chreode-adjoint", "chreode-model"),
    // Each kernel against its twin on the processor.
    ("chreode-cuda-cpu", "chreode-core"),
    ("chreode-cuda-cpu", "chreode-linalg"),
    ("chreode-cuda-cpu", "chreode-cuda"),
    ("chreode-cuda-cpu", "chreode-solve"),
    ("chreode-cuda-cpu", "chreode-model"),
    ("chreode-cuda-cpu", "chreode-autodiff"),
    ("chreode-cuda-cpu", "chreode-adjoint"),
    ("chreode-cuda-cpu", "chreode-train"),
    // Virtual blood's cells.
    ("chreode-cuda-cpu", "chreode-cells"),
];

/// A dependency that one package alone may name, so that its types show in one place.
const OWNERS: &[(&str, &str)] =
    &[("nalgebra", "chreode-linalg"), ("faer", "chreode-linalg"), ("cudarc", "chreode-cuda")];

/// All that `chreode-core` may use from outside.
const CORE_MAY_USE: &[&str] = &["bytemuck", "thiserror"];

/// Checks every edge of the workspace and the manifests' own fields.
pub(super) fn check(packages: &[Package]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in packages {
        let name = package.name.as_str();
        let mut report = |what: String| problems.push(Problem::new(name, 0, what));
        if package.description.as_deref().is_none_or(|d| d.trim().is_empty()) {
            report("has no description".into());
        }
        let Some(row) = PLAN.iter().find(|r| r.package == name) else {
            report("is not in the house plan: add a row to xtask/src/tidy/crates.rs, and to docs/ARCHITECTURE.md".into());
            continue;
        };
        for dep in &package.dependencies {
            let used = dep.name.as_str();
            let dev = dep.kind == Kind::Dev;
            if let Some((_, owner)) = OWNERS.iter().find(|(d, owner)| *d == used && *owner != name) {
                report(format!("uses {used}, which belongs to {owner} alone"));
            }
            if packages.iter().any(|p| p.name == used) {
                let in_tests = dev && (used == "chreode-testkit" || TESTS_MAY_USE.contains(&(name, used)));
                if !row.may_use.contains(&used) && !in_tests {
                    report(format!("must not use {used}: the house plan has no such arrow"));
                }
                if used == "chreode-testkit" && dep.has_version {
                    report("names a version of chreode-testkit, which is never published".into());
                }
            } else if name == "chreode-core" && !dev && !CORE_MAY_USE.contains(&used) {
                report(format!("uses {used}; the core uses {} alone", CORE_MAY_USE.join(" and ")));
            }
        }
    }
    problems
}

/// Checks what stands in a package's folder (`dir`, from the root and with a slash at its end).
pub(super) fn check_content(package: &Package, dir: &str, files: &[&File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let manifest = format!("{dir}Cargo.toml");
    let lints = files.iter().find(|f| f.path == manifest).is_some_and(|f| takes_workspace_lints(&f.text));
    if !lints {
        problems.push(Problem::new(
            &manifest,
            0,
            "does not take the workspace's lints ([lints] workspace = true)",
        ));
    }
    let tested_by_property = files
        .iter()
        .filter(|f| is_rust(&f.path))
        .any(|f| source::lines(&f.text).iter().any(|l| l.code.contains("proptest!")));
    // A benchmark has no property to hold.
    if !tested_by_property && package.name != "chreode-benches" {
        problems.push(Problem::new(dir, 0, "has no property test (proptest!)"));
    }
    problems
}

fn takes_workspace_lints(manifest: &str) -> bool {
    let mut section = "";
    manifest.lines().map(str::trim).any(|line| {
        if line.starts_with('[') {
            section = line;
        }
        section == "[lints]" && line.replace(' ', "") == "workspace=true" || line == "lints.workspace = true"
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn package(name: &str, dependencies: &[(&str, Kind)]) -> Package {
        Package {
            name: name.into(),
            description: Some("A package.".into()),
            has_lib: true,
            dir: "/w".into(),
            dependencies: dependencies
                .iter()
                .map(|&(name, kind)| Dependency { name: name.into(), kind, has_version: false })
                .collect(),
        }
    }

    fn problems(packages: &[Package]) -> String {
        check(packages).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn arrows_point_down_only() {
        let core = package("chreode-core", &[("thiserror", Kind::Normal), ("chreode-testkit", Kind::Dev)]);
        let solve = package("chreode-solve", &[("chreode-core", Kind::Normal), ("rayon", Kind::Normal)]);
        let testkit = package("chreode-testkit", &[("chreode-core", Kind::Normal)]);
        assert_eq!(problems(&[core.clone(), solve.clone(), testkit.clone()]), "");

        let up = package("chreode-core", &[("chreode-solve", Kind::Normal)]);
        assert!(problems(&[up, solve.clone()]).contains("chreode-core: must not use chreode-solve"));
        let sideways = package("chreode-model", &[("chreode-solve", Kind::Dev)]);
        assert!(problems(&[sideways, solve]).contains("chreode-model: must not use chreode-solve"));
        let shipped = package("chreode-solve", &[("chreode-testkit", Kind::Normal)]);
        assert!(problems(&[shipped, testkit]).contains("must not use chreode-testkit"));
    }

    #[test]
    fn outside_types_have_one_owner() {
        let linalg = package("chreode-linalg", &[("nalgebra", Kind::Normal), ("faer", Kind::Normal)]);
        assert_eq!(problems(&[linalg]), "");
        let cells = package("chreode-cells", &[("faer", Kind::Dev)]);
        assert!(problems(&[cells]).contains("uses faer, which belongs to chreode-linalg alone"));
        let core = package("chreode-core", &[("rayon", Kind::Normal)]);
        assert!(problems(&[core]).contains("the core uses bytemuck and thiserror alone"));
    }

    #[test]
    fn packages_are_planned_described_and_published_without_testkit() {
        assert!(problems(&[package("chreode-new", &[])]).contains("not in the house plan"));
        let mut silent = package("chreode-core", &[]);
        silent.description = Some(" ".into());
        assert!(problems(&[silent]).contains("has no description"));
        let mut core = package("chreode-core", &[("chreode-testkit", Kind::Dev)]);
        core.dependencies[0].has_version = true;
        assert!(problems(&[core, package("chreode-testkit", &[])]).contains("names a version"));
    }

    #[test]
    fn lints_and_property_tests_are_asked_for() {
        let good = [
            File { path: "c/Cargo.toml".into(), text: "[package]\n[lints]\nworkspace = true\n".into() },
            File { path: "c/src/lib.rs".into(), text: "proptest! {}".into() },
        ];
        let files: Vec<&File> = good.iter().collect();
        assert!(check_content(&package("c", &[]), "c/", &files).is_empty());
        let bad = [
            File {
                path: "c/Cargo.toml".into(),
                text: "[package]\nversion.workspace = true\n[lints]\n".into(),
            },
            File { path: "c/src/lib.rs".into(), text: "// proptest! {}".into() },
        ];
        let files: Vec<&File> = bad.iter().collect();
        assert_eq!(check_content(&package("c", &[]), "c/", &files).len(), 2);
    }

    /// The plan itself points down: a package may use only what stands above it in the table, but for the
    /// facade, which the program alone uses.
    #[test]
    fn the_plan_has_no_cycle() {
        for (i, row) in PLAN.iter().enumerate() {
            for used in row.may_use {
                let j = PLAN.iter().position(|r| r.package == *used);
                assert!(j.is_some_and(|j| j < i), "{} -> {used}", row.package);
            }
        }
    }
}
