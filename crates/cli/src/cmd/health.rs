//! `landfall health`

use std::time::Duration;

use anyhow::anyhow;
use landfall_hub::client::Client;
use serde_json::json;

use crate::args;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::out;

/// How long the hub may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the hub of our data directory whether it answers; with `--ready`, whether it does all its work. Whoever starts it anew when
/// it fails must not do so for a full disk: devices are served all the same.
pub(crate) async fn run(context: &Context, a: &args::Health) -> Outcome {
    let dir = context.data_dir()?;
    let path = if a.ready { "/readyz" } else { "/healthz" };
    let asked = async { Client::connect(&dir).await?.get(path).await };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer?,
        Err(_) => {
            return Err(Failure::with_hint(
                anyhow!("the hub in {} did not answer within {} s", dir.display(), PATIENCE.as_secs()),
                "look into its log; when it says nothing, start it anew",
            ));
        }
    };
    if a.json.json {
        return out::json_line(&json!({"status": "ok", "data_dir": dir}));
    }
    out::line("ok")
}
