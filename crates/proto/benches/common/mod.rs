//! A small stopwatch for comparisons within one run.
//!
//! The machine is shared and its speed changes from minute to minute, so the contestants take turns in short
//! rounds and the best and the middle round of each are kept. Ratios between contestants of one run are what counts;
//! absolute times hold for the run only.
#![allow(dead_code, unreachable_pub)]

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rounds of each contestant. `LANDFALL_BENCH_ROUNDS` overrides it.
const ROUNDS: usize = 40;
/// Length of a round.
const ROUND: Duration = Duration::from_millis(3);

/// Under `cargo bench`. Under `cargo test --benches` each contestant runs once, to show that it still works.
pub fn timed() -> bool {
    std::env::args().any(|a| a == "--bench")
}

type Run<'a> = Box<dyn FnMut(u64) + 'a>;

struct Lane<'a> {
    name: String,
    run: Run<'a>,
    per_round: u64,
    rounds: Vec<f64>,
}

/// Contestants that do the same job.
#[derive(Default)]
pub struct Contest<'a> {
    lanes: Vec<Lane<'a>>,
}

/// What was measured, nanoseconds per operation.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The contestant.
    pub name: String,
    /// Its fastest round.
    pub best: f64,
    /// Its middle round.
    pub median: f64,
}

impl<'a> Contest<'a> {
    /// An empty contest.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a contestant.
    pub fn lane<R>(&mut self, name: impl Into<String>, mut job: impl FnMut() -> R + 'a) -> &mut Self {
        let run: Run<'a> = Box::new(move |n| {
            for _ in 0..n {
                black_box(job());
            }
        });
        self.lanes.push(Lane { name: name.into(), run, per_round: 1, rounds: Vec::new() });
        self
    }

    /// Lets them run in turns.
    pub fn run(mut self) -> Vec<Figure> {
        if !timed() {
            self.lanes.iter_mut().for_each(|lane| (lane.run)(1));
            return self
                .lanes
                .into_iter()
                .map(|lane| Figure { name: lane.name, best: 0.0, median: 0.0 })
                .collect();
        }
        let rounds =
            std::env::var("LANDFALL_BENCH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS).max(1);
        for lane in &mut self.lanes {
            // Warm up and find out how many operations fill a round.
            let mut n = 1;
            loop {
                let start = Instant::now();
                (lane.run)(n);
                let took = start.elapsed();
                if took >= ROUND / 2 {
                    let scale = ROUND.as_secs_f64() / took.as_secs_f64();
                    lane.per_round = ((n as f64 * scale) as u64).max(1);
                    break;
                }
                n *= 2;
            }
        }
        for _ in 0..rounds {
            for lane in &mut self.lanes {
                let start = Instant::now();
                (lane.run)(lane.per_round);
                lane.rounds.push(start.elapsed().as_secs_f64() * 1e9 / lane.per_round as f64);
            }
        }
        self.lanes
            .into_iter()
            .map(|mut lane| {
                lane.rounds.sort_by(f64::total_cmp);
                Figure { name: lane.name, best: lane.rounds[0], median: lane.rounds[lane.rounds.len() / 2] }
            })
            .collect()
    }

    /// Runs and prints a table; ratios are to the first contestant.
    pub fn print(self, title: &str) -> Vec<Figure> {
        let figures = self.run();
        if !timed() {
            println!("{title}: {} contestants ran once", figures.len());
            return figures;
        }
        let first = figures.first().map_or(1.0, |f| f.best);
        println!("\n{title}");
        println!("  {:<44} {:>9} {:>9} {:>7}", "", "best ns", "median", "ratio");
        for f in &figures {
            println!("  {:<44} {:>9.1} {:>9.1} {:>6.2}x", f.name, f.best, f.median, f.best / first);
        }
        figures
    }
}
