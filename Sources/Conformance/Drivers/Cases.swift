// SPDX-License-Identifier: Apache-2.0

import Logic

/// The values of an enumeration of a specification by number, as states and answers have them. Kept, for an enumeration
/// makes its list of cases anew for everyone who asks, and comparisons ask a million times a second.
struct Cases<Value: ChoiceSort>: Sendable {
  private let values = Array(Value.allCases)

  subscript(_ number: UInt64) -> Value { values[Int(number)] }

  func number(of value: Value) -> UInt64 { UInt64(values.firstIndex(of: value) ?? 0) }
}
