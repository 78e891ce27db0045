//! What a component imports and exports, read from the file itself: nothing of it runs.

use wit_component::DecodedWasm;

/// How our interfaces begin.
const OURS: &str = "switchboard:plugin/";

/// The interfaces of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct Interfaces {
    /// `switchboard:plugin@0.2.0`, where it exports one of ours.
    pub version: Option<String>,
    /// Those of ours that it imports, without package and version.
    pub imports: Vec<String>,
    /// Those of ours that it exports.
    pub exports: Vec<String>,
    /// Those of WASI that it imports.
    pub wasi: Vec<String>,
    /// Anything else that it imports.
    pub others: Vec<String>,
}

impl Interfaces {
    /// Reads them; none for what is no component.
    pub fn of(component: &[u8]) -> Option<Interfaces> {
        let DecodedWasm::Component(resolve, world) = wit_component::decode(component).ok()? else {
            return None;
        };
        let world = resolve.worlds.get(world)?;
        let imported: Vec<String> = world.imports.keys().map(|key| resolve.name_world_key(key)).collect();
        let exported: Vec<String> = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
        Some(Interfaces::sorted(&imported, &exported))
    }

    fn sorted(imported: &[String], exported: &[String]) -> Interfaces {
        let mut interfaces = Interfaces::default();
        for name in imported {
            match name.strip_prefix(OURS) {
                Some(ours) => interfaces.imports.push(plain(ours)),
                None if name.starts_with("wasi:") => interfaces.wasi.push(name.clone()),
                None => interfaces.others.push(name.clone()),
            }
        }
        for ours in exported.iter().filter_map(|name| name.strip_prefix(OURS)) {
            interfaces.exports.push(plain(ours));
            if let Some((_, version)) = ours.split_once('@') {
                interfaces.version = Some(format!("switchboard:plugin@{version}"));
            }
        }
        // Types alone are no power.
        interfaces.imports.retain(|name| name != "types");
        interfaces.imports.sort();
        interfaces
    }
}

fn plain(name: &str) -> String {
    name.split('@').next().unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_wasi_and_others_are_told_apart() {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let interfaces = Interfaces::sorted(
            &owned(&[
                "switchboard:plugin/types@0.2.0",
                "switchboard:plugin/log@0.2.0",
                "switchboard:plugin/kv@0.2.0",
                "wasi:io/streams@0.2.6",
                "acme:thing/x",
            ]),
            &owned(&["switchboard:plugin/tools@0.2.0"]),
        );
        assert_eq!(interfaces.version.as_deref(), Some("switchboard:plugin@0.2.0"));
        assert_eq!(interfaces.imports, ["kv", "log"]);
        assert_eq!(interfaces.exports, ["tools"]);
        assert_eq!(interfaces.wasi, ["wasi:io/streams@0.2.6"]);
        assert_eq!(interfaces.others, ["acme:thing/x"]);
    }
}
