// SPDX-License-Identifier: Apache-2.0

import Logic

extension Counterexample {
  /// The source of a Swift test, ready to be committed, that takes the same steps and fails for as long as they break
  /// a rule; nil if the steps cannot be replayed (a counterexample to induction, or one at real size).
  ///
  /// - Parameters:
  ///   - specification: what the counterexample is of.
  ///   - machine: an expression that makes the machine, such as `Ring()`.
  public func swiftTest(of specification: Specification, making machine: String) -> String? {
    guard origin == .initial, violation.kind == .invariant,
      let layout = try? StateLayout(specification, scope: scope), layout.count <= 1 << 16
    else { return nil }
    let usual = layout.values(of: layout.initialRegisters).values
    let start = initial.entries.filter { usual[$0.cell] != $0.value }.map {
      "(\(quoted($0.cell.component)), \($0.cell.keys), \($0.value))"
    }
    let counts = scope.counts.sorted { $0.key < $1.key }.map { "\(quoted($0.key)): \($0.value)" }
    let lines = steps.map { "(\(quoted($0.action)), \($0.arguments.map(\.value))),  // \($0.call)" }
    let rule = violation.rule.map { " (\($0))" } ?? ""
    return """
      // SPDX-License-Identifier: Apache-2.0

      import Checker
      import Logic
      import Specs
      import Testing

      @Test(\(quoted("\(specification.name): “\(violation.name)”\(rule) holds along a run that once broke it")))
      func \(functionName)() throws {
        let scope = Scope(name: \(quoted(scope.name)), counts: [\(counts.isEmpty ? ":" : counts.joined(separator: ", "))])
        let violation = try Replay(try \(machine).trace(), scope: scope).firstViolation(
          from: [\(start.joined(separator: ", "))],
          [
      \(lines.map { "      " + $0 }.joined(separator: "\n"))
          ])
        #expect(violation == nil)
      }

      """
  }

  /// "no side sleeps on work" of Ring as `ringNoSideSleepsOnWork`.
  private var functionName: String {
    let words = "\(specification) \(violation.name)".split { !$0.isLetter && !$0.isNumber }.filter {
      $0.allSatisfy(\.isASCII)
    }
    let joined = words.map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    return joined.prefix(1).lowercased() + joined.dropFirst()
  }

  /// As a Swift string literal.
  private func quoted(_ text: String) -> String {
    "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
  }
}
