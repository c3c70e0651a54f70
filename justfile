# What there is to do. `just` alone lists it; `sudo ./setup` installs what the recipes need.

# A root shell's PATH may have none of the toolchains that `setup` installs.
export PATH := env("HOME", "/root") + "/.cargo/bin:/usr/local/go/bin:" + env("PATH")

[private]
default:
    @just --list --unsorted

# Cluster up, failover proven, report written, cluster down (root)
vmtest *SCENARIOS:
    REGENT_VMTEST=1 cargo test --quiet --locked --test vmtests -- {{ SCENARIOS }}

# Every scenario of vmtests/ (root)
e2e:
    REGENT_VMTEST=1 cargo test --quiet --locked --test vmtests -- --all

# The long scenarios: every failpoint from nothing and of every operation, ten leaders lost in a row, ten minutes of full load; an hour and a half (root)
soak:
    REGENT_VMTEST=1 cargo test --quiet --locked --test vmtests -- --soak

# The tests that need no cluster; more at once than two cores, since half of their time is waiting
test:
    RUST_TEST_THREADS="${RUST_TEST_THREADS:-4}" cargo test --quiet --locked

# Promises broken on purpose, one by one: the verdict must notice each
sabotage:
    cargo test --quiet --locked --lib -- verify::judge::sabotage

# Mutants of what decides a verdict: its tests must notice each (docs/mutants.md; cargo-mutants, hours; a part: `--shard 0/8`)
mutants *ARGS:
    cargo mutants {{ ARGS }} -- --locked --lib -- verify::judge verify::ledger verify::outage

# Format and lints
check:
    cargo fmt --check
    cargo clippy --quiet --locked --all-targets -- -D warnings

# The time of every step of `up`, several runs (root); REGENT_RIVAL='command' is timed in turn
bench RUNS="3":
    cargo test --quiet --locked --test vmtests -- --bench {{ RUNS }}

# Build everything in the store again, for containers and machines, and compare the bits (root)
reproduce:
    cargo run --quiet --locked -- -f examples/machines.yaml store build
    cargo run --quiet --locked -- -f examples/machines.yaml store build --check

# Accept what the snapshots show now; review the diff like code
bless:
    INSTA_UPDATE=always cargo test --quiet --locked

# Write the JSON Schema of cluster.yaml and its reference anew
schema:
    REGENT_BLESS=1 cargo test --quiet --locked --test spec schema_and_reference

# Licences, sources and banned crates (needs cargo-deny; without the advisory database)
deny:
    cargo deny check bans licenses sources

# The library's documentation
doc:
    cargo doc --quiet --locked --no-deps
