// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// What is counted while a vCPU runs.
enum Counter: Int, CaseIterable, Sendable {
  case entries, interruptions, systemCalls, upcalls, emulations, shadowFills, reflectedFaults, flushes
  case downgradeBatches, forgets, waits, stubExits, updatableTables

  var name: String {
    switch self {
    case .entries: "entries into the guest"
    case .interruptions: "interrupted runs"
    case .systemCalls: "system calls of guest users"
    case .upcalls: "event up-calls"
    case .emulations: "emulated instructions"
    case .shadowFills: "faults mended by the shadow"
    case .reflectedFaults: "faults of the guest's own"
    case .flushes: "shadow flushes"
    case .downgradeBatches: "batches of shadow entries that lost rights"
    case .forgets: "times that KVM forgot all shadows"
    case .waits: "times asleep"
    case .stubExits: "single updates that the stub began and left"
    case .updatableTables: "tables that the stub was let store to"
    }
  }
}

/// Counters of one vCPU. Only its own thread counts; anybody may read.
final class Statistics: Sendable {
  private static let hypercallCount = 64
  private static let vectorCount = 32
  private static let count = Counter.allCases.count + hypercallCount + vectorCount
  private let counters: [Cell]

  private final class Cell: Sendable {
    let value = Atomic<UInt64>(0)
  }

  init() { counters = (0..<Self.count).map { _ in Cell() } }

  func count(_ counter: Counter) { add(counter.rawValue) }

  func count(hypercall number: UInt64) {
    add(Counter.allCases.count + Int(min(number, UInt64(Self.hypercallCount - 1))))
  }

  func count(vector: Int) {
    add(Counter.allCases.count + Self.hypercallCount + min(vector, Self.vectorCount - 1))
  }

  private func add(_ index: Int) { counters[index].value.wrappingAdd(1, ordering: .relaxed) }

  /// All counters by name; those that are 0 too.
  var all: [(name: String, count: UInt64)] {
    let names =
      Counter.allCases.map(\.name)
      + (0..<Self.hypercallCount).map {
        "hypercall \(HypercallNumber(rawValue: UInt64($0))?.name ?? String($0))"
      }
      + (0..<Self.vectorCount).map { "exception \($0)" }
    return zip(names, counters).map { ($0, $1.value.load(ordering: .relaxed)) }
  }
}
