#!/bin/bash -eu
# SPDX-License-Identifier: Apache-2.0
#
# Builds the fuzz targets by the conventions of OSS-Fuzz and ClusterFuzzLite: binaries and seed corpora into $OUT. What
# the sanitizer needs is in SWIFTFLAGS. FuzzPlanted is left out: it must fail.
. precompile_swift
for target in Ring Stream Grants EventChannels Shadow Balloon SelfBalloon DirtyLog Network Block Files Store; do
  # shellcheck disable=SC2086 # several flags
  swift build -c release $SWIFTFLAGS --product "Fuzz$target"
  cp "$(swift build -c release $SWIFTFLAGS --show-bin-path)/Fuzz$target" "$OUT/"
  (cd "Fuzz/$target" && find corpus regressions -type f ! -name .gitkeep -print0 \
    | xargs -0 zip -q "$OUT/Fuzz${target}_seed_corpus.zip")
done
