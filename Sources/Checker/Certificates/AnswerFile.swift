// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// Solvers' answers in a file, from one run to the next: a line an answer, keyed by solver and by the content of the
/// question. Lines that make no sense are passed over; what is not there is asked anew.
public final class AnswerFile: AnswerMemory {
  private struct Key: Hashable {
    let solver: String
    let obligation: String
  }

  private let path: String
  private let known: Mutex<[Key: String]>
  private let added = Mutex<[String]>([])

  /// The file `answers` in a folder, which is made if need be.
  public init(folder: String) {
    path = folder + "/answers"
    try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    var known: [Key: String] = [:]
    let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
      guard parts.count == 4, parts[3] == Self.seal(parts[0], parts[1], parts[2]) else { continue }
      known[Key(solver: parts[1], obligation: parts[0])] = parts[2]
    }
    self.known = Mutex(known)
  }

  /// Ties a line's parts together, so that a damaged line is not believed.
  private static func seal(_ obligation: String, _ solver: String, _ answer: String) -> String {
    String(ContentHash(of: "\(obligation)\t\(solver)\t\(answer)").description.prefix(16))
  }

  /// What was said about a question, in the words of `note`.
  public func note(about obligation: ContentHash, by solver: String) -> String? {
    known.withLock { $0[Key(solver: solver, obligation: obligation.description)] }
  }

  /// Keeps what was said about a question.
  public func keep(_ note: String, about obligation: ContentHash, by solver: String) {
    let key = Key(solver: solver, obligation: obligation.description)
    known.withLock { $0[key] = note }
    let line = [key.obligation, solver, note, Self.seal(key.obligation, solver, note)].joined(separator: "\t")
    added.withLock { $0.append(line) }
  }

  public func answer(of solver: String, to obligation: ContentHash) -> Satisfiability? {
    switch note(about: obligation, by: solver) {
    case "unsat": .unsatisfiable
    case "sat": .satisfiable
    default: nil
    }
  }

  public func remember(_ answer: Satisfiability, of solver: String, to obligation: ContentHash) {
    guard answer != .unknown else { return }
    keep(answer == .unsatisfiable ? "unsat" : "sat", about: obligation, by: solver)
  }

  /// Writes what was added; a file that cannot be written costs time on the next run and nothing else.
  public func save() {
    let lines = added.withLock { lines in
      defer { lines = [] }
      return lines
    }
    guard !lines.isEmpty else { return }
    let data = Data((lines.joined(separator: "\n") + "\n").utf8)
    guard let file = FileHandle(forWritingAtPath: path) else {
      _ = FileManager.default.createFile(atPath: path, contents: data)
      return
    }
    defer { try? file.close() }
    _ = try? file.seekToEnd()
    try? file.write(contentsOf: data)
  }
}
