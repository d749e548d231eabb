// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logic

/// All that is known of the machines on one page of HTML that stands alone: no script, nothing loaded from anywhere.
public struct Page: Sendable {
  /// One machine's part.
  public struct Machine: Sendable {
    let verification: Verification
    let specification: Specification
    let diagrams: [CaseDiagram]
    let mutants: MutationReport?
    let examples: [MutantExample]

    /// - Throws: if the subject does not make sense, or cannot be explored at its first scope.
    public init(_ subject: Subject, _ verification: Verification, mutants: MutationReport?)
      throws(SpecificationError)
    {
      self.verification = verification
      self.mutants = mutants
      specification = try subject.make().trace()
      let scopes = subject.scopes.isEmpty ? [.small] : subject.scopes
      diagrams = try CaseDiagram.all(of: specification, scope: scopes[0])
      var examples: [MutantExample] = []
      for mutant in subject.mutants {
        if let example = try MutantExample(mutant, scopes: scopes) { examples.append(example) }
      }
      self.examples = examples
    }
  }

  private let machines: [Machine]
  private let seconds: Double

  /// - Parameter seconds: what all this took.
  public init(_ machines: [Machine], seconds: Double) {
    self.machines = machines
    self.seconds = seconds
  }

  public var html: String {
    let sections = machines.map(\.section).joined(separator: "\n")
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8"/>
      <meta name="viewport" content="width=device-width, initial-scale=1"/>
      <meta name="color-scheme" content="light dark"/>
      <title>Lockstep: what is proved</title>
      <style>
      \(Self.style)
      </style>
      </head>
      <body>
      <main>
      <h1 id="top">Lockstep: what is proved</h1>
      \(summary)
      \(overview)
      \(sections)
      <footer>Written by <code>lockstep verify --html</code>. Solvers: \(solvers.html).</footer>
      </main>
      </body>
      </html>

      """
  }

  private var solvers: String {
    Set(machines.flatMap(\.verification.solvers)).sorted().joined(separator: ", ")
  }

  private var summary: String {
    let theorems = machines.flatMap(\.verification.theorems)
    let holds = machines.allSatisfy { $0.verification.holds && $0.mutants?.passes ?? true }
    let obligations = theorems.reduce(0) { $0 + $1.obligations }
    let confirmed = theorems.reduce(0) { $0 + $1.confirmed }
    let verdicts = machines.compactMap(\.mutants).flatMap(\.verdicts)
    let states = machines.flatMap(\.verification.explored).reduce(0) { $0 + $1.states }
    func tile(_ figure: String, _ words: String) -> String {
      "<li><b>\(figure)</b> \(words.html)</li>"
    }
    let tiles = [
      tile(
        "\(theorems.count { $0.method == .induction })", "of \(theorems.count) invariants proved at real size"
      ),
      tile(obligations.grouped, "obligations, \(confirmed.grouped) confirmed by a second solver"),
      tile(states.grouped, "states explored"),
      verdicts.isEmpty
        ? ""
        : tile(verdicts.count(where: \.passes).grouped, "of \(verdicts.count.grouped) mutants accounted for"),
      tile(String(format: "%.0f s", seconds), "for all of this"),
    ]
    return
      "<p class=\"verdict \(holds ? "good" : "bad")\">\(holds ? "All of it holds." : "Not all of it holds.")</p>\n"
      + "<ul class=\"tiles\">\(tiles.joined())</ul>"
  }

  /// The matrix at a glance: a machine a row, an invariant a square.
  private var overview: String {
    let rows = machines.map { machine -> String in
      let name = machine.verification.machine.html
      let cells = machine.verification.theorems.map { theorem in
        "<i class=\"\(theorem.method.style)\" title=\"\("\(theorem.invariant): \(theorem.method.rawValue)".html)\"></i>"
      }
      return
        "<a class=\"row\" href=\"#\(name)\"><span>\(name)</span><span class=\"cells\">\(cells.joined())</span></a>"
    }
    let key = [("good", "proved at real size"), ("some", "explored only"), ("bad", "open or violated")]
      .map { "<span><i class=\"\($0)\"></i> \($1)</span>" }
    return "<nav>\(rows.joined(separator: "\n"))</nav>\n<p class=\"key\">\(key.joined(separator: " "))</p>"
  }
}

extension Theorem.Method {
  /// The class of what is drawn for it.
  var style: String {
    switch self {
    case .induction, .part: "good"
    case .exploration: "some"
    case .violated, .open: "bad"
    }
  }
}

/// The shortest way in which a known bug shows.
public struct MutantExample: Sendable {
  let mutant: HandMutant
  let counterexample: Counterexample

  /// Nil if no invariant is broken within the first states.
  init?(_ mutant: HandMutant, scopes: [Scope]) throws(SpecificationError) {
    let specification = try mutant.make().trace()
    var options = ExplorationOptions()
    options.maximumStates = 200_000
    for scope in scopes {
      let found = try Explorer(specification, scope: scope, options: options).run()
      if let counterexample = found.counterexample {
        self.mutant = mutant
        self.counterexample = counterexample
        return
      }
    }
    return nil
  }
}
