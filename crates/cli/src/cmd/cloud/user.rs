//! `landfall cloud user ...`

use anyhow::anyhow;
use landfall_cloud::control::{Order, Owner as _};
use serde_json::{Value, json};

use super::reach::Reach;
use crate::args::cloud::CloudUser;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::out;
use crate::render::clean;

pub(super) async fn run(context: &Context, c: CloudUser) -> Outcome {
    let mut reach = Reach::open(context).await?;
    match c {
        CloudUser::Add { name } => add(context, &mut reach, name).await,
        CloudUser::Remove { name } => {
            let removed = if reach.client.is_some() {
                reach.ask(&Order::RemovePerson { name: name.clone() }).await?["removed"] == json!(true)
            } else {
                reach.with_book(async |book| book.remove_person(&name).await).await?
            };
            if !removed {
                return Err(Failure::with_hint(
                    anyhow!("there is no user {:?}", clean(&name)),
                    "`landfall cloud user list` shows the users there are",
                ));
            }
            context.say(&format!("{} can't log in any more", clean(&name)));
            Ok(())
        }
        CloudUser::List(json) => {
            let people = reach.with_book(async |book| Ok(book.people())).await?;
            if json.json {
                return out::json(&people);
            }
            if people.is_empty() {
                context.say("nobody may log in; `landfall cloud user add NAME` lets somebody");
            }
            people.iter().try_for_each(|p| out::line(&clean(&p.name)))
        }
    }
}

/// The password is data: it goes to stdout, this once.
async fn add(context: &Context, reach: &mut Reach, name: String) -> Outcome {
    let password = if reach.client.is_some() {
        match reach.ask(&Order::AddPerson { name: name.clone() }).await?.get("password") {
            Some(Value::String(password)) => password.clone(),
            _ => return Err(Failure::Request { error: anyhow!("the cloud told no password"), hint: None }),
        }
    } else {
        reach.with_book(async |book| book.add_person(&name).await).await?
    };
    out::line(&password)?;
    context.say(&format!(
        "this is the password of {}; it is shown this once. Its client connects to the port of --mqtt, or of --mqtts by TLS",
        clean(&name)
    ));
    Ok(())
}
