//! `landfall get DEVICE [DP]...`

use anyhow::anyhow;
use landfall_link::Link;
use landfall_proto::dp::{DpId, Dps};
use landfall_proto::lan::Version;
use serde_json::json;

use crate::args;
use crate::assign;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::out;
use crate::render::{points, progress::Progress};
use crate::subject::Subject;
use crate::tether;
use crate::trouble;
use crate::via;

/// Asks a device for its points and prints them.
pub(crate) async fn run(context: &Context, a: &args::Get) -> Outcome {
    let book = context.book()?;
    let subject = Subject::find(&book, &a.device)?;
    let wanted: Vec<DpId> =
        a.points.iter().map(|p| assign::point(&subject.schema, p)).collect::<Result<_, _>>()?;
    if let Some(mut hub) = via::hub(context, a.way).await? {
        let mut all = via::points(&mut hub, &subject).await?;
        if via::unheard(&all, &wanted) {
            via::refresh(&mut hub, &subject).await?;
            all = via::points(&mut hub, &subject).await?;
        }
        return show(context, a, &subject, &wanted, all, subject.line.version);
    }
    let link = Link::default();
    let handle = subject.open(&link)?;
    let search = tether::follow(&subject, &handle);
    let progress = Progress::start(context, &format!("asking {}", subject.name()));
    let answer = ask(&subject, &handle, &wanted).await;
    progress.end();
    drop(search);
    if answer.is_ok() {
        tether::remember(context, &subject, &handle);
    }
    handle.close().await;
    show(context, a, &subject, &wanted, answer?, handle.version())
}

/// Prints what was asked for.
fn show(
    context: &Context,
    a: &args::Get,
    subject: &Subject,
    wanted: &[DpId],
    all: Dps,
    version: Option<Version>,
) -> Outcome {
    let missing: Vec<String> = wanted
        .iter()
        .filter(|id| all.value(**id).is_none())
        .map(|id| points::name(&subject.schema, *id))
        .collect();
    if !missing.is_empty() {
        let known: Vec<String> = all.ids().map(|id| id.to_string()).collect();
        return Err(Failure::with_hint(
            anyhow!("{} does not report {}", subject.name(), missing.join(", ")),
            format!("it reports the points {}", known.join(", ")),
        ));
    }
    let shown: Dps = if wanted.is_empty() {
        all
    } else {
        wanted.iter().filter_map(|id| all.value(*id).map(|v| (*id, v.clone()))).collect()
    };
    if a.json.json {
        return out::json(&json!({
            "id": subject.device.id,
            "name": subject.device.name,
            "cid": subject.device.cid,
            "version": version,
            "dps": shown,
            "points": points::to_json(&subject.schema, &shown),
        }));
    }
    match (wanted, shown.iter().next()) {
        // One point asked for: its value alone, for scripts.
        ([_], Some((_, value))) => out::line(&crate::render::clean(&value.to_string())),
        _ if shown.is_empty() => {
            context.say(&format!("{} answered, but reports no points", subject.name()));
            Ok(())
        }
        _ => out::data(&points::table(&subject.schema, &shown, context.data_style())),
    }
}

/// Queries; points that were asked for and not reported are measured on request by some devices (lan.md 5.3).
async fn ask(subject: &Subject, handle: &landfall_link::Device, wanted: &[DpId]) -> Result<Dps, Failure> {
    let fail = |e| trouble::command(subject, e);
    let cid = subject.cid();
    let report = handle.query(cid.clone()).await.map_err(fail)?;
    let mut all = handle.points(cid.as_ref());
    all.merge(&report.dps);
    let missing: Vec<DpId> = wanted.iter().copied().filter(|id| all.value(*id).is_none()).collect();
    if !missing.is_empty() && handle.refresh(cid.clone(), missing).await.map_err(fail)? {
        all.merge(&handle.points(cid.as_ref()));
    }
    Ok(subject.refined(all))
}
