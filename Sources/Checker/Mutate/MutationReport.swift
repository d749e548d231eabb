// SPDX-License-Identifier: Apache-2.0

import Logic

/// What became of all mutants of a subject.
public struct MutationReport: Sendable, Codable {
  public let subject: String
  public let scope: String
  public let verdicts: [MutantVerdict]

  /// Whether every mutant is accounted for.
  public var passes: Bool { verdicts.allSatisfy(\.passes) }

  public var killed: Int {
    verdicts.count { if case .killed = $0.result { true } else { false } }
  }
  public var equivalent: Int {
    verdicts.count { if case .equivalent = $0.result { true } else { false } }
  }
  public var survivors: [MutantVerdict] { verdicts.filter { !$0.passes } }

  /// Tries every mutant of the subject, a few at a time.
  /// - Parameter progress: called after each (from any thread), with how many there are.
  /// - Throws: if a mutant does not make sense, or cannot be explored at the scope.
  public init(
    _ trial: MutantTrial, threads: Int = 2,
    progress: @escaping @Sendable (MutantVerdict, _ of: Int) -> Void = { _, _ in }
  ) throws(SpecificationError) {
    let mutants = try Mutant.all(of: trial.subject)
    let results = Workers.map(mutants.count, threads: threads) {
    } work: { (_: Void, index: Int) -> Result<MutantVerdict, SpecificationError> in
      do throws(SpecificationError) {
        let verdict = try trial.run(mutants[index])
        progress(verdict, mutants.count)
        return .success(verdict)
      } catch {
        return .failure(error)
      }
    }
    var verdicts: [MutantVerdict] = []
    for result in results { verdicts.append(try result.get()) }
    subject = trial.subject.name
    scope = trial.scopes.map(\.name).joined(separator: ", then ")
    self.verdicts = verdicts
  }
}

extension MutationReport: CustomStringConvertible {
  /// A table: mutant, what killed it, at what depth, in what time.
  public var description: String {
    let rows = verdicts.map(\.row)
    let widths = (0..<3).map { column in rows.map { $0[column].count }.max() ?? 0 }
    let lines = rows.map { row in
      row.enumerated().map { index, text in
        index < 3 ? text + String(repeating: " ", count: widths[index] - text.count) : text
      }.joined(separator: "  ")
    }
    let sum =
      "\(subject) at scope \(scope): \(verdicts.count) mutants, \(killed) killed, \(equivalent) equivalent, "
      + "\(survivors.count) not accounted for"
    return (lines + [sum]).joined(separator: "\n")
  }
}

extension MutantVerdict {
  /// Mutant, what became of it, depth, time and remarks.
  fileprivate var row: [String] {
    let time = "\(Int(seconds * 1000)) ms"
    let remark = isAsExpected == false ? "  EXPECTED: \(expected ?? "")" : ""
    switch result {
    case .killed(let killer, let depth):
      return [name, "\(killer)", depth.map { "\($0) steps" } ?? "", time + remark]
    case .equivalent(let reason, let isProven):
      return [
        name, isProven ? "equivalent (proven)" : "equivalent (listed)", "", "\(time)  \(reason)" + remark,
      ]
    case .survived(let difference):
      return [name, "SURVIVED", "", "\(time)  \(change): \(difference)" + remark]
    }
  }
}
