// SPDX-License-Identifier: Apache-2.0

/// Why a memory access is no step that a specification has.
struct Inadmissible: Error {
  let reason: String
  init(_ reason: String) { self.reason = reason }
}
