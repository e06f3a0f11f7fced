//! `landfall token ...`: tokens of the running hub, over its own socket, where no token is needed.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use landfall_hub::client::{Client, Method, segment};
use serde_json::{Value, json};

use crate::args::token::{Token, TokenAdd, TokenRevoke};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::out;
use crate::render::{Table, clean, count};

const ROUTE: &str = "/api/v1/tokens";
/// Seconds of a day.
const DAY: u64 = 86_400;

pub(crate) async fn run(context: &Context, c: Token) -> Outcome {
    let dir = context.data_dir()?;
    // Before anything is made: a token that nobody can be told is worth nothing.
    if let Token::Add(a) = &c {
        destination(a)?;
    }
    let mut client = Client::connect(&dir).await?;
    match c {
        Token::List(json) => list(context, &mut client, json.json).await,
        Token::Add(a) => add(context, &mut client, &a).await,
        Token::Revoke(a) => revoke(context, &mut client, &a).await,
    }
}

/// Where a new token goes: to a file, or to a terminal whose owner reads it. What else reads a program's output (a log, a
/// pipe) has to be meant.
fn destination(a: &TokenAdd) -> Outcome {
    match &a.output {
        Some(path) if path.file_name().is_none() && path != Path::new("-") => Err(Failure::misuse(
            anyhow!("{} is no file name", path.display()),
            "name a file, for instance --output token",
        )),
        None if !io::stdout().is_terminal() => Err(Failure::misuse(
            anyhow!("a token is shown on a terminal only, and standard output is none"),
            "--output FILE writes it to a file that only you may read; --output - prints it all the same",
        )),
        _ => Ok(()),
    }
}

async fn list(context: &Context, client: &mut Client, as_json: bool) -> Outcome {
    let answer = client.get(ROUTE).await?;
    if as_json {
        return out::json(&answer["tokens"]);
    }
    let mut table = Table::new(context.data_style(), &["ID", "NAME", "SCOPE", "MADE", "USED", "ENDS"]);
    let now_ms = Context::now().saturating_mul(1_000);
    for token in answer["tokens"].as_array().into_iter().flatten() {
        let text = |key: &str| token[key].as_str().unwrap_or_default().to_owned();
        let (made, used) =
            (ago(token["created_ms"].as_u64(), now_ms), ago(token["used_ms"].as_u64(), now_ms));
        let ends = match token["expires_ms"].as_u64() {
            None => "never".to_owned(),
            Some(end) if end <= now_ms => "has ended".to_owned(),
            Some(end) => format!("in {}", length(end - now_ms)),
        };
        table.row([text("id"), text("name"), text("scope"), made, used, ends]);
    }
    out::data(&table.text())
}

fn ago(at_ms: Option<u64>, now_ms: u64) -> String {
    at_ms.map_or_else(|| "never".to_owned(), |at| format!("{} ago", length(now_ms.saturating_sub(at))))
}

/// A length in the unit that fits.
fn length(ms: u64) -> String {
    match ms / 1_000 {
        s if s < 3_600 => count(usize::try_from(s / 60).unwrap_or(usize::MAX), "minute"),
        s if s < 2 * DAY => count(usize::try_from(s / 3_600).unwrap_or(usize::MAX), "hour"),
        s => count(usize::try_from(s / DAY).unwrap_or(usize::MAX), "day"),
    }
}

async fn add(context: &Context, client: &mut Client, a: &TokenAdd) -> Outcome {
    let end = a.days.map(|days| {
        let length = Duration::from_secs(DAY.saturating_mul(days));
        Context::now().saturating_add(length.as_secs()).saturating_mul(1_000)
    });
    let body = json!({"name": a.name, "scope": a.scope.word(), "expires_ms": end});
    let made = client.ask(Method::POST, ROUTE, Some(&body)).await?;
    let (Some(token), Some(id)) = (made["token"].as_str(), made["id"].as_str()) else {
        return Err(Failure::Request { error: anyhow!("the hub told no token"), hint: None });
    };
    let to_file = a.output.as_deref().filter(|path| *path != Path::new("-"));
    let told = match to_file {
        Some(path) => landfall_book::store::replace_file(path, format!("{token}\n").as_bytes())
            .with_context(|| format!("can't write {}", path.display()))
            .map_err(|error| {
                Failure::with_hint(error, "the token was taken back; name a file where you may write one")
            }),
        None => out::line(token),
    };
    if let Err(failure) = told {
        // Nobody knows it, so that nobody shall have it.
        client.ask(Method::DELETE, &format!("{ROUTE}/{}", segment(id)), None).await?;
        return Err(failure);
    }
    let place =
        to_file.map_or_else(|| "it is shown this once".to_owned(), |p| format!("it is in {}", p.display()));
    context.say(&format!(
        "{} may {}; {place}. Take it back: landfall token revoke {id}",
        clean(&a.name),
        a.scope.may()
    ));
    Ok(())
}

async fn revoke(context: &Context, client: &mut Client, a: &TokenRevoke) -> Outcome {
    let answer = client.get(ROUTE).await?;
    let all = answer["tokens"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |token: &Value, key: &str| token[key].as_str().unwrap_or_default().to_owned();
    let named: Vec<_> =
        all.iter().filter(|t| text(t, "id") == a.token || text(t, "name") == a.token).collect();
    let [token] = named.as_slice() else {
        let error = match named.len() {
            0 => anyhow!("there is no token {:?}", clean(&a.token)),
            n => anyhow!("{n} tokens are called {:?}", clean(&a.token)),
        };
        return Err(Failure::with_hint(error, "`landfall token list` shows all with their ids"));
    };
    let (id, name) = (text(token, "id"), text(token, "name"));
    client.ask(Method::DELETE, &format!("{ROUTE}/{}", segment(&id)), None).await?;
    context
        .say(&format!("{} is worth nothing any more; who was signed in with it is signed out", clean(&name)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_unit_that_fits() {
        let now = 1_772_366_400_000;
        assert_eq!(ago(None, now), "never");
        assert_eq!(ago(Some(now - 61_000), now), "1 minute ago");
        assert_eq!(ago(Some(now - 3 * 3_600_000), now), "3 hours ago");
        assert_eq!(ago(Some(now - 5 * 86_400_000), now), "5 days ago");
        assert_eq!(ago(Some(now + 5_000), now), "0 minutes ago", "clocks differ");
    }
}
