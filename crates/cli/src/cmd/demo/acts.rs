//! Somebody is at home in the demo: every few seconds a light, a curtain or a thermostat is set, as with
//! `landfall set`, so that commands and their outcomes can be seen.

use std::sync::Arc;
use std::time::Duration;

use landfall_hub::model::{By, CommandOptions, DeviceView, Ended, Home, Problem};
use landfall_hub::profile::Class;
use serde_json::{Map, Value};
use tokio::task::JoinHandle;

use crate::render::clean;

/// Time between two acts.
pub(crate) const EVERY: Duration = Duration::from_secs(4);

/// What is done, to be awaited.
#[derive(Debug)]
pub(crate) struct Act {
    what: String,
    work: JoinHandle<Result<Arc<Ended>, Problem>>,
}

impl Act {
    /// Waits for its end and tells about it in a line. Cancel safe.
    pub(crate) async fn told(&mut self) -> String {
        match (&mut self.work).await {
            Ok(Ok(ended)) => format!("set {} -> {} ({} ms)", self.what, ended.outcome, ended.took_ms),
            Ok(Err(problem)) => format!("set {} -> not taken: {problem}", self.what),
            Err(e) => format!("set {} -> not finished: {e}", self.what),
        }
    }
}

/// Does the next thing; `turn` counts from 0.
pub(crate) fn next(home: &Arc<dyn Home>, turn: usize) -> Option<Act> {
    let able: Vec<(Arc<DeviceView>, &str, Value)> = home
        .devices()
        .into_iter()
        .filter(|view| view.presence.available() && view.route.is_some())
        .filter_map(|view| {
            let (name, value) = choice(&view)?;
            Some((view, name, value))
        })
        .collect();
    let (view, name, value) = able.get(turn % able.len().max(1))?.clone();
    let what = format!("{} {name} = {value}", clean(&view.facts.name));
    let wanted: Map<String, Value> = [(name.to_owned(), value)].into_iter().collect();
    let dps = view.definition.write(&wanted, &view.dps()).ok()?;
    let (home, id) = (Arc::clone(home), view.id().clone());
    let work = tokio::spawn(async move { home.set(&id, dps, CommandOptions::of(By::Cli)).await });
    Some(Act { what, work })
}

/// What a person would do with it: lights and wall switches are switched, curtains moved, rooms made warmer or cooler.
/// Plugs are left alone: nobody switches a fridge off for fun.
fn choice(view: &DeviceView) -> Option<(&'static str, Value)> {
    let state = view.state();
    let number = |name: &str| state.get(name).and_then(Value::as_f64);
    let is = |name: &str| state.get(name).and_then(Value::as_bool);
    match view.definition.class {
        Class::Light => is("switch").map(|on| ("switch", Value::from(!on))),
        Class::Switch => is("switch_2").map(|on| ("switch_2", Value::from(!on))),
        Class::Cover => {
            number("position").map(|at| ("position", Value::from(if at < 50.0 { 80 } else { 20 })))
        }
        Class::Thermostat => number("target_temperature")
            .map(|wants| ("target_temperature", Value::from(if wants < 21.5 { 22.0 } else { 20.5 }))),
        _ => None,
    }
}
