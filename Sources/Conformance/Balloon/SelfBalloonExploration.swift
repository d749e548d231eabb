// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

/// Compares the self-balloon controller with its specification, exhaustively at a small scope.
public struct SelfBalloonExploration<Control: SelfBalloonControl> {
  public init(_ type: Control.Type) {}

  /// - Parameters:
  ///   - countsReachable: whether to explore the specification alone too.
  ///   - progress: is told now and then how far it is.
  public func run(countsReachable: Bool = true, progress: ExhaustiveProgress.Observer? = nil)
    -> ExhaustiveReport
  {
    var report = ExhaustiveReport(
      name: "SelfBalloon", scope: "domains of up to 3 pages, hystereses to 3")
    let exploration = JointExploration(ExploredController<Control>())
    exploration.run(&report, progress: progress)
    if countsReachable, report.holds { report.reachable = exploration.reachable() ?? 0 }
    return report
  }
}

private final class ExploredController<Control: SelfBalloonControl>: ExploredSide {
  private let model = SelfBalloonModel(scope: .small)
  let oracle: Oracle
  private let operations: [SelfBalloonOperation]

  init() {
    oracle = Oracle(model.programs)
    let numbers: [UInt64] = [0, 1, 2, 3]
    operations =
      numbers.flatMap { down in numbers.map { .configure(down: down, up: $0) } }
      + [.turn(on: true), .turn(on: false), .tick]
      + numbers.flatMap { [.need($0), .direct($0), .move($0)] }
  }

  /// An operation; it is one step of the specification, after which it ends.
  struct Step: Hashable {
    var operation: SelfBalloonOperation
    var isDone = false
  }

  func describe(_ control: Step) -> String { "\(control.operation)" }

  var beginnings: [[UInt64]] {
    var states: [[UInt64]] = []
    for maximum in 0..<4 as Range<UInt64> {
      for floor in 0...maximum {
        for pages in floor...maximum {
          var state = model.programs.layout.initialRegisters
          state[model.floor] = floor
          state[model.maximum] = maximum
          for register in [model.current, model.target, model.goal] { state[register] = pages }
          states.append(state)
        }
      }
    }
    return states
  }

  func actor(of action: Int, _ arguments: [UInt64]) -> StepActor { .side }

  func begin(_ visit: (Step) throws(Divergence) -> Void) throws(Divergence) {
    for operation in operations { try visit(Step(operation: operation)) }
  }

  func resume(_ control: Step) throws(Divergence) -> Resumption<Step> {
    if control.isDone { return .ends }
    guard var implementation = model.implementation(Control.self, oracle) else {
      throw oracle.divergence(at: describe(control), "no controller can be in this state")
    }
    let steps = oracle.stepCount
    try model.follow(control.operation, &implementation, oracle)
    // What was refused leaves everything as it was.
    if oracle.stepCount == steps { return .ends }
    var done = control
    done.isDone = true
    return .advances(done, action: action(of: control.operation))
  }

  private func action(of operation: SelfBalloonOperation) -> Int {
    switch operation {
    case .configure: model.configure
    case .turn: model.turn
    case .need: model.need
    case .direct: model.direct
    case .tick: model.tick
    case .move: model.move
    }
  }
}
