//! What `cargo metadata` says of the workspace's own packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// When a dependency is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

/// One line of a `[dependencies]` table.
#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Whether the manifest asks for a version; a path alone is left out of published manifests.
    pub(crate) has_version: bool,
}

/// One package of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) has_lib: bool,
    pub(crate) dir: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

/// The workspace's packages, in the order of their names.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    pub(crate) rust_version: Option<String>,
    pub(crate) packages: Vec<Package>,
}

/// The cargo that started this program, or the one in the path.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

impl Workspace {
    /// Asks `cargo metadata` for the workspace that this program was built from.
    pub(crate) fn load() -> Result<Self> {
        let out = cargo()
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
            .output()
            .context("cargo metadata did not start")?;
        ensure!(out.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&out.stderr));
        Self::parse(&serde_json::from_slice(&out.stdout)?)
    }

    fn parse(metadata: &Value) -> Result<Self> {
        let text = |v: &Value, key: &str| v[key].as_str().map(str::to_owned);
        let root = text(metadata, "workspace_root").context("metadata without workspace_root")?;
        let target = text(metadata, "target_directory").context("metadata without target_directory")?;
        let mut packages = Vec::new();
        let mut rust_version = None;
        for p in metadata["packages"].as_array().context("metadata without packages")? {
            let name = text(p, "name").context("package without a name")?;
            let manifest = text(p, "manifest_path").context("package without a manifest")?;
            rust_version = rust_version.or(text(p, "rust_version"));
            let list = |key: &str| p[key].as_array().cloned().unwrap_or_default();
            let mut dependencies = Vec::new();
            for d in list("dependencies") {
                let kind = match d["kind"].as_str() {
                    None => Kind::Normal,
                    Some("build") => Kind::Build,
                    Some("dev") => Kind::Dev,
                    Some(other) => bail!("{name}: dependency of unknown kind {other}"),
                };
                dependencies.push(Dependency {
                    name: text(&d, "name").with_context(|| format!("{name}: dependency without a name"))?,
                    kind,
                    has_version: d["req"].as_str() != Some("*"),
                });
            }
            packages.push(Package {
                description: text(p, "description"),
                has_lib: list("targets")
                    .iter()
                    .any(|t| t["kind"].as_array().is_some_and(|k| k.iter().any(|k| k == "lib"))),
                dir: PathBuf::from(manifest).parent().context("manifest without a folder")?.to_owned(),
                dependencies,
                name,
            });
        }
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { root: root.into(), target: target.into(), rust_version, packages })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read() {
        let json = serde_json::json!({
            "workspace_root": "/w", "target_directory": "/w/target",
            "packages": [{
                "name": "a", "manifest_path": "/w/crates/a/Cargo.toml", "rust_version": "1.89",
                "description": "A.", "targets": [{"kind": ["lib"]}, {"kind": ["test"]}],
                "dependencies": [
                    {"name": "x", "kind": null, "req": "^1"},
                    {"name": "y", "kind": "dev", "req": "*"},
                ],
            }],
        });
        let w = Workspace::parse(&json).unwrap();
        assert_eq!(w.rust_version.as_deref(), Some("1.89"));
        let p = &w.packages[0];
        assert_eq!((p.name.as_str(), p.has_lib, p.dir.as_path()), ("a", true, Path::new("/w/crates/a")));
        assert_eq!((p.dependencies[0].kind, p.dependencies[0].has_version), (Kind::Normal, true));
        assert_eq!((p.dependencies[1].kind, p.dependencies[1].has_version), (Kind::Dev, false));
        assert!(Workspace::parse(&serde_json::json!({})).is_err());
    }

    #[test]
    fn this_workspace_loads() {
        let w = Workspace::load().unwrap();
        assert!(w.packages.iter().any(|p| p.name == "xtask" && !p.has_lib));
        assert!(w.packages.iter().any(|p| p.name == "chreode-core" && p.has_lib));
    }
}
