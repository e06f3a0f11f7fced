# Thin names for the commands people type. Works without just too: each line is the command itself.

# list the names
default:
    @just --list

# a virtual home of every protocol version, live in the terminal
demo:
    cargo run --release -- demo

# all tests that need nothing but Rust
test:
    cargo test --workspace

# format and lints
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# foreign programs (tinytuya, tuyapi, rustuya) against ours; arguments go to pytest
interop *ARGS:
    interop/run {{ARGS}}

# benchmarks of one crate, e.g. `just bench landfall-proto`
bench CRATE:
    cargo bench -p {{CRATE}}

# the web page in Chromium, measured beside a bare page; `--url` and `--token-file` name a running demo
bench-page *ARGS:
    LANDFALL_INTEROP_NODE_MODULES=target/interop/npm/node_modules node interop/browser/bench.mjs {{ARGS}}

# what every change must pass
ci:
    bash .ci/run

# the same and the slow parts
ci-full:
    bash .ci/full

# the Debian package of a release build
deb:
    cargo build --profile dist -p landfall
    packaging/deb/build --binary target/dist/landfall --out target
