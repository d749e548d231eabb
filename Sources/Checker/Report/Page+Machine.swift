// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logic

extension Page.Machine {
  /// The machine's part of the page.
  var section: String {
    let name = verification.machine
    let explored = verification.explored.map {
      "<li>\($0.states.grouped) states, \($0.transitions.grouped) transitions at scope <em>\($0.scope.html)</em></li>"
    }
    let verdict = verification.holds ? "holds" : "does not hold"
    return """
      <section id="\(name.html)">
      <h2>\(name.html) <span class="badge-\(verification.holds ? "good" : "bad")">\(verdict)</span> <a class="top" href="#top">top</a></h2>
      <ul class="plain">\(explored.joined())</ul>
      \(problems)
      <div class="figures">\(figures)</div>
      <h3>Rules</h3>
      \(rules)
      <h3>Invariants</h3>
      \(matrix)
      \(inTheEnd)
      \(structure)
      \(mutantTable)
      \(exampleList)
      </section>
      """
  }

  /// What does not hold, each with its steps if there are any.
  private var problems: String {
    let lines = verification.findings().map { finding in
      "<p class=\"problem\">\(String(finding.message.prefix { $0 != "\n" }).html)</p>"
    }
    let counterexamples =
      [verification.counterexample].compactMap { $0 }
      + verification.theorems.compactMap { $0.unproved.lazy.compactMap(\.counterexample).first }
    return (lines + counterexamples.map(\.html)).joined(separator: "\n")
  }

  private var figures: String {
    diagrams.enumerated().map { number, diagram in
      let moves = diagram.edges.map { edge in
        "<li><b>\(diagram.cases[edge.from].html) → \(diagram.cases[edge.to].html)</b>"
          + " \(edge.actions.joined(separator: ", ").html)</li>"
      }
      let basis = "\(diagram.isWhole ? "all " : "")\(diagram.states.grouped) states"
      return "<figure><div>\(diagram.svg(id: "\(verification.machine.html)-\(number)"))"
        + "<figcaption><code>\(diagram.component.html)</code>, as it moves in \(basis)</figcaption></div>"
        + "<details open=\"open\"><summary>\(moves.count.of("move"))</summary><ol>\(moves.joined())</ol></details></figure>"
    }.joined(separator: "\n")
  }

  /// What must come about in every fair run.
  private var inTheEnd: String {
    guard !verification.liveness.isEmpty else { return "" }
    let lines = verification.liveness.map { result in
      "<li class=\"\(result.holds ? "good" : "bad")\">\(result.name.html)"
        + " <small>\(result.holds ? "" : "not ")in every fair run at scope <em>\(result.scope.html)</em></small></li>"
    }
    return "<h3>In the end</h3>\n<ul class=\"promises\">\(lines.joined())</ul>"
  }

  private var rules: String {
    guard !specification.rules.isEmpty else { return "<p>None is numbered.</p>" }
    let rows = specification.rules.map { rule in
      "<dt>\(rule.number.html)</dt><dd>\(rule.text.html)"
        + " <small>\(rule.enforcedBy.map { "“\($0)”" }.joined(separator: ", ").html)</small></dd>"
    }
    return "<dl>\(rows.joined())</dl>"
  }

  private var matrix: String {
    let second = verification.solvers.count > 1
    let rows = verification.theorems.map { theorem -> String in
      let method = theorem.method.rawValue + (theorem.k > 1 ? ", k = \(theorem.k)" : "")
      let confirmed = second ? "\(theorem.confirmed)/\(theorem.proved)" : "not asked"
      let cells = [
        theorem.rule ?? "", method, theorem.size, "\(theorem.proved)/\(theorem.obligations)", confirmed,
        String(format: "%.0f ms", theorem.milliseconds),
      ]
      return
        "<tr class=\"\(theorem.method.style)\"><th title=\"\(theorem.site.description.html)\">\(theorem.invariant.html)</th>"
        + cells.map { "<td>\($0.html)</td>" }.joined() + "</tr>"
    }
    return wide(
      ["invariant", "rule", "method", "size", "proved", "second solver", "time"], rows,
      style: "matrix invariants")
  }

  /// Which action touches what.
  private var structure: String {
    let structure = ActionStructure(specification)
    let rows = structure.actions.map { action -> String in
      let cells = structure.variables.indices.map { index -> String in
        let mark = (action.reads.contains(index) ? "r" : "") + (action.writes.contains(index) ? "w" : "")
        return "<td class=\"mark \(mark)\">\(mark)</td>"
      }
      return "<tr><th>\(action.name.html)</th>\(cells.joined())</tr>"
    }
    // Where no variable's moves make a picture, this is the picture.
    let isOpen = diagrams.isEmpty ? " open=\"open\"" : ""
    return "<details\(isOpen)><summary>Actions and variables: who reads (r) and writes (w) what</summary>"
      + wide(["action"] + structure.variables, rows, style: "structure") + "</details>"
  }

  private func wide(_ heading: [String], _ rows: [String], style: String = "matrix") -> String {
    "<div class=\"wide\"><table class=\"\(style)\"><thead><tr>"
      + heading.map { "<th><span>\($0.html)</span></th>" }.joined() + "</tr></thead><tbody>"
      + rows.joined(separator: "\n") + "</tbody></table></div>"
  }

  // MARK: Mutants

  private var mutantTable: String {
    guard let mutants else { return "" }
    var killers: [(name: String, count: Int)] = []
    for verdict in mutants.verdicts {
      guard case .killed(let killer, _) = verdict.result else { continue }
      let name = "\(killer)"
      if let index = killers.firstIndex(where: { $0.name == name }) {
        killers[index].count += 1
      } else {
        killers.append((name, 1))
      }
    }
    killers.sort { ($1.count, $0.name) < ($0.count, $1.name) }
    let most = Double(killers.first?.count ?? 1)
    let bars = killers.prefix(12).map { killer in
      "<tr><th>\(killer.name.html)</th><td class=\"bar\"><i style=\"width:\(Int(100 * Double(killer.count) / most))%\"></i></td><td>\(killer.count)</td></tr>"
    }
    let rows = mutants.verdicts.map { verdict -> String in
      let (fate, depth, style) = Self.fate(of: verdict)
      return
        "<tr class=\"\(style)\"><th title=\"\(verdict.change.html)\">\(verdict.name.html)</th><td>\(fate.html)</td><td>\(depth)</td>"
        + "<td>\(String(format: "%.0f ms", verdict.seconds * 1000))</td></tr>"
    }
    let parts = [
      ("good", mutants.killed, "killed"), ("some", mutants.equivalent, "equivalent"),
      ("bad", mutants.survivors.count, "not accounted for"),
    ]
    let split = parts.map { style, count, _ in "<i class=\"\(style)\" style=\"flex:\(count)\"></i>" }.joined()
    let sum = parts.map { _, count, fate in "\(count) \(fate)" }.joined(separator: ", ")
    return "<h3>Mutants</h3>\n<div class=\"split\">\(split)</div>\n"
      + "<p>\(mutants.verdicts.count.of("mutant")): \(sum). What kills most of them:</p>\n"
      + "<div class=\"wide\"><table class=\"bars\">\(bars.joined())</table></div>\n"
      + "<details><summary>All of them, with killer, depth and time</summary>"
      + wide(["mutant", "killer", "depth", "time"], rows, style: "matrix mutants") + "</details>"
  }

  private static func fate(of verdict: MutantVerdict) -> (fate: String, depth: String, style: String) {
    switch verdict.result {
    case .killed(let killer, let depth):
      (
        "\(killer)" + (verdict.isAsExpected == false ? " (expected: \(verdict.expected ?? ""))" : ""),
        depth.map { "\($0)" } ?? "", verdict.passes ? "good" : "bad"
      )
    case .equivalent(let reason, let isProven):
      ("equivalent (\(isProven ? "proven" : "listed")): \(reason)", "", "some")
    case .survived(let difference): ("SURVIVED: \(difference)", "", "bad")
    }
  }

  /// What bugs that were real look like when they are caught.
  private var exampleList: String {
    guard !examples.isEmpty else { return "" }
    // One is shown, for the others to be looked at: one of many steps says most, one of too many nothing.
    let lengths = examples.map(\.counterexample.steps.count)
    let shown = lengths.indices.filter { lengths[$0] <= 8 }.max { lengths[$0] < lengths[$1] }
    let items = examples.enumerated().map { number, example in
      let (name, advisory) = (example.mutant.name, example.mutant.advisory)
      return "<details\(number == shown ? " open=\"open\"" : "")><summary><b>\(name.html)</b>"
        + (name.contains(advisory) ? "" : " \(advisory.html)")
        + " <small>\(lengths[number].of("step"))</small></summary>"
        + "<p>\(example.mutant.mechanism.html)</p>\(example.counterexample.html)</details>"
    }
    return "<h3>Known bugs, and how they show</h3>\n" + items.joined(separator: "\n")
  }
}

extension Int {
  /// With commas between thousands.
  var grouped: String { formatted(.number.locale(Locale(identifier: "en"))) }

  /// So many of something: "1 step", "2 steps".
  fileprivate func of(_ thing: String) -> String { "\(grouped) \(thing)\(self == 1 ? "" : "s")" }
}
