//! Templates (minijinja, a Jinja2 dialect) under the rules that hold for all of ours.
//!
//! What is put in is data: a value that looks like a template comes out as it is. An unknown name is an
//! error with its place, and both the work and the length of the output are bounded.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};

/// The longest rendered text. Instructions are billed on every turn; this is far beyond sense.
pub const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// How many steps a template may take: a loop over a few hundred things, and no more.
const FUEL: u64 = 100_000;

/// The name of the one template in its environment.
const NAME: &str = "text";

/// A compiled template.
#[derive(Clone)]
pub struct Text {
    environment: Arc<Environment<'static>>,
    /// Where the template is one expression and nothing else: that expression.
    expression: Option<Arc<str>>,
}

/// Why a template does not compile or cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// The line within the template, from 1, where it is known.
    pub line: Option<usize>,
    /// The bytes of the template that are meant, where they are known.
    pub range: Option<Range<usize>>,
    /// Whether it uses a name that does not exist.
    pub is_unknown_name: bool,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line} of the template: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for TemplateError {}

impl Text {
    /// Compiles a template; `prepare` may add filters and say how values are written.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] where the text is not a template.
    pub fn compile(
        source: &str,
        prepare: impl FnOnce(&mut Environment<'static>),
    ) -> Result<Text, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_debug(true);
        prepare(&mut environment);
        environment.add_template_owned(NAME, source.to_owned()).map_err(describe)?;
        // `{{ a }} and {{ b }}` also begins and ends like one, but what is between is no expression.
        let inside = source.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        let inside =
            inside.filter(|inside| environment.compile_expression_owned((*inside).to_owned()).is_ok());
        let expression = inside.map(Arc::from);
        Ok(Text { environment: Arc::new(environment), expression })
    }

    /// Renders the template.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] where it uses what is not there, takes too long or becomes too long.
    pub fn render(&self, facts: Value) -> Result<String, TemplateError> {
        let template = self.environment.get_template(NAME).map_err(describe)?;
        let mut output = Bounded::default();
        template.render_captured_to(facts, &mut output).map_err(describe)?;
        Ok(String::from_utf8_lossy(&output.0).into_owned())
    }

    /// What the template gives: where it is one expression, the expression's value with its type, else
    /// its text.
    ///
    /// # Errors
    ///
    /// As [`Text::render`].
    pub fn value(&self, facts: Value) -> Result<Value, TemplateError> {
        let Some(expression) = &self.expression else { return self.render(facts).map(Value::from) };
        let compiled = self.environment.compile_expression(expression).map_err(describe)?;
        let value = compiled.eval(facts).map_err(describe)?;
        if value.is_undefined() {
            return Err(describe(minijinja::Error::from(ErrorKind::UndefinedError)));
        }
        Ok(value)
    }

    /// The names that the template may look up, such as `vars.shop` or `call.from`, sorted; also
    /// those in branches that a rendering does not reach.
    pub fn names(&self) -> Vec<String> {
        let Ok(template) = self.environment.get_template(NAME) else { return Vec::new() };
        let functions: HashSet<&str> = self.environment.globals().map(|(name, _)| name).collect();
        let mut names: Vec<String> = template.undeclared_variables(true).into_iter().collect();
        names.retain(|name| !functions.contains(name.as_str()));
        names.sort();
        names
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text")
    }
}

fn describe(error: minijinja::Error) -> TemplateError {
    let message = match error.kind() {
        ErrorKind::UndefinedError => "a name is not known here".to_owned(),
        ErrorKind::OutOfFuel => "it takes too many steps".to_owned(),
        ErrorKind::WriteFailure => format!("it becomes longer than {} KiB", OUTPUT_BYTES_MAX >> 10),
        kind => error.detail().map_or_else(|| kind.to_string(), str::to_owned),
    };
    let is_unknown_name = error.kind() == ErrorKind::UndefinedError;
    TemplateError { line: error.line(), range: error.range(), is_unknown_name, message }
}

/// A writer that refuses to grow beyond [`OUTPUT_BYTES_MAX`].
#[derive(Default)]
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(io::Error::other("too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
