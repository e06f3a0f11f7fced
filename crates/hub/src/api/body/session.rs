//! Signing in, as JSON.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::tokens::Scope;

/// Who wants to sign in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignInBody {
    /// A token: `lf_...`.
    #[schema(max_length = 256, write_only)]
    pub token: String,
}

impl fmt::Debug for SignInBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignInBody(..)")
    }
}

/// Who is signed in.
#[derive(Serialize, ToSchema)]
pub struct SessionBody {
    /// What is allowed.
    pub scope: Scope,
    /// The name of the token.
    pub name: String,
    /// The token's id; `null` for the owner on the hub's own socket.
    pub token: Option<String>,
    /// To be sent as `X-Landfall-CSRF` with every request that changes something; `null` for who sends a token instead of
    /// the cookie.
    pub csrf: Option<String>,
    /// When it is over unless it is used before; `null`: never.
    pub expires_ms: Option<u64>,
}
