// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logic

extension Verifier {
  /// What becomes of a subject's mutants; remembered, if there is a memory, for as long as the program is the same.
  /// - Throws: if a mutant does not make sense, or cannot be explored.
  public func mutants(
    of subject: Subject, progress: @escaping @Sendable (MutantVerdict, _ of: Int) -> Void = { _, _ in }
  ) throws(SpecificationError) -> MutationReport {
    let key = program.map { ContentHash(of: "mutants of \(subject.name) by \($0.hash)") }
    if let key, let note = memory?.note(about: key, by: "mutants"), let data = Data(base64Encoded: note),
      let known = try? JSONDecoder().decode(MutationReport.self, from: data)
    {
      return known
    }
    let report = try MutationReport(try MutantTrial(subject), progress: progress)
    if let key, let data = try? JSONEncoder().encode(report) {
      memory?.keep(data.base64EncodedString(), about: key, by: "mutants")
    }
    return report
  }
}
