//! What a component imports, sorted by whose it is.

/// How our interfaces begin.
const OURS: &str = "switchboard:plugin/";

/// The interfaces that a component imports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Interfaces {
    /// Ours, without package and version.
    pub ours: Vec<String>,
    /// Those of WASI, without package and version: `cli/stdout`.
    pub wasi: Vec<String>,
    /// Anything else.
    pub others: Vec<String>,
}

impl Interfaces {
    /// Sorts them.
    pub fn of(imports: &[String]) -> Interfaces {
        let mut interfaces = Interfaces::default();
        for name in imports {
            match (name.strip_prefix(OURS), name.strip_prefix("wasi:")) {
                // Types alone are no power.
                (Some(ours), _) if plain(ours) == "types" => {}
                (Some(ours), _) => interfaces.ours.push(plain(ours)),
                (None, Some(wasi)) => interfaces.wasi.push(plain(wasi)),
                (None, None) => interfaces.others.push(name.clone()),
            }
        }
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
        let names = [
            "switchboard:plugin/types@0.2.0",
            "switchboard:plugin/kv@0.2.0",
            "wasi:io/streams@0.2.6",
            "acme:thing/x",
        ];
        let interfaces = Interfaces::of(&names.map(str::to_owned));
        assert_eq!(interfaces.ours, ["kv"]);
        assert_eq!(interfaces.wasi, ["io/streams"]);
        assert_eq!(interfaces.others, ["acme:thing/x"]);
    }
}
