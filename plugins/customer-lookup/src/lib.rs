//! Finds a customer and their orders by phone number.
//!
//! Customers come from the plugin's config (`customers`, an array of tables) and, where the operator
//! grants a namespace, from the key-value store (key `customer/<number in E.164>`, a JSON object of the
//! same form). Somebody who is not there is an answer, not an error.

pub mod phone;

use serde::{Deserialize, Serialize};
use switchboard_plugin::{Context, ToolError, arguments, config, kv, plugin, tool};

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

#[arguments]
struct LookupArguments {
    /// A phone number in any notation. Leave it out for the caller's own.
    #[schema(max_length = 64)]
    phone: Option<String>,
}

/// What the model is told: the customer, or only the number that nobody has.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Found {
        found: bool,
        #[serde(flatten)]
        customer: Customer,
    },
    Nobody {
        found: bool,
        phone: String,
    },
}

/// Find a customer and their orders by phone number. Without `phone` the caller's own number is used.
/// Answers {"found": false} when there is no such customer.
#[tool(repeatable, timeout = "1s")]
fn lookup_customer(context: &Context, arguments: LookupArguments) -> Result<Answer, ToolError> {
    let given = arguments.phone.filter(|phone| !phone.trim().is_empty()).or_else(|| context.caller.clone());
    let Some(given) = given else {
        let words = "the caller's number is withheld; ask for a phone number and pass it as `phone`";
        return Err(ToolError::invalid(words));
    };
    let Some(phone) = phone::normalize(&given) else {
        return Err(ToolError::invalid(format!("`{given}` is not a phone number; ask again")));
    };
    let customer = match from_config(&phone)? {
        Some(customer) => Some(customer),
        None => from_store(&phone)?,
    };
    Ok(match customer {
        Some(customer) => Answer::Found { found: true, customer: Customer { phone, ..customer } },
        None => Answer::Nobody { found: false, phone },
    })
}

plugin! { tools: [lookup_customer], needs: [kv] }

fn from_config(phone: &str) -> Result<Option<Customer>, ToolError> {
    let customers: Vec<Customer> = config::json("customers")?.unwrap_or_default();
    Ok(customers.into_iter().find(|customer| phone::normalize(&customer.phone).as_deref() == Some(phone)))
}

/// Without a grant for the store, the config is all there is.
fn from_store(phone: &str) -> Result<Option<Customer>, ToolError> {
    if !kv::is_granted() {
        return Ok(None);
    }
    kv::get_json(&format!("customer/{phone}"))
}
