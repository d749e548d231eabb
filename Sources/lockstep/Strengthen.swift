// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Checker
import Foundation
import Logic

/// `lockstep strengthen`: what an invariant lacks to be inductive, found and not written.
struct Strengthen: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Find what is to be added to an invariant to make it inductive, at a scope, by property-directed reachability.",
    discussion: """
      Each invariant is taken alone, without the others to lean on. What is found are sets of states that are never reached; \
      that they make the invariant inductive is asked of both solvers.
      """)

  @Argument(help: "The machine, by name.")
  var machine: String

  @Option(
    name: .long, help: "An invariant, by its name; repeatable. All of them, one by one, if none is named.")
  var invariant: [String] = []

  @Option(
    name: .long,
    help: ArgumentHelp("How many values a sort has; repeatable.", valueName: "sort=n"))
  var scope: [String] = []

  @Option(name: .long, help: "Take a mutant of the machine instead, by its name.")
  var mutant: String?

  @Option(name: .long, help: ArgumentHelp("Seconds for each invariant.", valueName: "seconds"))
  var timeout: Int = 60

  @OptionGroup var reporting: ReportingOptions

  func validate() throws {
    guard (1...86_400).contains(timeout) else {
      throw ValidationError("--timeout \(timeout): 1 to 86400 seconds")
    }
  }

  func run() throws {
    Interruption.watch()
    guard let subject = try chosenSubjects([machine]).first else { return }
    let specification = try subject.specification(mutant: mutant)
    let scope = try subject.scopes(scope).first ?? .small
    let open = specification.invariants.filter { $0.reading != .proofOnly }
    let wanted = try chosen(invariant, from: open, named: \.name) {
      "\(subject.name) has no invariant \"\($0)\" that can be explored"
    }
    let second: SecondSolver
    do { second = try SecondSolver() } catch { throw CouldNotRun(error.description) }
    let line = ProgressLine(reporting)
    var statuses: Set<StrengtheningLine.Status> = []
    for claim in wanted {
      guard let index = specification.invariants.firstIndex(where: { $0.name == claim.name }) else {
        continue
      }
      let outcome = try outcome(of: index, in: specification, scope, line)
      line.clear()
      let result = StrengtheningLine(specification, scope, claim, outcome, second)
      try reporting.json ? printJSON(result) : print(result.text)
      statuses.insert(result.status)
    }
    if statuses.contains(.violated) { throw ExitStatus.violated.code }
    if statuses.contains(.unanswered) { throw ExitStatus.couldNotRun.code }
  }

  private func outcome(
    of invariant: Int, in specification: Specification, _ scope: Scope, _ line: ProgressLine
  ) throws -> Strengthener.Outcome {
    let end = ContinuousClock.now + .seconds(timeout)
    let name = specification.invariants[invariant].name
    // On a thread with a stack that terms fit.
    let outcomes = Workers.map(1, threads: 1, prepare: {}) {
      (_: Void, _: Int) -> Result<Strengthener.Outcome, SpecificationError> in
      Result { () throws(SpecificationError) in
        try Strengthener(specification, scope: scope, invariants: [invariant]).run(
          progress: { cubes, steps in line.show("\(name): \(cubes) excluded, \(steps) steps") },
          isCancelled: { Interruption.wanted || ContinuousClock.now > end })
      }
    }
    do {
      return try outcomes[0].get()
    } catch {
      throw CouldNotRun("\(error)")
    }
  }
}

/// What became of one invariant, as it is printed.
private struct StrengtheningLine: Encodable {
  enum Status: String, Encodable { case inductive, violated, unanswered }

  let machine: String
  let scope: String
  let invariant: String
  let status: Status
  /// What else there is to say.
  let reason: String?
  let never: [Strengthening.Never]
  let levels: Int?
  let questions: Int?
  let seconds: Double?
  /// Whether the second solver agrees to all that was found.
  let isConfirmed: Bool
  private let secondSolver: String

  init(
    _ specification: Specification, _ scope: Scope, _ invariant: Invariant, _ outcome: Strengthener.Outcome,
    _ second: SecondSolver
  ) {
    machine = specification.name
    self.scope = scope.name
    self.invariant = invariant.name
    secondSolver = second.name
    var found: Strengthening?
    switch outcome {
    case .found(let strengthening):
      found = strengthening
      isConfirmed = strengthening.unconfirmed(by: second) == 0
      status = isConfirmed ? .inductive : .unanswered
      reason = isConfirmed ? nil : "\(second.name) does not confirm it"
    case .violated(let steps):
      (status, reason, isConfirmed) = (.violated, "a run of at most \(steps) steps breaks it", false)
    case .unknown(let why): (status, reason, isConfirmed) = (.unanswered, why, false)
    case .cancelled: (status, reason, isConfirmed) = (.unanswered, "no answer in the time given", false)
    }
    never = found?.never ?? []
    (levels, questions, seconds) = (found?.levels, found?.questions, found?.seconds)
  }

  var text: String {
    let title = "\(machine) at scope \(scope): \"\(invariant)\""
    guard let levels, let questions, let seconds, status == .inductive else {
      return "\(title): \(status.rawValue): \(reason ?? "")"
    }
    let figures =
      "\(never.count) to add, \(levels) steps looked at, \(questions) questions, \(String(format: "%.1f", seconds)) s; "
      + "confirmed by \(secondSolver)"
    let lines = never.map { item in
      "  never: " + item.facts.joined(separator: ", ")
        + (item.images > 1 ? " (and \(item.images - 1) that differ by names)" : "")
    }
    return (["\(title) is inductive with what is never: \(figures)"] + lines).joined(separator: "\n")
  }
}
