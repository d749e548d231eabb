// SPDX-License-Identifier: Apache-2.0
//
// A path as text is what a counterexample prints, so that one can be pasted for the other.

import Logic

extension Walk {
  /// The steps as a table, each with what it changed.
  func text(of run: Run) -> String {
    var lines = ["\(specification.name) at scope \(layout.scope.name)", "0  initially"]
    lines += unusual(run.states[0]).map { "       \($0)" }
    for (number, step) in run.trail.enumerated() {
      lines.append("\(number + 1)  \(step.call)")
      lines += step.changes.map { "       \($0)" }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private func unusual(_ state: [UInt64]) -> [String] {
    layout.values(of: state).unusual(in: specification).lines(in: specification)
  }

  /// The path that a text describes: what `text` writes, a printed counterexample, or calls alone, one a line.
  /// - Throws: what makes no sense, with its line.
  public func path(from text: String) throws(WalkError) -> Path {
    guard text.utf8.count <= Self.longestText else { throw WalkError("a path is at most 1 MiB of text") }
    var path = Path()
    var initially: [String] = []
    for line in text.split(separator: "\n") {
      let words = line.drop { $0 == " " || $0.isNumber }
      if words == "initially" || words.isEmpty { continue }
      // What follows is said of the last state.
      if line.hasPrefix("violated: ") || line.hasPrefix("deadlock: ") { break }
      if let step = try step(words) {
        path.steps.append(step)
      } else if path.steps.isEmpty, line.first == " " {
        initially.append(String(words))
      }
    }
    path.start = try start(initially)
    return path
  }

  private static let longestText = 1 << 20

  /// `map(domain: domain1, write: true) = okay`; nil for a line that is no call.
  private func step(_ line: Substring) throws(WalkError) -> Step? {
    // No argument has a parenthesis in it; an answer may.
    guard let open = line.firstIndex(of: "("), let close = line[open...].firstIndex(of: ")") else {
      return nil
    }
    let name = line[..<open]
    guard !name.isEmpty, name.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" }) else { return nil }
    guard let index = specification.actionIndex(String(name)) else {
      throw WalkError("\(specification.name) has no action \(name)")
    }
    let action = specification.actions[index]
    let inside = line[line.index(after: open)..<close].split(separator: ",")
    guard inside.count == action.parameters.count else {
      throw WalkError("\(name) takes \(action.parameters.count) arguments: \(line)")
    }
    var arguments: [UInt64] = []
    for (parameter, text) in zip(action.parameters, inside) {
      let word = text.split(separator: ":").last?.trimmingPrefix { $0 == " " } ?? ""
      guard let value = value(word, parameter.sort) else {
        throw WalkError("\(name): \(word) is no value of \(parameter.name)")
      }
      arguments.append(value)
    }
    return Step(action.name, arguments)
  }

  /// A value by its name or its number.
  private func value(_ word: Substring, _ sort: Sort) -> UInt64? {
    let count = layout.scope.count(of: sort)
    let known = (0..<min(count, 1 << 16)).first { sort.describe($0) == word }
    return known ?? UInt64(word).flatMap { $0 < count ? $0 : nil }
  }

  /// The first initial state that is as the lines say: those of what is not as it is declared.
  private func start(_ lines: [String]) throws(WalkError) -> Int {
    let wanted = lines.filter { !$0.hasPrefix("(") }
    let found = (0..<startCount).first { number in
      (try? initialState(number)).map { Set(wanted).isSubset(of: unusual($0)) } ?? false
    }
    guard let found else {
      throw WalkError("no initial state has \(wanted.joined(separator: "; "))")
    }
    return found
  }
}
