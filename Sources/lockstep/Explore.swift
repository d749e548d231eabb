// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Checker
import Foundation
import Logic
import Specs
import Synchronization

/// `lockstep explore`: every reachable state at a scope, or the shortest way to a broken rule.
struct Explore: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Explore every reachable state of a specification at a small scope.")

  @Argument(help: "Machines, by name; all if none is named.")
  var machines: [String] = []

  @Option(
    name: .long,
    help: ArgumentHelp(
      "How many values a sort has, a power of two for words; repeatable.", valueName: "sort=n"))
  var scope: [String] = []

  @Option(name: .long, help: "Explore a mutant of the machine instead, by its name.")
  var mutant: String?

  @Option(name: .long, help: "Memory bound in MiB.")
  var memory = 4096

  @Flag(name: .long, help: "Tell apart states that differ only by a renaming.")
  var noSymmetry = false

  @Flag(
    name: .long,
    help:
      "Look whether what must come about in the end does, in every run that is fair, instead of at invariants."
  )
  var liveness = false

  @Option(name: .long, help: ArgumentHelp("Write a counterexample as a Swift test.", valueName: "file"))
  var saveTest: String?

  @Flag(name: .long, help: "Serve a page to this computer on which one machine is walked through by hand.")
  var serve = false

  @Option(name: .long, help: "The page's port; any that is free if none is given.")
  var port: Int?

  @OptionGroup var reporting: ReportingOptions

  func run() throws {
    Interruption.watch()
    if serve { return try servePage() }
    guard port == nil else { throw CouldNotRun("--port is the port of --serve") }
    var isViolated = false
    var isComplete = true
    for subject in try chosenSubjects(machines) {
      let specification = try subject.specification(mutant: mutant)
      if liveness {
        let scopes = scope.isEmpty ? [subject.livenessScope] : try subject.scopes(scope)
        for scope in scopes where try !checkLiveness(specification, scope) { isViolated = true }
        continue
      }
      for (number, scope) in try subject.scopes(scope).enumerated() {
        let exploration = try explore(specification, scope)
        let line = ExplorationLine(exploration, owesWitnesses: number == 0)
        try report(exploration, line, specification)
        if line.isViolated { isViolated = true } else if !exploration.isComplete { isComplete = false }
      }
    }
    if isViolated { throw ExitStatus.violated.code }
    if !isComplete { throw ExitStatus.couldNotRun.code }
  }

  /// Until it is interrupted, which is how it ends.
  private func servePage() throws {
    guard machines.count == 1, let subject = try chosenSubjects(machines).first else {
      throw CouldNotRun("--serve: name one machine")
    }
    guard let port = UInt16(exactly: port ?? 0) else { throw CouldNotRun("--port: from 0 to 65535") }
    let specification = try subject.specification(mutant: mutant)
    let scopes = try subject.scopes(scope)
    let pages = try ExploreServer(specification, scopes: scopes)
    let server = try LoopbackServer(port: port) { pages.answer(to: $0) }
    print(
      "\(specification.name) is to be walked through at http://127.0.0.1:\(server.port)/; Ctrl-C ends this")
    fflush(nil)
    // It serves as long as it lives.
    withExtendedLifetime(server) {
      while !Interruption.wanted { Thread.sleep(forTimeInterval: 0.1) }
    }
  }

  /// Whether all that must come about does.
  private func checkLiveness(_ specification: Specification, _ scope: Scope) throws -> Bool {
    do {
      let check = try LivenessCheck(specification, scope: scope, memoryLimit: memory << 20)
      let results = check.results()
      for result in results { try reporting.json ? printJSON(result) : print(result.text) }
      if results.isEmpty, !reporting.json { print("\(specification.name): nothing must come about") }
      return results.allSatisfy(\.holds)
    } catch let error as SpecificationError {
      throw CouldNotRun("\(error)")
    }
  }

  private func explore(_ specification: Specification, _ scope: Scope) throws -> Exploration {
    var options = ExplorationOptions()
    options.usesSymmetry = !noSymmetry
    options.memoryLimit = memory << 20
    let line = ProgressLine(reporting)
    defer { line.clear() }
    do {
      return try Explorer(specification, scope: scope, options: options).run(
        progress: { progress in
          line.show(
            "\(specification.name): states=\(progress.states) waiting=\(progress.waiting) depth=\(progress.depth)"
              + " rate=\(Int(progress.rate))/s sec=\(String(format: "%.1f", progress.seconds))")
        }, isCancelled: { Interruption.wanted })
    } catch {
      throw CouldNotRun("\(error)")
    }
  }

  private func report(_ exploration: Exploration, _ line: ExplorationLine, _ specification: Specification)
    throws
  {
    if let counterexample = exploration.counterexample, let saveTest,
      let test = counterexample.swiftTest(of: specification, making: "\(specification.name)()")
    {
      try save(test, to: saveTest)
    }
    if reporting.json { return try printJSON(line) }
    print(line.text)
    if let counterexample = exploration.counterexample { print(counterexample) }
  }
}

/// An exploration as it is printed.
struct ExplorationLine: Encodable {
  let machine: String
  let scope: String
  let outcome: String
  let states: Int
  let transitions: Int
  let depth: Int
  let deadlocks: Int
  let seconds: Double
  let unreached: [String]
  let counterexample: Counterexample?

  /// - Parameter owesWitnesses: whether every witness must be reached, as at a machine's first scope.
  init(_ exploration: Exploration, owesWitnesses: Bool) {
    machine = exploration.specification
    scope = exploration.scope.name
    outcome =
      switch exploration.outcome {
      case .complete: owesWitnesses && !exploration.holds ? "vacuous" : "holds"
      case .violated: "violated"
      case .outOfMemory: "out of memory"
      case .outOfStates: "out of states"
      case .cancelled: "interrupted"
      }
    states = exploration.states
    transitions = exploration.transitions
    depth = exploration.depth
    deadlocks = exploration.deadlocks
    seconds = exploration.seconds
    // What was not seen says something only where everything was.
    if owesWitnesses, exploration.isComplete {
      unreached = exploration.witnesses.filter { !$0.isReached }.map(\.name)
    } else {
      unreached = []
    }
    counterexample = exploration.counterexample
  }

  var isViolated: Bool { counterexample != nil || !unreached.isEmpty }

  var text: String {
    let rate = seconds > 0 ? Int(Double(states) / seconds) : 0
    let line =
      "\(machine) at scope \(scope): \(outcome): \(states) states, \(transitions) transitions, depth \(depth),"
      + " \(String(format: "%.2f", seconds)) s, \(rate) states/s"
    return ([line] + unreached.map { "  never reached: \($0)" }).joined(separator: "\n")
  }
}
