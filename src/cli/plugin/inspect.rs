//! `switchboard plugin inspect`: what a plugin is, wants and may do.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::interfaces::Interfaces;
use super::loading;
use super::manifest::Manifest;
use super::target::Target;
use crate::cli::Failure;
use crate::text::hex;
use crate::tool::plugin::{About, Grants, PluginTool, Settings};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A plugin's folder, a component, or the name of a plugin in the configuration.
    #[arg(default_value = ".")]
    plugin: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Path, arguments: Arguments) -> Result<(), Failure> {
    let target = Target::find(&arguments.plugin, config)?;
    let mut sheet = Sheet::load(&target.settings()?).await?;
    if let Target::Folder(manifest) = &target {
        sheet.compare_source(manifest)?;
    }
    if arguments.json {
        return crate::cli::print(&format!("{:#}\n", sheet.json()));
    }
    crate::cli::print(&sheet.text())
}

/// What there is to say about a plugin.
pub(super) struct Sheet {
    path: PathBuf,
    bytes: usize,
    sha256: String,
    interfaces: Interfaces,
    /// Whether it was built from the source beside it, where that is known.
    is_current: Option<bool>,
    name: String,
    about: About,
    grants: Grants,
}

impl Sheet {
    /// Loads the plugin in the real host.
    ///
    /// # Errors
    ///
    /// It cannot be loaded.
    pub async fn load(settings: &Settings) -> Result<Sheet, Failure> {
        let (about, loaded) = loading::look_at(settings).await?;
        Ok(Sheet {
            path: settings.path.clone(),
            bytes: loaded.bytes,
            sha256: hex(&loaded.digest),
            interfaces: Interfaces::of(&about.imports),
            is_current: None,
            name: settings.name.clone(),
            about,
            grants: settings.grants.clone(),
        })
    }

    /// Compares the component with the source beside it.
    ///
    /// # Errors
    ///
    /// The source cannot be read.
    pub fn compare_source(&mut self, manifest: &Manifest) -> Result<(), Failure> {
        self.is_current = Some(super::is_current(&manifest.folder)?);
        Ok(())
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let (own, version, interface) = (&self.about.name, &self.about.version, self.about.interface);
        let _ = writeln!(text, "{own} {version} · switchboard:plugin@{interface} · {}", size(self.bytes));
        let mut row = |name: &str, words: &str| {
            let line = format!("  {name:<9} {words}");
            let _ = writeln!(text, "{}", line.trim_end());
        };
        row("file", &self.path.display().to_string());
        row("sha256", &self.sha256);
        match self.is_current {
            Some(true) => row("source", "as it is beside the file"),
            Some(false) => row("source", "changed since: run `switchboard plugin build`"),
            None => {}
        }
        self.rows_of_needs(&mut row);
        let Interfaces { ours, wasi, others } = &self.interfaces;
        let imports = [ours.as_slice(), others].concat();
        row("imports", &if imports.is_empty() { "nothing".to_owned() } else { imports.join(" ") });
        if !wasi.is_empty() {
            for (at, line) in wrapped(&wasi.join(" ")).iter().enumerate() {
                row(if at == 0 { "WASI" } else { "" }, line);
            }
        }
        if self.about.has_hooks {
            row("exports", "tools hooks");
        }
        row("tools", if self.about.tools.is_empty() { "none" } else { "" });
        for tool in &self.about.tools {
            write_tool(&mut text, tool);
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let wants: Vec<Value> =
            self.wants().map(|(need, granted)| json!({ "need": need, "granted": granted })).collect();
        let tools: Vec<Value> = self.about.tools.iter().map(tool_json).collect();
        json!({
            "name": self.name,
            "own_name": self.about.name,
            "version": self.about.version,
            "file": self.path,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "interface": self.about.interface,
            "wants": wants,
            "granted_unasked": self.unused(),
            "imports": self.about.imports,
            "has_hooks": self.about.has_hooks,
            "is_current": self.is_current,
            "tools": tools,
        })
    }

    /// What the plugin asks for, and whether it is granted.
    fn wants(&self) -> impl Iterator<Item = (String, bool)> {
        self.about.needs.iter().map(|need| (need.to_string(), self.grants.covers(need)))
    }

    /// What is granted and not asked for, by its place in `allow`.
    fn unused(&self) -> Vec<String> {
        self.grants.unused(&self.about.needs).into_iter().map(|unused| unused.place).collect()
    }

    fn rows_of_needs(&self, row: &mut dyn FnMut(&str, &str)) {
        let mut wants: Vec<String> = self
            .wants()
            .map(|(need, is_granted)| {
                format!("{need}  ({})", if is_granted { "granted" } else { "not granted" })
            })
            .collect();
        if wants.is_empty() {
            wants.push("nothing that must be granted".to_owned());
        }
        for (at, line) in wants.iter().enumerate() {
            row(if at == 0 { "wants" } else { "" }, line);
        }
        for place in self.unused() {
            row("", &format!("`allow.{place}` is granted, and not asked for"));
        }
    }
}

fn write_tool(text: &mut String, tool: &PluginTool) {
    let _ = writeln!(text, "    {}", tool.name);
    for line in wrapped(&tool.description) {
        let _ = writeln!(text, "      {line}");
    }
    for parameter in parameters(&tool.parameters) {
        let _ = writeln!(text, "      - {parameter}");
    }
    let mut terms = vec![if tool.may_repeat { "repeatable" } else { "not repeatable" }.to_owned()];
    if let Some(timeout) = tool.timeout {
        terms.push(format!("at most {} ms", timeout.as_millis()));
    }
    if let Some(words) = &tool.say_first {
        terms.push(format!("says first: {words}"));
    }
    if !tool.interruptible {
        terms.push("the caller waits".to_owned());
    }
    let _ = writeln!(text, "      {}", terms.join(" · "));
}

fn tool_json(tool: &PluginTool) -> Value {
    json!({
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "repeatable": tool.may_repeat,
        "timeout_ms": tool.timeout.map(|timeout| timeout.as_millis()),
        "say_first": tool.say_first,
        "interruptible": tool.interruptible,
    })
}

/// Each parameter in a line: `date (string, required): Day of the visit`.
fn parameters(schema: &Value) -> Vec<String> {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object();
    let line = |(name, property): (&String, &Value)| {
        let is_required = if required.contains(&name.as_str()) { ", required" } else { "" };
        let told = property["description"].as_str().map(|words| format!(": {words}")).unwrap_or_default();
        format!("{name} ({}{is_required}){told}", kind(property))
    };
    properties.into_iter().flatten().map(line).collect()
}

fn kind(property: &Value) -> String {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Some(words) = property["enum"].as_array() {
        return words.iter().map(word).collect::<Vec<_>>().join(" | ");
    }
    match &property["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let kinds = kinds.iter().map(word).filter(|kind| kind != "null");
            kinds.collect::<Vec<_>>().join(" | ")
        }
        _ => "any".to_owned(),
    }
}

/// A text in lines that fit a terminal.
fn wrapped(text: &str) -> Vec<String> {
    const COLUMNS: usize = 90;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().map(|line| line.chars().count()).unwrap_or_default();
        if line > 0 && line + 1 + word.chars().count() > COLUMNS {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

fn size(bytes: usize) -> String {
    const KIB: usize = 1 << 10;
    const MIB: usize = 1 << 20;
    match bytes {
        0..KIB => format!("{bytes} bytes"),
        KIB..MIB => format!("{} KiB", bytes.div_ceil(KIB)),
        _ => format!("{:.1} MiB", bytes as f64 / MIB as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_told_in_short() {
        let schema = json!({
            "type": "object",
            "properties": {
                "area": { "enum": ["inside", "terrace"] },
                "date": { "type": "string", "description": "Day of the visit" },
                "party": { "type": ["integer", "null"] },
            },
            "required": ["date"],
        });
        assert_eq!(
            parameters(&schema),
            ["area (inside | terrace)", "date (string, required): Day of the visit", "party (integer)"]
        );
    }

    #[test]
    fn sizes_are_told_in_their_unit() {
        assert_eq!([size(900), size(98 << 10), size(12 << 20)], ["900 bytes", "98 KiB", "12.0 MiB"]);
    }
}
