// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logic
import Specs

/// A recorded trace, held against the specifications alone.
public struct TraceReplay: Sendable {
  /// What was replayed of one machine.
  public struct Count: Sendable, Hashable {
    public var instances = 0
    public var steps = 0
  }

  /// Where a trace departs from the specification.
  public struct Departure: Sendable {
    /// The line of the file, from 1 on.
    public var line: Int
    /// The step, counting those of all machines from 1 on.
    public var step: Int
    public var divergence: Divergence
  }

  /// By machine.
  public private(set) var counts: [String: Count] = [:]
  public private(set) var steps = 0
  public private(set) var departure: Departure?
  /// The divergence that the run itself saw, where the trace up to there holds.
  public private(set) var recorded: Departure?
  /// What is to be said of the file's end; nil if the recording came to its own.
  public private(set) var endNote: String?

  public var holds: Bool { departure == nil && recorded == nil }

  /// Replays a file to its end, or to the first departure.
  /// - Throws: if it cannot be read, is no trace, or is one of other specifications.
  public init(path: String) throws(TraceError) {
    var player = TracePlayer()
    var lines = try TraceLines(path: path)
    try player.begin(try lines.next()?.bytes ?? [], path)
    while departure == nil, let line = try lines.next() {
      if !line.isComplete {
        endNote = "line \(lines.number), the last one, is cut off; the recording was ended in its midst"
        break
      }
      do throws(TraceProblem) {
        departure = try player.play(line.bytes).map {
          Departure(line: lines.number, step: player.steps + 1, divergence: $0)
        }
      } catch {
        throw TraceError(description: "\(path):\(lines.number): \(error.message)")
      }
      if let seen = player.seen, recorded == nil {
        recorded = Departure(line: lines.number, step: player.steps, divergence: seen)
      }
    }
    if endNote == nil, departure == nil, !player.hasEnded {
      endNote = "the recording was ended in its midst"
    }
    (counts, steps) = (player.counts, player.steps)
  }
}

/// Why a line makes no sense.
struct TraceProblem: Error {
  var message: String
}

/// Plays a trace line by line.
private struct TracePlayer {
  var counts: [String: TraceReplay.Count] = [:]
  var steps = 0
  var hasEnded = false
  /// A divergence that the recorded run saw.
  var seen: Divergence?

  private var machines: [Int: TracedMachine] = [:]
  /// Compiling a specification takes longer than most rings last.
  private var compiled: [TraceMachine: () -> any FollowingSpecification] = [:]

  /// The first line.
  func begin(_ line: ArraySlice<UInt8>, _ path: String) throws(TraceError) {
    guard let header = try? JSONDecoder().decode(TraceHeader.self, from: Data(line)),
      header.format == TraceHeader.name
    else { throw TraceError(description: "\(path): it is no trace; record one with lockstep run --trace") }
    guard header.version == TraceHeader.current else {
      throw TraceError(
        description: "\(path): a trace of version \(header.version), and this program reads version "
          + "\(TraceHeader.current)")
    }
  }

  /// Plays a line.
  /// - Returns: how it departs from the specification; nil if it does not.
  mutating func play(_ line: ArraySlice<UInt8>) throws(TraceProblem) -> Divergence? {
    if hasEnded { throw TraceProblem(message: "there is more after the trace's end") }
    guard line.first == UInt8(ascii: "[") else {
      try playObject(Data(line))
      return nil
    }
    guard let numbers = TraceLine.numbers(line), numbers.count >= 2,
      let machine = machines[Int(clamping: numbers[0])]
    else { throw TraceProblem(message: "it is no step of a machine that has begun") }
    if let divergence = try machine.play(numbers[1...]) { return divergence }
    steps += 1
    counts[machine.name, default: .init()].steps += 1
    return nil
  }

  private mutating func playObject(_ line: Data) throws(TraceProblem) {
    let decoder = JSONDecoder()
    if let beginning = try? decoder.decode(TraceMachine.self, from: line) {
      machines[beginning.id] = try begin(beginning)
      counts[beginning.machine, default: .init()].instances += 1
    } else if let divergence = try? decoder.decode(TraceDivergence.self, from: line) {
      let name = machines[divergence.diverged]?.name ?? "a machine"
      seen = Divergence(machine: name, step: divergence.step, reason: divergence.reason)
    } else if let end = try? decoder.decode(TraceEnd.self, from: line) {
      guard end.ended == steps else {
        throw TraceProblem(message: "the recording counts \(end.ended) steps, and here are \(steps)")
      }
      hasEnded = true
    } else {
      throw TraceProblem(message: "it is neither a step nor anything else that a trace has")
    }
  }

  private mutating func begin(_ beginning: TraceMachine) throws(TraceProblem) -> TracedMachine {
    var kind = beginning
    (kind.id, kind.start) = (0, [])
    if let make = compiled[kind] { return try TracedMachine(beginning, make()) }
    guard let subject = subjects.first(where: { $0.name == beginning.machine }) else {
      throw TraceProblem(message: "there is no machine \(beginning.machine)")
    }
    let scope = Scope(name: "the trace's", counts: beginning.scope)
    do {
      let make = try Self.compile(subject, scope)
      compiled[kind] = make
      return try TracedMachine(beginning, make())
    } catch let problem as TraceProblem {
      throw problem
    } catch {
      throw TraceProblem(message: "\(beginning.machine) at the trace's scope: \(error)")
    }
  }
}

extension TracePlayer {
  /// Shadow is followed at a size of its own: see `HostShadowModel`.
  private static func compile(_ subject: Subject, _ scope: Scope) throws -> () -> any FollowingSpecification {
    if subject.name == shadowSubject.name {
      let programs = try HostShadowModel.programs(at: scope)
      return { SparseOracle(programs) }
    }
    let programs = try ProgramSet(try subject.make().trace(), scope: scope)
    return { Oracle(programs) }
  }
}

/// One machine of a trace.
private final class TracedMachine {
  private let oracle: any FollowingSpecification
  /// The specification's number for each action, by the trace's.
  private let actions: [Int]
  var name: String { oracle.specification.name }

  init(_ beginning: TraceMachine, _ oracle: any FollowingSpecification) throws(TraceProblem) {
    self.oracle = oracle
    let specification = oracle.specification
    var actions: [Int] = []
    for name in beginning.actions {
      guard let action = specification.actionIndex(name) else {
        throw TraceProblem(
          message: "\(specification.name) has no action \(name): the trace is of another version")
      }
      actions.append(action)
    }
    self.actions = actions
    for start in beginning.start where !oracle.apply(start) {
      throw TraceProblem(message: "\(specification.name) cannot begin with \(start.component) \(start.value)")
    }
  }

  /// Takes a step: its action, arguments and results.
  func play(_ numbers: ArraySlice<UInt64>) throws(TraceProblem) -> Divergence? {
    guard let number = numbers.first, let index = Int(exactly: number), actions.indices.contains(index) else {
      throw TraceProblem(message: "\(name) has no such action")
    }
    let action = oracle.specification.actions[actions[index]]
    let values = numbers.dropFirst()
    let count = action.parameters.count
    guard values.count >= count, values.count <= count + action.results.count else {
      throw TraceProblem(message: "\(values.count) numbers for \(action.name)")
    }
    do throws(Divergence) {
      // A step that was not allowed has no results.
      try oracle.take(
        actions[index], Array(values.prefix(count)), expecting: Array(values.dropFirst(count)))
      return nil
    } catch {
      return error
    }
  }
}
