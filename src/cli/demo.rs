//! `switchboard demo`: a whole gateway answers a simulated call, over real sockets, without an account.
//!
//! The configuration is the one beside the scenario's reader: `gateway.toml` where there is one (so
//! that a newcomer hears their own change), else the copy inside the binary. Only what must differ is
//! overridden: the vendors' addresses, the secrets, the listeners and a data directory of its own.
