// SPDX-License-Identifier: Apache-2.0
//
// What programs for Linux guests share: .ci/boots and .ci/figures compile it into each.

import Glibc

/// The monotonic clock, in nanoseconds.
func nanoseconds() -> Int64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

// Swift hides fork, for it copies one thread only: here the processes that fork have one.
@_silgen_name("fork") func forkProcess() -> pid_t
