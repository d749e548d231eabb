// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

/// The memory that a followed side really reaches, and what happens around it.
protocol RingSurroundings: AnyObject {
  /// Something may happen before each access.
  func pass()
  /// The peer's producer index, and the specification told of it. `own` is where the side stands.
  func peerProducer(_ own: RingIndices) -> UInt32
  /// The peer's event index, and the specification told of it.
  func peerEvent(_ own: RingIndices) -> UInt32
  func store(_ word: RingWord, _ value: UInt32)
  /// Lets the side's store buffer run empty.
  func drain() throws(Divergence)
  /// The message taken, by the specification's answer.
  func copyOut(_ index: UInt32, _ message: [UInt64], into slot: UnsafeMutableRawBufferPointer)
  func copyIn(_ index: UInt32, from slot: UnsafeRawBufferPointer) -> Bool
}

/// Follows one side of a ring, memory access by memory access: each must be the specification's next step there.
final class RingFollower: RingAccesses {
  let model: RingModel
  let oracle: Oracle
  let end: RingEnd
  unowned var surroundings: any RingSurroundings
  /// The first thing that was wrong; from then on the specification is not asked any more.
  private(set) var divergence: Divergence?
  private(set) var progress: RingProgress

  init(
    _ model: RingModel, _ oracle: Oracle, _ end: RingEnd, at index: UInt32,
    _ surroundings: any RingSurroundings
  ) {
    self.model = model
    self.oracle = oracle
    self.end = end
    self.surroundings = surroundings
    progress = RingProgress(.take, RingIndices(quiescentAt: index))
  }

  /// Where the side stands in its protocol, by the specification.
  var step: Step { RingModel.steps[oracle.simulator[model.step[Int(end.rawValue)]]] }

  /// Runs an operation of the implementation and checks how it ends.
  func follow<Side: RingSide>(
    _ operation: RingOperation, of side: inout Side, with slot: UnsafeMutableRawBufferPointer
  ) throws(Divergence) -> RingOutcome {
    progress = RingProgress(operation, progress.own)
    let outcome = side.perform(operation, with: slot)
    try finish(outcome, indices: side.indices)
    return outcome
  }

  /// Begins an operation that somebody else runs.
  func begin(_ operation: RingOperation) { progress = RingProgress(operation, progress.own) }

  func finish(_ outcome: RingOutcome, indices: RingIndices) throws(Divergence) {
    if let divergence { throw divergence }
    guard let complaint = progress.complaint(about: outcome, step: step, indices: indices) else { return }
    throw oracle.divergence(at: "\(end) \(progress.operation)", complaint)
  }

  // MARK: Accesses

  func load(_ word: RingWord) -> UInt32 {
    guard divergence == nil else { return 0 }
    surroundings.pass()
    let isProducer = word == end.peer.producerWord
    let value =
      isProducer
      ? surroundings.peerProducer(progress.own)
      : word == end.peer.eventWord ? surroundings.peerEvent(progress.own) : 0
    take(.load(word), value: value)
    return value
  }

  func store(_ word: RingWord, _ value: UInt32) {
    guard divergence == nil else { return }
    surroundings.pass()
    take(.store(word, value))
    if divergence == nil { surroundings.store(word, value) }
  }

  func fullFence() {
    guard divergence == nil else { return }
    surroundings.pass()
    do throws(Divergence) { try surroundings.drain() } catch { divergence = error }
    take(.fence)
  }

  func copySlotOut(_ index: UInt32, into slot: UnsafeMutableRawBufferPointer) {
    guard divergence == nil else { return }
    surroundings.pass()
    take(.copyOut(index))
    if divergence == nil { surroundings.copyOut(index, oracle.results, into: slot) }
  }

  func copySlotIn(_ index: UInt32, from slot: UnsafeRawBufferPointer) {
    guard divergence == nil else { return }
    surroundings.pass()
    take(.copyIn(index))
    if divergence == nil, !surroundings.copyIn(index, from: slot) {
      divergence = oracle.divergence(at: "\(end) put", "the slot is not what was to be put")
    }
  }

  /// Takes the step that an access is.
  private func take(_ access: RingAccess, value: UInt32 = 0) {
    guard divergence == nil else { return }
    do throws(Inadmissible) {
      let action = try model.action(for: access, of: end, progress.own, step: step)
      do throws(Divergence) {
        try oracle.take(action, end.rawValue)
        progress.follow(action, in: model, value: value, results: oracle.results)
      } catch {
        divergence = error
      }
    } catch {
      divergence = oracle.divergence(at: "\(end) \(progress.operation)", error.reason)
    }
  }
}
