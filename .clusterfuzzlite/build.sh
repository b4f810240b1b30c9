#!/bin/bash -eu
# Builds every target with its seeds and its dictionary, as OSS-Fuzz and ClusterFuzzLite want them in $OUT. The
# profile in fuzz/Cargo.toml keeps the assertions on.
cd "$SRC/aio"
cargo fuzz build --release
for source in fuzz/fuzz_targets/*.rs; do
    target=$(basename "${source%.rs}")
    cp "fuzz/target/x86_64-unknown-linux-gnu/release/$target" "$OUT/"
    zip --quiet --junk-paths "$OUT/${target}_seed_corpus.zip" "fuzz/corpus/$target"/seed-*
    if [ -f "fuzz/dict/$target.dict" ]; then
        cp "fuzz/dict/$target.dict" "$OUT/"
    fi
done
