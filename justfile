# Recipes by group; `just` lists them. CI runs `.ci/run`, which calls the same commands.

default:
    @just --list --unsorted

# --- every day ---

# watch a simulated call being answered
demo *ARGS:
    cargo run -- demo {{ARGS}}

# all tests; `just test NAME` for some
test *NAME:
    cargo test {{NAME}}

# what CI checks
check:
    .ci/run

# format everything
fmt:
    cargo fmt

# --- now and then ---

# take over changed snapshots and expected outputs of the configuration's messages
bless:
    INSTA_UPDATE=always BLESS=1 cargo test

# rebuild the plugins from source (needs their toolchains, see docs/plugins/README.md)
plugins:
    cargo build
    for file in plugins/*/plugin.toml; do target/debug/switchboard plugin build --locked "$(dirname "$file")"; done

# many calls against a release build, with times
load CALLS="500" CONCURRENCY="50":
    cargo run --release -- load --calls {{CALLS}} --concurrency {{CONCURRENCY}}

# whole simulated days from one seed
sim SEEDS="0..20" DAYS="10":
    cargo run --bin switchboard-sim -- --seeds {{SEEDS}} --days {{DAYS}}

# kill -9 at random moments, again and again
torture ROUNDS="100" SEED="1":
    cargo run -- demo --pull-the-plug --rounds {{ROUNDS}} --seed {{SEED}}

# fuzz one target (needs nightly Rust and cargo-fuzz)
fuzz TARGET SECONDS="60":
    cd fuzz && cargo +nightly fuzz run -s none {{TARGET}} -- -max_total_time={{SECONDS}}
