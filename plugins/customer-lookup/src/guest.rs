//! The component: what the host calls, and what it is answered.

use serde::{Deserialize, Serialize};

use crate::phone;

wit_bindgen::generate!({ path: "../wit/v0.1.0", world: "tool-plugin" });

use exports::switchboard::plugin::tools::{CallContext, Guest, PluginInfo, ToolError};
use switchboard::plugin::types::Tool;
use switchboard::plugin::{config, kv, log};

struct CustomerLookup;

export!(CustomerLookup);

/// A customer, as kept and as answered.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Customer {
    name: String,
    #[serde(default)]
    phone: String,
    #[serde(default)]
    orders: Vec<Order>,
}

/// An order of a customer.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Order {
    id: String,
    #[serde(default)]
    item: String,
    #[serde(default)]
    status: String,
}

/// What the model may say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LookupArguments {
    phone: Option<String>,
}

/// What the model is told of somebody who is known.
#[derive(Serialize)]
struct Found {
    found: bool,
    #[serde(flatten)]
    customer: Customer,
}

/// What the model is told of somebody who is not.
#[derive(Serialize)]
struct NotFound {
    found: bool,
    phone: String,
}

impl Guest for CustomerLookup {
    fn describe() -> PluginInfo {
        PluginInfo {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            tools: vec![Tool {
                name: "lookup_customer".to_owned(),
                description: "Find a customer and their orders by phone number. Without `phone` the caller's own \
                              number is used. Answers {\"found\": false} when there is no such customer."
                    .to_owned(),
                parameters: r#"{"type":"object","properties":{"phone":{"type":"string","maxLength":64,"description":"A phone number in any notation. Leave it out for the caller's own."}},"additionalProperties":false}"#
                    .to_owned(),
                read_only: true,
                timeout_ms: Some(1_000),
            }],
        }
    }

    fn call(context: CallContext, name: String, arguments: String) -> Result<String, ToolError> {
        match name.as_str() {
            "lookup_customer" => lookup(&context, &arguments),
            _ => Err(ToolError::UnknownTool(name)),
        }
    }
}

fn lookup(context: &CallContext, arguments: &str) -> Result<String, ToolError> {
    let arguments: LookupArguments =
        serde_json::from_str(arguments).map_err(|error| ToolError::InvalidArguments(error.to_string()))?;
    let given = arguments.phone.filter(|phone| !phone.trim().is_empty()).or_else(|| context.caller.clone());
    let Some(given) = given else {
        let words = "the caller's number is withheld; ask for a phone number and pass it as `phone`";
        return Err(ToolError::InvalidArguments(words.to_owned()));
    };
    let Some(phone) = phone::normalize(&given) else {
        return Err(ToolError::InvalidArguments(format!("`{given}` is not a phone number; ask again")));
    };
    let customer = match from_config(&phone)? {
        Some(customer) => Some(customer),
        None => from_store(&phone)?,
    };
    match customer {
        Some(customer) => json(&Found { found: true, customer: Customer { phone, ..customer } }),
        None => json(&NotFound { found: false, phone }),
    }
}

fn from_config(phone: &str) -> Result<Option<Customer>, ToolError> {
    let Some(text) = config::get("customers") else { return Ok(None) };
    let customers: Vec<Customer> =
        serde_json::from_str(&text).map_err(|error| ToolError::Internal(format!("config `customers`: {error}")))?;
    Ok(customers.into_iter().find(|customer| phone::normalize(&customer.phone).as_deref() == Some(phone)))
}

fn from_store(phone: &str) -> Result<Option<Customer>, ToolError> {
    let entry = match kv::get(&format!("customer/{phone}")) {
        Ok(entry) => entry,
        Err(error) => {
            log::write(log::Level::Warn, &format!("the key-value store does not answer: {error:?}"));
            return Err(ToolError::Unavailable("the customer list cannot be read at the moment".to_owned()));
        }
    };
    let Some(entry) = entry else { return Ok(None) };
    let customer = serde_json::from_slice(&entry.value)
        .map_err(|error| ToolError::Internal(format!("key `customer/…`: {error}")))?;
    Ok(Some(customer))
}

fn json(value: &impl Serialize) -> Result<String, ToolError> {
    serde_json::to_string(value).map_err(|error| ToolError::Internal(error.to_string()))
}
