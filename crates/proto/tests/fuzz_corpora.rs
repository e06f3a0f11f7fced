//! Every input that a fuzzer found worth keeping (`/fuzz/corpus`), run through the fuzz targets by plain `cargo test`.

#[path = "../../../fuzz/targets/mod.rs"]
mod targets;

use std::path::Path;

/// The seeds alone are more than this; an emptied corpus must not pass for a clean one.
const LEAST: usize = 10;

#[test]
fn every_corpus_file_runs_clean() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for name in targets::NAMES {
        let target = targets::by_name(name).expect("a target of that name");
        let mut files = 0;
        for entry in std::fs::read_dir(corpus.join(name)).expect("the corpus of the target") {
            let path = entry.expect("a file").path();
            let data = std::fs::read(&path).expect("a readable file");
            if std::panic::catch_unwind(|| target(&data)).is_err() {
                panic!("{name} fails on {}", path.display());
            }
            files += 1;
        }
        assert!(files >= LEAST, "{name}: {files} files");
    }
}

/// Short of a corpus: all inputs of up to two bytes, and some of three.
#[test]
fn every_short_input_runs_clean() {
    for name in targets::NAMES {
        let target = targets::by_name(name).expect("a target of that name");
        target(&[]);
        for a in 0..=255u8 {
            target(&[a]);
            for b in 0..=255u8 {
                target(&[a, b]);
            }
        }
        for c in 0..=255u8 {
            target(&[0x44, c, c.wrapping_mul(3)]);
        }
    }
}
