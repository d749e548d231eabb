// SPDX-License-Identifier: Apache-2.0

import Foundation

/// cvc5, run as a program on the text of obligations: a second opinion that shares no code with the first.
public struct SecondSolver: Sendable {
  /// Why it cannot be asked.
  public struct Missing: Error, CustomStringConvertible {
    public let description: String
  }

  /// Name and version, as it says them.
  public let name: String
  private let path: String

  /// - Throws: if there is none on the path.
  public init() throws(Missing) {
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":")
    guard let path = folders.map({ "\($0)/cvc5" }).first(where: FileManager.default.isExecutableFile) else {
      throw Missing(
        description: "cvc5 is not on the path: install it (apt-get install cvc5), or pass --no-certify")
    }
    self.path = path
    let words = (Self.run(path, ["--version"]) ?? "").split(separator: "\n").first.map(String.init) ?? ""
    let version = words.split(separator: " ").first { $0.first?.isNumber ?? false } ?? "?"
    name = "cvc5 \(version)"
  }

  /// Its answers to questions in SMT-LIB 2, in their order; a few at a time go to one process.
  public func answers(
    to questions: [String], milliseconds: Int = 30_000, threads: Int = 2, batch: Int = 12
  ) -> [Satisfiability] {
    let starts = Array(stride(from: 0, to: questions.count, by: batch))
    let parts = Workers.map(starts.count, threads: threads, prepare: {}) {
      (_: Void, index: Int) -> [Satisfiability] in
      let part = Array(questions[starts[index]..<min(starts[index] + batch, questions.count)])
      return self.ask(part, milliseconds)
    }
    return parts.flatMap { $0 }
  }

  private func ask(_ questions: [String], _ milliseconds: Int) -> [Satisfiability] {
    let unknown = questions.map { _ in Satisfiability.unknown }
    let text = questions.map { $0 + "\n(reset)\n" }.joined()
    guard let output = Self.run(path, ["--lang", "smt2", "--tlimit-per=\(milliseconds)"], input: text) else {
      return unknown
    }
    let lines = output.split(separator: "\n").filter { !$0.isEmpty }
    // One line an answer; anything else is an error message, and then no answer is believed.
    guard lines.count == questions.count else { return unknown }
    return lines.map { $0 == "unsat" ? .unsatisfiable : $0 == "sat" ? .satisfiable : .unknown }
  }

  /// What a program prints that is given a text to read.
  private static func run(_ path: String, _ arguments: [String], input: String = "") -> String? {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    let question = Pipe()
    process.standardInput = question
    // Waiting by the run loop takes longer than the program does.
    let ended = DispatchSemaphore(value: 0)
    process.terminationHandler = { _ in ended.signal() }
    guard (try? process.run()) != nil else { return nil }
    // It says nothing worth a pipe's room before it has read all: there is nobody to wait for each other.
    try? question.fileHandleForWriting.write(contentsOf: Data(input.utf8))
    try? question.fileHandleForWriting.close()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    ended.wait()
    return String(decoding: data, as: UTF8.self)
  }
}
