// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces
import Logic
import Machines
import Specs

/// The memory that a followed side really reaches, and what happens around it.
protocol StreamSurroundings: AnyObject {
  /// Something may happen before each access.
  func pass()
  /// The peer's index, and the specification told of it. `own` is where the side stands.
  func peerIndex(_ own: StreamPositions) -> UInt32
  func store(_ index: StreamIndex, _ value: UInt32)
  /// Lets the side's store buffer run empty.
  func drain()
  /// One byte, which the specification has just read; `serial` is its answer.
  func read(_ position: UInt32, _ serial: UInt64) -> UInt8
  func write(_ position: UInt32, _ byte: UInt8)
}

/// Follows one side of a byte stream, memory access by memory access: each must be the specification's next step there.
final class StreamFollower: StreamAccesses {
  let model: StreamModel
  let oracle: Oracle
  let role: StreamRole
  let size: UInt32
  unowned let surroundings: any StreamSurroundings
  /// The first thing that was wrong; from then on the specification is not asked any more.
  private(set) var divergence: Divergence?
  private(set) var progress: StreamProgress
  /// The bytes that the operation under way reads, or is given to write.
  private let bytes: UnsafeMutableRawBufferPointer

  init(
    _ model: StreamModel, _ oracle: Oracle, _ role: StreamRole, at index: UInt32, size: UInt32,
    _ surroundings: any StreamSurroundings
  ) {
    self.model = model
    self.oracle = oracle
    self.role = role
    self.size = size
    self.surroundings = surroundings
    progress = StreamProgress(role, wanted: 0, StreamPositions(quiescentAt: index))
    bytes = .allocate(byteCount: Int(size), alignment: 8)
  }

  deinit { bytes.deallocate() }

  /// Where the side stands in its protocol, by the specification.
  var step: StreamStep { StreamModel.steps[oracle.simulator[model.step[Int(role.rawValue)]]] }

  /// Runs an operation of the implementation and checks how it ends. Its user sends an event if bytes were moved: that
  /// is what the interface asks, so it is taken as sent.
  func follow<Side: StreamSide>(
    _ buffer: UnsafeMutableRawBufferPointer, of side: inout Side
  ) throws(Divergence) -> StreamOutcome {
    progress = StreamProgress(role, wanted: buffer.count, progress.own)
    if role == .writer {
      bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[..<min(buffer.count, bytes.count)]))
    }
    let outcome = side.perform(buffer)
    if let divergence { throw divergence }
    if let complaint = progress.complaint(about: outcome, step: step, position: side.position, size: size) {
      throw oracle.divergence(at: "\(role)", complaint)
    }
    if role == .reader, !holds(buffer, progress.moved) {
      throw oracle.divergence(at: "\(role)", "what it hands out is not what lay in the stream")
    }
    if step == .moved {
      surroundings.pass()
      surroundings.drain()
      try oracle.take(model.notify, role.rawValue)
    }
    return outcome
  }

  private func holds(_ buffer: UnsafeMutableRawBufferPointer, _ count: Int) -> Bool {
    guard let found = buffer.baseAddress, let expected = bytes.baseAddress else { return count == 0 }
    return memcmp(found, expected, count) == 0
  }

  // MARK: Accesses

  func load(_ index: StreamIndex) -> UInt32 {
    guard divergence == nil else { return 0 }
    surroundings.pass()
    let value = index == role.peer.index ? surroundings.peerIndex(progress.own) : 0
    take(.load(index), value: value)
    return value
  }

  func store(_ index: StreamIndex, _ value: UInt32) {
    guard divergence == nil else { return }
    surroundings.pass()
    take(.store(index, value))
    if divergence == nil { surroundings.store(index, value) }
  }

  func copyOut(at position: UInt32, into target: UnsafeMutableRawBufferPointer) {
    for offset in target.indices {
      guard divergence == nil else { return }
      surroundings.pass()
      take(.read(position &+ UInt32(offset)))
      guard divergence == nil else { return }
      let byte = surroundings.read(position &+ UInt32(offset), oracle.results.first ?? 0)
      target[offset] = byte
      // The specification has not let it read more than the stream holds.
      bytes[progress.moved - 1] = byte
    }
  }

  func copyIn(at position: UInt32, from source: UnsafeRawBufferPointer) {
    for offset in source.indices {
      guard divergence == nil else { return }
      surroundings.pass()
      take(.write(position &+ UInt32(offset)))
      guard divergence == nil else { return }
      if source[offset] != bytes[progress.moved - 1] {
        divergence = oracle.divergence(at: "\(role)", "it writes a byte that it was not given")
      }
      surroundings.write(position &+ UInt32(offset), source[offset])
    }
  }

  /// Takes the step that an access is.
  private func take(_ access: StreamAccess, value: UInt32 = 0) {
    guard divergence == nil else { return }
    do throws(Inadmissible) {
      let action = try model.action(for: access, of: role, progress.own)
      do throws(Divergence) {
        let takesSide = action != model.read && action != model.write
        try oracle.take(action, takesSide ? [role.rawValue] : [])
        progress.follow(action, in: model, value: value, results: oracle.results)
      } catch {
        divergence = error
      }
    } catch {
      divergence = oracle.divergence(at: "\(role)", error.reason)
    }
  }
}
