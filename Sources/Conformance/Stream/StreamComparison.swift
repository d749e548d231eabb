// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

/// Where a side stands by the specification, with 32 bits.
struct StreamPositions: Hashable {
  /// The next byte that it moves.
  var position: UInt32
  /// The peer's index as last seen and found valid.
  var known: UInt32

  /// Nothing in the stream at `index`.
  init(quiescentAt index: UInt32) {
    position = index
    known = index
  }

  init(position: UInt32, known: UInt32) {
    self.position = position
    self.known = known
  }
}

/// What an operation has done so far, as its accesses show it.
struct StreamProgress: Hashable {
  let role: StreamRole
  /// How many bytes it was asked to move.
  let wanted: Int
  var own: StreamPositions
  /// Bytes that it has moved.
  var moved = 0
  /// How often it has stored its index.
  var pushes = 0
  /// What its last look at the peer's index showed.
  var sight: Sight?

  init(_ role: StreamRole, wanted: Int, _ own: StreamPositions) {
    self.role = role
    self.wanted = wanted
    self.own = own
  }

  /// Follows a step of the specification.
  /// - Parameters:
  ///   - value: what the implementation loaded.
  ///   - results: what the specification answered.
  mutating func follow(_ action: Int, in model: StreamModel, value: UInt32, results: [UInt64]) {
    switch action {
    case model.look:
      sight = results.first.map { StreamModel.sights[$0] }
      if sight != .nonsense { own.known = value }
    case model.read, model.write:
      moved += 1
      own.position &+= 1
    case model.publish: pushes += 1
    default: break
    }
  }

  /// Why the operation's end is not what its steps call for; nil if it is.
  func complaint(about outcome: StreamOutcome, step: StreamStep, position: UInt32, size: UInt32) -> String? {
    if position != own.position { return "it is at \(position), by its steps it is at \(own.position)" }
    if case .failure(let error) = outcome {
      guard step == .broken else { return "it gives up with \(error), and the index can be believed" }
      return nil
    }
    if step == .broken { return "it goes on, and the peer's index cannot be believed" }
    if moved > 0, pushes != 1 { return "it moves \(moved) bytes and stores its index \(pushes) times" }
    if sight == nil, wanted > 0 { return "it has not looked" }
    let start = own.position &- UInt32(moved)
    let possible = role == .reader ? own.known &- start : size &- (start &- own.known)
    let expected = sight == nil ? 0 : min(Int(possible), wanted)
    if moved != expected { return "it moves \(moved) bytes of \(wanted), and \(possible) can be moved" }
    return outcome == .moved(moved) ? nil : "it answers \(outcome), by its steps it has moved \(moved)"
  }
}
