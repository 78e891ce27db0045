//! Every endpoint of the admin API on one page: who may ask, and what answers. The routes, the OpenAPI document and
//! the test of every role at every endpoint are made of this table.

use std::pin::Pin;

use poem::http::Method;

use super::role::Role;
use super::{Answered, Ask};
use super::{about, acts, audit, calls, erasing, events, features, plugins, recordings, session};

/// What an endpoint's answer comes from.
pub(super) type Answering = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// One endpoint, below `/api/v1`.
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// Its path, with `:id` for what varies.
    pub path: &'static str,
    /// The lowest role that may ask; none: anybody.
    pub needs: Option<Role>,
    /// What it is for, in few words.
    pub summary: &'static str,
    pub(super) answer: fn(Ask) -> Answering,
}

impl Endpoint {
    /// Claims that it does something to calls or to the gateway.
    pub fn acts(&self) -> bool {
        self.needs >= Some(Role::Operator) && self.method != Method::GET
    }
}

macro_rules! endpoints {
    (@role anybody) => { None };
    (@role viewer) => { Some(Role::Viewer) };
    (@role listener) => { Some(Role::Listener) };
    (@role operator) => { Some(Role::Operator) };
    (@role admin) => { Some(Role::Admin) };
    ($($method:ident $path:literal $role:ident $answer:path, $summary:literal;)*) => {
        /// All of them.
        pub static ENDPOINTS: &[Endpoint] = &[$(Endpoint {
            method: Method::$method,
            path: $path,
            needs: endpoints!(@role $role),
            summary: $summary,
            answer: |ask| Box::pin($answer(ask)),
        }),*];
    };
}

endpoints! {
    POST "/session" anybody session::sign_in, "Sign in with a token; a cookie stands for it from then on";
    GET "/session" anybody session::show, "Who is signed in";
    DELETE "/session" anybody session::sign_out, "Sign out";
    GET "/about" viewer about::about, "Which process answers";
    GET "/calls" viewer calls::list, "Calls, newest first";
    GET "/calls/:id" viewer calls::show, "One call with all that is kept of it";
    DELETE "/calls/:id" admin erasing::erase, "Erase a call and its recordings";
    POST "/calls/:id/hangup" operator acts::hang_up, "End a call";
    POST "/calls/:id/transfer" operator acts::transfer, "Hand a caller to a target of the session";
    POST "/calls/:id/say" operator acts::say, "Have the assistant say something";
    POST "/calls/:id/note" operator acts::note, "Tell the model something that is not spoken";
    GET "/calls/:id/recording" listener recordings::play, "The sound of a call, whole or in part";
    DELETE "/calls/:id/recording" admin recordings::delete, "Delete a call's recordings, here and at the carrier";
    GET "/recordings" listener recordings::list, "Recordings, newest call first";
    GET "/events" viewer events::watch, "What happens, as it happens (server-sent events)";
    GET "/plugins" viewer plugins::list, "Plugins as new calls get them";
    GET "/features" viewer features::show, "Which path calls take";
    POST "/features/openai-sip" operator features::set, "Have the next calls go over SIP or not";
    DELETE "/features/openai-sip" operator features::reset, "Have calls take the path that the configuration says";
    GET "/audit" admin audit::list, "Who read and did what, newest first";
    POST "/compact" admin erasing::compact, "Make the journal as short as it can be";
    POST "/handover" admin about::hand_over, "Make place for the program that is at our path now";
}
