//! The cases.

use jiff::tz::TimeZone;

use super::super::rows::{Row, rows};
use super::super::{Bar, EnergyRow, EventRow, SavedRow, Span};
use super::*;
use crate::core::{Action, Core, Effect, Known, Moment, Settings};
use crate::model::{Facts, Line, MilliWattHours, Origin};

type Any = Arc<dyn Store>;

pub(super) async fn every_kind_of_value_comes_back_as_it_was(store: Any) {
    let given = [
        DpValue::Bool(true),
        DpValue::Bool(false),
        DpValue::Value(i64::MIN),
        DpValue::Value(-7),
        DpValue::Bitmap(u32::MAX),
        DpValue::Enum("white".into()),
        DpValue::String("it's a \"text\" with ü, 💡 and\nlines".into()),
        DpValue::String("".into()),
        DpValue::Raw([0, 1, 254, 255].into()),
        DpValue::Raw([].into()),
        DpValue::Json("23.5".into()),
        DpValue::Json(r#"{"a":[1,null]}"#.into()),
    ];
    let rows = given.iter().zip(0..).map(|(value, n)| row("bf01", 7, T + n, value.clone()));
    store.append(&points(rows)).await.unwrap();
    let series = store.history(&all("bf01")).await.unwrap();
    let read: Vec<_> = values(&series[0]).into_iter().map(|(_, value)| value).collect();
    assert_eq!(read, given);
    // PostgreSQL has no place for a NUL: it must not make a batch fail for ever.
    store.append(&points([row("bf01", 8, T, DpValue::String("a\0b".into()))])).await.unwrap();
    let series = store.history(&HistoryQuery { dps: vec![DpId(8)], ..all("bf01") }).await.unwrap();
    let read = values(&series[0])[0].1.to_string();
    assert!(read == "a\0b" || read == "a\u{fffd}b", "{read:?}");
}

pub(super) async fn a_time_and_points_are_chosen_and_a_limit_is_told(store: Any) {
    for dp in [1, 2, 300] {
        let rows = (0..100).map(|n| row("bf01", dp, T + n * 10, DpValue::Value(i64::try_from(n).unwrap())));
        store.append(&points(rows)).await.unwrap();
    }
    store.append(&points([row("bf02", 1, T, DpValue::Bool(true))])).await.unwrap();
    let asked = |dps: &[u16], from_ms, to_ms, limit| HistoryQuery {
        dps: dps.iter().map(|n| DpId(*n)).collect(),
        from_ms,
        to_ms,
        limit,
        ..all("bf01")
    };
    let series = store.history(&asked(&[], T + 10, T + 30, 100)).await.unwrap();
    assert_eq!(series.iter().map(|s| s.dp.0).collect::<Vec<_>>(), [1, 2, 300]);
    let two = [(T + 10, DpValue::Value(1)), (T + 20, DpValue::Value(2))];
    assert!(series.iter().all(|s| values(s) == two && !s.cut && s.step_ms.is_none()));
    let series = store.history(&asked(&[300, 2, 9], T, T + 1_000, 99)).await.unwrap();
    assert_eq!(
        series.iter().map(|s| (s.dp.0, s.samples.len(), s.cut)).collect::<Vec<_>>(),
        [(2, 99, true), (300, 99, true)]
    );
    let whole = store.history(&asked(&[2], T, T + 1_000, 100)).await.unwrap();
    assert_eq!((whole[0].samples.len(), whole[0].cut), (100, false));
    let steps = HistoryQuery { step_ms: Some(100), ..asked(&[2], T, T + 1_000, 4) };
    let steps = store.history(&steps).await.unwrap();
    assert_eq!((steps[0].samples.len(), steps[0].cut, steps[0].step_ms), (4, true, Some(100)));
    assert_eq!(store.history(&asked(&[2], T + 5, T + 9, 9)).await.unwrap(), []);
    assert_eq!(store.history(&asked(&[2], T + 9, T + 5, 9)).await.unwrap(), []);
    assert_eq!(store.history(&all("bf03")).await.unwrap(), []);
}

pub(super) async fn steps_are_the_same_from_changes_and_from_roll_ups(store: Any) {
    let plain = Memory::new();
    // Three days and some, a switch among them; written in pieces, rolled up at odd times.
    let mut rows = noise("bf01", 19, T - HOUR - 123, 15_000);
    rows.extend((0..200).map(|n| row("bf01", 1, T + n * 1_777_777, DpValue::Bool(n % 3 == 0))));
    rows.sort_by_key(|r| r.at_ms);
    let end = rows.last().unwrap().at_ms;
    for (n, piece) in rows.chunks(1_000).enumerate() {
        store.append(&points(piece.iter().cloned())).await.unwrap();
        plain.append(&points(piece.iter().cloned())).await.unwrap();
        if n % 3 == 1 {
            store.tidy(piece.last().unwrap().at_ms + 6_000).await.unwrap();
        }
    }
    let ask = |step, from_ms, to_ms| HistoryQuery { step_ms: Some(step), from_ms, to_ms, ..all("bf01") };
    let times =
        [(0, end + 1), (T + 12_345, end - 5 * HOUR - 77), (T + DAY, T + DAY + 1), (T + HOUR, T + 2 * DAY)];
    for round in ["partly rolled up", "rolled up"] {
        for step in [7_000, MINUTE, 5 * MINUTE, 45 * MINUTE, HOUR, 6 * HOUR, DAY, 2 * DAY] {
            for (from, to) in times {
                let ours = store.history(&ask(step, from, to)).await.unwrap();
                assert!(ours.iter().all(|s| s.step_ms == Some(step)), "{round}: {step}");
                same(&ours, &plain.history(&ask(step, from, to)).await.unwrap());
            }
        }
        store.tidy(end + 2 * DAY).await.unwrap();
    }
    let hours = store.history(&ask(HOUR, 0, end + 1)).await.unwrap();
    assert!(hours[1].samples.len() > 75, "{}", hours[1].samples.len());
}

pub(super) async fn a_single_change_is_rolled_up_once_its_time_is_complete(store: Any) {
    let plain = Memory::new();
    let steps = [MINUTE, 15 * MINUTE, HOUR, DAY];
    // One change each for some points, every seven minutes, and a look now and then, which is never at the end of a step.
    for n in 0..400_u64 {
        let at = T + n * 7 * MINUTE + n * 997;
        let batch = points([row(
            "bf01",
            u16::try_from(n % 40).unwrap(),
            at,
            DpValue::Value(i64::try_from(n).unwrap()),
        )]);
        store.append(&batch).await.unwrap();
        plain.append(&batch).await.unwrap();
        store.tidy(at + 9_000).await.unwrap();
        if n % 50 == 49 {
            store.tidy(at + 3 * MINUTE).await.unwrap();
            for step in steps {
                let ask = HistoryQuery { step_ms: Some(step), to_ms: at + 4 * MINUTE, ..all("bf01") };
                same(&store.history(&ask).await.unwrap(), &plain.history(&ask).await.unwrap());
            }
        }
    }
}

pub(super) async fn changes_that_come_late_are_rolled_up_as_well(store: Any) {
    let plain = Memory::new();
    let rows = noise("bf01", 19, T, 6_000);
    let end = rows.last().unwrap().at_ms;
    let (late, at_once): (Vec<_>, Vec<_>) = rows.into_iter().enumerate().partition(|(n, _)| n % 1_000 > 900);
    for (rows, now) in [(at_once, end + DAY), (late, end + DAY + MINUTE)] {
        let batch = points(rows.into_iter().map(|(_, row)| row));
        store.append(&batch).await.unwrap();
        plain.append(&batch).await.unwrap();
        store.tidy(now).await.unwrap();
    }
    for step in [MINUTE, HOUR, DAY] {
        let ask = HistoryQuery { step_ms: Some(step), ..all("bf01") };
        same(&store.history(&ask).await.unwrap(), &plain.history(&ask).await.unwrap());
    }
    // A clock that was ahead for a while: what comes at the right time is in no roll-up's way.
    if store.kind() != "memory" {
        store.tidy(end + 300 * DAY).await.unwrap();
        assert_eq!(
            values(&store.history(&all("bf01")).await.unwrap()[0]).len(),
            6_000,
            "nothing is deleted for it"
        );
    }
    store.tidy(end + DAY + 2 * MINUTE).await.unwrap();
    let batch = points(noise("bf01", 19, end + DAY + 2 * MINUTE, 2_000));
    store.append(&batch).await.unwrap();
    plain.append(&batch).await.unwrap();
    store.tidy(end + 4 * DAY).await.unwrap();
    let ask = HistoryQuery { step_ms: Some(HOUR), from_ms: end + DAY, ..all("bf01") };
    same(&store.history(&ask).await.unwrap(), &plain.history(&ask).await.unwrap());
}

pub(super) async fn text_has_no_steps(store: Any) {
    let mode = |n, word: &str| row("bf01", 21, T + n, DpValue::Enum(word.into()));
    store.append(&points([mode(0, "white"), mode(5, "colour"), mode(9, "scene")])).await.unwrap();
    let series = store.history(&HistoryQuery { step_ms: Some(HOUR), ..all("bf01") }).await.unwrap();
    assert_eq!((series[0].samples.len(), series[0].step_ms), (3, None));
    assert_eq!(values(&series[0])[1], (T + 5, DpValue::Enum("colour".into())));
}

pub(super) async fn a_batch_that_comes_twice_counts_once(store: Any) {
    let event = |n, text: &str| EventRow {
        seq: Seq(n),
        at_ms: T,
        device: None,
        code: "hub.test".to_owned(),
        text: text.to_owned(),
    };
    let batch = Batch {
        points: noise("bf01", 19, T, 50),
        energy: vec![EnergyRow { device: id("bf01"), at_ms: T, total: MilliWattHours(5) }],
        events: vec![event(1, "a"), event(2, "b")],
        saved: vec![SavedRow { device: id("bf01"), text: "{}".to_owned() }],
        last: Seq(2),
    };
    store.append(&batch).await.unwrap();
    let before = (store.history(&all("bf01")).await.unwrap(), store.events(None, None, 9).await.unwrap());
    // The answer to the first was lost.
    store.append(&batch).await.unwrap();
    let after = (store.history(&all("bf01")).await.unwrap(), store.events(None, None, 9).await.unwrap());
    assert_eq!((before.0[0].samples.len(), before.1.len()), (50, 2));
    assert_eq!(before, after);
    // Two values at one time, in one batch: the later counts.
    let twice = [row("bf02", 1, T, DpValue::Value(1)), row("bf02", 1, T, DpValue::Value(2))];
    store.append(&points(twice)).await.unwrap();
    assert_eq!(values(&store.history(&all("bf02")).await.unwrap()[0]), [(T, DpValue::Value(2))]);
    // Numbers never go back.
    store.append(&last(1)).await.unwrap();
    assert_eq!(store.remembered().await.unwrap().last, Seq(2));
}

pub(super) async fn what_another_value_takes_the_place_of_is_counted(store: Any) {
    let values = |from: i64, at: std::ops::Range<u64>| {
        points(at.zip(from..).map(|(at, n)| row("bf01", 1, T + at, DpValue::Value(n))))
    };
    assert_eq!(store.append(&values(0, 0..10)).await.unwrap(), 0);
    assert_eq!(store.append(&values(0, 0..10)).await.unwrap(), 0, "the same batch again");
    // The clock was set back, and these times come again: three of them with a value.
    assert_eq!(store.append(&values(100, 7..20)).await.unwrap(), 3);
    assert_eq!(store.append(&points([row("bf01", 1, T + 500, DpValue::Bool(true))])).await.unwrap(), 0);
    assert_eq!(store.append(&points([row("bf01", 1, T + 300, DpValue::Bool(true))])).await.unwrap(), 0);
    let text = |text: &str| points([row("bf01", 2, T, DpValue::String(text.into()))]);
    let mut counted = Vec::new();
    for what in ["a\0b", "a\0b", "", "it", "it"] {
        counted.push(store.append(&text(what)).await.unwrap());
    }
    assert_eq!(counted, [0, 0, 1, 1, 0]);
    let twice = [1, 2, 2, 3].map(|n| row("bf02", 1, T, DpValue::Value(n)));
    assert_eq!(store.append(&points(twice)).await.unwrap(), 2, "in one batch");
    // Another device with the history of this one.
    store.rename(&id("bf01"), &id("bf03")).await.unwrap();
    assert_eq!(store.append(&points([row("bf03", 1, T, DpValue::Value(-1))])).await.unwrap(), 1);
}

pub(super) async fn what_the_core_tells_in_a_millisecond_is_all_kept(store: Any) {
    let facts = Facts { has_key: true, ..Facts::new((*id("bf01")).clone(), "plug".to_owned()) };
    let known = Known { facts: Arc::new(facts), definition: Arc::default() };
    let (grace, zone) = (std::time::Duration::from_secs(60), TimeZone::UTC);
    let settings = Settings { grace, zone, price_milli: None, last: Seq(0) };
    let mut saved = None;
    let mut given = Vec::new();
    // Two runs of the hub, within a millisecond of each other.
    for run in 0..2 {
        let mut core = Core::new(settings.clone());
        let mut effects = Vec::new();
        let mut batch = Batch::default();
        let now = Moment { mono: std::time::Duration::from_secs(9), unix_ms: T };
        let device = || (*id("bf01")).clone();
        core.apply(Action::Devices(vec![known.clone()]), now, &mut effects);
        if let Some(text) = saved.take() {
            core.apply(Action::Restore { device: device(), text }, now, &mut effects);
        }
        for n in 0..100 {
            let value = DpValue::Value(run * 100 + n);
            given.push(value.clone());
            let dps = Arc::new([(DpId(18), value)].into_iter().collect());
            let (line, origin) = (Line::Cloud, Origin::Pushed);
            let device_ms = Some(T / 1_000);
            core.apply(
                Action::Heard { device: device(), cid: None, line, origin, dps, device_ms },
                now,
                &mut effects,
            );
        }
        for effect in effects {
            match effect {
                Effect::Publish(change) => rows(&change, |row| match row {
                    Row::Point(row) => batch.points.push(row),
                    Row::Energy(_) | Row::Event(_) => {}
                }),
                Effect::Save { text, .. } => saved = Some(text),
                _ => {}
            }
        }
        assert_eq!(store.append(&batch).await.unwrap(), 0);
    }
    let kept = values(&store.history(&all("bf01")).await.unwrap()[0]);
    assert_eq!(kept.iter().map(|(at, _)| *at).collect::<Vec<_>>(), (T..T + 200).collect::<Vec<_>>());
    assert_eq!(kept.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), given);
}

pub(super) async fn bars_of_energy_follow_the_home_s_clock(store: Any) {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    // The days around the end of summer time, a watt hour every ten minutes, one of them just at midnight: it is the
    // beginning day's, as it is for the core.
    let start: jiff::civil::DateTime = "2026-10-24T00:00".parse().unwrap();
    let start = u64::try_from(start.to_zoned(zone.clone()).unwrap().timestamp().as_millisecond()).unwrap();
    let ten_minutes = 600_000;
    let rows = |device: &str| {
        let total = |n: u64| MilliWattHours(i64::try_from(n + 1).unwrap() * 1_000);
        (0..(24 + 25 + 24) * 6_u64)
            .map(|n| EnergyRow { device: id(device), at_ms: start + n * ten_minutes, total: total(n) })
            .collect::<Vec<_>>()
    };
    store.append(&Batch { energy: rows("bf01"), ..Batch::default() }).await.unwrap();
    let end = start + 73 * HOUR;
    let bars = |span| store.energy_of("bf01", start, end, span, &zone);
    for _ in 0..2 {
        let days = bars(Span::Day).await;
        let used = |bars: &[Bar]| bars.iter().map(|b| b.used.0 / 1_000).collect::<Vec<_>>();
        assert_eq!(used(&days), [24 * 6, 25 * 6, 24 * 6]);
        assert_eq!((days[1].to_ms - days[1].from_ms, days[0].from_ms), (25 * HOUR, start));
        let hours = bars(Span::Hour).await;
        assert_eq!((hours.len(), used(&hours).iter().all(|h| *h == 6)), (73, true));
        let month = bars(Span::Month).await;
        assert_eq!((month.len(), used(&month)[0]), (1, 73 * 6));
        // Thinned out, months later: nothing changes.
        store.tidy(end + 100 * DAY).await.unwrap();
    }
    let nobody = store.energy(&id("bf09"), start, end, Span::Day, &zone).await.unwrap();
    assert_eq!(nobody, []);
    assert!(store.energy(&id("bf01"), 0, end, Span::Hour, &zone).await.is_err(), "half a million bars");
}

impl dyn Store {
    async fn energy_of(&self, device: &str, from: u64, to: u64, span: Span, zone: &TimeZone) -> Vec<Bar> {
        self.energy(&id(device), from, to, span, zone).await.unwrap()
    }
}

pub(super) async fn what_happened_is_read_from_the_newest(store: Any) {
    let event = |n: u64| EventRow {
        seq: Seq(n),
        at_ms: T + n,
        device: match n % 3 {
            0 => None,
            1 => Some(id("bf01")),
            _ => Some(id("bf02")),
        },
        code: format!("test.{n}"),
        text: "it's done".to_owned(),
    };
    let events: Vec<_> = (1..=30).map(event).collect();
    store.append(&Batch { events: events.clone(), last: Seq(30), ..Batch::default() }).await.unwrap();
    let read = store.events(None, None, 2).await.unwrap();
    assert_eq!(read, [events[29].clone(), events[28].clone()]);
    let read = store.events(None, Some(Seq(29)), 100).await.unwrap();
    assert_eq!((read.len(), read[0].seq, read[27].seq), (28, Seq(28), Seq(1)));
    let read = store.events(Some(&id("bf01")), Some(Seq(10)), 100).await.unwrap();
    assert_eq!(read.iter().map(|e| e.seq.0).collect::<Vec<_>>(), [7, 4, 1]);
    assert_eq!(store.events(Some(&id("bf03")), None, 9).await.unwrap(), []);
}

pub(super) async fn what_the_core_saved_comes_back(store: Any) {
    assert_eq!(store.remembered().await.unwrap(), Default::default());
    let saved = |device: &str, text: &str| SavedRow { device: id(device), text: text.to_owned() };
    let batch = |rows: Vec<SavedRow>, n| Batch { saved: rows, last: Seq(n), ..Batch::default() };
    store.append(&batch(vec![saved("bf02", "{\"a\":1}"), saved("bf01", "old")], 7)).await.unwrap();
    store.append(&batch(vec![saved("bf01", "new")], 9)).await.unwrap();
    let remembered = store.remembered().await.unwrap();
    assert_eq!(remembered.saved, [saved("bf01", "new"), saved("bf02", "{\"a\":1}")]);
    assert_eq!(remembered.last, Seq(9));
}

/// A device with something of everything.
async fn fill(store: &Any, device: &str, from: u64, seq: u64) {
    let batch = Batch {
        points: noise(device, 19, from, 500),
        energy: vec![EnergyRow { device: id(device), at_ms: from + 1, total: MilliWattHours(7_000) }],
        events: vec![EventRow {
            seq: Seq(seq),
            at_ms: from,
            device: Some(id(device)),
            code: "test".to_owned(),
            text: String::new(),
        }],
        saved: vec![SavedRow { device: id(device), text: device.to_owned() }],
        last: Seq(seq),
    };
    store.append(&batch).await.unwrap();
}

/// How many changes, days of roll-ups, events, and whether there is energy and something saved.
async fn found(store: &Any, device: &str) -> (usize, u64, usize, bool, Option<String>) {
    let changes = store.history(&all(device)).await.unwrap().iter().map(|s| s.samples.len()).sum();
    let days = store.history(&HistoryQuery { step_ms: Some(DAY), ..all(device) }).await.unwrap();
    let counted = days.iter().flat_map(|s| &s.samples).map(|s| match s {
        Sample::Step { count, .. } => *count,
        Sample::Value { .. } => panic!("{s:?}"),
    });
    let events = store.events(Some(&id(device)), None, 99).await.unwrap().len();
    let energy = store.energy_of(device, T, T + DAY, Span::Day, &TimeZone::UTC).await;
    let saved = store.remembered().await.unwrap().saved.into_iter().find(|s| s.device == id(device));
    (changes, counted.sum(), events, !energy.is_empty(), saved.map(|s| s.text))
}

pub(super) async fn a_device_that_got_another_id_keeps_its_history(store: Any) {
    fill(&store, "bfold", T, 1).await;
    fill(&store, "bfother", T, 2).await;
    store.tidy(T + 2 * DAY).await.unwrap();
    store.rename(&id("bfold"), &id("bfnew")).await.unwrap();
    assert_eq!(found(&store, "bfold").await, (0, 0, 0, false, None));
    assert_eq!(found(&store, "bfnew").await, (500, 500, 1, true, Some("bfold".to_owned())));
    // Into one that is there already, and has other points as well.
    fill(&store, "bfagain", T + 3 * DAY, 3).await;
    store.append(&points([row("bfnew", 20, T, DpValue::Value(1))])).await.unwrap();
    store.rename(&id("bfnew"), &id("bfagain")).await.unwrap();
    store.tidy(T + 5 * DAY).await.unwrap();
    assert_eq!(found(&store, "bfnew").await, (0, 0, 0, false, None));
    assert_eq!(found(&store, "bfagain").await, (1_001, 1_001, 2, true, Some("bfagain".to_owned())));
    assert_eq!(found(&store, "bfother").await, (500, 500, 1, true, Some("bfother".to_owned())));
    // What is unknown has nothing to move; and an id that went away may come again.
    store.rename(&id("bfnone"), &id("bfother")).await.unwrap();
    store.rename(&id("bfother"), &id("bfother")).await.unwrap();
    fill(&store, "bfold", T, 4).await;
    store.tidy(T + 6 * DAY).await.unwrap();
    assert_eq!(found(&store, "bfold").await, (500, 500, 1, true, Some("bfold".to_owned())));
}

pub(super) async fn a_forgotten_device_leaves_nothing(store: Any) {
    fill(&store, "bf01", T, 1).await;
    fill(&store, "bf02", T, 2).await;
    store.tidy(T + 2 * DAY).await.unwrap();
    store.forget(&id("bf01")).await.unwrap();
    store.forget(&id("bf03")).await.unwrap();
    assert_eq!(found(&store, "bf01").await, (0, 0, 0, false, None));
    assert_eq!(found(&store, "bf02").await, (500, 500, 1, true, Some("bf02".to_owned())));
    fill(&store, "bf01", T + DAY, 3).await;
    store.tidy(T + 4 * DAY).await.unwrap();
    assert_eq!(found(&store, "bf01").await, (500, 500, 1, true, Some("bf01".to_owned())));
}

/// Tidies up at a time that is far from the last one: believed only after an hour.
async fn forget(store: &Any, now: u64) {
    store.tidy(now).await.unwrap();
    store.tidy(now + HOUR).await.unwrap();
}

pub(super) async fn old_changes_go_and_hours_stay(store: Any) {
    let rows = noise("bf01", 19, T, 20_000);
    let end = rows.last().unwrap().at_ms;
    let event =
        |n, at_ms| EventRow { seq: Seq(n), at_ms, device: None, code: "t".to_owned(), text: String::new() };
    let batch =
        Batch { points: rows, events: vec![event(1, T), event(2, end + 800 * DAY)], ..Batch::default() };
    let plain = Memory::new();
    plain.append(&batch).await.unwrap();
    store.append(&batch).await.unwrap();
    store.tidy(end + DAY).await.unwrap();
    let hours = HistoryQuery { step_ms: Some(HOUR), ..all("bf01") };
    let days = HistoryQuery { step_ms: Some(DAY), ..all("bf01") };
    same(&store.history(&hours).await.unwrap(), &plain.history(&hours).await.unwrap());
    // After 31 days more, no change is left; of minutes the answer is as if they were.
    forget(&store, end + 32 * DAY).await;
    if store.kind() == "memory" {
        assert_eq!(store.history(&all("bf01")).await.unwrap(), []);
        return;
    }
    let minutes = HistoryQuery { step_ms: Some(MINUTE), ..all("bf01") };
    for ask in [&minutes, &hours, &days] {
        same(&store.history(ask).await.unwrap(), &plain.history(ask).await.unwrap());
    }
    let left = store.history(&all("bf01")).await.unwrap();
    assert_eq!(
        (left[0].step_ms, left[0].samples.len()),
        (Some(MINUTE), plain.history(&minutes).await.unwrap()[0].samples.len())
    );
    // Seconds can't be had any more, nor minutes after three months: the answer says what was used.
    let seconds = store.history(&HistoryQuery { step_ms: Some(1_000), ..all("bf01") }).await.unwrap();
    same(&seconds, &plain.history(&minutes).await.unwrap());
    forget(&store, end + 800 * DAY).await;
    same(&store.history(&minutes).await.unwrap(), &plain.history(&hours).await.unwrap());
    same(&store.history(&days).await.unwrap(), &plain.history(&days).await.unwrap());
    // What comes after is not made wider by what is gone.
    let rows = noise("bf01", 19, end + 800 * DAY + 2 * HOUR, 100);
    store.append(&points(rows.clone())).await.unwrap();
    store.append(&points(rows.into_iter().map(|r| PointRow { device: id("bfyoung"), ..r }))).await.unwrap();
    let recent = HistoryQuery { from_ms: end + 799 * DAY, ..all("bf01") };
    assert_eq!(values(&store.history(&recent).await.unwrap()[0]).len(), 100);
    assert_eq!(values(&store.history(&all("bfyoung")).await.unwrap()[0]).len(), 100);
    assert_eq!(store.events(None, None, 9).await.unwrap().len(), 1);
}
