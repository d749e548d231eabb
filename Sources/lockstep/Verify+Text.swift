// SPDX-License-Identifier: Apache-2.0
//
// What `lockstep verify` prints.

import Checker
import Foundation

extension [Verification] {
  /// The last line.
  func summary(seconds: Double) -> String {
    let shares = compactMap(\.share)
    let theorems = flatMap(\.theorems)
    let time = "\(String(format: "%.1f", seconds)) s"
    let open = theorems.count { $0.method == .open || $0.method == .violated }
    if let shard = shares.first?.shard {
      let proved = theorems.reduce(0) { $0 + $1.proved }
      let confirmed = theorems.reduce(0) { $0 + $1.confirmed }
      func sum(_ of: (ShardShare) -> Int) -> Int { shares.reduce(0) { $0 + of($1) } }
      return
        "shard \(shard): \(sum(\.obligations)) of \(sum(\.ofObligations)) obligations: \(proved) proved,"
        + " \(confirmed) confirmed; \(sum(\.explorations)) of \(sum(\.ofExplorations)) explorations;"
        + " \(open) invariants open or violated; \(time)"
    }
    let real = theorems.count { $0.method == .induction }
    let explored = theorems.count { $0.method == .exploration }
    let alone = reduce(0) { $0 + $1.unconfirmed }
    return
      "\(theorems.count) invariants: \(real) proved at real size, \(explored) explored only, \(open) open or"
      + " violated; \(alone) obligations rest on one solver alone; \(time)"
  }
}

extension ShardShare {
  var text: String {
    "shard \(shard) has \(obligations) of \(ofObligations) obligations and \(explorations) of \(ofExplorations)"
      + " explorations; the whole is \(whole.description.prefix(16))"
  }
}

extension Verification {
  /// Whether there was nothing to do: a shard may have nothing of a machine.
  var isEmpty: Bool { share.map { $0.obligations + $0.explorations == 0 } ?? false }

  /// The machine's part of the matrix.
  var text: String {
    let rows = theorems.map { theorem in
      [
        theorem.invariant, theorem.rule ?? "",
        theorem.method.rawValue + (theorem.k > 1 ? ", k = \(theorem.k)" : ""), theorem.size,
        "\(theorem.proved)/\(theorem.obligations)", "\(theorem.confirmed)",
        String(format: "%.0f ms", theorem.milliseconds),
      ]
    }
    var lines = share.map { ["\(machine): \($0.text)"] } ?? []
    lines += explored.map {
      "\(machine): \($0.states) states and \($0.transitions) transitions at scope \($0.scope):"
        + " \($0.holds ? "every invariant holds" : "NOT all holds")"
    }
    lines += [
      "\(machine): canary \(canaryFound ? "found" : "NOT FOUND")",
      table(["invariant", "rule", "method", "size", "proved", "confirmed", "time"], rows),
    ]
    lines += liveness.map(\.text) + complaints
    lines += theorems.flatMap { unproved(of: $0) }
    if let counterexample { lines.append("\(counterexample)") }
    return lines.joined(separator: "\n") + "\n"
  }

  /// Counterexamples to induction are long, and one says as much as ten.
  private static let shown = 1

  private func unproved(of theorem: Theorem) -> [String] {
    theorem.unproved.enumerated().flatMap { number, item in
      var lines = ["not proved at real size: \(item.title)" + (item.reason.map { " (\($0))" } ?? "")]
      if number < Self.shown, let counterexample = item.counterexample { lines.append("\(counterexample)") }
      return lines
    }
  }
}

extension LivenessResult {
  /// A line, and the run that never comes to it if there is one.
  var text: String {
    let line = "in the end, under weak fairness, at scope \(scope): \(name)"
    guard let reason else { return "\(line): holds" }
    return ["\(line): NO: \(reason)", counterexample?.description].compactMap { $0 }.joined(separator: "\n")
  }
}
