//! From bytes to a compiled component.

use std::path::Path;

use wasmtime::component::Component;

use super::cache::{self, Origin};
use super::engine::Host;
use super::failure::LoadError;

/// Compiles off the async threads: it takes from milliseconds to seconds of pure computing.
///
/// # Errors
///
/// [`LoadError`] for what is no component.
pub(super) async fn compile(
    host: &Host,
    path: &Path,
    digest: [u8; 32],
    bytes: Vec<u8>,
) -> Result<(Component, Origin), LoadError> {
    let path = path.to_owned();
    // The magic number, then version 1 and layer 0: a core module (WebAssembly core specification, 5.5.16).
    if bytes.starts_with(b"\0asm\x01\0\0\0") {
        return Err(LoadError::CoreModule { path });
    }
    // Text would be compiled as well; a plugin is a binary.
    if !bytes.starts_with(b"\0asm") {
        let problem = if bytes.is_empty() { "it is empty" } else { "it does not begin like WebAssembly" };
        let problem = problem.to_owned();
        return Err(LoadError::NotAComponent { path, problem });
    }
    let (engine, cache) = (host.engine.clone(), host.cache.clone());
    let compiled =
        tokio::task::spawn_blocking(move || cache::component(cache.as_deref(), &engine, &digest, &bytes))
            .await;
    match compiled {
        Ok(Ok(component)) => Ok(component),
        Ok(Err(error)) => {
            let problem = format!("{error:#}");
            // The engine has no type for this; the tests of components that are too large keep the words honest.
            let is_too_large = [" the configured maximum of ", " exceeds the limit of "]
                .iter()
                .any(|words| problem.contains(words));
            Err(if is_too_large {
                LoadError::TooLarge { path, problem }
            } else {
                LoadError::NotAComponent { path, problem }
            })
        }
        Err(panic) => Err(LoadError::NotAComponent { path, problem: panic.to_string() }),
    }
}
