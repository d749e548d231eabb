// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

/// `lockstep bench`: the promised figures, measured.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure what is promised of speed, and say whether it is met.",
    discussion:
      "Each figure is the best of several runs on one core: whatever else the machine does only makes it smaller. "
      + "Benchmarks: " + benchmarks.map(\.name).joined(separator: ", ") + ".")

  @Argument(help: "Benchmarks, by name or by how the name begins; all if none is named.")
  var names: [String] = []

  @OptionGroup var reporting: ReportingOptions

  func run() throws {
    let line = ProgressLine(reporting)
    var lines: [Line] = []
    for benchmark in try chosen() {
      line.show(benchmark.name)
      let (figure, note) = try benchmark.measure()
      let result = Line(benchmark, figure: figure, note: note)
      line.clear()
      if reporting.json { try printJSON(result) }
      lines.append(result)
    }
    if !reporting.json {
      print(table(["benchmark", "what", "figure", "required", "met"], lines.map(\.row)))
    }
    if !lines.allSatisfy(\.isMet) { throw ExitStatus.violated.code }
  }

  private func chosen() throws -> [Benchmark] {
    for name in names where !benchmarks.contains(where: { $0.name.hasPrefix(name) }) {
      let known = benchmarks.map(\.name).joined(separator: ", ")
      throw CouldNotRun("no benchmark is called \"\(name)\"; there are \(known)")
    }
    return benchmarks.filter { benchmark in
      names.isEmpty || names.contains { benchmark.name.hasPrefix($0) }
    }
  }

  private struct Line: Encodable {
    let benchmark: String
    let what: String
    let unit: String
    let figure: Int
    /// Nil where nothing is promised.
    let required: Int?
    let isMet: Bool
    let note: String

    init(_ benchmark: Benchmark, figure: Double, note: String) {
      self.benchmark = benchmark.name
      self.note = note
      what = note.isEmpty ? benchmark.what : "\(benchmark.what): \(note)"
      unit = benchmark.unit
      self.figure = Int(figure)
      required = benchmark.required.map { Int($0) }
      isMet = benchmark.required.map { figure >= $0 } ?? true
    }

    var row: [String] {
      [
        benchmark, what, "\(figure) \(unit)", required.map { "\($0)" } ?? "—",
        required == nil ? "" : isMet ? "yes" : "NO",
      ]
    }
  }
}
