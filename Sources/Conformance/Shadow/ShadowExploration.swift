// SPDX-License-Identifier: Apache-2.0
//
// Every state that a small guest can drive the optimised shadow to by a few operations, under each policy: in each, every
// operation of the guest, its processor and its toolstack, step by step with the specification; all of both states is
// compared after each.
//
// A state is the specification's, with what it does not know and answers depend on: which faults were reflected. The
// machine is put into it as it was when it was first reached; other ways to the same state may leave another clock
// hand, other pages of the pool and other orders of lists, which random trials try.

import Interfaces
import Logic
import Machines
import Specs

/// Compares shadow page tables with their specification, exhaustively at a small scope.
public struct ShadowExploration {
  private let scope: ShadowExplorationScope
  private let maker: ShadowMaker

  /// - Parameter depth: of sequences, if not the scope's.
  public init(_ scope: ShadowExplorationScope, _ maker: ShadowMaker = .optimised, depth: Int? = nil) {
    self.scope = depth.map(scope.limited) ?? scope
    self.maker = maker
  }

  /// - Parameter progress: is told now and then how far it is.
  public func run(progress: ExhaustiveProgress.Observer? = nil) -> ExhaustiveReport {
    ExhaustiveReport(
      name: "Shadow", scope: "\(scope.name), \(scope.depth) operations",
      of: ShadowExplorationRun(scope, maker), progress: progress)
  }
}

private final class ShadowExplorationRun: ExhaustiveRun {
  private let scope: ShadowExplorationScope
  private let world: ShadowWorld
  let states: ExploredStates
  private var images: [ShadowWorld.Image] = []
  /// By state: the one before, and the operation that led here.
  private var ways: [(from: Int, operation: Int, depth: Int)] = []
  private var compared = 0
  private(set) var transitions = 0
  var driven: Int { states.count }
  var reachable: Int { states.count }

  init(_ scope: ShadowExplorationScope, _ maker: ShadowMaker) {
    self.scope = scope
    world = ShadowWorld(ShadowModel(ShadowExplorationScope.sizes), maker)
    states = ExploredStates(of: world.oracle.simulator, isMarked: true)
  }

  func explore(_ progress: ExhaustiveProgress.Observer?) throws(Divergence) {
    world.reset(scope.policy)
    try scope.begin(world)
    try world.compareThoroughly()
    _ = visit(from: 0, by: -1)
    let operations = scope.operations
    while compared < images.count, ways[compared].depth < scope.depth {
      states.go(to: compared)
      for (index, operation) in operations.enumerated() {
        states.enter()
        world.restore(images[compared])
        transitions += 1
        do throws(Divergence) {
          try operation.run(world)
          try world.compare()
        } catch {
          var found = error
          found.trace = path(operations) + [operation.name]
          throw found
        }
        if scope.contains(world), visit(from: compared, by: index) { try world.compareThoroughly() }
      }
      compared += 1
      if compared & 0xFF == 0 { progress?(ExhaustiveProgress(states: compared, transitions: transitions)) }
      if states.isFull { return }
    }
  }

  /// - Returns: whether the world is in a state that is new.
  private func visit(from: Int, by operation: Int) -> Bool {
    switch states.visit(mark: world.tables.reflections) {
    case .known: return false
    case .outOfMemory: break
    case .new:
      images.append(world.image)
      ways.append((from, operation, operation < 0 ? 0 : ways[from].depth + 1))
    }
    return true
  }

  /// The shortest way to the state explored.
  private func path(_ operations: [ShadowOperation]) -> [String] {
    var lines: [String] = []
    var state = compared
    while ways[state].operation >= 0 {
      lines.append(operations[ways[state].operation].name)
      state = ways[state].from
    }
    return lines.reversed()
  }
}
