// SPDX-License-Identifier: Apache-2.0

extension Counterexample {
  /// The steps as a table, each with what it changed, and what the last state breaks.
  var html: String {
    func row(_ number: Int, _ action: String, _ changes: [String]) -> String {
      let lines = changes.map { "<li>\($0.html)</li>" }.joined()
      return
        "<tr><td>\(number)</td><th>\(action.html)</th><td>\(lines.isEmpty ? "" : "<ul>\(lines)</ul>")</td></tr>"
    }
    let first = row(
      0, origin == .initial ? "initially" : "in a state that satisfies every invariant", initialLines)
    let rows = steps.enumerated().map { number, step in
      row(number + 1, step.call, step.differences.isEmpty ? ["nothing changes"] : step.differences)
    }
    let body = ([first] + rows).joined(separator: "\n")
    let head = "<thead><tr><th></th><th>step</th><th>what changes</th></tr></thead>"
    return "<div class=\"wide\"><table class=\"steps\">\(head)<tbody>\(body)</tbody></table></div>\n"
      + "<p class=\"broken\">\(verdictLine.html)</p>"
  }

  private var verdictLine: String {
    guard violation.kind == .invariant else { return "Deadlock: \(violation.name)." }
    let indices = violation.indices.map { "\($0.name) = \($0.text)" }.joined(separator: ", ")
    let rule = violation.rule.map { number in
      " Rule \(number)" + (violation.ruleText.map { ": \($0)" } ?? "")
    }
    return "Violated: \(violation.name)" + (indices.isEmpty ? "." : ", for \(indices).") + (rule ?? "")
      + (violation.site.map { " (\($0))" } ?? "")
  }
}
