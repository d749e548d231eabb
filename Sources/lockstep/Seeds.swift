// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Conformance
import Foundation

/// `lockstep seeds`: what a guest really did, as inputs for the fuzz targets to begin with.
struct Seeds: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Turn a recorded run into seeds of the fuzz targets.",
    discussion:
      "Of each machine the windows are taken in which most happens; each becomes an input that makes as many of its "
      + "steps as are found, on the fuzz target's small host.")

  @Argument(help: ArgumentHelp("The trace, of lockstep run --trace.", valueName: "file"))
  var file: String

  @Argument(help: ArgumentHelp("Where the seeds go, a folder for each fuzz target.", valueName: "folder"))
  var folder: String

  @Option(name: .long, help: "Steps of a window.")
  var steps = 24

  @Option(name: .long, help: "Windows of a machine, at most.")
  var windows = 16

  @Option(name: .long, help: "How often a step is searched for before it is left out.")
  var tries = 2000

  func validate() throws {
    guard steps >= 2, windows >= 1, tries >= 1 else {
      throw ValidationError("--steps is 2 or more, --windows and --tries are 1 or more")
    }
  }

  func run() throws {
    let chosen: [TraceWindow]
    do { chosen = try TraceWindow.windows(of: file, length: steps, count: windows) } catch {
      throw CouldNotRun(error.description)
    }
    for machine in Set(chosen.map(\.machine)).sorted() {
      var (count, made, wanted) = (0, 0, 0)
      for window in chosen where window.machine == machine {
        wanted += window.stepCount
        guard let seed = try search(window) else { continue }
        count += 1
        made += seed.made
        try save(seed)
      }
      print("\(machine): \(count) seeds; \(made) of \(wanted) steps are made")
    }
  }

  private func search(_ window: TraceWindow) throws -> TraceSeed? {
    do { return try TraceSeed.search(for: window, tries: tries, seed: UInt64(window.line)) } catch {
      print(error)
      throw ExitStatus.violated.code
    }
  }

  private func save(_ seed: TraceSeed) throws {
    let target = URL(filePath: folder).appending(path: seed.window.machine)
    do {
      try FileManager.default.createDirectory(at: target, withIntermediateDirectories: true)
      try Data(seed.bytes).write(to: target.appending(path: "line-\(seed.window.line)"))
    } catch {
      throw CouldNotRun("\(target.path()): \(error.localizedDescription)")
    }
  }
}
