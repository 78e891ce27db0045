//! Finds a customer and their orders by phone number.
//!
//! Customers come from the plugin's config (`customers`, an array of tables) and, where the operator
//! grants a namespace, from the key-value store (key `customer/<number in E.164>`, a JSON object of the
//! same form). Somebody who is not there is an answer, not an error.

// Exports of a component have names that only a WebAssembly linker takes; the rest is tested natively.
#[cfg(target_family = "wasm")]
mod guest;
pub mod phone;
