// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Conformance

/// `lockstep replay`: a recorded trace against the specifications alone.
struct ReplayTrace: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replay",
    abstract: "Check a trace that lockstep run --trace recorded against the specifications alone.",
    discussion:
      "Needs no /dev/kvm. Exit status: 0 every step is the specification's, 1 one is not, 2 the file is no trace, "
      + "or one of other specifications.")

  @Argument(help: ArgumentHelp("The trace.", valueName: "file"))
  var file: String

  @Flag(name: .long, help: "One JSON object on standard output instead of text.")
  var json = false

  private struct Line: Encodable {
    struct Machine: Encodable {
      let machine: String
      let instances: Int
      let steps: Int
    }
    let machines: [Machine]
    let steps: Int
    let holds: Bool
    let line: Int?
    let divergence: String?
    let note: String?
  }

  func run() throws {
    let replay: TraceReplay
    do { replay = try TraceReplay(path: file) } catch { throw CouldNotRun(error.description) }
    try json ? printObject(replay) : printText(replay)
    if !replay.holds { throw ExitStatus.violated.code }
  }

  private func printText(_ replay: TraceReplay) {
    for (machine, count) in replay.counts.sorted(by: { $0.key < $1.key }) {
      print("\(machine): \(count.steps) steps of \(count.instances) checked")
    }
    if let note = replay.endNote { print("note: \(file): \(note)") }
    if let departure = replay.departure {
      print("\(file):\(departure.line): step \(departure.step) is not the specification's")
      print(departure.divergence)
    } else if let recorded = replay.recorded {
      print("\(file):\(recorded.line): after step \(recorded.step) the run itself diverged")
      print(recorded.divergence)
    } else {
      print("\(replay.steps) steps, each the specification's")
    }
  }

  private func printObject(_ replay: TraceReplay) throws {
    let departure = replay.departure ?? replay.recorded
    try printJSON(
      Line(
        machines: replay.counts.sorted { $0.key < $1.key }.map {
          Line.Machine(machine: $0.key, instances: $0.value.instances, steps: $0.value.steps)
        }, steps: replay.steps, holds: replay.holds, line: departure?.line,
        divergence: departure.map { "\($0.divergence)" }, note: replay.endNote))
  }
}
