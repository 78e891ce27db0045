//! Every endpoint of the admin API on one page: who may ask, what is taken and given, and what answers. The routes, the
//! OpenAPI document and the test of every role at every endpoint are made of this table.

use std::pin::Pin;

use poem::http::Method;
use schemars::{Schema, SchemaGenerator};

use super::role::Role;
use super::{Accepted, Answered, Ask};
use super::{
    about, acts, audit, calls, config, cost, erasing, events, features, health, notifications, openapi,
    plugins, recordings, routes, session, tools, webhooks,
};
use crate::call_control::features::Features;
use crate::http::Reloaded;
use crate::store::Compacted;

/// What an endpoint's answer comes from.
pub(super) type Answering = Pin<Box<dyn Future<Output = Answered> + Send>>;
/// What makes the schema of a type.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

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
    /// What the query may say.
    pub(super) query: Option<SchemaOf>,
    /// What the body says.
    pub(super) body: Option<SchemaOf>,
    /// The status where all is well, and what is given with it.
    pub(super) gives: (u16, Gives),
    pub(super) answer: fn(Ask) -> Answering,
}

/// What an answer is.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    /// JSON.
    Json(SchemaOf),
    /// A recording.
    Sound,
    /// Server-sent events.
    Events,
    /// No body.
    Nothing,
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
    (@schema $kind:ty) => { |generator: &mut SchemaGenerator| generator.subschema_for::<$kind>() };
    (@maybe) => { None };
    (@maybe $kind:ty) => { Some(endpoints!(@schema $kind)) };
    (@gives json $kind:ty) => { Gives::Json(endpoints!(@schema $kind)) };
    (@gives sound) => { Gives::Sound };
    (@gives events) => { Gives::Events };
    (@gives nothing) => { Gives::Nothing };
    ($(
        $method:ident $path:literal $role:ident $answer:path $([? $query:ty])? $([= $body:ty])?
            => $status:literal $gives:ident $(<$kind:ty>)?, $summary:literal;
    )*) => {
        /// All of them.
        pub static ENDPOINTS: &[Endpoint] = &[$(Endpoint {
            method: Method::$method,
            path: $path,
            needs: endpoints!(@role $role),
            summary: $summary,
            query: endpoints!(@maybe $($query)?),
            body: endpoints!(@maybe $($body)?),
            gives: ($status, endpoints!(@gives $gives $($kind)?)),
            answer: |ask| Box::pin($answer(ask)),
        }),*];
    };
}

// `[? …]` is the query, `[= …]` the body.
endpoints! {
    POST "/session" anybody session::sign_in [= session::SignIn] => 200 json<session::SignedIn>,
        "Sign in with a token; a cookie stands for it from then on";
    GET "/session" anybody session::show => 200 json<session::SignedIn>,
        "Who is signed in";
    DELETE "/session" anybody session::sign_out => 204 nothing,
        "Sign out";
    GET "/openapi.json" anybody openapi::show => 200 json<serde_json::Value>,
        "This document";
    GET "/about" viewer about::about => 200 json<about::About>,
        "Which process answers";
    GET "/calls" viewer calls::list [? calls::Question] => 200 json<calls::ShownPage>,
        "Calls, newest first";
    GET "/calls/:id" viewer calls::show [? calls::Unmasked] => 200 json<calls::ShownDetail>,
        "One call with all that is kept of it";
    DELETE "/calls/:id" admin erasing::erase => 200 json<erasing::ErasedCall>,
        "Erase a call and its recordings";
    POST "/calls/:id/hangup" operator acts::hang_up => 202 json<Accepted>,
        "End a call";
    POST "/calls/:id/transfer" operator acts::transfer [= acts::Transfer] => 202 json<Accepted>,
        "Hand a caller to a target of the session";
    POST "/calls/:id/say" operator acts::say [= acts::Words] => 202 json<Accepted>,
        "Have the assistant say something";
    POST "/calls/:id/note" operator acts::note [= acts::Words] => 202 json<Accepted>,
        "Tell the model something that is not spoken";
    GET "/calls/:id/recording" listener recordings::play [? recordings::Which] => 200 sound,
        "The sound of a call, whole or in part";
    DELETE "/calls/:id/recording" admin recordings::delete [? recordings::Which]
        => 200 json<recordings::Recordings>,
        "Delete a call's recordings, here and at the carrier";
    GET "/recordings" listener recordings::list [? recordings::Which] => 200 json<recordings::Recordings>,
        "Recordings, newest call first";
    GET "/events" viewer events::watch [? events::Question] => 200 events,
        "What happens, as it happens (server-sent events)";
    GET "/routes" viewer routes::list => 200 json<routes::RouteList<'_>>,
        "Routes in their order";
    POST "/routes/explain" viewer routes::explain [= routes::Imagined] => 200 json<routes::Explained<'_>>,
        "Which route would take a call, and why";
    GET "/tools" viewer tools::list => 200 json<tools::ToolList>,
        "Tools, and how they fare";
    POST "/tools/:name/call" operator tools::call [= tools::Try] => 200 json<tools::Tried>,
        "Run a tool outside of a call";
    GET "/plugins" viewer plugins::list => 200 json<plugins::PluginList>,
        "Plugins as new calls get them";
    POST "/plugins/reload" operator plugins::reload => 202 json<Accepted>,
        "Look at every plugin's file now";
    GET "/webhooks" viewer webhooks::list [? webhooks::Unmasked] => 200 json<webhooks::WebhookList>,
        "What carrier and provider sent lately";
    GET "/notifications" viewer notifications::list [? notifications::Question]
        => 200 json<notifications::NotificationList>,
        "Who is told of calls, and what was not taken yet";
    POST "/notifications/resend" operator notifications::resend_all [? notifications::Which]
        => 200 json<notifications::Resent>,
        "Send dead letters again, and what waits at once";
    POST "/notifications/:id/resend" operator notifications::resend [? notifications::Which]
        => 200 json<notifications::Resent>,
        "Send one notification again";
    GET "/config" viewer config::show => 200 json<config::ConfigNow<'_>>,
        "The configuration, and where each value came from";
    POST "/config/check" admin config::check [= config::ConfigText] => 200 json<config::ConfigChecked>,
        "Whether another configuration would do";
    POST "/config/reload" admin config::reload => 200 json<Reloaded>,
        "Read the configuration again; refused whole when it is wrong";
    GET "/health" viewer health::show => 200 json<health::Health>,
        "How the gateway fares";
    GET "/cost" viewer cost::show [? cost::Question] => 200 json<cost::Cost>,
        "What calls cost, by day, route and model";
    GET "/features" viewer features::show => 200 json<Features>,
        "Which path calls take";
    POST "/features/openai-sip" operator features::set [= features::SetOpenAiSip] => 200 json<Features>,
        "Have the next calls go over SIP or not";
    DELETE "/features/openai-sip" operator features::reset [= features::ResetOpenAiSip] => 200 json<Features>,
        "Have calls take the path that the configuration says";
    GET "/audit" admin audit::list [? audit::Question] => 200 json<audit::AuditPage>,
        "Who read and did what, newest first";
    POST "/compact" admin erasing::compact [? erasing::Question] => 200 json<Compacted>,
        "Make the journal as short as it can be";
    POST "/handover" admin about::hand_over => 202 json<Accepted>,
        "Make place for the program that is at our path now";
}
