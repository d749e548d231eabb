// SPDX-License-Identifier: Apache-2.0

extension Counterexample: CustomStringConvertible {
  /// The steps as a table, each with what it changed, then what the last state breaks and where that is written.
  public var description: String {
    var lines = [heading]
    let numbers = String(steps.count).count
    func row(_ number: Int, _ action: String, _ details: [String]) {
      let left = String(repeating: " ", count: numbers - String(number).count) + String(number) + "  "
      lines.append(left + action)
      let indent = String(repeating: " ", count: left.count + 4)
      lines += details.map { indent + $0 }
    }
    row(
      0, origin == .initial ? "initially" : "in a state that satisfies every invariant",
      initialLines + ["(all else as it is declared)"])
    for (index, step) in steps.enumerated() {
      row(index + 1, step.call, step.differences.isEmpty ? ["(nothing changes)"] : step.differences)
    }
    lines += verdict
    return lines.joined(separator: "\n")
  }

  private var heading: String {
    let count = steps.count == 1 ? "1 step" : "\(steps.count) steps"
    let what = origin == .initial ? "counterexample" : "counterexample to induction"
    return "\(specification) at scope \(scope.name): \(what), \(count)"
  }

  private var verdict: [String] {
    guard violation.kind != .deadlock else { return ["deadlock: \(violation.name)"] }
    let indices = violation.indices.map { "\($0.name) = \($0.text)" }.joined(separator: ", ")
    let stay = violation.endless.map { $0 == 1 ? ["… and stands still"] : ["… and goes on in \($0) states"] }
    var lines = (stay ?? []) + ["violated: \(violation.name)" + (indices.isEmpty ? "" : " for \(indices)")]
    if let rule = violation.rule {
      lines.append("    rule: \(rule)" + (violation.ruleText.map { " \($0)" } ?? ""))
    }
    if let site = violation.site { lines.append("      at: \(site)") }
    return lines
  }
}

extension Counterexample.Step {
  /// The action as a call, with its answer: `map(domain: domain1, write: true) = okay`.
  public var call: String {
    let inputs = arguments.map { "\($0.name): \($0.text)" }.joined(separator: ", ")
    let answers = results.map { $0.name.isEmpty ? $0.text : "\($0.name): \($0.text)" }
    let answer = answers.count > 1 ? "(\(answers.joined(separator: ", ")))" : answers.first
    return "\(action)(\(inputs))" + (answer.map { " = \($0)" } ?? "")
  }
}
