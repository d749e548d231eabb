#!/bin/bash -eu
# SPDX-License-Identifier: Apache-2.0
#
# Builds the fuzz targets by the conventions of OSS-Fuzz and ClusterFuzzLite: binaries and seed corpora into $OUT.
for target in Ring Grants; do
  swift build -c release --sanitize fuzzer -Xswiftc -sanitize=fuzzer,address --static-swift-stdlib \
    --product "Fuzz$target"
  cp "$(swift build -c release --show-bin-path)/Fuzz$target" "$OUT/"
  (cd "Fuzz/$target" && find corpus regressions -type f ! -name .gitkeep -print0 \
    | xargs -0 zip -q "$OUT/Fuzz${target}_seed_corpus.zip")
done
