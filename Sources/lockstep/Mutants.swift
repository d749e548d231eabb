// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Checker
import Foundation
import Logic
import Specs
import Synchronization

/// `lockstep mutants`: every known bug and every mechanical change is caught, or is proved to be none.
struct Mutants: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check that every mutant of the specifications is killed.",
    discussion:
      "Hand-written mutants are bugs that were real; mechanical ones drop a guard or an assignment, or "
      + "bend a comparison. A survivor that is not listed with a reason is a failure.")

  @Argument(help: "Machines, by name; all if none is named.")
  var machines: [String] = []

  @OptionGroup var reporting: ReportingOptions

  func run() throws {
    var passes = true
    for subject in try chosenSubjects(machines) {
      let line = ProgressLine(reporting)
      let watched = Interruption.end { line.clear() }
      defer { withExtendedLifetime(watched) {} }
      let tried = Mutex(0)
      let report: MutationReport
      do {
        report = try MutationReport(try MutantTrial(subject)) { verdict, count in
          let number = tried.withLock { number in
            number += 1
            return number
          }
          line.show("\(subject.name): \(number)/\(count) \(verdict.name)")
        }
      } catch {
        throw CouldNotRun("\(error)")
      }
      line.clear()
      if reporting.json { try printJSON(report) } else { print(report) }
      passes = passes && report.passes
    }
    if !passes { throw ExitStatus.violated.code }
  }
}
