// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logic

extension Page.Machine {
  /// The machine's part of the page.
  var section: String {
    let name = verification.machine
    let explored = verification.explored.map {
      "<li>\($0.states) states, \($0.transitions) transitions at scope <em>\($0.scope.html)</em></li>"
    }
    let inTheEnd = verification.liveness.map { result in
      "<li>\(result.holds ? "" : "NOT ")in the end, in every fair run at scope <em>\(result.scope.html)</em>:"
        + " \(result.name.html)</li>"
    }
    return """
      <section id="\(name.html)">
      <h2>\(name.html) <span class="badge-\(verification.holds ? "good" : "bad")">\(verification.holds ? "holds" : "does not hold")</span></h2>
      <ul class="plain">\((explored + inTheEnd).joined())</ul>
      \(problems)
      <div class="figures">\(figures)</div>
      <h3>Rules</h3>
      \(rules)
      <h3>Invariants</h3>
      \(matrix)
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
        "<li><b>\(diagram.cases[edge.from].html) → \(diagram.cases[edge.to].html)</b> \(edge.actions.joined(separator: ", ").html)</li>"
      }
      let basis = "\(diagram.isWhole ? "all " : "")\(diagram.states) states"
      return "<figure>\(diagram.svg(id: "\(verification.machine.html)-\(number)"))"
        + "<figcaption><code>\(diagram.component.html)</code>, as it moves in \(basis)</figcaption>"
        + "<details><summary>\(diagram.edges.count) moves</summary><ol>\(moves.joined())</ol></details></figure>"
    }.joined(separator: "\n")
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
      ["invariant", "rule", "method", "size", "proved", "second solver", "time"], rows)
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
    let sum =
      "\(mutants.verdicts.count) mutants: \(mutants.killed) killed, \(mutants.equivalent) equivalent, "
      + "\(mutants.survivors.count) not accounted for"
    return "<h3>Mutants</h3>\n<p>\(sum). What kills most of them:</p>\n"
      + "<div class=\"wide\"><table class=\"bars\">\(bars.joined())</table></div>\n"
      + "<details><summary>All of them, with killer, depth and time</summary>"
      + wide(["mutant", "killer", "depth", "time"], rows) + "</details>"
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
    let items = examples.map { example in
      "<details><summary><b>\(example.mutant.name.html)</b> \(example.mutant.advisory.html)"
        + " <small>\(example.counterexample.steps.count) steps</small></summary>"
        + "<p>\(example.mutant.mechanism.html)</p>\(example.counterexample.html)</details>"
    }
    return "<h3>Known bugs, and how they show</h3>\n" + items.joined(separator: "\n")
  }
}
