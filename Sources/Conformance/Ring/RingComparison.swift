// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

/// What an operation has done so far, as its accesses show it.
struct RingProgress: Hashable {
  var operation: RingOperation
  /// Where the side's indices stand by the specification.
  var own: RingIndices
  var takes = 0
  var puts = 0
  var pushes = 0
  /// What the last look answered.
  var sight: Sight?
  /// What the look at the peer's event index answered.
  var wanted: Bool?

  init(_ operation: RingOperation, _ own: RingIndices) {
    self.operation = operation
    self.own = own
  }

  /// Follows a step of the specification.
  /// - Parameters:
  ///   - value: what the implementation loaded.
  ///   - results: what the specification answered.
  mutating func follow(_ action: Int, in model: RingModel, value: UInt32, results: [UInt64]) {
    switch action {
    case model.look, model.recheck:
      sight = results.first.map { RingModel.sights[$0] }
      if sight != .nonsense { own.known = value }
    case model.take:
      takes += 1
      own.taken &+= 1
    case model.put:
      puts += 1
      own.put &+= 1
    case model.publish:
      pushes += 1
      own.published = own.put
    case model.loadEvent: wanted = results.first == 1
    default: break
    }
  }

  /// Why the operation's end is not what its steps call for; nil if it is.
  func complaint(about outcome: RingOutcome, step: Step, indices: RingIndices) -> String? {
    if indices != own { return "its indices are \(indices), by its steps they are \(own)" }
    if case .failure(let error) = outcome {
      guard step == .broken else { return "it gives up with \(error), and the index can be believed" }
      return nil
    }
    switch step {
    case .broken: return "it goes on, and the peer's index cannot be believed"
    case .published, .fenced, .asked, .rechecking: return "it ends in the midst of its protocol, \(step)"
    case .idle, .asleep: break
    }
    let expected: RingOutcome? =
      switch operation {
      case .take: takes <= 1 && (takes == 1 || sight == .nothing) ? .answer(takes == 1) : nil
      case .put: puts == 1 ? .done : nil
      case .push: pushes == 1 ? wanted.map(RingOutcome.answer) : nil
      case .finalCheck: step == .asleep ? .answer(false) : own.known != own.taken ? .answer(true) : nil
      }
    guard let expected else { return "it has not done what it is for" }
    return expected == outcome ? nil : "it answers \(outcome), by its steps it is \(expected)"
  }
}
