// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Checker
import Foundation
import Logic

/// `lockstep bmc`: no run of a few steps breaks a rule, or the shortest that does.
struct BoundedModelCheck: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bmc", abstract: "Look for a short run of a specification that breaks a rule, with Z3.",
    discussion: """
      Where explore visits every state of a small machine, bmc examines every run of a few steps, of a machine that may \
      be far too large to visit: words have their real sizes.
      """)

  @Argument(help: "Machines, by name; all if none is named.")
  var machines: [String] = []

  @Option(name: .long, help: "Steps of the longest run.")
  var depth = 5

  @Option(
    name: .long,
    help: ArgumentHelp(
      "How many values a sort has, a power of two for words; repeatable.", valueName: "sort=n"))
  var scope: [String] = []

  @Flag(name: .long, help: "Give words the sizes at which they are explored.")
  var smallWords = false

  @Option(name: .long, help: "Check a mutant of the machine instead, by its name.")
  var mutant: String?

  @Option(name: .long, help: ArgumentHelp("Seconds for each length of run.", valueName: "seconds"))
  var timeout: UInt32 = 60

  @Option(name: .long, help: ArgumentHelp("Write a counterexample as a Swift test.", valueName: "file"))
  var saveTest: String?

  @OptionGroup var reporting: ReportingOptions

  func validate() throws {
    guard (0...1000).contains(depth) else { throw ValidationError("--depth \(depth): 0 to 1000 steps") }
    guard (1...86_400).contains(timeout) else {
      throw ValidationError("--timeout \(timeout): 1 to 86400 seconds")
    }
  }

  func run() throws {
    Interruption.watch()
    var isViolated = false
    var isAnswered = true
    for subject in try chosenSubjects(machines) {
      let specification = try subject.specification(mutant: mutant)
      for scope in try subject.scopes(scope, realWords: !smallWords) {
        let result = try check(specification, scope)
        try report(result, specification)
        switch result.outcome {
        case .holds: break
        case .violated: isViolated = true
        case .unknown, .cancelled: isAnswered = false
        }
      }
    }
    if isViolated { throw ExitStatus.violated.code }
    if !isAnswered { throw ExitStatus.couldNotRun.code }
  }

  private func check(_ specification: Specification, _ scope: Scope) throws -> BoundedCheck {
    var options = BoundedOptions()
    options.depth = depth
    options.timeout = timeout * 1000
    let line = ProgressLine(reporting)
    defer { line.clear() }
    do {
      return try BoundedChecker(specification, scope: scope, options: options).run(
        progress: { line.show("\(specification.name): runs of \($0) steps") },
        isCancelled: { Interruption.wanted })
    } catch {
      throw CouldNotRun("\(error)")
    }
  }

  private func report(_ result: BoundedCheck, _ specification: Specification) throws {
    if let counterexample = result.counterexample, let saveTest,
      let test = counterexample.swiftTest(of: specification, making: "\(specification.name)()")
    {
      try save(test, to: saveTest)
    }
    let line = BoundedLine(result)
    if reporting.json { return try printJSON(line) }
    print(line.text)
    if let counterexample = result.counterexample { print(counterexample) }
  }
}

/// A bounded check as it is printed.
private struct BoundedLine: Encodable {
  let machine: String
  let scope: String
  let outcome: String
  let depth: Int
  let seconds: Double
  let counterexample: Counterexample?

  init(_ result: BoundedCheck) {
    machine = result.specification
    scope = result.scope.name
    outcome =
      switch result.outcome {
      case .holds: "holds"
      case .violated: "violated"
      case .unknown(let reason): "no answer for longer runs: \(reason)"
      case .cancelled: "interrupted"
      }
    depth = result.depth
    seconds = result.seconds
    counterexample = result.counterexample
  }

  var text: String {
    "\(machine) at scope \(scope): \(outcome): runs of up to \(depth) steps, "
      + "\(String(format: "%.2f", seconds)) s"
  }
}
